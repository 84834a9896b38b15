"""The answer of `study adapters` in sentences. Nothing is said that the numbers do not carry.

A difference is claimed if it holds after adjustment over all pairs, values and envs, a contrast of
makers' targets likewise among the contrasts; that takes two adapters a target. However many
policies there are, an env gets a few sentences: how many differences hold and on which values, the
surest, who differs from the base, and what cannot be said.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from valueagents.experiments.studies.given_design import BASE, GivenStudy
from valueagents.experiments.studies.given_effects import (
    LEVEL,
    GivenEnv,
    GivenRun,
    MakersContrast,
    holds,
)
from valueagents.measuring.many.differences import PairDifference, above
from valueagents.report.numbers import interval, p_value, percent, signed

_NAMED = 4
"""Values and policies that a sentence names before it counts the others."""
_AXES, _LARGEST = 2, 2
LOW_MASS, UNREAD = 0.5, 0.02


def sentences(study: GivenStudy, envs: Sequence[GivenEnv]) -> list[str]:
    """A paragraph for each env, one on survey and behaviour, one on what is not said."""
    surveys = [_elsewhere(env, envs) for env in envs if env.role == "survey"]
    return [*(_of_env(env) for env in envs), *filter(None, surveys), _scope(study, envs)]


def _of_env(env: GivenEnv) -> str:
    parts = [_differences(env), _from_base(env), *map(_contrast, env.contrasts), *_limits(env)]
    return " ".join(part for part in parts if part)


def _differences(env: GivenEnv) -> str:
    start = f"In {env.env!r}"
    if not env.tested:
        why = _listed(dict.fromkeys(value.reason or "" for value in env.values), 1)
        return f"{start} nothing could be compared: {why}."
    held, tested = env.held, env.tested
    pairs = len({(each.first, each.second) for each in tested})
    values = len({each.axis for each in tested})
    among = f"{len(tested)} differences ({_count(pairs, 'pair')}, {_count(values, 'value')})"
    if not held:
        return (
            f"{start} none of {among} holds after adjustment; to hold, one had to be about"
            f" {_size(env)} in x, and smaller ones are not ruled out."
        )
    names = {value.axis: value.name for value in env.values}
    by_value = Counter(names[each.axis] for each in held).most_common()
    counted = _listed(f"{name} ({count})" for name, count in by_value)
    largest = sorted(held, key=lambda each: -abs(each.difference.value or 0.0))[:_LARGEST]
    told = "; ".join(_difference(each, names) for each in largest)
    which = "The largest" if len(held) > _LARGEST else "It is" if len(held) == 1 else "They are"
    return f"{start} {len(held)} of {among} hold after adjustment: on {counted}. {which}: {told}."


def _difference(each: PairDifference, names: dict[str, str]) -> str:
    each = above(each)
    number = f"{signed(each.difference.value)} {interval(each.difference)}".strip()
    p = _p(each.p_adjusted)
    return f"{each.first} above {each.second} on {names[each.axis]} by {number}, adjusted p {p}"


def _from_base(env: GivenEnv) -> str:
    """Who differs from the base, and that who is not told from it may differ."""
    if BASE not in env.policies or not env.held:
        return ""
    own = sorted((each for each in env.held if each.first == BASE), key=lambda each: each.second)
    moved = {}
    for name, group in groupby(own, key=lambda each: each.second):
        # `held` is base minus policy: less than 0 is a policy above its base
        ways = [
            f"{each.axis} {'up' if (each.difference.value or 0.0) < 0 else 'down'}"
            for each in group
        ]
        moved[name] = _listed(ways, _AXES)
    still = [name for name in env.policies if name not in moved and name != BASE]
    told = []
    if moved:
        told.append(f"From the base differ {_listed(f'{a} ({b})' for a, b in moved.items())}.")
    if still:
        told.append(
            f"Not told from the base: {_listed(still)}; to hold, a difference had to be about"
            f" {_size(env)} in x, so they may differ by less."
        )
    return " ".join(told)


def _contrast(found: MakersContrast) -> str:
    contrasts = found.contrasts
    number, targets = contrasts.these_values, _listed(contrasts.targets)
    start = f"What makers meant to move {contrasts.direction} ({targets or 'no value'})"
    left_out = _listed(f"{target}: {why}" for target, why in contrasts.left_out.items())
    without = f" Left out: {left_out}." if left_out else ""
    if len(contrasts.targets) < 2:
        return f"{start} has no contrast: it takes two targets with enough items.{without}"
    if number.estimate.value is None:
        return f"{start} has no contrast: {number.estimate.reason}.{without}"
    shown = f"{signed(number.estimate.value, 3)} {interval(number.estimate, 3)}".strip()
    start = f"{start} moved by {shown} (contrast of the targets in x, + as meant)"
    if number.p is None:
        return (
            f"{start}: these adapters only; with one for each target the interval is over items,"
            f" and no claim is made about such adapters.{without}"
        )
    if not holds(found):
        verdict = "not clear of 0"
    elif number.estimate.value > 0:
        verdict = "they moved as meant"
    else:
        verdict = "they moved against what was meant"
    return f"{start}, adjusted p {_p(found.p_adjusted)}: {verdict}.{without}"


def _limits(env: GivenEnv) -> list[str]:
    """What cannot be said in an env: values with too few items, policies whose answers are not
    theirs.
    """
    told = []
    silent = [value.name for value in env.values if value.reason is not None]
    if env.tested and silent:
        verb = "is" if len(silent) == 1 else "are"
        told.append(f"Nothing is said of {_listed(silent)}: too few items {verb} at stake.")
    if env.left_out:
        why = _listed(f"{name} ({reason})" for name, reason in env.left_out.items())
        told.append(f"Left out: {why}.")
    low = [each.policy for each in env.runs if _low(each) and each.policy not in env.left_out]
    if low:
        told.append(
            f"The offered answers had under {percent(LOW_MASS)} of the probability of"
            f" {_listed(low)}: what would have been said instead is not known."
        )
    lost = [
        f"{each.policy} {percent(_unread(each))}" for each in env.runs if _unread(each) > UNREAD
    ]
    if lost:
        told.append(f"Unread: {_listed(lost)} of the answers; these are not missing at random.")
    return [*told, *(f"No contrast of makers' targets {why}." for why in env.no_contrast)]


def _elsewhere(survey: GivenEnv, envs: Sequence[GivenEnv]) -> str:
    """What holds in a survey beside what holds elsewhere, without a claim that one follows."""
    others = [_beside(survey, env) for env in envs if env.role != "survey"]
    told = [each for each in others if each]
    if not told:
        return ""
    return (
        f"Of the differences that hold in {survey.env!r}, {'; '.join(told)}. What is not told may"
        " be there. Nothing was trained here: none of this says that one follows the other."
    )


def _beside(survey: GivenEnv, other: GivenEnv) -> str:
    """How many of the survey's differences hold in another env, in which direction."""
    there = {(each.first, each.second, each.axis): each for each in other.tested}
    same, against, still = 0, [], 0
    for each in survey.held:
        found = there.get((each.first, each.second, each.axis))
        if found is None:
            continue
        if not holds(found):
            still += 1
        elif (found.difference.value or 0.0) * (each.difference.value or 0.0) > 0:
            same += 1
        else:
            against.append(f"{each.axis} of {each.first} and {each.second}")
    tested = same + len(against) + still
    if not tested:
        return ""
    told = f"{same} of {tested} tested hold in {other.env!r} in the same direction"
    if against:
        told += f", {len(against)} in the opposite one ({_listed(against)})"
    return f"{told} and {still} are not told there" if still else told


def _scope(study: GivenStudy, envs: Sequence[GivenEnv]) -> str:
    """What all of it is about."""
    several = any(found.contrasts.seeds > 1 for env in envs for found in env.contrasts)
    training = (
        "" if several else " These policies only: nothing is said of training others like them."
    )
    policies = _count(len(study.policies), "policy", "policies")
    return (
        f"All this is of these {policies} and their base as they were asked, on items like these;"
        f" the chance of any false claim in it is at most {percent(LEVEL)}.{training}"
    )


def _unread(run: GivenRun) -> float:
    return run.counts.unread / max(1, run.counts.decisions)


def _low(run: GivenRun) -> bool:
    return run.mass is not None and run.mass.mean < LOW_MASS


def _size(env: GivenEnv) -> str:
    return "–" if env.detectable is None else f"{env.detectable:.2g}"


def _p(p: float | None) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _count(number: int, one: str, several: str | None = None) -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"


def _listed(items: Iterable[str], most: int = _NAMED) -> str:
    """The first few, and how many others there are."""
    names = list(items)
    if len(names) <= most + 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} others"
