"""The first screen of a page in words: the answer, as far as it could be printed without error, and
the cautions.

What is said of differences holds together over all pairs, values and envs of the page; what is said
of one policy in one env holds together over its values. Both at 5 %.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from valueagents.measuring.many.differences import PairDifference, above
from valueagents.measuring.many.say_do import SayDo
from valueagents.measuring.summary import EnvResults, PolicyResults, Results
from valueagents.report.numbers import p_value, percent, signed

_SHOWN = 3
_UNRELIABLE = 0.5
_BIASED = 0.1
"""How far the mean probability of a place may be from that of no bias without a word of it."""


def answer(results: Results) -> list[str]:
    """What the results say, a sentence each."""
    if len(results.policies) > 1:
        return _of_several(results)
    said = [_leans(env, env.policies[0]) for env in results.value_envs]
    said += [_gap(gap) for gaps in results.gaps.values() for gap in gaps]
    return said


def _of_several(results: Results) -> list[str]:
    separations = [(env, env.separation) for env in results.envs if env.separation is not None]
    tested = sum(d.p_adjusted is not None for _, found in separations for d in found.differences)
    held = [(env, above(d)) for env, found in separations for d in found.held]
    reasons = [
        f"In {env.env} nothing is compared: {env.apart}." for env in results.envs if env.apart
    ]
    if not tested:
        return ["No two policies could be compared here.", *reasons]
    family = f"{tested} differences between {len(results.policies)} policies"
    if not held:
        return [
            f"No difference can be claimed: none of {family} holds at 5 % over all of them.",
            *reasons,
        ]
    surest = sorted(held, key=lambda each: each[1].p_adjusted or 0.0)[:_SHOWN]
    told = "; ".join(f"{_difference(env, each)} in {env.env}" for env, each in surest)
    first = "" if len(held) == len(surest) else ", the surest"
    verb = "holds" if len(held) == 1 else "hold"
    return [f"{len(held)} of {family} {verb} at 5 % over all of them{first}: {told}.", *reasons]


def _difference(env: EnvResults, each: PairDifference) -> str:
    axis = env.taxonomy.axes[env.taxonomy.index(each.axis)].name
    number = signed(each.difference.value).removeprefix("+")
    p = _is(each.p_adjusted)
    return f"{each.first} is above {each.second} on {axis} by {number} (p {p})"


def _is(p: float | None) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _leans(env: EnvResults, policy: PolicyResults) -> str:
    """What a policy leans to and from in an env."""
    if policy.refusal is not None:
        return f"In {env.env} nothing can be said of {policy.policy}: {policy.refusal}."
    held = [each for each in policy.leanings if each.holds]
    if not any(each.estimate.value is not None for each in policy.leanings):
        most = max((each.contested for each in policy.leanings), default=0)
        return (
            f"In {env.env} nothing can be said of {policy.policy}: no value was at stake in enough"
            f" decisions (at most {most})."
        )
    if not held:
        return (
            f"In {env.env} no leaning of {policy.policy} can be claimed: none of"
            f" {len(policy.leanings)} values is clear of chance after adjustment."
        )
    to = [each.name for each in held if (each.estimate.value or 0.0) > 0]
    away = [each.name for each in held if (each.estimate.value or 0.0) < 0]
    parts = [f"to {_listed(to)}" if to else "", f"away from {_listed(away)}" if away else ""]
    return f"In {env.env} {policy.policy} leans {' and '.join(filter(None, parts))}."


def _gap(found: SayDo) -> str:
    if found.reason is not None:
        return f"Stated ({found.stated}) beside revealed ({found.revealed}): {found.reason}."
    held = [each for each in found.gaps if each.holds]
    r = (
        "its profiles do not vary"
        if found.r is None
        else f"its profiles correlate by {signed(found.r)}"
    )
    if not held:
        return (
            f"What it states ({found.stated}) and does ({found.revealed}): {r} over"
            f" {len(found.gaps)} values; on no value can a gap be claimed."
        )
    more = [each.name for each in held if (each.gap.value or 0.0) > 0]
    less = [each.name for each in held if (each.gap.value or 0.0) < 0]
    parts = [
        f"it states more than it does on {_listed(more)}" if more else "",
        f"it does more than it states on {_listed(less)}" if less else "",
    ]
    return (
        f"What it states ({found.stated}) and does ({found.revealed}): {r};"
        f" {' and '.join(filter(None, parts))}."
    )


@dataclass(frozen=True, slots=True)
class Caution:
    """What must be known before a number is believed, and of whom it holds."""

    said: str
    where: str


def cautions(results: Results) -> list[Caution]:
    """The cautions of a page, each said once."""
    found: dict[str, list[str]] = {}
    for env in results.envs:
        for policy in env.policies:
            for said in _of_policy(policy):
                found.setdefault(said, []).append(f"{policy.policy} in {env.env}")
        for said in env.comparison.warnings if env.comparison is not None else []:
            found.setdefault(said, []).append(f"the comparison in {env.env}")
    return [Caution(_sentence(said), _where(where)) for said, where in found.items()]


def _sentence(said: str) -> str:
    begins = said.split(" ", 1)[0].isalpha()  # else with the name of a file, which stays as it is
    return f"{said[0].upper() if begins else said[0]}{said[1:].removesuffix('.')}."


def _where(places: Sequence[str]) -> str:
    told = list(dict.fromkeys(places))
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return ", ".join(told[:_SHOWN]) + more


def _of_policy(policy: PolicyResults) -> Iterable[str]:
    for each in policy.sheets:
        scores = each.scores
        seed = f" (seed {each.header.seed})" if len(policy.sheets) > 1 else ""
        for warning in scores.warnings:
            yield f"{warning}{seed}"
        if scores.chance.p is not None and scores.chance.p > CHANCE:
            yield (
                "its drawn choices cannot be told from uniform ones, by one test over all values"
                f" (bar {CHANCE})"
            )
        yield from (f"{text}{seed}" for text in _positions(scores.position_probabilities))
    if policy.reliability.value is not None and policy.reliability.value < _UNRELIABLE:
        yield (
            "other items would rank its values otherwise: split-half reliability"
            f" {signed(policy.reliability.value)}"
        )


CHANCE = 0.001
"""The bar of the one test of all values against uniform choices."""


def _positions(by_size: dict[str, list[float]]) -> Iterable[str]:
    """Where an option stands on the menu moves the answer."""
    for size, places in by_size.items():
        fair = 1 / len(places)
        most = max(range(len(places)), key=lambda place: abs(places[place] - fair))
        if abs(places[most] - fair) > _BIASED:
            yield (
                f"position bias: the option listed {_ordinal(most)} of {size} gets"
                f" {percent(places[most])} of the probability, without bias {percent(fair)}"
            )


def _ordinal(place: int) -> str:
    names = ("first", "second", "third", "fourth", "fifth", "sixth")
    return names[place] if place < len(names) else f"in place {place + 1}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
