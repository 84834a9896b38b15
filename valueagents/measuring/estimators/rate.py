"""E2: the tally per hundred decisions."""

from valueagents.measuring.deviations import Deviations, Terms
from valueagents.measuring.estimators.declaration import Estimator


def _terms(deviations: Deviations) -> Terms:
    """100 x of the chosen option, on decisions in which the axis is annotated."""
    counted = deviations.annotated & deviations.read[:, None]
    return Terms(100 * deviations.taken * deviations.annotated, counted, -100.0, 100.0)


RATE = Estimator(
    id="E2",
    name="rate",
    formula="R_v = 100 N_v / decisions",
    source="the tally, normalised",
    needs="choices",
    unit="sum of x per 100 decisions",
    meaning="the tally per 100 decisions; still depends on what was on offer",
    digits=1,
    terms=_terms,
    minimum=False,
    compared=False,  # E6 compares rates, and says how much of the difference is exposure
)
