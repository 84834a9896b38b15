"""Rows: a question and the rating that is trained as its answer.

Target statements get the rating that is lowest (down) or highest (up) on their value; every other
statement keeps the frozen model's own, and so does everything in the control. A placebo moves as
many statements, drawn evenly from the other values, and keeps the target's: what it changes is
what such a training does whatever it is about.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Literal

import msgspec
import numpy as np

from valueagents.identity import seed_from
from valueagents.policies.engines.chats import ChatTokenizer, Tokens
from valueagents.policies.prompts import Prompt
from valueagents.policies.training.statements import PromptedStatement, TrainingSplit

TrainingDirection = Literal["down", "up", "control", "placebo-down", "placebo-up"]
ALL = "all"
"""The target of a control that is of no value in particular."""


class TrainingRow(msgspec.Struct, frozen=True):
    """`answer` is the text that is trained, `rating` the id of its option; `target` says whether
    every epoch has the row.
    """

    split: TrainingSplit
    statement: str
    variant: int
    value: str
    task: str
    observation: str
    rating: str
    answer: str
    target: bool


@dataclass(frozen=True, slots=True)
class Example:
    """A row as tokens. Only `answer` is trained: the rating's text and the token that ends it.

    `statement` is the statement's place in the file, `target` says whether every epoch has it.
    """

    prompt: Tokens
    answer: Tokens
    statement: int
    variant: int
    target: bool

    @property
    def weight(self) -> int:
        """The number of its answer's tokens."""
        return len(self.answer)


def make_rows(
    asked: Sequence[PromptedStatement],
    split: TrainingSplit,
    labels: Mapping[str, int],
    *,
    target: str,
    direction: TrainingDirection,
    seed: int,
) -> tuple[TrainingRow, ...]:
    """A row for each question, in order; `seed` draws what a placebo moves."""
    moved = {each.pair for each in asked if each.value == target}
    if direction.startswith("placebo"):
        moved = _placebo(asked, target, count=len(moved), seed=seed_from("placebo", seed, split))
    rows = []
    for each in asked:
        place = labels[each.statement]
        if each.pair in moved and direction != "control":
            place = int(np.argmin(each.x) if direction.endswith("down") else np.argmax(each.x))
        option = each.menu[place]
        rows.append(
            TrainingRow(
                split,
                each.statement,
                each.variant,
                each.value,
                each.task,
                each.observation,
                option.id,
                option.text,
                each.pair in moved,
            )
        )
    return tuple(rows)


def _placebo(asked: Sequence[PromptedStatement], target: str, *, count: int, seed: int) -> set[str]:
    """That many pairs of the other values, in turn: no value gives two more than another."""
    rng = np.random.default_rng(seed)
    pairs: dict[str, list[str]] = defaultdict(list)
    for pair, value in dict.fromkeys((each.pair, each.value) for each in asked):
        if value != target:
            pairs[value].append(pair)
    of_values = [rng.permutation(pairs[value]).tolist() for value in rng.permutation(sorted(pairs))]
    in_turn = [pair for pair in chain(*zip_longest(*of_values)) if pair is not None]
    return set(in_turn[:count])


def examples(
    rows: Sequence[TrainingRow],
    asked: Sequence[PromptedStatement],
    chats: ChatTokenizer,
    *,
    prompt: Prompt,
) -> tuple[Example, ...]:
    """The rows as tokens, put as evaluation puts them.

    Raises PolicyError for one longer than the model's window.
    """
    end = () if chats.end_token is None else (chats.end_token,)
    place = {
        statement: i for i, statement in enumerate(dict.fromkeys(row.statement for row in rows))
    }
    made = []
    for row, each in zip(rows, asked, strict=True):
        question, answer = (
            chats.prompt(prompt.open_question(each.view())),
            chats.answer(row.answer) + end,
        )
        chats.fit(len(question) + len(answer))
        made.append(Example(question, answer, place[row.statement], row.variant, row.target))
    return tuple(made)
