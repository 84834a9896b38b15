"""How much of an env `check_value_env` plays: a slow one is spared, and that is said."""

import time
from collections.abc import Iterator

MAX_STEPS = 30
FEWEST_STEPS = 4
EPISODE_S, PROMISE_S = 4.0, 8.0


class CheckPace:
    """How much of an env is tested: less of a slow one, but of each kind something."""

    def __init__(self, step_s: float) -> None:
        self._steps = min(MAX_STEPS, max(FEWEST_STEPS, int(EPISODE_S / max(step_s, 1e-9))))
        self.begin()

    @property
    def steps(self) -> int:
        """The most steps of an episode."""
        if self._steps < MAX_STEPS:
            self._spared["steps"] = f"{self._steps} steps an episode instead of {MAX_STEPS}"
        return self._steps

    @property
    def shortened(self) -> str | None:
        """What the promise of now was spared; None = nothing."""
        return ", ".join(self._spared.values()) or None

    def begin(self) -> None:
        """The time of the next promise runs from now."""
        self._ends = time.monotonic() + PROMISE_S
        self._spared: dict[str, str] = {}

    def seeds(self, count: int) -> Iterator[int]:
        """The numbers below `count`, the first in any case, the others while there is time."""
        for seed in range(count):
            if seed and time.monotonic() > self._ends:
                self._spared["episodes"] = f"{seed} of {count} episodes"
                return
            yield seed
