"""The report of a study: one HTML page, one JSON file with every number on it, and the answer in
sentences.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import msgspec
import numpy as np
from matplotlib.figure import Figure

from valueagents.experiments.studies.design import Study
from valueagents.experiments.studies.effects import EnvEffect, Role
from valueagents.experiments.studies.sentences import RATING_STEPS, answer
from valueagents.experiments.studies.simulated_study import Noise
from valueagents.measuring.inference import Estimate
from valueagents.measuring.scores import Scores
from valueagents.measuring.studies.study_contrasts import AxisShift
from valueagents.policies.training.manifest import Manifest
from valueagents.policies.training.settings import load_settings
from valueagents.report.palette import FAINT, SOFT
from valueagents.report.pictures import STYLE, as_svg, axis_colours
from valueagents.report.template import drawn, template, write_page
from valueagents.running.sealed import write_sealed
from valueagents.taxonomy import Taxonomy


class PictureColumn(NamedTuple):
    """A column of a picture: its title and every value's shift."""

    name: str
    axes: tuple[AxisShift, ...]


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
    """All that the page shows: effects by env, direction and training, the runs, and the manifests
    of the adapters.

    `ratios`: behaviour over survey, by direction. `noise`: what a later study may assume.
    """

    study: Study
    effects: list[EnvEffect]
    ratios: dict[str, Estimate]
    noise: Noise | None
    envs: list[EnvRuns]
    manifests: dict[str, Manifest]
    wall_s: float


def write_study(results: StudyResults, out: Path) -> StudyReport:
    """`report.html` and `study.json` are in `out`."""
    study = results.study
    answers = answer(
        results.effects,
        survey=study.primary_survey,
        behaviour=study.primary_behaviour,
        ratios=results.ratios,
        both_wordings=load_settings(study.preset, study.overrides).poles == "both",
    )
    record = {
        "format": "valueagents-study 2",
        "study": study,
        "answer": answers,
        "effects": results.effects,
        "ratios": results.ratios,
        "noise": results.noise,
        "adapters": {name: manifest.adapter for name, manifest in results.manifests.items()},
        "runs": {each.name: each.paths for each in results.envs},
        "too_long": {each.name: each.too_long for each in results.envs},
    }
    write_sealed(out / "study.json", record)
    return StudyReport(write_page(_render(results, answers), out / "report.html"), answers)


def _render(results: StudyResults, answers: str) -> str:
    study = results.study
    taxonomy = next(each.taxonomy for each in results.envs if each.role == "survey")
    pictures = [
        (target, direction, drawn(picture(found, target, taxonomy)))
        for direction in study.directions
        for target in study.targets
        if (found := _of_target(results.effects, target, direction))
    ]
    return template("study.html.j2", "valueagents.experiments.studies").render(
        study=study,
        answer=answers,
        effects=[each for each in results.effects if each.contrasts is not None],
        accuracies=[each for each in results.effects if each.accuracy],
        ratios=results.ratios,
        noise=results.noise,
        pictures=pictures,
        envs=results.envs,
        manifests=results.manifests,
        points=RATING_STEPS,
    )


def _of_target(effects: Sequence[EnvEffect], target: str, direction: str) -> list[PictureColumn]:
    """What a picture of a target shows: the env's name and every value's shift there."""
    columns = []
    for each in effects:
        if each.contrasts is None or each.direction != direction:
            continue
        name = each.env if each.trained == "survey" else f"{each.env}\n(trained on choices)"
        for one in each.contrasts.by_target:
            if one.target == target:
                columns.append(PictureColumn(name, one.axes))
    return columns


def picture(columns: Sequence[PictureColumn], target: str, taxonomy: Taxonomy) -> str:
    """An SVG with a column an env and a row a value: intervention minus control, the target's row
    marked.
    """
    names = {axis.id: axis.name for axis in taxonomy.axes}
    rows = {axis: row for row, axis in enumerate(names)}
    colours = dict(zip(taxonomy.axis_ids, axis_colours(taxonomy), strict=True))
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(2.2 + 1.9 * len(columns), 0.27 * len(rows) + 1.1), layout="constrained"
        )
        panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
        for panel, each in zip(panels, columns, strict=True):
            if target in rows:
                place = rows[target]
                panel.axhspan(place - 0.5, place + 0.5, color=FAINT, linewidth=0)
            _column(panel, each, rows, colours)
        panels[0].set_yticks(range(len(rows)), list(names.values()))
        panels[0].set_ylim(len(rows) - 0.5, -0.5)
        return as_svg(figure)


def _column(
    panel: Any, each: PictureColumn, rows: Mapping[str, int], colours: Mapping[str, str]
) -> None:
    reach = 0.0
    panel.axvline(0, color=SOFT, linewidth=0.9)
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
    panel.set_title(each.name, fontsize=8.5)
    panel.tick_params(left=False)
    panel.grid(axis="y", color=FAINT, linewidth=0.6)
    panel.set_axisbelow(True)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
