"""The first screen of a page in words: the answer, as far as it could be printed without error, and
the cautions.

What is said of differences holds together over all pairs, values and envs of the page; what is said
of one policy in one env holds together over its values. Both at 5 %.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from valueagents.measuring.many.differences import PairDifference, above
from valueagents.measuring.many.say_do import SayDo
from valueagents.measuring.summary import EnvResults, PolicyResults, Results
from valueagents.report.numbers import p_value, percent, signed

_SHOWN = 3
_UNRELIABLE = 0.5
_BIASED = 0.1
"""How far the mean probability of a place may be above that of no bias without a word of it."""
_UNDERSTANDS = 0.8
"""Share of right answers from which nothing is said of them."""


def answer(results: Results) -> list[str]:
    """What the results say, a sentence each."""
    return _of_several(results) if len(results.policies) > 1 else list(_of_one(results))


def _of_one(results: Results) -> Iterator[str]:
    own = [(env, env.policies[0]) for env in results.value_envs]
    if own and not any(each.holds for _, policy in own for each in policy.leanings):
        yield f"Nothing can be claimed of what {results.policies[0]} values."
    yield from (_leans(env, policy) for env, policy in own)
    gaps = [gap for found in results.gaps.values() for gap in found]
    yield from (_gap(gap) for gap in gaps if gap.reason is None)
    unknown = [gap for gap in gaps if gap.reason is not None]
    for reason in dict.fromkeys(gap.reason for gap in unknown):
        envs = _listed([gap.revealed for gap in unknown if gap.reason == reason])
        stated = next(gap.stated for gap in unknown if gap.reason == reason)
        yield f"What it states ({stated}) cannot be held against what it does in {envs}: {reason}."


def _of_several(results: Results) -> list[str]:
    separations = [(env, env.separation) for env in results.envs if env.separation is not None]
    tested = sum(d.p_adjusted is not None for _, found in separations for d in found.differences)
    held = [(env, above(d)) for env, found in separations for d in found.held]
    reasons = [
        f"In {env.env} nothing is compared: {env.apart}." for env in results.envs if env.apart
    ]
    if not tested:
        why = [] if reasons else ["No value was at stake in enough decisions of two policies."]
        return ["No two policies could be compared here.", *why, *reasons]
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
        needed = policy.sheets[0].header.min_contested
        return (
            f"In {env.env} nothing can be said of {policy.policy}: no value was at stake in the"
            f" {needed} decisions that a number needs (at most in {most})."
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
    """The cautions of a page, each said once; whether a policy understands questions first."""
    found: dict[str, list[str]] = {}
    several = len(results.policies) > 1
    for env in sorted(results.envs, key=lambda env: env.of_values):
        for policy in env.policies:
            where = f"{policy.policy} in {env.env}" if several else env.env
            for said in _of_policy(policy):
                found.setdefault(said, []).append(where)
        for said in env.comparison.warnings if env.comparison is not None else []:
            found.setdefault(said, []).append(f"the comparison in {env.env}")
        if len(adapted := _adapted(env)) > 1:
            found.setdefault(_ADAPTERS, []).extend(adapted)
    return [Caution(_sentence(said), _where(where)) for said, where in found.items()]


def _adapted(env: EnvResults) -> list[str]:
    """The policies that are adapters of a model."""
    return [
        each.policy
        for each in env.policies
        if each.sheets[0].header.policy_identity.get("adapter", "none") != "none"
    ]


_ADAPTERS = (
    "adapters are policies of their own here, also those of one training with several seeds: what"
    " differs is these adapters, not the trainings; `valueagents compare A1 A2 … B1 B2 …` takes the"
    " seeds of a training together"
)
"""Of runs, the content of an adapter is known, not how it was made; and items, over which a page's
intervals are taken, tell nothing of how much a training varies.
"""


def _sentence(said: str) -> str:
    begins = said.split(" ", 1)[0].isalpha()  # else with the name of a file, which stays as it is
    return f"{said[0].upper() if begins else said[0]}{said[1:].removesuffix('.')}."


def _where(places: Sequence[str]) -> str:
    told = list(dict.fromkeys(places))
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return ", ".join(told[:_SHOWN]) + more


def _of_policy(policy: PolicyResults) -> Iterator[str]:
    competence = policy.competence
    if competence is not None and competence.right < _UNDERSTANDS:
        told = (
            f"it gets {percent(competence.right)} of the questions that have a right answer right;"
            f" guessing would get {percent(competence.guessing)}"
        )
        yield told if competence.holds else f"{told}: it may choose without understanding"
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
        yield from (f"{text}{seed}" for text in position_biases(scores.position_probabilities))
    if policy.reliability.value is not None and policy.reliability.value < _UNRELIABLE:
        yield (
            "other items would rank its values otherwise: split-half reliability"
            f" {signed(policy.reliability.value)}"
        )


CHANCE = 0.001
"""The bar of the one test of all values against uniform choices."""


def position_biases(by_size: dict[str, list[float]]) -> Iterator[str]:
    """Where an option stands on the menu moves the answer."""
    biased: dict[int, list[tuple[str, float]]] = {}
    for size, places in by_size.items():
        most = max(range(len(places)), key=lambda place: places[place])
        if places[most] - 1 / len(places) > _BIASED:
            biased.setdefault(most, []).append((size, places[most]))
    for place, found in biased.items():
        told = _listed([f"{percent(p)} on menus of {size}" for size, p in found])
        fair = _listed([percent(1 / int(size)) for size, _ in found])
        yield (
            f"position bias: of the probability the option listed {_ordinal(place)} gets {told}"
            f" (without bias {fair})"
        )


def _ordinal(place: int) -> str:
    names = ("first", "second", "third", "fourth", "fifth", "sixth")
    return names[place] if place < len(names) else f"in place {place + 1}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
