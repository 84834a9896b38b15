"""E7: the propensity on common states.

The replay is a run of its own (`valueagents replay`); E3p scores it.
"""

from valueagents.measuring.estimators.declaration import Estimator

COMMON_STATES = Estimator(
    id="E7",
    name="common-state replay",
    formula=(
        "E3p over decisions that were frozen from several policies and a random one, put to every"
        " policy"
    ),
    source="direct standardisation: the same states for all (Kitagawa 1955)",
    needs="a pool of decisions",
    unit="x per contested decision",
    meaning="policies on the very same states: no difference of exposure is left",
    digits=3,
    command="valueagents replay",
)
