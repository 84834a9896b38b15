"""What a named metric of a study declares: the command line, `--json` and the listing read it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Needs = Literal["a run", "an adapter and its control", "a run and a run of the random policy"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric under the name that a study gave it.

    Args:
        id: what the command line calls it.
        formula: in a line.
        source: the study.
        needs: what it is computed from, in this order.
        compute: of a run; of an adapter and its control, with `target` (axis ids) and `direction`;
            or of a run and a run of the random policy. Gives a Struct whose fields are `Estimate`s,
            counts and texts.
    """

    id: str
    formula: str
    source: str
    needs: Needs
    compute: Callable[..., Any]
