"""E4pw: E4p without the env's covariates, to be read beside it (`raw_weight.py`)."""

from functools import partial

from valueagents.measuring.choice_model import RIDGE
from valueagents.measuring.estimators.declaration import Estimator
from valueagents.measuring.estimators.fractional_logit import weights_from_p
from valueagents.measuring.estimators.logit import weights_difference

RAW_FRACTIONAL = Estimator(
    id="E4pw",
    name="raw weight, p",
    formula=(
        "w_v that maximises Σ_t Σ_a p_t(a) log P(a), P(a) ∝ exp(w·x_a + b·z_a), z = position and"
        " length of the option alone, minus (λ/2)|w, b|²"
    ),
    source=(
        f"fractional logit (Papke & Wooldridge 1996), ridge λ = {RIDGE:g}, cluster sandwich and the"
        " penalty's pull"
    ),
    needs="probabilities",
    unit="log-odds per unit of x",
    meaning="E4p without the env's covariates; only where it has any",
    estimate=partial(weights_from_p, covariates=False),
    difference=partial(weights_difference, form="probability", covariates=False),
    form_of="E4w",
    weights=True,
    calibrated=False,  # the calibration's menus have no covariates: there it is E4p
    covariates=True,
)
