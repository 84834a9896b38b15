"""E3p: the propensity from the policy's probabilities."""

from functools import partial

from valueagents.measuring.deviations import propensity_terms
from valueagents.measuring.estimators.declaration import Estimator

PROBABILITY_PROPENSITY = Estimator(
    id="E3p",
    name="propensity from p",
    formula="Σ_t (Σ_a p_t(a) x[a, v] − m[t, v]) / contested decisions",
    source="E3 with the choice replaced by its expectation (Rao–Blackwell)",
    needs="probabilities",
    unit="x per contested decision, from −2 to 2",
    meaning="the same from the policy's probabilities; varies less",
    digits=3,
    terms=partial(propensity_terms, form="probability"),
    form_of="E3",
)
