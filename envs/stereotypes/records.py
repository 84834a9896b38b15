"""What every file of stereotype questions or sentence pairs comes to, and what makes a row unfit.

A question has three answers: the one that fits the stereotype, the one that does not, and that it
cannot be known. Whatever words a file has for the last are one role.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import msgspec

from valueagents.errors import DataError
from valueagents.files.left_out import LeftOut

AnswerRole = Literal["stereotyped", "other", "unknown"]
Polarity = Literal["negative", "non_negative"]
ROLES: tuple[AnswerRole, ...] = get_args(AnswerRole)

_LEFTOVER = re.compile(
    r"\{\{?\s*\w+\s*\}?\}"  # {{NAME1}}, {name}
    r"|\[\s*(?:N|W|NAME|WORD|GROUP|MASK)\s*\d*[a-z]?\s*\]"  # [N1], [W2], [MASK]
    r"|<\s*(?:N|W|NAME|WORD|GROUP|MASK)\s*\d*\s*>"
)


class RoleText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer and what giving it would be."""

    text: str
    role: AnswerRole


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A question with its answers, a line of our format.

    Args:
        id: the same in every language of a parallel set.
        template: what it was made of; questions of one template are not independent.
        ambiguous: the context does not tell, so "unknown" is right.
        answer: the role of the right answer.
        polarity: negative asks who fits the stereotype, non_negative who does not.
        control: a set in which names stand for groups, so nothing speaks of a stereotype.
    """

    id: str
    template: str
    bias_type: str
    ambiguous: bool
    context: str
    question: str
    options: tuple[RoleText, ...]
    answer: AnswerRole
    polarity: Polarity
    control: bool = False

    @property
    def right(self) -> str:
        """The text of the right answer."""
        return next(option.text for option in self.options if option.role == self.answer)

    @property
    def facts(self) -> dict[str, str]:
        """What is the same in all languages of a parallel set."""
        return {
            "bias type": self.bias_type,
            "context": "ambiguous" if self.ambiguous else "disambiguated",
            "polarity": self.polarity,
            "right answer": self.answer,
        }


class SentencePair(msgspec.Struct, frozen=True, kw_only=True):
    """Two sentences that differ in the group, or in what is said of it.

    `stereotyped` is the one that fits the stereotype more. `direction`: "stereo", a stereotype of a
    disadvantaged group is stated, or "antistereo", in `other` one is contradicted.
    """

    id: str
    bias_type: str
    direction: str
    stereotyped: str
    other: str

    @property
    def facts(self) -> dict[str, str]:
        """What is the same in all languages of a parallel set."""
        return {"bias type": self.bias_type, "direction": self.direction}


StereotypeRows = list[tuple[str, Probe]] | list[tuple[str, SentencePair]]
"""Questions or pairs, each with its place in a file."""


def check_probe(where: str, probe: Probe) -> None:
    """Raise DataError, beginning with `where`, for a question that cannot be asked or scored."""
    for name in ("id", "template", "bias_type", "context", "question"):
        if not getattr(probe, name).strip():
            raise DataError(f"{where}: {name} is empty")
    roles = Counter(option.role for option in probe.options)
    if roles != Counter(ROLES):
        told = ", ".join(f"{count} {role}" for role, count in sorted(roles.items())) or "none"
        raise DataError(
            f"{where}: three answers are wanted, one stereotyped, one other, one unknown; there"
            f" are {told}"
        )
    texts = [option.text.strip() for option in probe.options]
    if not all(texts) or len(set(texts)) < len(texts):
        raise DataError(f"{where}: an answer is empty, or two answers read the same")
    if probe.ambiguous != (probe.answer == "unknown"):
        kind = "ambiguous" if probe.ambiguous else "disambiguated"
        raise DataError(f"{where}: the context is {kind}, but the right answer is {probe.answer}")
    check_texts(where, (probe.context, probe.question, *texts))


def check_pair(where: str, pair: SentencePair) -> None:
    """Raise DataError, beginning with `where`, for a pair that compares nothing."""
    if pair.stereotyped.split() == pair.other.split():
        raise DataError(f"{where}: both sentences read {pair.other!r:.80}; they must differ")
    check_texts(where, (pair.stereotyped, pair.other))


def check_texts(where: str, texts: Sequence[str]) -> None:
    """Raise DataError for what a translation or a template left behind in a text."""
    for text in texts:
        if (left := _LEFTOVER.search(text)) is not None:
            raise DataError(f"{where}: {left[0]!r} of its template was not filled in")
        if text.count('"') % 2:
            raise DataError(f"{where}: a quotation mark without its other half")


def leave_out_swapped(
    probes: Sequence[tuple[str, Probe]], left_out: LeftOut
) -> list[tuple[str, Probe]]:
    """The probes without those whose label or polarity cannot be right, for what others say.

    Of the two questions of one disambiguated context the right answers differ: where they do not,
    one label is swapped, and it is not known which. A question has one polarity in a file: rows
    that give it the rarer one are swapped, all of them where both are as frequent.
    """
    answers: defaultdict[tuple[str, frozenset[str]], dict[Polarity, set[str]]] = defaultdict(dict)
    polarity: defaultdict[str, Counter[Polarity]] = defaultdict(Counter)
    for _, probe in probes:
        polarity[probe.question][probe.polarity] += 1
        if not probe.ambiguous:
            of_context = answers[_context(probe)]
            of_context.setdefault(probe.polarity, set()).add(probe.right)
    kept = []
    for where, probe in probes:
        counts = polarity[probe.question]
        own, whole = counts[probe.polarity], counts.total()
        given = [] if probe.ambiguous else list(answers[_context(probe)].values())
        if 2 * own <= whole:
            reason = (
                f"the same question is {probe.polarity} in {own} rows and the opposite in"
                f" {whole - own}: swapped labels"
            )
        elif len(given) > 1 and given[0] & given[1]:
            reason = "the negative and the other question have the same answer: swapped labels"
        else:
            kept.append((where, probe))
            continue
        left_out.take_back(where, reason)
    return kept


def _context(probe: Probe) -> tuple[str, frozenset[str]]:
    return probe.context, frozenset(option.text for option in probe.options)


def parallel(
    found: StereotypeRows, other: Mapping[str, Probe | SentencePair], name: str, left_out: LeftOut
) -> StereotypeRows:
    """Those that stand in another file under the same id, and say the same of themselves there."""
    kept = []
    for where, each in found:
        there = other.get(each.id)
        if there is None:
            left_out.take_back(where, f"not parallel: {name} has no such id")
            continue
        differs = [fact for fact, level in each.facts.items() if there.facts.get(fact) != level]
        if differs:
            left_out.take_back(where, f"not parallel: another {differs[0]} in {name}")
        else:
            kept.append((where, each))
    return kept  # type: ignore[return-value]


def distinct_ids(
    found: Iterable[tuple[str, Probe | SentencePair]], left_out: LeftOut | None
) -> list[tuple[str, Probe | SentencePair]]:
    """The first of every id; others are left out, or without `left_out` an error."""
    first: dict[str, tuple[str, Probe | SentencePair]] = {}
    kept = []
    for where, each in found:
        if each.id in first:
            place, same = first[each.id]
            reason = f"the id {each.id!r} is there already, in {place}"
            if left_out is None:
                raise DataError(f"{where}: {reason}")
            left_out.take_back(where, "it repeats an earlier row" if same == each else reason)
            continue
        first[each.id] = where, each
        kept.append((where, each))
    return kept
