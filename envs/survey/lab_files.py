"""The survey of the Survey-to-Behavior study (arXiv 2508.11414), which users bring.

Its known defects are counted and named in the bank's notes, never repaired in silence.
"""

import tomllib
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from valueagents.envs.survey.bank import TASK, Split, Statement, SurveyBank
from valueagents.envs.survey.prompts import prompts_of_a_file
from valueagents.errors import DataError, unknown_name
from valueagents.files.left_out import LeftOut
from valueagents.files.text import converted, published_json
from valueagents.taxonomy import Taxonomy, load_taxonomy

_SPLITS: tuple[Split, ...] = ("train", "eval", "test")


class _Survey(msgspec.Struct, frozen=True):
    tasks: tuple[str, ...]
    response_template: tuple[str, ...]
    train: tuple[Any, ...]
    eval: tuple[Any, ...]
    test: tuple[Any, ...]


class _Item(msgspec.Struct, frozen=True):
    sentence: str
    negative_sentence: str
    category: str
    level1: tuple[str, ...] = ()


def read_lab_survey(path: Path) -> SurveyBank:
    """The study's survey with its own tasks and answer templates; item `train-0` is the first of
    train.

    Kept and noted: sentences that begin without a capital (some lost their first letter). Left out
    and noted: malformed items, those with an unknown category or two equal sentences, and a
    sentence that is in an earlier split already (train, eval, test). Raises DataError if tasks,
    templates or a split are missing, or if no item is good.
    """
    raw = published_json(path)
    survey = converted(path.name, raw, _Survey)
    taxonomy = load_taxonomy("schwartz20")
    left_out = LeftOut(path.name, "items")
    found: list[Statement] = []
    for split in _SPLITS:
        for index, entry in enumerate(getattr(survey, split)):
            where = f"{path.name}, {split}[{index}]"
            with left_out.reading(where):
                found += _statements(where, entry, split, index, left_out, taxonomy)
    left_out.require_some(found)
    kept, leaks = _without_leaks(found)
    notes = [*_uncapitalised(kept), *leaks, *_other_parts(raw)]
    return SurveyBank(
        taxonomy=taxonomy,
        task=TASK,
        provenance="the study's own categories (arXiv 2508.11414)",
        prompts=prompts_of_a_file(path.name, survey.tasks, survey.response_template),
        statements=kept,
        notes=(*left_out.notes, *(f"{path.name}: {note}" for note in notes)),
    )


def _statements(
    where: str, entry: object, split: Split, index: int, left_out: LeftOut, taxonomy: Taxonomy
) -> tuple[Statement, Statement]:
    """Both wordings of an item."""
    item = converted(where, entry, _Item)
    value = axis_of_code(where, item.category, taxonomy)
    affirms = left_out.text(where, "sentence", item.sentence)
    opposes = left_out.text(where, "negative_sentence", item.negative_sentence)
    if affirms.strip() == opposes.strip():
        raise DataError(f"{where}: both sentences read {affirms[:80]!r}; they must differ")
    pair, level1 = f"{split}-{index}", "; ".join(item.level1)
    return (
        Statement(pair, "affirm", value, split, affirms, level1=level1),
        Statement(pair, "oppose", value, split, opposes, level1=level1),
    )


def _other_parts(raw: dict[str, object]) -> list[str]:
    """A note on lists that are not part of the survey: another split, say."""
    known = msgspec.structs.fields(_Survey)
    others = [name for name in raw if name not in {field.name for field in known}]
    lists = {name[:80]: len(part) for name in others if isinstance(part := raw[name], list)}
    return [f"{name!r} is not a split; its {n} entries are left out" for name, n in lists.items()]


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


def _without_leaks(statements: Iterable[Statement]) -> tuple[tuple[Statement, ...], list[str]]:
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
