"""`valueagents/Dilemma-v0`: a situation, two or more things to do about it, and what each does to
the values.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec

from valueagents.contracts.environment import Turn
from valueagents.envs.items.env import ItemEnv
from valueagents.envs.items.files import read_items
from valueagents.errors import ConfigError, unknown_name
from valueagents.files.items import Item, ItemBank

BundledDilemmas = Literal["dilemmas-1", "dilemmas-2"]


class DilemmaEnv(ItemEnv):
    """Dilemmas from our own banks, or from the user's file.

    A bank may hold an item in several wordings: rows of one cluster that differ in the factor
    `wording`. Such a cluster is one situation, and which wording is met is drawn from the
    episode's seed, never from the policy: what is compared was asked in the same words.

    Args:
        data: a `.jsonl` file in our format (envs/reference.md), a MoralChoice `.csv`, or
            DailyDilemmas by action; by default a bundled bank.
        bank: the bundled bank (taxonomy schwartz20, AI-annotated: see envs/data/README.md):
            dilemmas-1, 192 items in one wording, or dilemmas-2, 240 in four, whose options seldom
            give their values away by words.
        values: DailyDilemmas' table of value words (`.csv`), which its by-action file needs.
        setting: play only items of this setting, e.g. `home` or `agent-business`; by default all.
        wording: play this wording of every item; by default each episode draws one.
        language: play the items of this language, where the bank declares the factor `language`.
        pressure: play the items that the bank holds at several levels of the factor `pressure`,
            at all of them; by default only those without pressure.
        render_mode: "ansi" or None, as in Gymnasium.
    """

    def __init__(
        self,
        *,
        data: str | None = None,
        bank: BundledDilemmas = "dilemmas-1",
        values: str | None = None,
        setting: str | None = None,
        wording: str | None = None,
        language: str | None = None,
        pressure: bool = False,
        render_mode: Literal["ansi"] | None = None,
    ) -> None:
        if data is not None:
            path = Path(data)
        else:
            path = Path(str(files("valueagents.envs").joinpath("data", f"{bank}.jsonl")))
        items = read_items(path, None if values is None else Path(values))
        if setting is not None:
            settings = {item.setting for item in items.items}
            if setting not in settings:
                raise ConfigError(unknown_name("setting", setting, settings))
            items = _only(items, [i for i in items.items if i.setting == setting])
        items = _of_level(items, "language", language, usual="en")
        items = _pressed(items) if pressure else _of_level(items, "pressure", None, usual="none")
        if wording is not None:
            items = _of_level(items, "wording", wording)
        self._wordings = _by_situation(items.items)
        super().__init__(items, render_mode=render_mode)

    def situations(self) -> Sequence[str]:
        """The items in file order, each once in whatever wordings it has."""
        return tuple(self._wordings)

    def start(self, situation: str | None) -> Turn:
        """Show an item in a wording and with an order of options drawn by the episode's seed."""
        wordings = self._wordings[str(situation)]
        drawn = int(self.np_random.integers(len(wordings))) if len(wordings) > 1 else 0
        turn = super().start(wordings[drawn].id)
        return msgspec.structs.replace(turn, situation=situation)


def _only(bank: ItemBank, items: Sequence[Item]) -> ItemBank:
    return msgspec.structs.replace(bank, items=tuple(items))


def _of_level(bank: ItemBank, factor: str, level: str | None, usual: str | None = None) -> ItemBank:
    """The items of this level; without one, those of the usual level, where the bank has both.

    Raises ConfigError if a level is asked for that no item has.
    """
    known = {item.factors[factor] for item in bank.items if factor in item.factors}
    if level is None:
        if usual not in known:
            return bank
        level = usual
    elif level not in known:
        raise ConfigError(
            unknown_name(factor, level, known, remedy="See the items' factors in the bank's file.")
        )
    return _only(bank, [item for item in bank.items if item.factors.get(factor) == level])


def _pressed(bank: ItemBank) -> ItemBank:
    """The items that stand in the bank at several levels of pressure, in the words of those that
    have some, so that nothing but the pressure differs.
    """
    words = {
        (item.cluster, item.factors.get("wording"))
        for item in bank.items
        if item.factors.get("pressure", "none") != "none"
    }
    if not words:
        raise ConfigError(
            "pressure=true: no item of the bank has a level of the factor 'pressure' beside 'none';"
            " leave it out, or play bank=dilemmas-2"
        )
    return _only(bank, [i for i in bank.items if (i.cluster, i.factors.get("wording")) in words])


def _by_situation(items: Sequence[Item]) -> dict[str, tuple[Item, ...]]:
    """The wordings of every item: its rows that differ in the factor `wording` alone."""
    rows: dict[str, list[Item]] = {}
    for item in items:
        if item.cluster is None or "wording" not in item.factors:
            rows[item.id] = [item]
        else:
            pressure = item.factors.get("pressure", "none")
            name = item.cluster if pressure == "none" else f"{item.cluster}/{pressure}"
            rows.setdefault(name, []).append(item)
    return {name: tuple(wordings) for name, wordings in rows.items()}
