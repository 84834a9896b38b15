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
from valueagents.measuring.summary import summarise
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
    assert "drawn choices cannot be told from uniform ones" in visible(html)
    assert "no leaning of random can be claimed" in visible(html)


def test_a_report_on_two_runs_compares_them(
    known_run: Run, random_run: Run, tmp_path: Path
) -> None:
    html = write_report([known_run, random_run], tmp_path / "r.html", primary="BEC").read_text(
        encoding="utf-8"
    )
    text = visible(html)
    assert "Difference in valueagents/Dilemma-v0, by every estimator" in text
    assert "Benevolence: caring (primary)" in text
    assert re.search(r"\d+ of 20 differences between 2 policies hold at 5 % over all of them", text)
    assert "E6: rate" in text
    assert "E4: normalised weights w / |w|" in text
    assert "The policy saw the annotations" in text


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
    counts = {axis.contested for axis in score(done).axes}
    assert counts == {0, 1, 2}
    told = "not enough: 0 to 2 contested decisions, 20 needed"
    assert f"E4 (weight) has no number here: {told}." in text
    assert "Variance components: no value was at stake in enough decisions" in text
    assert "No env here tells anything of it." in text


def test_two_runs_of_a_few_decisions_are_told_why_nothing_is_compared(tmp_path: Path) -> None:
    runs = [
        execute(RunConfig(env="valueagents/Dilemma-v0", policy=name, episodes=30), tmp_path / name)
        for name in ("random", "first")
    ]
    text = visible(write_report(runs, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "No value was at stake in enough decisions of two policies." in text
    assert "Nothing could be tested: no value was at stake in enough decisions." in text
    assert "No difference holds" not in text


@pytest.mark.slow
def test_the_same_run_gives_the_same_picture(random_run: Run, tmp_path: Path) -> None:
    pages = [
        write_report([random_run], tmp_path / name).read_text(encoding="utf-8")
        for name in ("a.html", "b.html")
    ]
    first, second = (page[page.index("<svg") : page.index("</svg>")] for page in pages)
    assert first == second


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two policies in two envs with two seeds each, a third in one env."""
    folder = tmp_path_factory.mktemp("grid")
    runs = []
    for policy in ("known:BEC=1.2", "known:HED=1.2", "random"):
        for env in ("valueagents/Survey-v0", "valueagents/Dilemma-v0"):
            for seed in (1, 2):
                if policy == "random" and "Survey" in env:
                    continue
                config = RunConfig(env=env, policy=policy, seed=seed)
                runs.append(execute(config, folder / str(len(runs))))
    return runs


def test_a_report_groups_any_number_of_runs_by_their_headers(
    grid: list[Run], tmp_path: Path
) -> None:
    text = visible(write_report(grid, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "in valueagents/Survey-v0 , valueagents/Dilemma-v0 : 10 runs" in text
    assert "differences between 3 policies hold at 5 % over all of them" in text
    assert text.count("Make this run again") == 10
    assert "known:HED=1.2 in valueagents/Survey-v0, seed 2" in text
    assert "known:BEC=1.2: valueagents/Survey-v0 beside valueagents/Dilemma-v0" in text
    assert "random: valueagents/Survey-v0" not in text


def test_the_order_of_runs_changes_no_number(grid: list[Run]) -> None:
    first = summarise(grid)
    second = summarise([*grid[5:], *grid[:5]])
    for env in first.envs:
        [other] = [each for each in second.envs if each.env == env.env]
        for policy in env.policies:
            [same] = [each for each in other.policies if each.policy == policy.policy]
            assert policy.leanings == same.leanings
            assert policy.reliability == same.reliability


def test_every_picture_has_a_name_and_a_table_of_its_numbers(
    grid: list[Run], tmp_path: Path
) -> None:
    html = write_report(grid, tmp_path / "r.html").read_text(encoding="utf-8")
    figures = re.findall(r"<figure.*?</figure>", html, flags=re.DOTALL)
    assert len(figures) == 4
    for figure in figures:
        assert re.search(r'<svg role="img" aria-label="[^"]+"', figure)
        assert "Its numbers" in figure
        assert figure.count("<tr>") >= 20


def test_figures_are_files_for_papers_with_labels_that_can_be_read(
    grid: list[Run], tmp_path: Path
) -> None:
    write_report(grid, tmp_path / "r.html", figures=tmp_path / "figures")
    svgs = sorted((tmp_path / "figures").glob("*.svg"))
    assert [each.stem for each in svgs] == [
        "circle-Dilemma-v0",
        "circle-Survey-v0",
        "forest-Dilemma-v0",
        "forest-Survey-v0",
    ]
    for svg in svgs:
        text = svg.read_text()
        width = float(re.search(r'width="([0-9.]+)pt"', text)[1])
        column_pt = 3.5 * 72
        sizes = [float(size) for size in re.findall(r"font-size: ([0-9.]+)px", text)]
        assert min(sizes) * min(1, column_pt / width) >= 6.5
        assert "var(--" not in text
        png = svg.with_suffix(".png").read_bytes()
        assert png.startswith(b"\x89PNG")


def test_colours_of_a_page_follow_the_readers_light_or_dark(
    random_run: Run, tmp_path: Path
) -> None:
    html = write_report([random_run], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in html
    picture = html[html.index("<svg") : html.index("</svg>")]
    used = set(re.findall(r"var\(--(\w+)\)", picture))
    assert {"ink", "s0"} <= used
    for name in used:
        assert html.count(f"--{name}:") == 2  # once light, once dark


def test_runs_that_share_no_situation_are_told_not_to_be_compared(tmp_path: Path) -> None:
    runs = [
        execute(
            RunConfig(
                env="valueagents/Dilemma-v0",
                policy=policy,
                env_options={"setting": "home"},
                seed=seed,
                episodes=1,
            ),
            tmp_path / policy,
        )
        for policy, seed in (("random", 1), ("first", 5))
    ]
    text = visible(write_report(runs, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "No two policies could be compared here." in text
    assert "share no situation" in text


def test_a_run_given_twice_is_refused(random_run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="given twice"):
        write_report([random_run] * 3, tmp_path / "r.html")
    with pytest.raises(ConfigError, match="no run"):
        write_report([], tmp_path / "r.html")


def test_a_primary_value_that_no_env_has_is_refused(random_run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown axis 'BEK'"):
        write_report([random_run], tmp_path / "r.html", primary="BEK")
