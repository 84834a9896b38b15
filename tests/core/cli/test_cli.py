"""The command line as a user meets it."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from valueagents.contracts.conformance import check_value_env
from valueagents.contracts.plugins import make_env
from valueagents.measuring.comparison import compare
from valueagents.measuring.estimators.registry import estimators
from valueagents.measuring.scores import score
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run

DILEMMA = "valueagents/Dilemma-v0"


Cli = Callable[..., Any]  # the fixture of conftest.py


def test_run_score_compare_and_report_follow_one_another(valueagents: Cli, tmp_path: Path) -> None:
    for name, policy in (("a", "first"), ("b", "random")):
        done = valueagents(
            "run", "--env", DILEMMA, "--policy", policy, "--seed", "1", "--out", tmp_path / name
        )
        assert done.returncode == 0, done.stderr
        assert "192 decisions" in done.stdout
    scores = json.loads(valueagents("score", tmp_path / "a", "--json").stdout)
    assert [axis["axis"] for axis in scores["axes"]][:2] == ["SDT", "SDA"]
    for axis in scores["axes"]:
        for estimator in ("E2", "E3", "E3p", "E4"):
            assert axis["estimates"][estimator]["low"] < axis["estimates"][estimator]["high"]
    assert "Hedonism" in valueagents("score", tmp_path / "a").stdout
    comparison = json.loads(
        valueagents("compare", tmp_path / "a", tmp_path / "b", "--primary", "BEC", "--json").stdout
    )
    assert comparison["headline"] == "E3p"
    assert comparison["differences"]["E3p"]["test"].startswith("sign-flip over 192 clusters")
    assert comparison["paired_situations"] == 192
    report = valueagents("report", tmp_path / "a", tmp_path / "b")
    assert Path(report.stdout.strip()).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_score_and_compare_print_what_there_is_and_why_the_rest_is_not(
    valueagents: Cli, known_run: Run, random_run: Run
) -> None:
    text = valueagents("score", known_run.path).stdout
    assert "intervals clustered by item, 192 clusters" in text
    assert "strength E5" not in text
    text = valueagents("compare", known_run.path, random_run.path).stdout
    paired, from_p, weights, rates, end = text.strip("\n").split("\n\n")
    assert paired.startswith("E3p propensity from p, known:normal?seed=4 minus random\n")
    assert "unit: item, 192 clusters" in paired
    for column in ("difference", "p family", "p max-T", "differs", "situations"):
        assert column in paired.splitlines()[1]
    assert "all weights of a run are 0" in from_p  # uniform p is no direction
    assert weights.startswith("E4 normalised weights w / |w|, known:normal?seed=4 minus random\n")
    assert "scale, log |w1| − log |w2|: +" in weights
    assert rates.splitlines()[1].split() == [
        "value",
        "difference",
        "exposure",
        "choice",
        "situations",
    ]
    assert [line.split()[-1] for line in rates.splitlines()[2:22]] == ["192"] * 20
    assert end == "192 situations were met by both, 0 and 0 by one only"


def test_a_comparison_prints_the_decimals_that_each_estimator_declares(
    valueagents: Cli, known_run: Run, random_run: Run, tmp_path: Path
) -> None:
    declared = {each.id: each.digits for each in estimators()}
    text = valueagents("compare", known_run.path, random_run.path).stdout
    tables = [table.splitlines() for table in text.strip("\n").split("\n\n")[:-1]]
    printed = {table[0].split()[0]: table for table in tables}
    assert printed.keys() == {"E3p", "E4p", "E4", "E6"}
    del printed["E4p"]  # the random policy's probabilities have no direction
    for name, lines in printed.items():
        row = next(line for line in lines if line.startswith("Hedonism"))
        number = row.split()[1].rstrip("*")
        assert len(number.partition(".")[2]) == declared[name], row
    page = Path(valueagents("report", known_run.path, random_run.path).stdout.strip()).read_text()
    for axis in compare(known_run, random_run)["E4"].axes:
        shown = f"{axis.difference.value:+.2f}".replace("-", "−")
        assert re.search(rf">{re.escape(shown)}\*? <small>", page)
    effect = re.search(r"scale, log \|w1\| − log \|w2\|: ([+−]\S+) ", page)
    assert effect is not None
    assert len(effect[1].partition(".")[2]) == declared["E4"]


SILENT = """
from valueagents import Choice, Policy

class Silent(Policy):
    def identity(self):
        return {"policy": "silent"}

    async def decide(self, view):
        return Choice(None, "failed", raw="…", finish_reason="length")
"""


def test_a_run_of_which_nothing_was_read_says_so_on_its_last_line(
    valueagents: Cli, tmp_path: Path
) -> None:
    (tmp_path / "silent.py").write_text(SILENT, encoding="utf-8")
    words = ("--env", DILEMMA, "--policy", f"{tmp_path}/silent.py:Silent", "--episodes", "5")
    done = valueagents("run", *words, "--out", tmp_path / "a")
    assert done.returncode == 3
    told = "decisions: none of the answers was read"
    assert told in done.stderr.splitlines()[-1]
    assert "all of them were cut by the limit of tokens" in done.stderr.splitlines()[-1]
    assert told in valueagents("score", tmp_path / "a").stdout.splitlines()[-1]


def test_scores_of_few_decisions_print_a_reason_once_for_all(
    valueagents: Cli, tmp_path: Path
) -> None:
    valueagents(
        "run", "--env", DILEMMA, "--policy", "random", "--episodes", "3", "--out", tmp_path / "a"
    )
    lines = valueagents("score", tmp_path / "a").stdout.splitlines()
    [line] = [
        line for line in lines if line.startswith("  not enough: N contested decisions, 20 needed:")
    ]
    assert "E3, E3p, E4, E4p of " in line


def test_two_values_against_each_other_print_strengths(valueagents: Cli, tmp_path: Path) -> None:
    header = {
        "format": "valueagents-items",
        "version": 1,
        "taxonomy": "schwartz20",
        "task": "Choose.",
    }
    header |= {"provenance": "tests", "scaling": "tests"}
    options = [{"id": axis, "text": axis, "values": {axis: 1}} for axis in ("HED", "TRA")]
    items = [{"id": f"item {i}", "text": f"What now, {i}?", "options": options} for i in range(60)]
    data = tmp_path / "items.jsonl"
    data.write_text("".join(f"{json.dumps(line)}\n" for line in [header, *items]), encoding="utf-8")
    words = (
        "--env",
        DILEMMA,
        "--env-option",
        f"data={data}",
        "--policy",
        "random",
        "--out",
        tmp_path / "a",
    )
    assert valueagents("run", *words).returncode == 0
    text = valueagents("score", tmp_path / "a").stdout
    assert "strength E5" in text
    assert "in no menu of two values: E5 of " in text
    report = valueagents("report", tmp_path / "a")
    assert "Bradley &amp; Terry 1952" in Path(report.stdout.strip()).read_text(encoding="utf-8")


def test_lists_of_runs_are_compared_seed_by_seed(
    valueagents: Cli, known_run: Run, random_run: Run, tmp_path: Path
) -> None:
    again = [
        execute(RunConfig(env=DILEMMA, policy=each.header.policy, seed=12), tmp_path / str(k)).path
        for k, each in enumerate((known_run, random_run))
    ]
    text = valueagents("compare", known_run.path, again[0], random_run.path, again[1]).stdout
    assert "unit: training seed" in text
    assert "warning: exploratory: 2 seeds" in text
    odd = valueagents("compare", known_run.path, random_run.path, random_run.path)
    assert (odd.returncode, odd.stdout) == (2, "")
    assert "as many of the second" in odd.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--env", "valueagents/Dilema-v0", "--policy", "random", "--out", "x"], ["'valueagents/Dilemma-v0'"]),
        (["run", "--env", DILEMMA, "--policy", "randon", "--out", "x"], ["'randon'", "'random'"]),
        (["run", "--env", DILEMMA, "--policy", "random?sd=1", "--out", "x"], ["option of random 'sd'"]),
        (["run", "--env", DILEMMA, "--policy", "known:HEDO=1", "--out", "x"], ["'HEDO'", "'HED'"]),
        (["run", "--env", DILEMMA, "--policy", "known:BEC=much", "--out", "x"], ["'BEC=much'", "AXIS=WEIGHT"]),
        (["run", "--env", DILEMMA, "--env-option", "dta=x", "--policy", "random", "--out", "x"], ["'dta'", "'data'"]),
        (["run", "--env", DILEMMA, "--env-option", "data=none.csv", "--policy", "random", "--out", "x"], ["none.csv"]),
        (["run", "--env", DILEMMA, "--env-option", "data", "--policy", "random", "--out", "x"], ["NAME=VALUE"]),
        (["run", "--env", DILEMMA, "--env-option", "setting=hme", "--policy", "first", "--out", "x"], ["'home'"]),
        (["run", "--env", DILEMMA, "--policy", "random", "--episodes", "0", "--out", "x"], ["episodes"]),
        (["run", "--env", DILEMMA, "--policy", "random"], ["--out"]),
        (["run", "--policy", "random", "--out", "x"], ["--env"]),
        (["run", "--env", DILEMMA, "--policy", "random", "--episodes", "1" + "0" * 23, "--out", "x"], ["episodes"]),
        (["run", "--env", DILEMMA, "--policy", "random", "--timeout-s", "nan", "--out", "x"], ["timeout-s"]),
        (["run", "--env", "valueagents/Jericho-v0", "--env-option", "hang_s=nan", "--policy", "random", "--out", "x"], ["hang_s=nan", "not a finite number"]),
        (["score", "nowhere"], ["'nowhere'", "run.json"]),
        (["taxonomies", "schwarz20"], ["'schwarz20'", "'schwartz20'"]),
        (["check", "valueagents/Dilema-v0"], ["'valueagents/Dilemma-v0'"]),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_that_names_it_and_exit_code_2(
    valueagents: Cli, words: list[str], said: list[str], tmp_path: Path
) -> None:
    done = valueagents(
        *[word.replace("x", str(tmp_path / "x")) if word == "x" else word for word in words]
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    for part in said:
        assert part in done.stderr
    assert not (tmp_path / "x").exists()


def test_a_page_that_cannot_be_written_is_one_line(
    valueagents: Cli, known_run: Run, tmp_path: Path
) -> None:
    done = valueagents("report", known_run.path, "--out", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"error: '{tmp_path}': ")


def test_what_an_adapter_did_is_said_against_its_control(
    valueagents: Cli, known_run: Run, random_run: Run
) -> None:
    words = ("intervention", known_run.path, random_run.path, "--target", "BEC")
    done = valueagents(*words, "--direction", "up", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["target"] == ["BEC"]
    assert (
        found["published_selectivity"]["value"]
        == found["target_shift"]["value"] - found["published_drift"]["value"]
    )
    printed = valueagents(*words).stdout
    assert "target shift" in printed
    assert "target less the other values" in printed
    assert "selectivity, as published" in printed
    down = json.loads(valueagents(*words, "--json").stdout)
    assert down["target_shift"]["value"] == -found["target_shift"]["value"]


def test_an_unknown_flag_is_answered_with_the_nearest(valueagents: Cli) -> None:
    done = valueagents("run", "--episods", "3")
    assert done.returncode == 2
    assert "--episodes" in done.stderr


def test_an_unknown_primary_axis_names_the_nearest(
    valueagents: Cli, known_run: Run, random_run: Run
) -> None:
    done = valueagents("compare", known_run.path, random_run.path, "--primary", "BED2")
    assert done.returncode == 2
    assert "'BED'" in done.stderr


def test_a_config_file_is_read_and_the_command_line_wins(valueagents: Cli, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text(
        f'env = "{DILEMMA}"\npolicy = "first"\nepisodes = 7\nseed = 3\n[env_options]\nsetting ='
        ' "home"\n'
    )
    done = valueagents(
        "run", "--config", config, "--policy", "random", "--out", tmp_path / "a", "--json"
    )
    assert json.loads(done.stdout)["decisions"] == 7
    header = Run(tmp_path / "a").header
    assert (header.policy, header.seed, header.env_options) == ("random", 3, {"setting": "home"})


def test_a_wrong_key_of_a_config_file_is_named_with_the_nearest(
    valueagents: Cli, tmp_path: Path
) -> None:
    config = tmp_path / "run.toml"
    config.write_text('polcy = "first"\n')
    done = valueagents("run", "--config", config)
    assert done.returncode == 2
    assert "run.toml" in done.stderr
    assert "'policy'" in done.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("seed = -1", "seed = -1"),
        ('episodes = "7"', "episodes = '7'"),
        ("episodes = 1" + "0" * 23, "episodes = 1000"),
        ("timeout_s = nan", "timeout_s = nan is not a finite number"),
        ("policy = 1979-05-27", "policy = datetime.date"),
        ("env_options = [1]", "env_options = [1]"),
    ],
)
def test_a_wrong_value_of_a_config_file_names_file_and_setting(
    valueagents: Cli, tmp_path: Path, line: str, said: str
) -> None:
    config = tmp_path / "run.toml"
    config.write_text(f'env = "{DILEMMA}"\n{line}\n')
    done = valueagents("run", "--config", config, "--policy", "random", "--out", tmp_path / "a")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "run.toml" in done.stderr
    assert said in done.stderr


@pytest.mark.parametrize("words", [["score", "RUN"], ["compare", "RUN", "RUN"], ["play", DILEMMA]])
def test_a_seed_below_0_is_refused_before_anything_is_read(
    valueagents: Cli, random_run: Run, words: list[str]
) -> None:
    filled = [random_run.path if word == "RUN" else word for word in words]
    done = valueagents(*filled, "--seed", "-1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: Invalid value for '--seed': ")


def test_a_dry_run_plans_and_makes_nothing(valueagents: Cli, tmp_path: Path) -> None:
    done = valueagents(
        "run",
        "--env",
        DILEMMA,
        "--policy",
        "random",
        "--out",
        tmp_path / "a",
        "--dry-run",
        "--json",
    )
    plan = json.loads(done.stdout)
    assert (plan["episodes"], plan["owed"]) == (192, 192)
    assert plan["estimate_s"] > 0
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("listing", ["envs", "policies", "taxonomies", "estimators", "metric"])
def test_every_listing_has_json(valueagents: Cli, listing: str) -> None:
    rows = json.loads(valueagents(listing, "--json").stdout)
    assert all(row.get("name") or row.get("id") for row in rows)
    assert rows


def test_check_prints_every_promise_of_a_registered_env(valueagents: Cli) -> None:
    done = valueagents("check", DILEMMA)
    assert done.returncode == 0
    promises = [each.promise for each in check_value_env(lambda: make_env(DILEMMA))]
    lines = done.stdout.splitlines()
    assert len(promises) >= 8
    assert lines[:-1] == [f"ok    {promise}" for promise in promises]
    assert lines[-1].startswith("ok    ")  # the one that takes another process


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['valueagents', '--help']\nfrom valueagents.cli import main\ntry:"
        " main()\n"
    )
    code += (
        "except SystemExit: pass\nprint([m for m in ('numpy', 'torch', 'pyarrow', 'gymnasium') if m"
        " in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    for command in (
        "run",
        "score",
        "compare",
        "report",
        "envs",
        "policies",
        "taxonomies",
        "check",
        "study",
        "train",
        "metric",
    ):
        assert f"  {command} " in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "valueagents", "taxonomies", "schwartz20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "UNC" in done.stdout


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_finished_and_says_so(tmp_path: Path) -> None:
    words = [
        "run",
        "--env",
        DILEMMA,
        "--policy",
        "random",
        "--episodes",
        "100000",
        "--out",
        str(tmp_path / "a"),
    ]
    # whoever runs the tests in the background of a shell has children that ignore Ctrl-C
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command = [sys.executable, "-c", program + "from valueagents.cli import main; main()", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "a").glob("episodes-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in stderr
    assert Run(tmp_path / "a").decisions().num_rows > 0
    assert "was stopped or is still going" in " ".join(score(tmp_path / "a").warnings)


def test_runs_lists_what_is_there_and_names_what_cannot_be_read(valueagents, tmp_path):
    words = "--env", "valueagents/Dilemma-v0", "--policy", "random", "--episodes", "4"
    assert valueagents("run", *words, "--out", tmp_path / "a").returncode == 0
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "run.json").write_text("{}")
    done = valueagents("runs", tmp_path)
    assert done.returncode == 0
    row = done.stdout.splitlines()[1].split()
    assert row[:6] == ["a", "valueagents/Dilemma-v0", "random", "4", "0", "0"]
    assert "warning: foreign:" in done.stderr
    listed = json.loads(valueagents("runs", tmp_path, "--json").stdout)
    assert [(run["path"], run["finished"]) for run in listed["runs"]] == [("a", 4)]
    assert [each["path"] for each in listed["unreadable"]] == ["foreign"]
    (tmp_path / "empty").mkdir()
    assert valueagents("runs", tmp_path / "empty").stdout.startswith("no run under ")
    assert valueagents("runs", tmp_path / "none").returncode == 2
