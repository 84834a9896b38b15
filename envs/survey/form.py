"""How a questionnaire is put and scored, as published: its form.

The bundled forms (`data/survey_keys.toml`) hold facts alone: the answer scale and which item counts
for which value. A user's own is a TOML file of the same fields:

    source = "who published it"
    taxonomy = "needs.toml"                 # its axes are the scales; a bundled id or a file
    question = "How far do you agree?"      # before each statement
    points = [1, 5]                         # of the answer scale
    labels = {1 = "disagree strongly", 5 = "agree strongly"}
    task = "…"                              # the instructions; may be left out
    reversed = false                        # true: the lowest number is the highest answer
    unscored = [7]                          # items that count for nothing

    [scales]                                # axis -> items; a minus = reverse-keyed
    AUT = [1, -4]

    [texts]                                 # the statements; else in a file of their own
    1 = "…"
"""

import tomllib
from collections import Counter
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec

from valueagents.envs.survey.prompts import Variant
from valueagents.errors import ConfigError, DataError, unknown_name
from valueagents.files.header import taxonomy_of
from valueagents.files.text import decode_toml, read_text, reads_too, require_file
from valueagents.taxonomy import Taxonomy, load_taxonomy

Pole = Literal["affirm", "oppose"]
_MOST_POINTS = 26  # options are listed by letter


class QuestionnaireForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a questionnaire is put and scored.

    `scales` are its items by axis, a negative number being a reverse-keyed item; one item may stand
    in several. `points` are the lowest and the highest number of the answer scale, `labels` the
    words at its points, at both ends at least. `reversed`: its lowest number is the highest answer.
    """

    source: str
    taxonomy: str
    question: str
    points: tuple[int, int]
    labels: dict[str, str]
    scales: dict[str, tuple[int, ...]]
    task: str | None = None
    reversed: bool = False
    unscored: tuple[int, ...] = ()
    texts: dict[str, str] | None = None

    @property
    def keyed(self) -> dict[int, list[tuple[str, Pole]]]:
        """What each item number counts for: axes, and whether it speaks for or against each."""
        found: dict[int, list[tuple[str, Pole]]] = {}
        for axis, numbers in self.scales.items():
            for number in numbers:
                pole: Pole = "affirm" if number > 0 else "oppose"
                found.setdefault(abs(number), []).append((axis, pole))
        return found

    def variant(self, *, reverse: bool) -> Variant:
        """The one way in which it is put. `reverse` makes the lowest number the highest answer."""
        lowest, highest = self.points
        words = {int(point): label for point, label in self.labels.items()}
        if reverse != self.reversed:
            words = {lowest + highest - point: label for point, label in words.items()}
        told = "; ".join(f"{point} = {words[point]}" for point in sorted(words))
        numbers = [str(point) for point in range(lowest, highest + 1)]
        # a full stop where one answer would be the beginning of another: 1 and 10
        inside = any(a != b and b.startswith(a) for a in numbers for b in numbers)
        return Variant(
            number=1,
            before=f"{self.question}\nThe scale runs from {lowest} to {highest}: {told}.",
            statement="{statement}",
            answer="My answer: {rating}" + ("." if inside else ""),
            letter="p",
        )


@cache
def load_keys() -> dict[str, QuestionnaireForm]:
    """The bundled forms by name."""
    text = (
        files("valueagents.envs").joinpath("data", "survey_keys.toml").read_text(encoding="utf-8")
    )
    return msgspec.convert(tomllib.loads(text), dict[str, QuestionnaireForm])


def load_form(key: str) -> tuple[str, QuestionnaireForm, Taxonomy]:
    """The name, form and taxonomy of a bundled key, or of a `.toml` file of the user's.

    Raises ConfigError if there is none, DataError for a malformed file.
    """
    if not key.endswith(".toml"):
        keys = load_keys()
        if key not in keys:
            remedy = f"Known: {', '.join(keys)}; or give a form of yours, NAME.toml."
            raise ConfigError(unknown_name("key", key, keys, remedy=remedy))
        return key, keys[key], load_taxonomy(keys[key].taxonomy)
    path = Path(key)
    require_file(path, (".toml",), "not .toml: a questionnaire's form (envs/reference.md)")
    reads_too(path)
    try:
        form = msgspec.convert(decode_toml(path.name, read_text(path)), QuestionnaireForm)
    except msgspec.ValidationError as error:
        raise DataError(
            f"{path.name} is not a questionnaire's form: {error}; see envs/reference.md"
        ) from error
    taxonomy = taxonomy_of(path, form.taxonomy)
    problem = _problem(form, taxonomy)
    if problem is not None:
        raise DataError(f"{path.name}: {problem}")
    return path.stem, form, taxonomy


def _problem(form: QuestionnaireForm, taxonomy: Taxonomy) -> str | None:
    """What is wrong with a user's form, and what to do; None = nothing."""
    return _scale_problem(form) or _key_problem(form, taxonomy)


def _scale_problem(form: QuestionnaireForm) -> str | None:
    lowest, highest = form.points
    if not 2 <= highest - lowest + 1 <= _MOST_POINTS:
        return (
            f"points = [{lowest}, {highest}]; give the lowest and the highest number, 2 to"
            f" {_MOST_POINTS} points in all"
        )
    points = {str(point) for point in range(lowest, highest + 1)}
    for point, label in form.labels.items():
        if point not in points:
            return f"label {point!r:.40} is at no point of {lowest} to {highest}"
        if not label.strip():
            return f"the label of {point} is empty; fill it in or leave it out"
    for end in (str(lowest), str(highest)):
        if end not in form.labels:
            return f"labels lack {end}; say what both ends of the scale mean"
    if not form.question.strip() or not (form.task is None or form.task.strip()):
        return "question or task is empty; say what is asked of each statement"
    return None


def _key_problem(form: QuestionnaireForm, taxonomy: Taxonomy) -> str | None:
    for axis, numbers in form.scales.items():
        if axis not in taxonomy.axis_ids:
            return "scales: " + unknown_name(f"axis of {taxonomy.id}", axis, taxonomy.axis_ids)
        if not numbers:
            return f"scale {axis} has no item; give it one or leave it out"
        number, count = Counter(map(abs, numbers)).most_common(1)[0]
        if count > 1:
            return f"scale {axis} has item {number} twice; name it once"
        if 0 in numbers:
            return f"scale {axis} has an item 0; items count from 1, a minus is reverse-keyed"
    both = sorted(set(form.unscored) & set(form.keyed))
    if both:
        return f"item {both[0]} stands in a scale and in unscored; drop one of the two"
    return None if form.scales else "it has no scales; give at least one axis its items"
