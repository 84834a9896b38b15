"""All named metrics: those that come with the package, then those of plug-ins (group `valueagents.metrics`)."""

from functools import cache

from valueagents.contracts.plugins import load, names
from valueagents.errors import ConfigError, unknown_name
from valueagents.measuring.studies.declaration import Metric
from valueagents.measuring.studies.judgement import JUDGEMENT
from valueagents.measuring.studies.stereotype import BBQ, CROWS
from valueagents.measuring.studies.survey import SURVEY

GROUP = "valueagents.metrics"


@cache
def metrics() -> dict[str, Metric]:
    """Every metric by its id. Raises ConfigError for a plug-in's that is not a `Metric` or takes an id that exists."""
    found = {each.id: each for each in (SURVEY, JUDGEMENT, BBQ, CROWS)}
    for name in names(GROUP):
        made = load(GROUP, name)
        if not isinstance(made, Metric):
            raise ConfigError(f"metric {name!r} is a {type(made).__name__}; its entry point must name a Metric")
        if made.id in found:
            raise ConfigError(f"metric {name!r} has the id {made.id!r}, which another has; give it one of its own")
        found[made.id] = made
    return found


def metric(metric_id: str) -> Metric:
    """The metric of that id. Raises ConfigError for an unknown one."""
    known = metrics()
    if metric_id not in known:
        raise ConfigError(unknown_name("metric", metric_id, known))
    return known[metric_id]
