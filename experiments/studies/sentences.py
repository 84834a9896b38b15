"""The answer of a study in sentences. Nothing is said that the numbers do not carry.

First what adapters trained on choices moved (the positive control, where there is one), then those
trained on the survey, in the same unit: the contrast of the targets, in x from −1 to 1. A claim
needs two seeds and an interval that leaves out 0.
"""

from collections.abc import Sequence

from valueagents.experiments.studies.effects import EnvEffect
from valueagents.measuring.inference import Estimate
from valueagents.measuring.studies.crossed import Tested
from valueagents.report.numbers import interval, p_value, percent, signed

RATING_STEPS = 2.5
"""Rating points to a unit of x: x = (rating - 3.5)/2.5."""
ALPHA = 0.05
_BOTH_WORDINGS = "Both wordings were trained, so the acquiescence beside it is no check."


def answer(
    effects: Sequence[EnvEffect],
    *,
    survey: str,
    behaviour: str,
    ratios: dict[str, Estimate],
    both_wordings: bool = False,
) -> str:
    """Did behaviour follow the survey? One text for each direction trained; `survey` and
    `behaviour` name the envs that were named before looking, `ratios` go by direction.
    `both_wordings`: the training saw both, so acquiescence checks nothing.
    """
    said = []
    directions = list(dict.fromkeys(each.direction for each in effects))
    for direction in directions:
        of = {(each.env, each.trained): each for each in effects if each.direction == direction}
        words = [
            _positive(of.get((behaviour, "choices"))),
            _survey(of.get((survey, "survey"))),
            _BOTH_WORDINGS if both_wordings else "",
            _behaviour(  # a study that measures the survey alone has none
                None if behaviour == survey else of.get((behaviour, "survey")),
                ratios.get(direction),
            ),
        ]
        told = " ".join(each for each in words if each)
        said.append(f"{direction.capitalize()}: {told}" if len(directions) > 1 else told)
    return " ".join(said)


def clear(tested: Tested) -> bool:
    """Two seeds or more, and an interval that leaves out 0."""
    return tested.p is not None and tested.p <= ALPHA


def _positive(effect: EnvEffect | None) -> str:
    """What adapters that were shown the behaviour itself moved; "" where there are none."""
    if effect is None or effect.contrasts is None:
        return ""
    found = effect.contrasts.these_values
    start = f"Trained on choices, the targets moved by {_number(found)} in {effect.env!r}"
    if found.estimate.value is None:
        return f"{start}: {found.estimate.reason}."
    if found.p is None:
        return f"{start} (one seed: these adapters only)."
    if clear(found) and found.estimate.value > 0:
        return f"{start}: this measurement sees such a change."
    return (
        f"{start}: not clear of 0, so the measurement or the training is at fault, and what follows"
        " says nothing of behaviour."
    )


def _survey(effect: EnvEffect | None) -> str:
    if effect is None or effect.contrasts is None:
        return ""
    contrasts = effect.contrasts
    drop, habit = contrasts.mean_shift, contrasts.acquiescence
    targets = ", ".join(contrasts.targets)
    noun = "value" if len(contrasts.targets) == 1 else "values"
    if habit is None:
        return (
            f"Trained on the survey, ratings of {targets} moved by {_points(drop)} points of 5 as"
            " trained; without opposing wordings this may be a habit of such ratings."
        )
    start = (
        f"Trained on the survey, the {noun} {targets} moved by {_points(drop)} points of 5 as"
        f" trained, beside a habit of such ratings of {_points(habit)} (acquiescence)"
    )
    if drop.p is None:
        return f"{start}."
    if clear(drop) and (drop.estimate.value or 0) > 0:
        return f"{start}: the training moved the {noun}."
    return f"{start}: not clear of 0, so there is nothing for behaviour to follow."


def _behaviour(effect: EnvEffect | None, ratio: Estimate | None) -> str:
    if effect is None or effect.contrasts is None:
        return "No answer: behaviour was not measured."
    found, targets = effect.contrasts.these_values, ", ".join(effect.contrasts.targets)
    if found.estimate.value is None:
        return f"In {effect.env!r} there is no answer: {found.estimate.reason}."
    start = f"In {effect.env!r} they moved by {_number(found)}"
    if found.p is None:
        return (
            f"{start}. These adapters only: with one seed the interval is over items, and no claim"
            " is made about such training."
        )
    if not clear(found):
        high = found.estimate.high
        verdict = f"no movement is seen; one above {signed(high, 3)} is ruled out at 95 %"
    elif found.estimate.value > 0:
        verdict = f"the behaviour of these values ({targets}) moved as trained{_share(ratio)}"
    else:
        verdict = f"the behaviour of these values ({targets}) moved against what was trained"
    return f"{start}: {verdict}.{_general(effect.contrasts.in_general)}"


def _share(ratio: Estimate | None) -> str:
    if ratio is None or ratio.value is None or ratio.low is None or ratio.high is None:
        return ""
    ends = f"{percent(ratio.low)} to {percent(ratio.high)}"
    return f", by {percent(ratio.value)} ({ends}) of the survey's contrast in attainable shares"


def _general(found: Tested) -> str:
    if found.estimate.value is None or found.p is None:
        return ""
    which = "clear of 0" if clear(found) else "not clear of 0"
    return (
        f" For values in general, of which these are a sample, it is {_number(found)},"
        f" p = {p_value(found.p)}: {which}."
    )


def _number(tested: Tested) -> str:
    return f"{signed(tested.estimate.value, 3)} {interval(tested.estimate, 3)}".strip()


def _points(tested: Tested) -> str:
    """A shift in rating points, its interval with it."""
    value, low, high = (
        None if each is None else each * RATING_STEPS
        for each in (tested.estimate.value, tested.estimate.low, tested.estimate.high)
    )
    estimate = Estimate(value, low, high)
    return f"{signed(value, 2)} {interval(estimate, 2)}".strip()
