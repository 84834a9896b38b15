"""Every number of a page as tables, a row a number: for CSV and Parquet."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from valueagents.measuring.estimators.declaration import Difference
from valueagents.measuring.inference import Estimate
from valueagents.measuring.many.separation import differs
from valueagents.measuring.scores import Scores
from valueagents.measuring.summary import EnvResults, PolicyResults, Results
from valueagents.running.store import write_atomically
from valueagents.screen import visible

Row = dict[str, Any]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that a spreadsheet takes for a formula."""


def results_tables(results: Results) -> dict[str, pa.Table]:
    """The tables by name; those without a row are left out."""
    rows = {
        "scores": list(_scores(results)),
        "leanings": list(_leanings(results)),
        "differences": list(_differences(results)),
        "comparisons": list(_comparisons(results)),
        "ranks": list(_ranks(results)),
        "stated_and_revealed": list(_gaps(results)),
        "variance_components": list(_components(results)),
        "quality": list(_quality(results)),
    }
    return {name: _table(each) for name, each in rows.items() if each}


def write_tables(results: Results, folder: Path) -> list[Path]:
    """Each table is in the folder as CSV and as Parquet.

    In CSV a text that a spreadsheet would take for a formula begins with an apostrophe, and control
    characters are shown as code points; Parquet holds texts as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, table in results_tables(results).items():
        csv, parquet = io.BytesIO(), io.BytesIO()
        pa_csv.write_csv(_inert(table), csv)
        pq.write_table(table, parquet)
        for suffix, content in ((".csv", csv.getvalue()), (".parquet", parquet.getvalue())):
            write_atomically(folder / f"{name}{suffix}", content)
            written.append(folder / f"{name}{suffix}")
    return written


def _table(rows: list[Row]) -> pa.Table:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: pa.array([row.get(name) for row in rows]) for name in columns})


def _inert(table: pa.Table) -> pa.Table:
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            texts = [None if text is None else _plain(text) for text in table[place].to_pylist()]
            table = table.set_column(place, field.name, pa.array(texts, pa.string()))
    return table


def _plain(text: str) -> str:
    shown = visible(text)
    return f"'{shown}" if text.startswith(_FORMULA) else shown


def _number(estimate: Estimate) -> Row:
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "reason": estimate.reason,
    }


def _policies(results: Results) -> Iterator[tuple[EnvResults, PolicyResults]]:
    for env in results.envs:
        for policy in env.policies:
            yield env, policy


def score_rows(scores: Scores) -> Iterator[Row]:
    """Every estimator of every axis of a run, a row a number."""
    for axis in scores.axes:
        counts = {"contested": axis.contested, "clusters": axis.clusters, "unread": axis.unread}
        for estimator, estimate in axis.estimates.items():
            head = {"axis": axis.axis, "name": axis.name, "estimator": estimator}
            yield {**head, "detail": None, **_number(estimate), **counts}
            for detail, value in axis.details.get(estimator, {}).items():
                yield {**head, "detail": detail, "value": value}
    for estimator, effects in scores.effects.items():
        for name, estimate in effects.items():
            yield {"estimator": estimator, "detail": name, **_number(estimate)}


def _scores(results: Results) -> Iterator[Row]:
    for env, policy in _policies(results):
        for sheet in policy.sheets:
            where = {"env": env.env, "policy": policy.policy, "seed": sheet.header.seed}
            yield from ({**where, **row} for row in score_rows(sheet.scores))


def _leanings(results: Results) -> Iterator[Row]:
    for env, policy in _policies(results):
        for each in policy.leanings:
            best, worst = each.rank or (None, None)
            yield {
                "env": env.env,
                "policy": policy.policy,
                "axis": each.axis,
                "name": each.name,
                "contested": each.contested,
                **_number(each.estimate),
                "p_adjusted": each.p,
                "holds": each.holds,
                "rank_best": best,
                "rank_worst": worst,
            }


def _differences(results: Results) -> Iterator[Row]:
    for env in results.envs:
        if env.separation is None:
            continue
        for each in env.separation.differences:
            yield {
                "env": env.env,
                "first": each.first,
                "second": each.second,
                "axis": each.axis,
                **_number(each.difference),
                "p": each.p,
                "p_adjusted": each.p_adjusted,
                "differs": differs(each),
                "situations": each.situations,
                "clusters": each.clusters,
                "test": env.separation.test,
            }


def _comparisons(results: Results) -> Iterator[Row]:
    for env in results.envs:
        if env.comparison is not None:
            names = (env.comparison.first_policy, env.comparison.second_policy)
            for found in env.comparison.differences.values():
                yield from _difference(env.env, names, found)
        for policy, found in env.exposures.items():
            yield from _difference(env.env, (env.policies[0].policy, policy), found)


def _difference(env: str, policies: tuple[str, str], found: Difference) -> Iterator[Row]:
    where = {"env": env, "first": policies[0], "second": policies[1]}
    where |= {"estimator": found.estimator, "of": found.name}
    for axis in found.axes:
        head = {**where, "axis": axis.axis, "name": axis.name}
        tests = {"p": axis.p, "p_family": axis.p_family, "p_max_t": axis.p_max_t}
        counts = {"situations": axis.situations, "clusters": axis.clusters}
        yield {**head, "part": None, **_number(axis.difference), **tests, **counts}
        for part, estimate in axis.parts.items():
            yield {**head, "part": part, **_number(estimate)}
    for name, effect in found.effects.items():
        yield {**where, "part": name, **_number(effect.estimate), "p": effect.p}


def _ranks(results: Results) -> Iterator[Row]:
    for env in results.envs:
        for axis, places in (env.separation.ranks if env.separation else {}).items():
            for policy, (best, worst) in places.items():
                yield {
                    "env": env.env,
                    "axis": axis,
                    "policy": policy,
                    "rank_best": best,
                    "rank_worst": worst,
                }


def _gaps(results: Results) -> Iterator[Row]:
    for policy, gaps in results.gaps.items():
        for found in gaps:
            for each in found.gaps:
                yield {
                    "policy": policy,
                    "stated_env": found.stated,
                    "revealed_env": found.revealed,
                    "axis": each.axis,
                    "name": each.name,
                    "stated": each.stated,
                    "revealed": each.revealed,
                    **_number(each.gap),
                    "p_adjusted": each.p,
                    "holds": each.holds,
                    "r_of_profiles": found.r,
                }


def _components(results: Results) -> Iterator[Row]:
    for env, policy in _policies(results):
        for sheet in policy.sheets:
            spread = sheet.scores.elicited.spread
            for axis, found in spread.axes.items():
                where = {"env": env.env, "policy": policy.policy, "seed": sheet.header.seed}
                yield {
                    **where,
                    "axis": axis,
                    "decisions": found.decisions,
                    "mean": found.mean,
                    **{f"variance of {name}": value for name, value in found.facets.items()},
                    "variance of the rest": found.rest,
                    "coefficient": found.coefficient,
                    "reason": found.reason,
                }


def _quality(results: Results) -> Iterator[Row]:
    """What is counted beside the scores, a row a number."""
    for env, policy in _policies(results):
        for sheet in policy.sheets:
            scores = sheet.scores
            where = {"env": env.env, "policy": policy.policy, "seed": sheet.header.seed}
            numbers: dict[str, float | None] = {
                name: value
                for name, value in msgspec.structs.asdict(scores.counts).items()
                if not isinstance(value, dict)
            }
            numbers |= {f"read as {name}": n for name, n in scores.counts.readings.items()}
            numbers["mass of the offered answers"] = scores.mass.mean if scores.mass else None
            numbers["p against uniform choices"] = scores.chance.p
            numbers["split-half reliability"] = policy.reliability.value
            numbers["median dependability"] = policy.dependability
            numbers["wall_s"] = sheet.wall_s
            if policy.competence is not None:
                numbers["share of right answers"] = policy.competence.right
                numbers["share of right answers by guessing"] = policy.competence.guessing
            for size, places in scores.position_probabilities.items():
                for place, probability in enumerate(places, 1):
                    numbers[f"probability of place {place} of {size}"] = probability
            for name, value in numbers.items():
                yield {**where, "what": name, "value": None if value is None else float(value)}
