"""The benchmarks run, at a size that takes seconds, and none prints a figure for work that a cache
did.
"""

import asyncio
import importlib
import math
import pkgutil
import re
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from valueagents.experiments import bench
from valueagents.experiments.bench.timing import NotMeasured

ROOT = Path(__file__).parents[2]
NAMES = [
    "choice_game",
    "http_client",
    "million_decisions",
    "parser_game",
    "parser_game_memory",
    "parser_menus",
    "rate_limit",
    "report_many_runs",
    "request_replay",
    "rollout",
    "shards",
    "shared_prefixes",
    "survey_ratings",
    "viewer",
]
NEEDED = {
    "parser_game": "jericho",
    "parser_game_memory": "jericho",
    "parser_menus": "jericho",
    "http_client": "aiohttp",
    "rate_limit": "aiohttp",
    "request_replay": "peft",
}
PARTS = {
    "request_replay": ["--engines", "transformers"],
    "parser_menus": [str(ROOT / "tests" / "envs" / "stories")],
}
FIGURE = re.compile(r"^(?P<name>\S.*?|  \S.*?) {2,}(?P<value>[-+\d][^\s]*)")


def load(name: str) -> ModuleType:
    return importlib.import_module(f"{bench.__name__}.{name}")


def figures(printed: str) -> dict[str, float]:
    """The median of every line that has one, by its name."""
    found = [match for line in printed.splitlines() if (match := FIGURE.match(line))]
    return {match["name"].strip(): float(match["value"].replace(",", "")) for match in found}


def printed_by(name: str, words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    load(name).main(words)
    return capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing.:FutureWarning"
)  # peft 0.21 asks for it
@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_prints_finite_figures_with_a_bar_at_its_quick_size(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in NEEDED and find_spec(NEEDED[name]) is None:
        pytest.skip(f"{NEEDED[name]} is not installed")
    printed = printed_by(name, ["--quick", *PARTS.get(name, [])], capsys)
    found = figures(printed)
    assert len(found) >= 2, printed
    assert all(math.isfinite(value) and value >= 0 for value in found.values()), printed
    assert all(value > 0 for each, value in found.items() if "÷" in each), printed
    assert "(bar: " in printed


@pytest.mark.slow
def test_shared_prefixes_give_the_log_likelihoods_of_full_passes_in_less_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = figures(
        printed_by("shared_prefixes", ["--rounds", "1", "--prompt-tokens", "60"], capsys)
    )
    assert found["largest difference of a log-likelihood"] < 1e-3
    assert (
        1 < found["full passes ÷ shared prefix"] < 6.5
    )  # six passes over chat and answer, each of them cut to one
    assert found["label menu, positions computed ÷ tokens of the listing"] == 1


@pytest.mark.slow
def test_shared_prefixes_are_not_measured_on_an_engine_that_remembers() -> None:
    from valueagents.experiments.bench.engines import EMBEDDED_FLOAT32, make_engine
    from valueagents.experiments.bench.plain_model import PlainModel
    from valueagents.experiments.bench.shared_prefixes import OPTIONS, measure_options
    from valueagents.policies.engines import Message, ScoreRequest

    request = ScoreRequest(((Message("user", "A purse lies on the bench."),),), OPTIONS)

    async def measure() -> None:
        async with make_engine(EMBEDDED_FLOAT32) as engine:
            await measure_options(engine, PlainModel(), request, rounds=1)

    with pytest.raises(NotMeasured, match=r"tokens computed, .*: 0 done, 1\d\d are timed"):
        asyncio.run(measure())


@pytest.mark.slow
def test_statements_that_were_rated_before_are_not_measured() -> None:
    from valueagents.experiments.bench.engines import make_engine
    from valueagents.experiments.bench.survey_ratings import POLICY, ask_all, ratings

    async def ask_twice() -> None:
        asked = ratings(2)
        async with make_engine(POLICY) as engine:
            await ask_all(engine, asked[:1])
            await ask_all(engine, asked)

    with pytest.raises(NotMeasured, match="questions read: 1 done, 2 are timed"):
        asyncio.run(ask_twice())


def test_a_run_that_is_there_already_is_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = load("rollout")

    class SameFolder:
        def __enter__(self) -> str:
            return str(tmp_path)

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(tempfile, "TemporaryDirectory", SameFolder)
    rollout.recorded_run(20)
    with pytest.raises(NotMeasured, match="episodes played in this run: 0 done, 20 are timed"):
        rollout.recorded_run(20)


def test_menus_of_a_choice_game_that_were_remembered_are_not_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from valueagents.envs.choice_game.env import ChoiceScriptEnv

    choice_game, annotate, known = load("choice_game"), ChoiceScriptEnv.try_options, {}

    def remembered(env: ChoiceScriptEnv, menu: tuple[object, ...]) -> object:
        if menu not in known:
            known[menu] = annotate(env, menu)
        return known[menu]

    monkeypatch.setattr(ChoiceScriptEnv, "try_options", remembered)
    choice_game.whole_env(5)
    with pytest.raises(NotMeasured, match="options taken or tried"):
        choice_game.whole_env(5)


@pytest.mark.slow
def test_a_parser_games_menu_that_was_found_before_is_not_measured() -> None:
    pytest.importorskip("jericho")
    parser_game = load("parser_game")
    found_before = parser_game.MenuBench(str(ROOT / "tests" / "envs" / "stories" / "orchard.z5"))
    found_before._menus.find()
    with pytest.raises(NotMeasured, match="commands tried for a first menu: 0 done"):
        found_before.measure_state(repeats=1)


@pytest.mark.parametrize("number", [0, 1, 4095])
def test_new_commands_differ_for_the_gate_and_not_for_the_game(number: int) -> None:
    pytest.importorskip("jericho")
    parser_game = load("parser_game")
    for command in parser_game.LONG_COMMANDS:
        assert parser_game.spelled(command, number).lower() == command
    commands = list(parser_game.new_commands())
    assert len(set(commands)) == len(commands) == parser_game.NEW_COMMANDS


@pytest.mark.slow
def test_agents_whose_texts_are_remembered_are_not_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    http_client = load("http_client")
    monkeypatch.setattr(http_client, "situation", lambda number, i: f"Agent {number}.")
    with pytest.raises(NotMeasured, match="requests of the engine client: 16 done, 32 are timed"):
        http_client.main(["--quick", "--agents", "8"])


@pytest.mark.slow
def test_a_run_with_fewer_decisions_than_are_timed_is_not_measured(tmp_path: Path) -> None:
    million = load("million_decisions")
    million.synthetic_run(tmp_path / "run", "sparse", 30)
    report = million.scored_by_a_fresh_process(tmp_path / "run", 30 * million.STEPS)
    assert report.decisions == 30 * million.STEPS
    assert report.wall_s > report.bare_read_s > 0
    assert report.wall_s > 0
    assert report.peak_bytes > 1e8
    with pytest.raises(NotMeasured, match="decisions scored: 1,200 done, 1,201 are timed"):
        million.scored_by_a_fresh_process(tmp_path / "run", 30 * million.STEPS + 1)


def test_equal_requests_count_once_with_the_reply_that_was_computed() -> None:
    from valueagents.policies.engines import Message, ScoreReply, ScoreRequest

    replay = load("request_replay")
    one, other = (
        ScoreRequest(((Message("user", text),),), ("A", "B")) for text in ("One.", "Other.")
    )
    computed, remembered = (ScoreReply(((-1.0, -2.0),), (1, 1), 10, cached) for cached in (4, 10))
    log = replay.Log(
        requests=[one, other, one], answers=[(one, remembered), (other, computed), (one, computed)]
    )
    assert replay.first_answers(log) == {one: computed, other: computed}
    assert list(replay.first_answers(log)) == [one, other]
    assert (log.prompt_tokens, log.computed_tokens) == (30, 12)


def test_every_benchmark_asks_a_question_and_has_its_row_in_the_table() -> None:
    found = {each.name for each in pkgutil.iter_modules(bench.__path__)}
    sources = {
        name: (Path(bench.__path__[0]) / f"{name}.py").read_text(encoding="utf-8") for name in found
    }
    assert sorted(name for name, text in sources.items() if "def main(" in text) == NAMES
    for name in NAMES:
        assert "?" in sources[name].split('"""')[1].split("\n\n")[0], name
    readme = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `python -m valueagents\.experiments\.bench\.(\w+)", readme, flags=re.MULTILINE
    )
    assert sorted(rows) == NAMES
