"""The named metrics by command: JSON and text say what the functions say, and wrong words are one
line.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

import valueagents as va
from valueagents.envs.choice_game.machiavelli_metrics import counts
from valueagents.measuring.inference import Estimate
from valueagents.measuring.studies.registry import metric
from valueagents.report.numbers import sentence
from valueagents.running.runs import Run

Cli = Callable[..., Any]
GAME = Path(__file__).parents[2] / "envs" / "fixtures" / "machiavelli"


def played(
    path: Path, env: str, policy: str, *, episodes: int | None = None, **options: object
) -> Path:
    """The run directory of a policy in an env."""
    return va.run(
        f"valueagents/{env}-v0", policy, path, episodes=episodes, seed=1, env_options=options
    ).path


def items_file(path: Path, items: Sequence[dict[str, Any]]) -> str:
    """An item file on the taxonomy of stereotypes."""
    header = {
        "format": "valueagents-items",
        "version": 1,
        "taxonomy": "stereotype",
        "task": "Choose.",
    }
    header |= {"provenance": "tests", "scaling": "tests"}
    path.write_text("".join(f"{json.dumps(line)}\n" for line in [header, *items]), encoding="utf-8")
    return str(path)


def question(n: int) -> dict[str, Any]:
    """The n-th question of BBQ's form: ambiguous, pro or anti item by turns."""
    correct = ("unknown", "pro", "anti")[n % 3]
    kinds = ("pro", "anti", "unknown")
    options = [
        {
            "id": kind,
            "text": f"{kind} of {n}",
            "values": {kind: 1, **({"correct": 1} if kind == correct else {})},
        }
        for kind in kinds
    ]
    return {"id": f"q{n}", "text": f"Who was it, {n}?", "options": options}


def pair(n: int) -> dict[str, Any]:
    """The n-th pair of sentences of CrowS-Pairs' form."""
    options = [
        {"id": kind, "text": f"{kind} sentence {n}", "values": {kind: 1}}
        for kind in ("pro", "anti")
    ]
    return {"id": f"p{n}", "text": "Which sentence?", "options": options}


@pytest.fixture
def bbq(tmp_path: Path) -> list[Path]:
    data = items_file(tmp_path / "bbq.jsonl", [question(n) for n in range(24)])
    return [
        played(tmp_path / "bbq", "Dilemma", "known:pro=1,correct=1?taxonomy=stereotype", data=data)
    ]


@pytest.fixture
def crows(tmp_path: Path) -> list[Path]:
    data = items_file(tmp_path / "crows.jsonl", [pair(n) for n in range(24)])
    return [played(tmp_path / "crows", "Dilemma", "known:pro=1?taxonomy=stereotype", data=data)]


@pytest.fixture
def survey(tmp_path: Path) -> list[Path]:
    specs = ("known:HED=-1", "random")
    return [
        played(tmp_path / f"survey{k}", "Survey", spec, episodes=200)
        for k, spec in enumerate(specs)
    ]


@pytest.fixture
def judgement(tmp_path: Path) -> list[Path]:
    specs = ("known:HED=-1", "random")
    return [played(tmp_path / f"judgement{k}", "Judgement", spec) for k, spec in enumerate(specs)]


@pytest.fixture
def machiavelli(tmp_path: Path) -> list[Path]:
    options = {"machiavelli": str(GAME), "title": "toll-bridge"}
    counted = (("first", 3), ("random", 12))
    return [
        played(tmp_path / spec, "ChoiceScript", spec, episodes=count, **options)
        for spec, count in counted
    ]


@pytest.fixture(scope="module")
def dilemmas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that none of the metrics is about."""
    return played(tmp_path_factory.mktemp("runs") / "dilemmas", "Dilemma", "random", episodes=5)


ABOUT = [
    ("bbq", {}),
    ("crows", {}),
    ("survey", {"target": ("HED",)}),
    ("judgement", {"target": ("HED",)}),
]
ABOUT.append(("machiavelli", {}))


def words_of(about: dict[str, Sequence[str]]) -> list[str]:
    return [word for axis in about.get("target", ()) for word in ("--target", axis)]


@pytest.mark.parametrize(("name", "about"), ABOUT, ids=[name for name, _ in ABOUT])
def test_every_metric_prints_what_its_function_gives_as_json_and_as_text(
    valueagents: Cli, request: pytest.FixtureRequest, name: str, about: dict[str, Sequence[str]]
) -> None:
    runs = request.getfixturevalue(name)
    found = metric(name).compute(*runs, **about)
    done = valueagents("metric", name, *runs, *words_of(about), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == json.loads(msgspec.json.encode(found))
    done = valueagents("metric", name, *runs, *words_of(about))
    assert done.returncode == 0
    estimates = {}
    for field, value in msgspec.structs.asdict(found).items():
        estimates |= value if isinstance(value, dict) else {field.replace("_", " "): value}
    lines = {line[:28].rstrip(): line[28:] for line in done.stdout.splitlines()}
    assert lines.keys() == estimates.keys()
    assert any(
        isinstance(value, Estimate) and value.value is not None for value in estimates.values()
    )
    for label, value in estimates.items():
        wanted = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        assert lines[label] == (sentence(value, 3) if isinstance(value, Estimate) else wanted)


def test_a_run_that_leans_to_stereotypes_shows_it(
    valueagents: Cli, bbq: list[Path], crows: list[Path]
) -> None:
    """p is proportional to e for every mark of `pro` and of `correct`: e, 1 and e where unknown is
    right.
    """
    e = 2.718281828459045
    found = json.loads(valueagents("metric", "bbq", *bbq, "--json").stdout)
    assert (found["form"], found["ambiguous_items"], found["disambiguated_items"]) == (
        "probability",
        8,
        16,
    )
    assert found["accuracy_ambiguous"]["value"] == pytest.approx(e / (2 * e + 1))
    assert found["bias_ambiguous"]["value"] == pytest.approx((e - 1) / (2 * e + 1))
    pro, anti = e * e / (e * e + 2), e / (2 * e + 1)
    assert found["bias_disambiguated"]["value"] == pytest.approx(pro - anti)
    found = json.loads(valueagents("metric", "crows", *crows, "--json").stdout)
    assert (found["pairs"], found["share"]["value"]) == (24, 1.0)
    assert found["signed_difference"]["value"] == pytest.approx(1.0)  # log e - log 1


def test_the_direction_turns_the_drop_of_a_survey(valueagents: Cli, survey: list[Path]) -> None:
    words = ("metric", "survey", *survey, "--target", "HED", "--json")
    down, up = (
        json.loads(valueagents(*words, "--direction", direction).stdout)["drop_micro"]["value"]
        for direction in ("down", "up")
    )
    assert down == -up
    assert down > 0


def test_several_targets_are_one_target_of_several_axes(
    valueagents: Cli, judgement: list[Path]
) -> None:
    words = ("--target", "HED", "--target", "TRA")
    found = json.loads(valueagents("metric", "judgement", *judgement, *words, "--json").stdout)
    alone = json.loads(valueagents("metric", "judgement", *judgement, *words[:2], "--json").stdout)
    assert found["target"] == ["HED", "TRA"]
    assert found["target_posts"] > alone["target_posts"]
    assert (
        found["target_posts"] + found["other_posts"] == alone["target_posts"] + alone["other_posts"]
    )


def test_a_game_is_counted_in_percent_of_chance(valueagents: Cli, machiavelli: list[Path]) -> None:
    found = json.loads(valueagents("metric", "machiavelli", *machiavelli, "--json").stdout)
    assert (found["game"], found["episodes"], found["random_episodes"]) == ("toll-bridge", 3, 12)
    mine, chance = (
        [
            counts([decision.events for decision in episode.decisions])
            for episode in Run(path).episodes()
        ]
        for path in machiavelli
    )
    known = 0
    for name in counts([]):
        expected = sum(each[name] for each in chance) / 12
        value = found["percent"][name]["value"]
        if expected == 0:
            assert value is None
            assert found["percent"][name]["reason"] == "the random policy's mean is 0, or not known"
        else:
            known += 1
            assert value == pytest.approx(100 * sum(each[name] for each in mine) / 3 / expected)
    assert known >= 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bqb", "RUN"], "unknown metric 'bqb'. Did you mean 'bbq'?"),
        (["bbq"], "metric bbq needs a run: 1 run directory, 0 given"),
        (["bbq", "RUN", "RUN"], "1 run directory, 2 given"),
        (
            ["survey", "RUN", "--target", "HED"],
            "metric survey needs an adapter and its control: 2 run directories",
        ),
        (
            ["machiavelli", "RUN"],
            "needs a run and a run of the random policy: 2 run directories, 1 given",
        ),
        (["judgement", "RUN", "RUN"], "metric judgement needs --target"),
        (["survey", "RUN", "RUN", "--target", "HEDD"], "'HEDD'"),
        (["bbq", "RUN", "--target", "HED"], "metric bbq has no target; leave --target out"),
        (["bbq", "RUN"], "this metric needs stereotype"),
        (["machiavelli", "RUN", "RUN"], "this metric needs a game of MACHIAVELLI"),
        (["judgement", "RUN", "RUN", "--target", "HED"], "does not hold judgements"),
        (["survey", "nowhere", "nowhere", "--target", "HED"], "'nowhere' is not a run directory"),
    ],
)
def test_wrong_words_are_one_line_and_exit_code_2(
    valueagents: Cli, dilemmas: Path, words: list[str], said: str
) -> None:
    done = valueagents("metric", *[dilemmas if word == "RUN" else word for word in words])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_without_a_name_the_metrics_are_listed(valueagents: Cli) -> None:
    rows = json.loads(valueagents("metric", "--json").stdout)
    assert [row["id"] for row in rows] == ["survey", "judgement", "bbq", "crows", "machiavelli"]
    text = valueagents("metric").stdout
    assert all(row["id"] in text and row["source"] in text for row in rows)
