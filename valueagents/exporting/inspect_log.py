"""A run as a log of Inspect (inspect-ai), which `inspect view`, its data frames and Scout open.

One sample an episode, one score a value. A sample's score is the episode's mean of what it chose
beyond the mean of the menu, in x per contested decision (E3; E3p where all probabilities are
known), NaN where the value was not at stake: Inspect leaves NaN out of means, and takes None for 0.
"""

import os
import zipfile
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from valueagents.arrays import FloatArray
from valueagents.contracts.decision import Episode, Failure
from valueagents.errors import ConfigError
from valueagents.exporting.inspect_samples import (
    LoggedRun,
    failed_sample,
    moment,
    sample_name,
    sample_of,
)
from valueagents.identity import content_hash
from valueagents.measuring.answers import Answers, common_form
from valueagents.measuring.columns import codes_of
from valueagents.measuring.deviations import Form, propensity_terms
from valueagents.measuring.reading import read_answers
from valueagents.measuring.scores import AxisScores, Scores, score
from valueagents.running.exported import ExportFacts, export_facts
from valueagents.running.inspect_log import FACTS_KEY, LOG_SUFFIX, require_inspect
from valueagents.running.runs import Run
from valueagents.viewer.prompts import families

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalResults, EvalSample, EvalSpec

_WRITTEN = (1980, 1, 1, 0, 0, 0)
"""When the parts of a log were written, as a zip tells it: its earliest time, always the same."""


def export_inspect(run: Run, out: Path) -> Path:
    """The run is a log of Inspect at `out`, whole or not at all; `out`.

    Raises ConfigError if something is there already, if its name does not end in .eval, or if
    Inspect is not installed.
    """
    require_inspect()
    if out.suffix != LOG_SUFFIX:
        raise ConfigError(f"{str(out)!r}: the name of a log of Inspect ends in {LOG_SUFFIX}")
    if out.exists():
        raise ConfigError(f"{str(out)!r} exists; give a path where nothing is")
    from inspect_ai.log import write_eval_log

    log = _log(run)
    out.parent.mkdir(parents=True, exist_ok=True)
    first, second = (
        out.with_name(f".{out.stem}.{token_hex(4)}{LOG_SUFFIX}").resolve() for _ in range(2)
    )
    try:
        write_eval_log(log, str(first))
        _write_again(first, second)
        second.replace(out)
    finally:
        first.unlink(missing_ok=True)
        second.unlink(missing_ok=True)
    return out


def episode_values(answers: Answers, form: Form) -> dict[str, FloatArray]:
    """(V,) for each episode: the mean over its contested decisions of x beyond the menu's mean, NaN
    where an axis was not at stake or no answer could be read.
    """
    values = answers.per_decision(partial(propensity_terms, form=form))
    episode, names = codes_of(answers.columns.read("episode"))
    counted = ~np.isnan(values)
    sums, counts = (np.zeros((len(names), values.shape[1])) for _ in range(2))
    np.add.at(sums, episode, np.where(counted, values, 0.0))
    np.add.at(counts, episode, counted)
    means = np.where(counts > 0, sums / np.maximum(counts, 1) + 0.0, np.nan)  # no -0.0
    return dict(zip(names.to_pylist(), means, strict=True))


def _log(run: Run) -> "EvalLog":
    from inspect_ai.log import EvalLog, EvalStats

    facts, answers = export_facts(run), read_answers(run)
    form, scores = common_form(answers), score(run)
    refused = scores.mass is not None and scores.mass.refusal is not None
    values = {} if refused else episode_values(answers, form)
    samples = _samples(run, facts, values)
    return EvalLog(
        status="success" if facts.ended is not None else "cancelled",
        eval=_spec(run, facts, samples),
        results=_results(facts, scores, "E3p" if form == "probability" else "E3", samples),
        stats=EvalStats(
            started_at=moment(facts.started).isoformat(),
            completed_at=moment(facts.ended or facts.started).isoformat(),
        ),
        samples=samples,
    )


def _samples(run: Run, facts: ExportFacts, values: dict[str, FloatArray]) -> "list[EvalSample]":
    logged = LoggedRun(run.header, moment(facts.started), families())
    axes, seen = run.header.taxonomy.axis_ids, set[str]()
    unscored = np.full(len(axes), np.nan)

    def name(each: Episode | Failure) -> str:
        named = sample_name(each)
        named = each.identity if named in seen else named
        seen.add(named)
        return named

    samples = []
    for episode in run.episodes():
        found = values.get(episode.identity, unscored).tolist()
        scores = dict(zip(axes, found, strict=True))
        samples.append(sample_of(logged, name(episode), episode, scores))
    return [*samples, *(failed_sample(logged, name(each), each) for each in run.failed())]


def _spec(run: Run, facts: ExportFacts, samples: "list[EvalSample]") -> "EvalSpec":
    from inspect_ai.log import EvalConfig, EvalDataset, EvalSpec

    header = run.header
    identity = content_hash(header.env_identity, header.policy_identity, header.seed)
    names = [sample.id for sample in samples]
    return EvalSpec(
        created=moment(facts.started).isoformat(),
        run_id=identity,
        task_id=identity,
        eval_id=identity,
        task=header.env,
        task_version=header.env_identity.get("version", "0"),
        task_args=dict(header.env_options),
        dataset=EvalDataset(name=header.env, samples=len(names), sample_ids=names),
        model=header.policy,
        config=EvalConfig(epochs=1),
        metadata={
            "env": header.env,
            "bank": header.env_options.get("bank") or header.env_identity.get("content"),
            "policy": header.policy,
            "adapter": header.policy_identity.get("adapter"),
            "seed": header.seed,
            "taxonomy": header.taxonomy.name,
            "annotation": _provenances(run),
            FACTS_KEY: msgspec.to_builtins(facts),
        },
    )


def _provenances(run: Run) -> list[str]:
    """Who annotated, as far as the run's decisions say."""
    return sorted(
        {
            decision.annotation.provenance
            for episode in run.store.episodes()
            for decision in episode.decisions
            if decision.annotation is not None
        }
    )


def _results(
    facts: ExportFacts, scores: Scores, estimator: str, samples: "list[EvalSample]"
) -> "EvalResults":
    from inspect_ai.log import EvalResults, EvalScore

    finished = [sample.scores for sample in samples if sample.scores is not None]

    def result(axis: AxisScores) -> EvalScore:
        values = [each[axis.axis].value for each in finished]
        scored = int(np.isfinite(values).sum())
        return EvalScore(
            name=axis.axis,
            scorer=axis.axis,
            scored_samples=scored,
            unscored_samples=len(samples) - scored,
            metrics=_metrics(axis, estimator),
            metadata={"name": axis.name, "estimator": estimator, "unit": unit},
        )

    unit = scores.columns[estimator].unit
    return EvalResults(
        total_samples=max(facts.planned or 0, len(samples)),
        completed_samples=len(finished),
        scores=[result(axis) for axis in scores.axes],
    )


def _metrics(axis: AxisScores, estimator: str) -> dict[str, Any]:
    """The run's estimate with its interval, and the decisions on which the axis was at stake."""
    from inspect_ai.log import EvalMetric

    estimate = axis[estimator]
    numbers = {
        "propensity": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "contested": axis.contested,
    }
    return {
        name: EvalMetric(name=name, value=value)
        for name, value in numbers.items()
        if value is not None
    }


def _write_again(log: Path, out: Path) -> None:
    """The same log without the time of writing, deflated, which every zip reader opens; on the
    disk.
    """
    with zipfile.ZipFile(log) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            named = zipfile.ZipInfo(member.filename, _WRITTEN)
            named.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(named, old.read(member))
    with out.open("rb") as written:
        os.fsync(written.fileno())
