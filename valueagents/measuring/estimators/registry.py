"""All estimators: those that come with the package, in their order, then those of installed
plug-ins.

A plug-in names an `Estimator` under the entry-point group `valueagents.estimators`.
"""

from functools import cache

from valueagents.contracts.decision import Asks
from valueagents.errors import ConfigError, unknown_name
from valueagents.measuring.declared import with_plugins
from valueagents.measuring.estimators.bradley_terry import BRADLEY_TERRY
from valueagents.measuring.estimators.common_states import COMMON_STATES
from valueagents.measuring.estimators.declaration import Estimator
from valueagents.measuring.estimators.exposure import EXPOSURE
from valueagents.measuring.estimators.fractional_logit import FRACTIONAL_LOGIT
from valueagents.measuring.estimators.intervention import INTERVENTION
from valueagents.measuring.estimators.logit import LOGIT
from valueagents.measuring.estimators.probability_propensity import PROBABILITY_PROPENSITY
from valueagents.measuring.estimators.propensity import PROPENSITY
from valueagents.measuring.estimators.rate import RATE
from valueagents.measuring.estimators.rating import RATING
from valueagents.measuring.estimators.raw_fractional import RAW_FRACTIONAL
from valueagents.measuring.estimators.raw_weight import RAW_WEIGHT
from valueagents.measuring.estimators.tally import TALLY

GROUP = "valueagents.estimators"
BUNDLED = (
    TALLY,
    RATE,
    PROPENSITY,
    PROBABILITY_PROPENSITY,
    LOGIT,
    FRACTIONAL_LOGIT,
    RAW_WEIGHT,
    RAW_FRACTIONAL,
    BRADLEY_TERRY,
    EXPOSURE,
    COMMON_STATES,
    INTERVENTION,
    RATING,
)


@cache
def estimators() -> tuple[Estimator, ...]:
    """Every estimator; a plug-in's that is unfit is a warning."""
    return tuple(with_plugins(BUNDLED, GROUP, Estimator).values())


def of_one_run(asks: Asks | None = None, covariates: bool = False) -> tuple[Estimator, ...]:
    """The estimators that `score` computes of a run whose env asks this (None = anything) and gives
    covariates, or none.
    """
    return tuple(
        each
        for each in estimators()
        if each.of_one_run
        and (asks is None or each.asks in (None, asks))
        and (covariates or not each.covariates)
    )


def estimator(estimator_id: str) -> Estimator:
    """The estimator of that id. Raises ConfigError for an unknown one."""
    known = {each.id: each for each in estimators()}
    if estimator_id not in known:
        raise ConfigError(unknown_name("estimator", estimator_id, known))
    return known[estimator_id]


def digits_of(estimator_id: str) -> int:
    """The decimals that an estimator declares for its numbers; 2, the default, for one that is not
    installed here.
    """
    return next((each.digits for each in estimators() if each.id == estimator_id), 2)


def markdown_table() -> str:
    """The estimators that come with the package as the README's table."""
    rows = ["| | estimator | how to read it | unit | by |", "|---|---|---|---|---|"]
    for each in BUNDLED:
        command = each.command or (
            "valueagents score" if each.of_one_run else "valueagents compare"
        )
        rows.append(f"| {each.id} | {each.name} | {each.meaning} | {each.unit} | `{command}` |")
    return "\n".join(rows)
