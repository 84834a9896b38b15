"""All named metrics: those that come with the package, then those of plug-ins (group
`valueagents.metrics`).
"""

from functools import cache

from valueagents.errors import ConfigError, unknown_name
from valueagents.measuring.declared import with_plugins
from valueagents.measuring.studies.declaration import Metric
from valueagents.measuring.studies.judgement import JUDGEMENT
from valueagents.measuring.studies.stereotype import BBQ, CROWS
from valueagents.measuring.studies.survey import SURVEY

GROUP = "valueagents.metrics"


@cache
def metrics() -> dict[str, Metric]:
    """Every metric by its id; a plug-in's that is unfit is a warning."""
    return with_plugins((SURVEY, JUDGEMENT, BBQ, CROWS), GROUP, Metric)


def metric(metric_id: str) -> Metric:
    """The metric of that id. Raises ConfigError for an unknown one."""
    known = metrics()
    if metric_id not in known:
        raise ConfigError(unknown_name("metric", metric_id, known))
    return known[metric_id]
