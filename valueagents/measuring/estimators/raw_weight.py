"""E4w: E4 without the env's covariates, to be read beside it.

Where an env gives covariates – how desirable an option is, the reward on offer – E4 holds them
constant. What a value's weight is there more or less than here, the covariates explain.
"""

from functools import partial

from valueagents.measuring.choice_model import RIDGE
from valueagents.measuring.estimators.declaration import Estimator
from valueagents.measuring.estimators.logit import weights, weights_difference

RAW_WEIGHT = Estimator(
    id="E4w",
    name="raw weight",
    formula=(
        "w_v of P(c = a) ∝ exp(w·x_a + b·z_a), z = position and length of the option alone, minus"
        " (λ/2)|w, b|²"
    ),
    source=(
        f"conditional logit (McFadden 1974), ridge λ = {RIDGE:g}, cluster sandwich (Liang & Zeger"
        " 1986)"
    ),
    needs="choices",
    unit="log-odds per unit of x",
    meaning="E4 without the env's covariates; only where it has any",
    estimate=partial(weights, covariates=False),
    difference=partial(weights_difference, covariates=False),
    weights=True,
    calibrated=False,  # the calibration's menus have no covariates: there it is E4
    covariates=True,
)
