"""Rows: a question and the rating that is trained as its answer.

Target statements get the rating that is lowest (down) or highest (up) on their value; every other
statement keeps the frozen model's own, and so does everything in the control.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from valueagents.policies.engines.chats import ChatTokenizer, Tokens
from valueagents.policies.prompts import Prompt
from valueagents.policies.training.statements import PromptedStatement, TrainingSplit

TrainingDirection = Literal["down", "up", "control"]


class TrainingRow(msgspec.Struct, frozen=True):
    """`answer` is the text that is trained, `rating` the id of its option."""

    split: TrainingSplit
    statement: str
    variant: int
    value: str
    task: str
    observation: str
    rating: str
    answer: str


@dataclass(frozen=True, slots=True)
class Example:
    """A row as tokens. Only `answer` is trained: the rating's text and the token that ends it.

    `statement` is the statement's place in the file, `target` says whether it belongs to the target
    value.
    """

    prompt: Tokens
    answer: Tokens
    statement: int
    variant: int
    target: bool


def make_rows(
    asked: Sequence[PromptedStatement],
    split: TrainingSplit,
    labels: Mapping[str, int],
    *,
    target: str,
    direction: TrainingDirection,
) -> tuple[TrainingRow, ...]:
    """A row for each question, in order."""
    rows = []
    for each in asked:
        place = labels[each.statement]
        if each.value == target and direction != "control":
            place = int(np.argmin(each.x) if direction == "down" else np.argmax(each.x))
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
            )
        )
    return tuple(rows)


def examples(
    rows: Sequence[TrainingRow],
    asked: Sequence[PromptedStatement],
    chats: ChatTokenizer,
    *,
    prompt: Prompt,
    target: str,
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
        made.append(
            Example(question, answer, place[row.statement], row.variant, row.value == target)
        )
    return tuple(made)
