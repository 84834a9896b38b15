"""The report of a study: one HTML page, one JSON file with every number on it, and the answer in a
sentence.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import msgspec
import numpy as np
from matplotlib.figure import Figure

from valueagents.experiments.studies.design import Study
from valueagents.experiments.studies.effects import Effect, Role, over_targets
from valueagents.measuring.inference import MIN_UNITS, Estimate
from valueagents.measuring.scores import Scores
from valueagents.policies.training.manifest import Manifest
from valueagents.report.numbers import interval, percent, signed
from valueagents.report.pictures import STYLE, as_svg, axis_colours
from valueagents.report.template import drawn, template, write_page
from valueagents.running.store import write_atomically
from valueagents.taxonomy import Taxonomy

RATING_STEPS = 2.5
"""Rating points to a unit of x: x = (rating - 3.5)/2.5."""


class StudyReport(msgspec.Struct, frozen=True):
    """Where the page is, and what it answers."""

    page: Path
    answer: str


class EnvRuns(msgspec.Struct, frozen=True):
    """What an env of the study was met by: `paths` and `too_long` (episodes longer than the window)
    by policy.

    `decisions` of one policy there; `asked`: how the model was asked. `base`: the untrained model's
    scores, None where it was not asked.
    """

    name: str
    role: Role
    env: str
    env_options: dict[str, Any]
    asked: dict[str, Any]
    taxonomy: Taxonomy
    decisions: int
    paths: dict[str, str]
    too_long: dict[str, int]
    base: Scores | None


class StudyResults(msgspec.Struct, frozen=True):
    """All that the page shows: effects by target and env, the runs, and the manifests of the
    adapters.
    """

    study: Study
    effects: list[Effect]
    envs: list[EnvRuns]
    manifests: dict[str, Manifest]
    wall_s: float


def write_study(results: StudyResults, out: Path) -> StudyReport:
    """`report.html` and `study.json` are in `out`."""
    answers = answer(results.study, results.effects)
    record = {
        "format": "valueagents-study 1",
        "study": results.study,
        "answer": answers,
        "effects": results.effects,
        "adapters": {name: manifest.adapter for name, manifest in results.manifests.items()},
        "runs": {each.name: each.paths for each in results.envs},
        "too_long": {each.name: each.too_long for each in results.envs},
    }
    write_atomically(
        out / "study.json", msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"
    )
    return StudyReport(write_page(_render(results, answers), out / "report.html"), answers)


def answer(study: Study, effects: Sequence[Effect]) -> str:
    """Did behaviour follow the survey? In a sentence or two, with intervals."""
    survey = [e for e in effects if e.env == study.primary_survey]
    behaviour = [e for e in effects if e.env == study.primary_behaviour]
    seeds = len(study.seeds)
    drop = over_targets(survey, lambda e: e.drop, seeds)
    shift = over_targets(behaviour, lambda e: e.shift, seeds)
    targets = ", ".join(study.targets)
    if drop.value is None or shift.value is None:
        return f"No answer for {targets}: {drop.reason if drop.value is None else shift.reason}."
    moved = f"Held-out ratings of {targets} moved by {_plain(drop, 2)} points of 5 as trained"
    if drop.low is None or drop.low <= 0:
        return (
            f"{moved}: the survey itself did not move clearly, so there is nothing for behaviour to"
            " follow."
        )
    went = (
        f"{moved}{_habit(study, effects)}. In {study.primary_behaviour!r} the value moved by"
        f" {_plain(shift, 3)}"
    )
    went += " on a scale from −1 to 1 in the trained direction"
    if shift.low is None or shift.high is None:
        return f"{went}: no interval, so no answer."
    ratio = shift.value / (drop.value / RATING_STEPS)
    if shift.low > 0:
        verdict = f"behaviour followed the survey, at {percent(ratio)} of its shift"
    elif shift.high < 0:
        verdict = "behaviour went against the survey"
    else:
        most = shift.high / (drop.value / RATING_STEPS)
        verdict = (
            f"no evidence that behaviour followed; more than {percent(most)} of the survey's shift"
            " is ruled out"
        )
    few = (
        ""
        if seeds >= MIN_UNITS
        else f" Exploratory: {seeds} seed{'s' if seeds > 1 else ''}, {MIN_UNITS} are needed."
    )
    return f"{went}: {verdict}.{few}"


def _plain(estimate: Estimate, digits: int) -> str:
    """A number with its interval, its caution left to the page."""
    return f"{signed(estimate.value, digits)} {interval(estimate, digits)}".strip()


def _habit(study: Study, effects: Sequence[Effect]) -> str:
    """What the other surveys say against its being the value that moved; "" if they say nothing."""
    others = [e for e in effects if e.role == "survey" and e.env != study.primary_survey]
    against = over_targets(others, lambda e: e.drop, len(study.seeds)) if others else Estimate()
    if against.high is None or against.high >= 0:
        return ""
    return (
        f", those of {others[0].env!r} by {_plain(against, 2)}: a habit of such ratings, not the"
        " value"
    )


def _render(results: StudyResults, answers: str) -> str:
    study = results.study
    targets = [(t, d) for t in study.targets for d in study.directions]
    of = {
        target: [e for e in results.effects if (e.target, e.direction) == target]
        for target in targets
    }
    taxonomy = next(each.taxonomy for each in results.envs if each.role == "survey")
    return template("study.html.j2", "valueagents.experiments.studies").render(
        study=study,
        answer=answers,
        targets=[(t, d, of[t, d], drawn(picture(of[t, d], taxonomy))) for t, d in targets],
        effects=results.effects,
        envs=results.envs,
        competence=[e for e in results.effects if e.role == "competence"],
        manifests=results.manifests,
        few=len(study.seeds) < MIN_UNITS,
        wall_s=results.wall_s,
    )


def picture(effects: Sequence[Effect], taxonomy: Taxonomy) -> str:
    """An SVG with a column an env and a row a value: intervention minus control, the target's row
    marked.
    """
    columns = [e for e in effects if e.role != "competence"]
    names = {axis.id: axis.name for axis in taxonomy.axes}
    rows = {axis: row for row, axis in enumerate(names)}
    colours = dict(zip(taxonomy.axis_ids, axis_colours(taxonomy), strict=True))
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(2.2 + 1.9 * len(columns), 0.27 * len(rows) + 1.1), layout="constrained"
        )
        panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
        for panel, each in zip(panels, columns, strict=True):
            _column(panel, each, rows, colours)
        panels[0].set_yticks(range(len(rows)), list(names.values()))
        panels[0].set_ylim(len(rows) - 0.5, -0.5)
        return as_svg(figure)


def _column(panel: Any, each: Effect, rows: Mapping[str, int], colours: Mapping[str, str]) -> None:
    reach = 0.0
    if each.target in rows:
        panel.axhspan(
            rows[each.target] - 0.5, rows[each.target] + 0.5, color="#fdf3e3", linewidth=0
        )
    panel.axvline(0, color="#555555", linewidth=0.9)
    for shift in each.axes:
        estimate, row = shift.shift, rows.get(shift.axis)
        if row is None or estimate.value is None:
            continue
        colour, clear = colours[shift.axis], False
        if estimate.low is not None and estimate.high is not None:
            panel.plot(
                [estimate.low, estimate.high],
                [row, row],
                color=colour,
                linewidth=1.5,
                solid_capstyle="round",
            )
            clear = max(estimate.low, -estimate.high) > 0
        panel.plot(
            estimate.value,
            row,
            "o",
            color=colour,
            markersize=5,
            markerfacecolor=colour if clear else "white",
        )
        ends = [
            abs(end) for end in (estimate.value, estimate.low, estimate.high) if end is not None
        ]
        reach = max(reach, *ends)
    reach = float(np.ceil(max(reach, 0.02) * 50) / 50)
    panel.set_xlim(-1.08 * reach, 1.08 * reach)
    panel.set_xticks([-reach, 0, reach], [f"−{reach:.2g}", "0", f"+{reach:.2g}"])
    panel.set_title(each.env, fontsize=8.5)
    panel.tick_params(left=False)
    panel.grid(axis="y", color="#f0f0f0", linewidth=0.6)
    panel.set_axisbelow(True)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
