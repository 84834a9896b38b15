"""The named metrics of the studies: small functions over runs, each an `Estimate` with its interval."""

from valueagents.metrics.intervention import InterventionMetrics, intervention_metrics
from valueagents.metrics.judgement import JudgementMetrics, judgement_metrics
from valueagents.metrics.stereotype import BBQMetrics, CrowSMetrics, bbq_metrics, crows_metrics
from valueagents.metrics.survey import SurveyMetrics, survey_metrics

__all__ = [
    "BBQMetrics",
    "CrowSMetrics",
    "InterventionMetrics",
    "JudgementMetrics",
    "SurveyMetrics",
    "bbq_metrics",
    "crows_metrics",
    "intervention_metrics",
    "judgement_metrics",
    "survey_metrics",
]
