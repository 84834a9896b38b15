"""E4p: choice weights from the policy's probabilities, the fractional logit."""

from functools import partial

from valueagents.measuring.choice_model import RIDGE
from valueagents.measuring.estimators.declaration import Estimator, Measured, Result
from valueagents.measuring.estimators.logit import weights, weights_difference
from valueagents.measuring.inference import Estimate


def weights_from_p(measured: Measured, covariates: bool = True) -> Result:
    """The weights; where no decision has probabilities, that reason in place of numbers."""
    if not measured.answers.knows_p.any():
        return Result([Estimate(reason="no probabilities")] * len(measured.contested))
    return weights(measured, form="probability", covariates=covariates)


FRACTIONAL_LOGIT = Estimator(
    id="E4p",
    name="weight from p",
    formula=(
        "w_v that maximises Σ_t Σ_a p_t(a) log P(a), P(a) ∝ exp(w·x_a + b·z_a), z = position and"
        " length of the option and the env's covariates, minus (λ/2)|w, b|²"
    ),
    source=(
        f"fractional logit (Papke & Wooldridge 1996), ridge λ = {RIDGE:g}, cluster sandwich and the"
        " penalty's pull"
    ),
    needs="probabilities",
    unit="log-odds per unit of x",
    meaning="the same from the policy's probabilities; varies less, E4 is its check",
    estimate=weights_from_p,
    difference=partial(weights_difference, form="probability"),
    form_of="E4",
    weights=True,
)
