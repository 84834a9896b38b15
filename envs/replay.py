"""`valueagents/Replay-v0`: the decisions of a frozen pool, one an episode; no game engine runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from valueagents.contracts.decision import Option
from valueagents.contracts.environment import Turn, ValueEnv
from valueagents.errors import DataError
from valueagents.files.text import once_per_file, require_file
from valueagents.running.pool import read_pool

_read = once_per_file(read_pool)


class ReplayEnv(ValueEnv):
    """Every situation of a pool (E7), exactly as it was met: task, transcript, last text, menu in
    the order shown.

    A situation is the hash of what was shown; a cluster is that of the run it came from, of a game
    the menu. No answer changes a later question, so tests that need choice-independent menus hold
    here for games, too. `valueagents replay` makes pools.

    Args:
        pool: the file of a pool, `pool.jsonl`.
        render_mode: "ansi" or None, as in Gymnasium.
    """

    version = "1"
    independent_menus = True
    inline = True

    def __init__(self, *, pool: str, render_mode: Literal["ansi"] | None = None) -> None:
        path = Path(pool)
        require_file(path, (".jsonl",), "not a .jsonl that `valueagents replay` wrote")
        self.pool = frozen = _read(path)
        if not frozen.decisions:
            raise DataError(f"{path.name} holds no decisions")
        self.taxonomy, self.task = frozen.header.taxonomy, frozen.header.task
        self.asks, self.language = frozen.header.asks, frozen.header.language
        self.min_contested, self.factors = frozen.header.min_contested, frozen.header.factors
        self.covariates = frozen.header.covariates
        self._decisions = {decision.shown: decision for decision in frozen.decisions}
        super().__init__(
            max_menu=max(len(decision.menu) for decision in frozen.decisions),
            render_mode=render_mode,
        )

    def situations(self) -> Sequence[str]:
        """The hashes of the pooled situations, sorted."""
        return tuple(self._decisions)

    def content(self) -> object:
        """All pooled decisions, annotations included; not where they came from."""
        return msgspec.to_builtins(self.pool.decisions)

    def start(self, situation: str | None) -> Turn:
        """The question, and as `before` what its policy had seen and done until then."""
        asked = self._decisions[str(situation)]
        return Turn(
            asked.observation,
            asked.menu,
            asked.annotation,
            situation=asked.shown,
            cluster=asked.cluster,
            before=asked.before,
            factors=asked.factors,
        )

    def advance(self, option: Option) -> Turn:
        """The choice ends the episode."""
        return Turn(text="", terminated=True)

    def save_state(self) -> bytes:
        """Nothing: the turn, which the base class keeps, is all the state there is."""
        return b""

    def load_state(self, state: bytes) -> None:
        """Nothing to do."""
