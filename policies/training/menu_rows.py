"""Rows of menus: a question and the options that training makes more probable.

Where a menu contests the target the wanted options are those that serve it most (up) or violate it
most (down); every other menu, and every menu of a control, keeps the option that the frozen model
finds most probable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from valueagents.policies.engines.chats import ChatTokenizer, Tokens
from valueagents.policies.prompts import Prompt
from valueagents.policies.training.menus import AskedMenu, MenuPart

ChoiceDirection = Literal["up", "down", "control"]


class MenuRow(msgspec.Struct, frozen=True):
    """`wanted` are the ids of the options that are trained; `contested`: whether the menu's options
    differ on the target.
    """

    split: MenuPart
    shown: str
    contested: bool
    task: str
    observation: str
    options: dict[str, str]
    wanted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MenuExample:
    """A menu as tokens; `wanted` are places of options. `statement` is its place in its part."""

    prompt: Tokens
    options: tuple[Tokens, ...]
    wanted: tuple[int, ...]
    statement: int
    target: bool
    variant: int = 1
    weight: int = 1


def make_menu_rows(
    asked: Sequence[AskedMenu],
    part: MenuPart,
    kept: Mapping[str, int],
    *,
    target: str,
    direction: ChoiceDirection,
) -> tuple[MenuRow, ...]:
    """A row for each menu, in order. `kept`: situation -> the place of the option that the frozen
    model takes, for the menus that keep it.
    """
    rows = []
    for each in asked:
        wanted = wanted_places(each, target, direction) or (kept[each.shown],)
        rows.append(
            MenuRow(
                part,
                each.shown,
                each.contests(target),
                each.task,
                each.observation,
                {option.id: option.text for option in each.menu},
                tuple(each.menu[k].id for k in wanted),
            )
        )
    return tuple(rows)


def wanted_places(each: AskedMenu, target: str, direction: ChoiceDirection) -> tuple[int, ...]:
    """The options that serve (up) or violate (down) the target most; none where the frozen model's
    own choice is kept.
    """
    if direction == "control" or not each.contests(target):
        return ()
    x = np.array(each.on(target), dtype=float) * (1.0 if direction == "up" else -1.0)
    return tuple(np.flatnonzero(x == x.max()).tolist())


def menu_examples(
    rows: Sequence[MenuRow],
    asked: Sequence[AskedMenu],
    chats: ChatTokenizer,
    *,
    prompt: Prompt,
    history: int | None,
) -> tuple[MenuExample, ...]:
    """The rows as tokens, put as the reading *likelihood* puts them.

    Raises PolicyError for one longer than the model's window.
    """
    made = []
    for place, (row, each) in enumerate(zip(rows, asked, strict=True)):
        question = chats.prompt(prompt.open_question(each.view(history)))
        options = tuple(chats.answer(text) for text in row.options.values())
        chats.fit(len(question) + max(map(len, options)))
        wanted = tuple(k for k, name in enumerate(row.options) if name in row.wanted)
        made.append(MenuExample(question, options, wanted, place, row.contested))
    return tuple(made)
