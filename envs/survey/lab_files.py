"""The files of the Survey-to-Behavior study (arXiv 2508.11414), which users bring: its survey and
its AITA posts.

Their known defects are counted and named in the bank's notes, never repaired in silence.
"""

import tomllib
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path

import msgspec

from valueagents.envs.survey.bank import TASK, Pole, Split, Statement, SurveyBank, checked
from valueagents.envs.survey.prompts import prompts_of_a_file
from valueagents.errors import DataError, unknown_name
from valueagents.files.text import decode_json, read_text
from valueagents.taxonomy import Taxonomy, load_taxonomy

_SPLITS: tuple[Split, ...] = ("train", "eval", "test")


class _Survey(msgspec.Struct, frozen=True):
    tasks: tuple[str, ...]
    response_template: tuple[str, ...]
    train: tuple[msgspec.Raw, ...]
    eval: tuple[msgspec.Raw, ...]
    test: tuple[msgspec.Raw, ...]


class _Item(msgspec.Struct, frozen=True):
    sentence: str
    negative_sentence: str
    category: str
    level1: tuple[str, ...] = ()


def read_lab_survey(path: Path) -> SurveyBank:
    """The study's survey with its own tasks and answer templates; item `train-0` is the first of
    train.

    Kept and noted: sentences that begin without a capital (some lost their first letter). Left out
    and noted: a sentence that is in an earlier split already (train, eval, test). Raises DataError
    for anything malformed and for a category code that is not known.
    """
    survey = decode_json(path.name, read_text(path), _Survey)
    taxonomy = load_taxonomy("schwartz20")
    found: list[tuple[str, Statement]] = []
    for split in _SPLITS:
        for index, raw in enumerate(getattr(survey, split)):
            where = f"{path.name}, {split}[{index}]"
            item = decode_json(where, raw, _Item)
            value = axis_of_code(where, item.category, taxonomy)
            wordings: tuple[tuple[Pole, str], ...] = (
                ("affirm", item.sentence),
                ("oppose", item.negative_sentence),
            )
            for pole, text in wordings:
                level1 = "; ".join(item.level1)
                found.append(
                    (where, Statement(f"{split}-{index}", pole, value, split, text, level1=level1))
                )
    kept, notes = _without_leaks(checked(path, found))
    notes = [*_uncapitalised(kept), *notes]
    return SurveyBank(
        taxonomy=taxonomy,
        task=TASK,
        provenance="the study's own categories (arXiv 2508.11414)",
        prompts=prompts_of_a_file(path.name, survey.tasks, survey.response_template),
        statements=kept,
        notes=tuple(f"{path.name}: {note}" for note in notes),
    )


@cache
def _codes() -> dict[str, str]:
    text = files("valueagents.envs").joinpath("data", "lab_codes.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text)["codes"], dict[str, str])


def axis_of_code(where: str, code: str, taxonomy: Taxonomy) -> str:
    """The axis of a category code or of a value's name, e.g. `TR`, `Security_personal`.

    Raises DataError, beginning with `where`, if it is neither.
    """
    codes = {**{axis: axis for axis in taxonomy.axis_ids}, **_codes()}
    if code in codes:
        return codes[code]
    names = {_plain(axis.name): axis.id for axis in taxonomy.axes}
    if _plain(code) in names:
        return names[_plain(code)]
    remedy = f"Known: the ids and names of {taxonomy.id}, and {', '.join(sorted(_codes()))}."
    raise DataError(
        f"{where}: "
        + unknown_name("value or category code", code[:80], [*codes, *names], remedy=remedy)
    )


def _plain(name: str) -> str:
    return "_".join("".join(c if c.isalnum() else " " for c in name.casefold()).split())


def _uncapitalised(statements: Iterable[Statement]) -> list[str]:
    odd = [s.id for s in statements if s.text[0].isspace() or s.text[0].islower()]
    if not odd:
        return []
    found = f"{len(odd)} sentences begin without a capital, as if their first letter were lost"
    return [f"{found}; kept as they are: {listed(odd)}"]


def _without_leaks(statements: tuple[Statement, ...]) -> tuple[tuple[Statement, ...], list[str]]:
    """The statements less those whose text is in an earlier split, and a note on each kind of
    repetition.
    """
    first: dict[str, Statement] = {}
    kept: list[Statement] = []
    leaks: dict[tuple[Split, Split], list[str]] = {}
    repeated: list[str] = []
    for statement in statements:
        earlier = first.setdefault(statement.text, statement)
        if earlier.split != statement.split:
            leaks.setdefault((earlier.split, statement.split), []).append(statement.id)
            continue
        if earlier is not statement:
            repeated.append(statement.id)
        kept.append(statement)
    notes = [
        f"{len(ids)} sentences of {late} are in {early} too; left out of {late}: {listed(ids)}"
        for (early, late), ids in leaks.items()
    ]
    if repeated:
        notes.append(
            f"{len(repeated)} sentences stand twice in one split; kept: {listed(repeated)}"
        )
    return tuple(kept), notes


def listed(names: Iterable[str]) -> str:
    """All the names, a repeated one once with its count, in order."""
    counts = Counter(names)
    return ", ".join(name if count == 1 else f"{name} ({count})" for name, count in counts.items())
