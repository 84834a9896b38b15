"""The HTML report: self-contained, true to the scores, and safe from what it shows."""

import json
import re
import shutil
from pathlib import Path

import matplotlib as mpl
import msgspec
import pytest
from matplotlib.figure import Figure

from valueagents.errors import ConfigError
from valueagents.measuring.scores import score
from valueagents.report import write_report
from valueagents.report.numbers import signed
from valueagents.report.pictures import STYLE, as_svg, plain_label
from valueagents.running.execution import RunConfig, execute
from valueagents.running.header import write_header
from valueagents.running.runs import Run

HOSTILE = "<script>alert('1')</script><img src=x onerror=y> ${x} {{ 7*7 }} & \u202e"


def visible(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_a_report_shows_every_axis_its_scores_and_its_interval(
    random_run: Run, tmp_path: Path
) -> None:
    html = write_report([random_run], tmp_path / "r.html").read_text(encoding="utf-8")
    scores = score(random_run)
    for axis in scores.axes:
        weight = axis["E4"]
        assert axis.name in html
        assert weight.value is not None
        assert signed(weight.value) in html
    assert f"{scores.counts.episodes} finished, 0 failed" in visible(html)
    assert "cannot be told from uniform choices" in visible(html)


def test_a_report_on_two_runs_compares_them(
    known_run: Run, random_run: Run, tmp_path: Path
) -> None:
    html = write_report([known_run, random_run], tmp_path / "r.html", primary="BEC").read_text(
        encoding="utf-8"
    )
    text = visible(html)
    assert "Difference, first minus second" in text
    assert "Benevolence: caring (primary)" in text
    assert "They differ on" in text
    assert "E6: rate" in text
    assert "E4: normalised weights w / |w|" in text
    assert "the policy saw the annotations" in text


def test_a_report_loads_nothing_from_elsewhere(random_run: Run, tmp_path: Path) -> None:
    html = write_report([random_run], tmp_path / "r.html").read_text(encoding="utf-8")
    assert not re.search(r"<(script|iframe|link|object)\b", html)
    assert not re.search(r"""(src|href)=["']?https?:""", html)
    assert "default-src 'none'" in html
    assert "base-uri 'none'; form-action 'none'" in html


def test_text_from_data_and_policies_is_never_markup(tmp_path: Path) -> None:
    header = {
        "format": "valueagents-items",
        "version": 1,
        "taxonomy": "stereotype",
        "task": HOSTILE,
    }
    header |= {"provenance": HOSTILE, "scaling": HOSTILE}
    options = [
        {"id": "a", "text": HOSTILE, "values": {"pro": 1}},
        {"id": "b", "text": "plain", "values": {}},
    ]
    item = {"id": HOSTILE, "text": HOSTILE, "options": options}
    data = tmp_path / "items.jsonl"
    data.write_text(f"{json.dumps(header)}\n{json.dumps(item)}\n", encoding="utf-8")
    config = RunConfig(
        env="valueagents/Dilemma-v0", env_options={"data": str(data)}, policy="random", episodes=30
    )
    html = write_report([execute(config, tmp_path / "a")], tmp_path / "r.html").read_text(
        encoding="utf-8"
    )
    assert "<script" not in html
    assert "<img" not in html
    assert "{{ 7*7 }}" in html
    assert "&lt;script&gt;" in html


def test_no_control_or_direction_character_reaches_a_page_or_its_picture(
    random_run: Run, tmp_path: Path
) -> None:
    hostile = "_$x^2$ \x1b[2J\x9b31m\u202eevil\u200b\r\n"
    header = msgspec.structs.replace(random_run.header, policy=hostile)
    copy = tmp_path / "sent"
    shutil.copytree(random_run.path, copy)
    write_header(copy, header)
    html = write_report([copy], tmp_path / "r.html").read_text(encoding="utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e]", html)
    assert html.count("_$x^2$ [U+001B][2J[U+009B]31m[U+202E]evil[U+200B]") >= 4
    picture = html[html.index("<svg") : html.index("</svg>")]
    assert "> _$x^2$ [U+001B]" in picture  # in the legend, although it begins with an underscore


def test_names_in_pictures_are_no_formulas() -> None:
    with mpl.rc_context(STYLE):
        figure = Figure()
        axes = figure.add_subplot()
        axes.plot([0, 1], label=plain_label("_a_b $\\alpha$"))
        axes.set_xticks([0, 1], [plain_label("$x^2$"), plain_label("$\\frac{1}{$")])
        axes.legend()
        picture = as_svg(figure)
    for text in (" _a_b $\\alpha$", "$x^2$", "$\\frac{1}{$"):
        assert f">{text}</text>" in picture


def test_the_command_in_the_report_makes_the_same_run(tmp_path: Path) -> None:
    config = RunConfig(
        env="valueagents/Dilemma-v0",
        policy="first",
        episodes=25,
        seed=9,
        env_options={"setting": "home"},
    )
    done = execute(config, tmp_path / "a")
    text = visible(write_report([done], tmp_path / "r.html").read_text(encoding="utf-8"))
    assert (
        "valueagents run --env valueagents/Dilemma-v0 --env-option setting=home --policy first "
        "--episodes 25 --seed 9 --out DIR" in text
    )


def test_a_run_without_enough_decisions_gets_a_report_without_numbers(tmp_path: Path) -> None:
    done = execute(
        RunConfig(env="valueagents/Dilemma-v0", policy="random", episodes=2), tmp_path / "a"
    )
    assert all(axis.propensity.value is None for axis in score(done).axes)
    text = visible(write_report([done], tmp_path / "r.html").read_text(encoding="utf-8"))
    counts = list(dict.fromkeys(axis.contested for axis in score(done).axes))
    reasons = "; ".join(f"not enough: {n} contested decisions, 20 needed" for n in counts)
    assert len(counts) > 1
    assert f"E4 (weight) has no number here: {reasons}." in text


@pytest.mark.slow
def test_the_same_run_gives_the_same_picture(random_run: Run, tmp_path: Path) -> None:
    pages = [
        write_report([random_run], tmp_path / name).read_text(encoding="utf-8")
        for name in ("a.html", "b.html")
    ]
    first, second = (page[page.index("<svg") : page.index("</svg>")] for page in pages)
    assert first == second


@pytest.mark.slow
def test_a_report_on_several_seeds_compares_all_and_shows_the_first(
    known_run: Run, random_run: Run, tmp_path: Path
) -> None:
    again = [
        execute(
            RunConfig(env=each.header.env, policy=each.header.policy, seed=12), tmp_path / str(k)
        )
        for k, each in enumerate((known_run, random_run))
    ]
    runs = [known_run, again[0], random_run, again[1]]
    html = write_report(runs, tmp_path / "r.html").read_text(encoding="utf-8")
    text = visible(html)
    assert "The first of 2 training seeds of each is shown; the comparison is over all." in text
    assert "exploratory: 2 seeds cannot reach p &lt; 0.05" in text
    assert "Unit: training seed." in text
    assert "E6: rate" not in text
    assert text.count("Make this run again") == 2


def test_three_runs_are_one_too_many(random_run: Run, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="3 runs: give two, or the seeds of the first policy and then as many"
    ):
        write_report([random_run] * 3, tmp_path / "r.html")
