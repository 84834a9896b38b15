"""`human-sample:FILE`: people's choices as a policy, with which a model's are compared."""

from pathlib import Path
from typing import Literal

from valueagents.contracts.decision import Choice
from valueagents.contracts.policy import Policy, View, draw
from valueagents.errors import ConfigError, PolicyError
from valueagents.files.people import read_choices
from valueagents.files.sheets import menu_key, plain
from valueagents.files.text import require_file
from valueagents.identity import content_hash

_SECONDS_PER_DECISION = 0.0003
_SHOWN = 60


class HumanSamplePolicy(Policy):
    """Draws what people chose: at each menu the shares of those who took its options.

    Args:
        target: sheets of choices, filled in by people, with commas between them
            (`valueagents annotate ENV --out FILE` writes an empty one).
        unasked: what becomes of a menu that no person answered: the episode fails, or the policy
            refuses, which is counted beside every score.
    """

    seconds_per_decision = _SECONDS_PER_DECISION

    def __init__(self, target: str, *, unasked: Literal["fail", "refuse"] = "fail") -> None:
        sheets = [Path(name) for name in target.split(",")]
        if len(set(sheets)) < len(sheets):
            raise ConfigError(f"human-sample:{target}: a sheet is named twice")
        for sheet in sheets:
            require_file(sheet, (".csv",), "not .csv (a sheet of `valueagents annotate`)")
        self.people = read_choices(sheets)
        self.unasked = unasked

    def identity(self) -> dict[str, str]:
        """Version, everybody's choices, and what becomes of other menus."""
        return {
            "policy": "human-sample/1",
            "people": content_hash(self.people),
            "unasked": self.unasked,
        }

    async def decide(self, view: View) -> Choice:
        """An option drawn by the people's shares. Raises PolicyError where nobody was asked, unless
        that is to be refused.
        """
        options = [option.text for option in view.menu]
        counts = None if view.transcript else self.people.get(menu_key(view.observation, options))
        if counts is None and self.unasked == "refuse":
            return Choice(None, "refused")
        if counts is None:
            raise PolicyError(
                f"no person answered the menu of {plain(view.observation)[:_SHOWN]!r} on these"
                " sheets; play the items and wordings that they were asked, with the same --env"
                " and options, or set ?unasked=refuse"
            )
        total = sum(counts.values())
        p = tuple(counts[plain(words)] / total for words in options)
        return Choice(draw(view.menu, p, view.seed), "drawn", probabilities=p)
