"""BBQ (Parrish et al. 2022) and the sets in its format: MBBQ with its control set (Neplenbroek et
al. 2024), EsBBQ and CaBBQ (Ruiz-Fernández et al. 2025).

A row names three answers, the group that each is about (`answer_info`), and the stereotyped groups.
A negative question asks who fits the stereotype: its stereotyped answer is the one about a
stereotyped group. A non-negative one asks who does not: there it is the other.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from valueagents.envs.stereotypes.records import AnswerRole, Polarity, Probe, RoleText
from valueagents.errors import DataError
from valueagents.files.left_out import LeftOut
from valueagents.files.tables import csv_rows
from valueagents.files.text import converted

KEYS = frozenset({"context_condition", "question_polarity", "label"})
Targets = Mapping[tuple[str, int], int]
"""By category and example, which answer is about the stereotyped group."""

_SAME = {
    "f": {"woman", "women", "girl", "female", "mujer", "niña", "vrouw", "meisje", "kadın", "kız"},
    "m": {"man", "men", "boy", "male", "hombre", "niño", "jongen", "erkek"},
}
_POLARITY: dict[str, Polarity] = {"neg": "negative", "nonneg": "non_negative"}


class _Metadata(msgspec.Struct, frozen=True):
    stereotyped_groups: tuple[str, ...] = ()
    subcategory: str | None = None


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    example_id: int | None = None
    instance_id: int | str | None = None
    question_index: int | str | None = None
    template_id: int | str | None = None
    template_label: int | str | None = None
    question_polarity: Literal["neg", "nonneg"]
    context_condition: Literal["ambig", "disambig"]
    category: str
    answer_info: dict[str, tuple[str, ...] | str]
    additional_metadata: _Metadata = _Metadata()
    stereotyped_groups: tuple[str, ...] = ()
    context: str
    question: str
    ans0: str
    ans1: str
    ans2: str
    label: int


def bbq_probe(
    where: str, value: object, left_out: LeftOut, *, control: bool, targets: Targets | None = None
) -> Probe:
    """A row as a question. Raises DataError, beginning with `where`, for one that is unfit."""
    row = converted(where, value, _Row)
    texts = [
        left_out.text(where, f"ans{k}", text)
        for k, text in enumerate((row.ans0, row.ans1, row.ans2))
    ]
    infos = [_labels(row.answer_info.get(f"ans{k}", ())) for k in range(3)]
    unknown = [k for k, info in enumerate(infos) if info and _plain(info[-1]) == "unknown"]
    if len(unknown) != 1:
        raise DataError(f"{where}: {len(unknown)} answers are marked unknown; one is wanted")
    groups = [k for k in range(3) if k not in unknown]
    example = row.example_id if row.example_id is not None else row.instance_id
    if (
        targets is not None
        and (found := targets.get((row.category, int(example or 0)))) is not None
    ):
        target = found
    else:
        named = row.additional_metadata.stereotyped_groups or row.stereotyped_groups
        target = stereotyped_answer(where, {k: infos[k] for k in groups}, named)
    polarity = _POLARITY[row.question_polarity]
    template = next(
        (
            each
            for each in (row.question_index, row.template_id, row.template_label)
            if each is not None
        ),
        None,
    )
    if example is None or template is None:
        raise DataError(f"{where}: it has no example_id, or no question_index (template)")
    category = row.category.strip()
    return Probe(
        id=f"{category}-{example}",
        template=f"{category}-{template}",
        bias_type=category,
        ambiguous=row.context_condition == "ambig",
        context=left_out.text(where, "context", row.context),
        question=left_out.text(where, "question", row.question),
        options=with_roles(where, texts, unknown[0], target, polarity),
        answer=role_of_label(where, row.label, unknown[0], target, polarity),
        polarity=polarity,
        control=control,
    )


def read_targets(path: Path) -> Targets:
    """BBQ's `additional_metadata.csv`: for the sets of two attributes at once, whose rows do not
    themselves settle the group.
    """
    columns = ("category", "example_id", "target_loc")
    found = {}
    for where, row in csv_rows(path, columns, remedy="BBQ's additional_metadata.csv has them."):
        if row["target_loc"].strip() not in {"0", "1", "2"}:
            continue  # a row without a place is one for which BBQ's authors found none
        if not row["example_id"].strip().isdigit():
            raise DataError(f"{where}: example_id {row['example_id']!r:.40} is not a number")
        found[row["category"].strip(), int(row["example_id"])] = int(row["target_loc"])
    return found


def stereotyped_answer(
    where: str, infos: Mapping[int, Sequence[str]], named: Collection[str]
) -> int:
    """The answer that is about one of the named groups.

    A label is compared whole at first, then by its parts ("M-Black"). Raises DataError unless it is
    exactly one.
    """
    groups = {_plain(group) for group in named}
    for also in (_whole, _parts):
        about = [k for k, labels in infos.items() if also(labels) & groups]
        if about:
            break
    if len(about) != 1:
        how_many = "both answers are" if about else "no answer is"
        told = ", ".join(sorted(named)) or "none named"
        raise DataError(f"{where}: {how_many} about a stereotyped group ({told})")
    return about[0]


def with_roles(
    where: str, texts: Sequence[str], unknown: int, target: int, polarity: Polarity
) -> tuple[RoleText, ...]:
    """The answers with their roles; `target` is about the stereotyped group."""
    if target == unknown or not 0 <= target < len(texts):
        raise DataError(f"{where}: the stereotyped answer is the one that is unknown")
    return tuple(
        RoleText(text.strip(), _role(k, unknown, target, polarity)) for k, text in enumerate(texts)
    )


def role_of_label(
    where: str, label: int, unknown: int, target: int, polarity: Polarity
) -> AnswerRole:
    """The role of the right answer. Raises DataError for a label that names none."""
    if not 0 <= label <= 2:
        raise DataError(f"{where}: label {label} names no answer; it is 0, 1 or 2")
    return _role(label, unknown, target, polarity)


def _role(place: int, unknown: int, target: int, polarity: Polarity) -> AnswerRole:
    if place == unknown:
        return "unknown"
    return "stereotyped" if (place == target) == (polarity == "negative") else "other"


def _labels(info: tuple[str, ...] | str) -> tuple[str, ...]:
    return (info,) if isinstance(info, str) else info


def _whole(labels: Sequence[str]) -> set[str]:
    plain = {_plain(label) for label in labels}
    return plain | {sex for sex, words in _SAME.items() if plain & words}


def _parts(labels: Sequence[str]) -> set[str]:
    return {_plain(part) for label in labels for part in re.split(r"[-,/]", label)}


def _plain(label: str) -> str:
    return re.sub(r"[\W_]+", "", label.casefold())
