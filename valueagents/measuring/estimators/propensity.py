"""E3: the propensity, adjusted for what was on offer."""

from functools import partial

from valueagents.measuring.deviations import propensity_terms
from valueagents.measuring.estimators.declaration import Estimator, Measured, Result
from valueagents.measuring.estimators.mean import mean_estimates


def _propensity(measured: Measured) -> Result:
    """The mean, with bounds that give every unread contested decision its worst and its best
    option.
    """
    tally, needed = measured.tally, measured.answers.min_contested
    at_stake = tally.contested.sum(axis=0)
    bounds: dict[str, list[float | None]] = {"lowest if unread": [], "highest if unread": []}
    for v, count in enumerate(at_stake.tolist()):
        known = not tally.read.all() and count >= needed
        low, high = tally.chosen[v] + tally.lowest[v], tally.chosen[v] + tally.highest[v]
        bounds["lowest if unread"].append(float(low) / count if known else None)
        bounds["highest if unread"].append(float(high) / count if known else None)
    return Result(mean_estimates(PROPENSITY, measured), details=bounds)


PROPENSITY = Estimator(
    id="E3",
    name="propensity",
    formula="D_v = Σ_t (x[c_t, v] − m[t, v]) / contested decisions",
    source="observed minus expected under uniform choice from the same menus",
    needs="choices",
    unit="x per contested decision, from −2 to 2",
    meaning="adjusted for what was on offer; 0 = as by chance",
    terms=partial(propensity_terms, form="choice"),
    estimate=_propensity,
)
