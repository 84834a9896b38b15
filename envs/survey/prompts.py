"""How a survey statement is put and answered: prompt variants, each a task × an answer template, as
versioned data.
"""

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

from valueagents.errors import ConfigError, DataError

RATINGS = (1, 2, 3, 4, 5, 6)

SurveyWordings = Literal["trained", "held-out"]
"""Those that adapters may be trained in, or those that no training sees."""


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A way of asking: what the rating says of the respondent.

    Without ends it explains its scale itself.
    """

    id: str
    question: str
    lowest: str = ""
    highest: str = ""


class Variant(msgspec.Struct, frozen=True):
    """One of a survey's prompts. `number` counts from 1; `letter` says of which wordings it is."""

    number: int
    before: str
    statement: str
    answer: str
    letter: str

    @property
    def id(self) -> str:
        """Stands in the situation id: the same for the same words, however many variants are
        played.
        """
        return f"{self.letter}{self.number:02d}"

    def observation(self, statement: str) -> str:
        """What the respondent reads: the scale, the task, the statement."""
        return f"{self.before}\n\n{self.statement.replace('{statement}', statement)}"

    def reply(self, rating: int) -> str:
        """The answer that gives this rating."""
        return self.answer.replace("{rating}", str(rating))


class SurveyPrompts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tasks and answers of a survey; every pair of them is a variant.

    `letter` begins the ids of its variants: v, of held-out wordings h.
    """

    id: str
    version: int
    scale: str
    statement: str
    answers: tuple[str, ...]
    tasks: tuple[Task, ...]
    letter: str = "v"

    def variants(self, count: int, *, reverse: bool = False) -> tuple[Variant, ...]:
        """The first `count` variants, in an order that spreads the first ones over tasks and
        answers alike.

        `reverse` turns the scale round: 1 is then the highest answer. Raises ConfigError if there
        are fewer.
        """
        total = len(self.tasks) * len(self.answers)
        if not 1 <= count <= total:
            raise ConfigError(f"variants={count}: these prompts have 1 to {total}")
        return tuple(self._variant(number, reverse=reverse) for number in range(1, count + 1))

    def _variant(self, number: int, *, reverse: bool) -> Variant:
        turn, place = divmod(number - 1, len(self.tasks))
        task = self.tasks[place]
        shift = place * max(1, len(self.answers) // len(self.tasks))
        return Variant(
            number=number,
            before=self._before(task, reverse=reverse),
            statement=self.statement,
            answer=self.answers[(turn + shift) % len(self.answers)],
            letter=self.letter,
        )

    def _before(self, task: Task, *, reverse: bool) -> str:
        if not task.lowest:
            if reverse:
                raise ConfigError(
                    "this file's tasks explain their own scale; leave out reverse=true"
                )
            return task.question
        ends = (
            {"first": task.highest, "last": task.lowest}
            if reverse
            else {"first": task.lowest, "last": task.highest}
        )
        return f"{self.scale.format(**ends)}\n{task.question}"


@cache
def load_survey_prompts(wordings: SurveyWordings = "trained") -> SurveyPrompts:
    """The bundled prompts, in our own words: `data/survey_variants.toml`, and for the wordings that
    no training sees `data/survey_held_out.toml`.
    """
    name = {"trained": "survey_variants.toml", "held-out": "survey_held_out.toml"}[wordings]
    text = files("valueagents.envs").joinpath("data", name).read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), SurveyPrompts)


def prompts_of_a_file(where: str, tasks: Sequence[str], answers: Sequence[str]) -> SurveyPrompts:
    """Prompts that a data file brings along.

    Raises DataError, beginning with `where`, if an answer has no rating.
    """
    if not tasks or not answers or not all(text.strip() for text in (*tasks, *answers)):
        raise DataError(
            f"{where}: no task, no answer template, or an empty one; give at least one of each"
        )
    for answer in answers:
        if "{rating}" not in answer:
            raise DataError(
                f"{where}: answer template {answer!r} lacks {{rating}}, the place of the number"
            )
    if len(set(answers)) < len(answers) or len(set(tasks)) < len(tasks):
        raise DataError(
            f"{where}: a task or an answer template is there twice; each variant must differ"
        )
    numbered = tuple(Task(f"task{n}", text) for n, text in enumerate(tasks, 1))
    return SurveyPrompts(where, 1, "", "{statement}", tuple(answers), numbered)
