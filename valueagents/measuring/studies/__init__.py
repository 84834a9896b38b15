"""The named metrics of the studies: small functions over runs, each an `Estimate` with its interval."""

from valueagents.measuring.estimators.intervention import InterventionMetrics, intervention_metrics
from valueagents.measuring.studies.judgement import JudgementMetrics, judgement_metrics
from valueagents.measuring.studies.stereotype import BBQMetrics, CrowSMetrics, bbq_metrics, crows_metrics
from valueagents.measuring.studies.survey import SurveyMetrics, survey_metrics

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
