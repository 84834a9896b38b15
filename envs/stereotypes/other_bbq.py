"""BBQ in formats of their own: GG-BBQ, German and about gender (Satheesh et al. 2025), and KoBBQ,
Korean (Jin et al. 2024).
"""

from ast import literal_eval
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from valueagents.envs.stereotypes.bbq import role_of_label, stereotyped_answer, with_roles
from valueagents.envs.stereotypes.records import AnswerRole, Polarity, Probe, RoleText
from valueagents.errors import DataError
from valueagents.files.left_out import LeftOut
from valueagents.files.tables import csv_rows
from valueagents.files.text import converted, decode_json
from valueagents.identity import content_hash

GG_KEYS = frozenset({"choice_info", "context_type", "question_type"})
KO_COLUMNS = ("sample_id", "context", "question", "choices", "biased_answer", "answer")

_GG_SWAPPED: frozenset[tuple[str, Polarity]] = frozenset(
    {
        ("Wer geht mit Kindern vertrauenswürdig um?", "negative"),
        ("Wer geht nicht mit Kindern vertrauenswürdig um?", "non_negative"),
    }
)
"""Questions of subset I whose polarity belongs to the other of the two, and with it their labels;
nothing in the file itself shows it.
"""
_GG_LABELS = {"non_binary": "trans"}
"""What its rows call a group, and what the list of stereotyped groups does."""

_KO_UNKNOWN = frozenset({"알 수 없음", "알수없음", "모름", "대답할 수 없음"})


class _GGRow(msgspec.Struct, frozen=True, kw_only=True):
    context: str
    question: str
    label: int
    choice_0: str
    choice_1: str
    choice_2: str
    question_type: Polarity
    context_type: Literal["ambiguous_context", "disambiguous_context"]
    known_stereotyped_groups: str
    choice_info: str


def gg_probe(where: str, value: object, left_out: LeftOut) -> Probe:
    """A row of GG-BBQ; its template is found later (`by_shared_texts`).

    Raises DataError, beginning with `where`, for one that cannot be used.
    """
    row = converted(where, value, _GGRow)
    polarity = row.question_type
    if (row.question.strip(), polarity) in _GG_SWAPPED:
        raise DataError(f"{where}: its polarity is that of the opposite question: swapped labels")
    infos = _choice_info(where, row.choice_info)
    groups = decode_json(where, row.known_stereotyped_groups, tuple[str, ...])
    unknown = [k for k, info in infos.items() if info[-1] == "unknown"]
    if len(unknown) != 1:
        raise DataError(f"{where}: {len(unknown)} answers are marked unknown; one is wanted")
    about = {
        k: (_GG_LABELS.get(info[-1], info[-1]),) for k, info in infos.items() if k not in unknown
    }
    target = stereotyped_answer(where, about, groups)
    texts = [
        left_out.text(where, f"choice_{k}", text)
        for k, text in enumerate((row.choice_0, row.choice_1, row.choice_2))
    ]
    context = left_out.text(where, "context", row.context)
    question = left_out.text(where, "question", row.question).strip()
    options = with_roles(where, texts, unknown[0], target, polarity)
    options = tuple(sorted(options, key=lambda option: option.text))  # the same in any order
    return Probe(
        id=f"gg-{content_hash(context, question, [option.text for option in options])[:12]}",
        template="?",
        bias_type="Gender_identity",
        ambiguous=row.context_type == "ambiguous_context",
        context=context,
        question=question,
        options=options,
        answer=role_of_label(where, row.label, unknown[0], target, polarity),
        polarity=polarity,
    )


def _choice_info(where: str, cell: str) -> dict[int, tuple[str, ...]]:
    """The three lists of a cell that holds a Python dictionary as text."""
    try:
        found = literal_eval(cell.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        found = None
    try:
        infos = msgspec.convert(found, dict[int, tuple[str, ...]])
    except msgspec.ValidationError:
        infos = {}
    if sorted(infos) != [0, 1, 2] or not all(infos.values()):
        raise DataError(f"{where}: choice_info {cell!r:.60} does not name the groups of 3 answers")
    return infos


def by_shared_texts(probes: Sequence[tuple[str, Probe]]) -> list[tuple[str, Probe]]:
    """The probes with templates: those that share a context or a question, and so on, are one.

    A file without template ids has its questions in pairs on one context, and each question on many
    contexts; what hangs together by either came from one template.
    """
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for _, probe in probes:
        one, other = sorted((root(("question", probe.question)), root(("context", probe.context))))
        parent[other] = one
    questions: dict[tuple[str, str], str] = {}
    for _, probe in sorted(probes, key=lambda each: each[1].question):
        questions.setdefault(root(("question", probe.question)), probe.question)
    return [
        (
            where,
            msgspec.structs.replace(
                probe, template=_named(questions[root(("question", probe.question))])
            ),
        )
        for where, probe in probes
    ]


def _named(question: str) -> str:
    return f"gg-{content_hash(question)[:8]}"


def kobbq_rows(path: Path, left_out: LeftOut) -> Iterator[tuple[str, Probe]]:
    """The rows of KoBBQ's `KoBBQ_test_samples.tsv` or `KoBBQ_all_samples.tsv`.

    Its ids tell template, context and question: `age-001a-002-amb-bsd`.
    """
    remedy = "KoBBQ's samples have them."
    rows = csv_rows(path, KO_COLUMNS, remedy=remedy, left_out=left_out, delimiter="\t")
    for where, row in rows:
        with left_out.reading(where):
            yield where, _kobbq_probe(where, row, left_out)


def _kobbq_probe(where: str, row: dict[str, str], left_out: LeftOut) -> Probe:
    name = left_out.text(where, "sample_id", row["sample_id"]).strip()
    parts = name.split("-")
    if len(parts) < 5 or parts[-2] not in {"amb", "dis"} or parts[-1] not in {"bsd", "cnt"}:
        raise DataError(f"{where}: sample_id {name!r:.60} is not like age-001a-002-amb-bsd")
    choices = _choices(where, row["choices"])
    unknown = [text for text in choices if text.strip() in _KO_UNKNOWN]
    if len(unknown) != 1:
        raise DataError(f"{where}: {len(unknown)} choices say that it is unknown; one is wanted")
    roles: dict[str, AnswerRole] = {
        text: "unknown"
        if text == unknown[0]
        else "stereotyped"
        if text == row["biased_answer"]
        else "other"
        for text in choices
    }
    if row["answer"] not in roles:
        raise DataError(f"{where}: the answer {row['answer']!r:.60} is not among the choices")
    return Probe(
        id=name,
        template="-".join(parts[:2]).rstrip("abcdefghijklmnopqrstuvwxyz"),
        bias_type=parts[0],
        ambiguous=parts[-2] == "amb",
        context=left_out.text(where, "context", row["context"]),
        question=left_out.text(where, "question", row["question"]),
        options=tuple(RoleText(text.strip(), role) for text, role in roles.items()),
        answer=roles[row["answer"]],
        polarity="negative" if parts[-1] == "bsd" else "non_negative",
    )


def _choices(where: str, cell: str) -> list[str]:
    try:
        found = literal_eval(cell.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise DataError(f"{where}: choices {cell!r:.60} is not a list like ['A', 'B', 'C']")
    return found
