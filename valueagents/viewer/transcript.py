"""A decision as a page shows it: what was on offer and what it means, what was chosen and how
probable it was.
"""

from collections.abc import Sequence

import msgspec

from valueagents.contracts.decision import Choice, Decision, Episode
from valueagents.running.header import RunHeader

_READINGS = {
    "drawn": "drawn from its probabilities",
    "argmax": "the most probable",
    "parsed": "read from its reply",
    "repaired": "read from a reply that was not as asked",
    "refused": "the policy refused",
    "abstained": "it took none of these",
    "failed": "its reply could not be read",
}


class ShownMark(msgspec.Struct, frozen=True):
    """What an option does to a value; x is None where the annotators left it out."""

    axis: str
    name: str
    x: float | None


class ShownOption(msgspec.Struct, frozen=True):
    """An option of a menu; p is None where the policy gave no probability."""

    id: str
    text: str
    p: float | None
    chosen: bool
    marks: list[ShownMark]


class ShownDecision(msgspec.Struct, frozen=True):
    """A decision; `what` says in words how its answer was read, `facts` is the rest of what is
    known, name and text.
    """

    step: int
    text: str
    options: list[ShownOption]
    annotated: bool
    choice: Choice
    invalid: str | None
    what: str
    facts: list[tuple[str, str]]

    @property
    def chosen(self) -> str | None:
        """The id of the option chosen."""
        return next((option.id for option in self.options if option.chosen), None)


def shown_decisions(header: RunHeader, episode: Episode) -> list[ShownDecision]:
    """The decisions of an episode, in order."""
    return [_shown(header, step, each) for step, each in enumerate(episode.decisions)]


def _shown(header: RunHeader, step: int, decision: Decision) -> ShownDecision:
    probabilities: Sequence[float | None] = decision.choice.probabilities or ()
    annotated = decision.annotation is not None
    values = decision.annotation.values if decision.annotation is not None else ()
    names = {axis.id: axis.name for axis in header.taxonomy.axes}
    options = []
    for k, option in enumerate(decision.menu):
        marks = [
            ShownMark(axis, names.get(axis, axis), x)
            for axis, x in (values[k] if k < len(values) else {}).items()
            if x != 0
        ]
        p = probabilities[k] if k < len(probabilities) else None
        options.append(ShownOption(option.id, option.text, p, k == decision.chosen, marks))
    return ShownDecision(
        step=step,
        text=decision.observation,
        options=options,
        annotated=annotated,
        choice=decision.choice,
        invalid=decision.invalid,
        what=_READINGS[decision.choice.reading],
        facts=_facts(decision),
    )


def _facts(decision: Decision) -> list[tuple[str, str]]:
    """What else the record tells, if it is not what it nearly always is."""
    choice = decision.choice
    said = [
        ("said", choice.text),
        ("prompt", choice.prompt),
        ("read by", choice.parsed_by),
        ("reply ended by", choice.finish_reason),
        ("probability of all options together", _number(choice.mass)),
        ("may be off by", _number(choice.unseen)),
        ("shares of replies", None if choice.samples is None else str(choice.samples)),
        ("probability of none of these", _number(choice.neither)),
        ("by place on the list", _row(choice.position_probabilities)),
        *((f"by {name}", _row(row)) for name, row in choice.beside.items()),
        ("tokens", _tokens(choice)),
        ("turns left out", _count(choice.dropped_turns)),
        ("attempts", _count(choice.attempts - 1) and str(choice.attempts)),
        ("replayed", "from a cache of earlier replies" if choice.replayed else None),
        ("seconds", f"{choice.latency_s:.3g}" if choice.latency_s >= _SHORTEST_S else None),
        ("reward", f"{decision.reward:g}" if decision.reward else None),
        ("lost workers", _count(decision.lost_workers)),
        *((f"factor {name}", level) for name, level in decision.factors.items()),
        *(("caused", f"{e.axis} {e.amount:+g} ({e.source})") for e in decision.events),
        *(
            (f"covariate {name}", ", ".join("?" if z is None else f"{z:g}" for z in row))
            for name, row in (decision.annotation.covariates if decision.annotation else {}).items()
        ),
        ("annotated by", decision.annotation.provenance if decision.annotation else None),
    ]
    return [(name, text) for name, text in said if text]


_SHORTEST_S = 0.001


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"


def _row(values: Sequence[float] | None) -> str | None:
    return None if values is None else ", ".join(f"{value:.3f}" for value in values)


def _count(number: int) -> str | None:
    return str(number) if number else None


def _tokens(choice: Choice) -> str | None:
    if not choice.prompt_tokens and not choice.output_tokens:
        return None
    asked = f"{choice.prompt_tokens} asked about, {choice.cached_tokens} of them not computed again"
    return f"{asked}; {choice.output_tokens} generated"
