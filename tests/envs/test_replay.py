"""Common-state replay: the same questions, exactly as they were met, for any policy."""

import json
import shutil
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import msgspec
import numpy as np
import pytest

from valueagents.contracts.conformance import check_value_env
from valueagents.contracts.decision import Factor
from valueagents.contracts.policy import DesignPlace
from valueagents.envs.replay import ReplayEnv
from valueagents.envs.replay_command import run_folder
from valueagents.errors import ConfigError, DataError
from valueagents.measuring.comparison import compare
from valueagents.measuring.scores import score
from valueagents.policies.scripted import RandomPolicy
from valueagents.running.execution import RunConfig, execute
from valueagents.running.pool import freeze_pool, read_pool, sample_pool
from valueagents.running.runs import Run
from valueagents.running.sealed import unseal

DILEMMA, GAME, REPLAY = (
    "valueagents/Dilemma-v0",
    "valueagents/ChoiceScript-v0",
    "valueagents/Replay-v0",
)


class Watched(RandomPolicy):
    """Remembers what it was shown."""

    views: list = []  # noqa: RUF012 – a test's own

    def identity(self):
        return {"policy": "watched/1"}

    async def decide(self, view):
        type(self).views.append(view)
        return await super().decide(view)


@pytest.fixture
def watched(tmp_path, monkeypatch) -> type[Watched]:
    """The policy, installed as a third party's package would install it."""
    dist = tmp_path / "site" / "watched_of_a_test-0.dist-info"
    dist.mkdir(parents=True)
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: watched-of-a-test\nVersion: 0\n")
    (dist / "entry_points.txt").write_text(
        f"[valueagents.policies]\nwatched = {__name__}:Watched\n"
    )
    monkeypatch.syspath_prepend(dist.parent)
    monkeypatch.setattr(Watched, "views", [])
    return Watched


@pytest.fixture(scope="module")
def games(tmp_path_factory) -> list[Run]:
    """Two policies in the bundled choice game: different states, many turns."""
    folder = tmp_path_factory.mktemp("games")
    settings = [("random", 1), ("first", 2)]
    return [
        execute(RunConfig(env=GAME, policy=p, episodes=4, seed=s), folder / p) for p, s in settings
    ]


@pytest.fixture(scope="module")
def regions(tmp_path_factory) -> list[Run]:
    """Two policies, each among other dilemmas than the other."""
    folder = tmp_path_factory.mktemp("regions")
    header, *items = (
        files("valueagents.envs")
        .joinpath("data", "dilemmas-1.jsonl")
        .read_text("utf-8")
        .splitlines()
    )
    made = []
    for name, region in (("a", items[::2]), ("b", items[1::2])):
        data = folder / f"{name}.jsonl"
        data.write_text("\n".join([header, *region]), encoding="utf-8")
        config = RunConfig(env=DILEMMA, env_options={"data": str(data)}, policy="random", seed=3)
        made.append(execute(config, folder / name))
    return made


def frozen(folder: Path, runs: list[Run], decisions: int = 60, seed: int = 0) -> str:
    return str(freeze_pool(folder, runs, decisions=decisions, seed=seed))


def on_pool(pool: str, policy: str, out: Path, seed: int = 0) -> Run:
    return execute(RunConfig(env=REPLAY, env_options={"pool": pool}, policy=policy, seed=seed), out)


def test_a_replayed_policy_is_shown_what_the_first_one_was(watched, tmp_path):
    execute(RunConfig(env=GAME, policy="watched", episodes=2, seed=5), tmp_path / "game")
    asked_as = {"seed": 0, "design": DesignPlace()}
    met = {msgspec.structs.replace(view, **asked_as) for view in watched.views}
    watched.views.clear()
    pool = frozen(tmp_path / "pool", [Run(tmp_path / "game")])
    on_pool(pool, "watched", tmp_path / "again")
    asked = {msgspec.structs.replace(view, **asked_as) for view in watched.views}
    assert len(asked) == 60
    assert asked <= met
    assert max(len(view.transcript) for view in asked) > 10


def test_situations_keep_their_hash_menu_and_annotation(games, tmp_path):
    done = on_pool(frozen(tmp_path / "pool", games), "first", tmp_path / "a")
    columns = ("shown", "menu", "option_ids", "x")
    met = {
        row[0]: row[1:]
        for source in games
        for row in zip(*(source.decisions()[c].to_pylist() for c in columns), strict=True)
    }
    asked = list(zip(*(done.decisions()[c].to_pylist() for c in columns), strict=True))
    assert len(asked) == 60
    for shown, menu, ids, x in asked:
        assert (menu, ids) == met[shown][:2]
        np.testing.assert_array_equal(x, met[shown][2])


def test_a_cluster_is_the_runs_and_of_a_game_the_menu_that_comes_again(games, regions, tmp_path):
    """In a game one menu is met in many states: flips of these alone would call equal policies
    different.
    """
    done = on_pool(frozen(tmp_path / "pool", games), "random", tmp_path / "a").decisions()
    assert done["cluster"].to_pylist() == done["menu"].to_pylist()
    assert len(set(done["menu"].to_pylist())) < done.num_rows
    items = on_pool(frozen(tmp_path / "items", regions), "random", tmp_path / "b").decisions()
    of_run = {
        row["shown"]: row["cluster"]
        for source in regions
        for row in source.decisions(["shown", "cluster"]).to_pylist()
    }
    assert items["cluster"].to_pylist() == [of_run[shown] for shown in items["shown"].to_pylist()]


@pytest.mark.slow
def test_a_game_and_its_replay_are_compared_by_menu_in_either_order(games, tmp_path):
    again = on_pool(frozen(tmp_path / "pool", games, 10**6), "first", tmp_path / "a")
    there, back = (compare(*runs)["E3p"] for runs in ((games[0], again), (again, games[0])))
    assert (there.unit, back.unit) == ("menu", "menu")
    assert [axis.p for axis in there.axes] == pytest.approx(
        [axis.p for axis in back.axes], nan_ok=True
    )


def test_a_sample_is_distinct_shared_out_and_does_not_depend_on_the_order_of_the_runs(games):
    pool = sample_pool(games, decisions=50, seed=1)
    assert len({decision.shown for decision in pool.decisions}) == 50
    assert sorted(source.decisions for source in pool.header.sources) == [25, 25]
    assert sample_pool(games[::-1], decisions=50, seed=1) == pool
    other = {decision.shown for decision in sample_pool(games, decisions=50, seed=2).decisions}
    assert other != {decision.shown for decision in pool.decisions}


def test_a_run_that_has_less_leaves_its_share_to_the_others(games):
    everything = sample_pool(games, decisions=10**6, seed=0)
    tables = [
        set(source.decisions().filter(source.decisions()["x"].is_valid())["shown"].to_pylist())
        for source in games
    ]
    assert len(everything.decisions) <= len(tables[0] | tables[1])
    small = min(source.decisions for source in everything.header.sources)
    assert small < max(source.decisions for source in everything.header.sources)


def test_uniform_probabilities_have_no_propensity_on_a_pool(games, tmp_path):
    scores = score(on_pool(frozen(tmp_path / "pool", games, 100), "random", tmp_path / "a"))
    values = [axis["E3p"].value for axis in scores.axes]
    known = [value for value in values if value is not None]
    assert known
    assert max(map(abs, known)) <= 1e-12
    assert (
        scores.chance.p > 0.001
    )  # the test that needs choice-independent menus now holds in a game


def test_one_policy_from_two_regions_is_one_policy_on_a_common_pool(regions, tmp_path):
    spec = "known:normal?seed=4"
    pool = frozen(tmp_path / "pool", regions, 10**6)
    same = compare(on_pool(pool, spec, tmp_path / "a", 1), on_pool(pool, spec, tmp_path / "b", 2))
    assert same.headline == "E3p"
    assert same.only_first == same.only_second == 0
    assert {
        axis.difference.value for axis in same["E3p"].axes if axis.difference.value is not None
    } == {0.0}
    assert not any(axis.differs for axis in same["E3p"].axes)
    other = compare(
        on_pool(pool, "known:normal?seed=5", tmp_path / "c"), on_pool(pool, spec, tmp_path / "a", 1)
    )
    assert any(axis.differs for axis in other["E3p"].axes)


def test_a_replay_env_keeps_every_promise(games, tmp_path):
    pool = frozen(tmp_path / "pool", games)
    assert [check for check in check_value_env(lambda: ReplayEnv(pool=pool)) if check.problem] == []


def _finished(folder: Path) -> int:
    """How many episodes of a run are on disk."""
    return sum(1 for _ in Run(folder).episodes()) if (folder / "run.json").exists() else 0


@pytest.mark.slow
def test_a_killed_replay_goes_on_where_it_was(games, tmp_path):
    pool = frozen(tmp_path / "pool", games, 150)
    whole = on_pool(pool, "random", tmp_path / "whole")
    program = (
        "import asyncio, sys\n"
        "from valueagents.policies.scripted import RandomPolicy\n"
        "from valueagents.running.execution import RunConfig, execute\n"
        "class Slow(RandomPolicy):\n"
        "    live = 1\n"
        "    async def decide(self, view):\n"
        "        await asyncio.sleep(0.02)\n"
        "        return await super().decide(view)\n"
        f"config = RunConfig(env={REPLAY!r}, env_options={{'pool': sys.argv[1]}}, policy='random')\n"
        "execute(config, sys.argv[2], policy=Slow())\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", program, str(pool), str(tmp_path / "k")])
    deadline = time.monotonic() + 60
    while _finished(tmp_path / "k") < 20:
        assert killed.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "twenty episodes were not finished in a minute"
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    kept = _finished(tmp_path / "k")
    assert 20 <= kept < 150
    again = on_pool(pool, "random", tmp_path / "k")
    assert [entry["owed"] for entry in again.store.sessions() if "owed" in entry][-1] == 150 - kept
    answers = [
        [(e.identity, e.shown, [d.choice.option for d in e.decisions]) for e in each.episodes()]
        for each in (whole, again)
    ]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 150


def test_a_frozen_pool_is_asked_again_without_its_runs_and_never_changed(games, tmp_path):
    file = Path(frozen(tmp_path / "pool", games))
    bytes_then = file.read_bytes()
    assert freeze_pool(tmp_path / "pool", [], decisions=7, seed=7) == file
    with pytest.raises(ConfigError, match="another pool"):
        freeze_pool(tmp_path / "pool", games, decisions=61, seed=0)
    assert file.read_bytes() == bytes_then
    with pytest.raises(ConfigError, match="holds no pool yet"):
        freeze_pool(tmp_path / "none", [], decisions=7, seed=7)


def _by_hand(file: Path) -> list[dict]:
    """The lines of a pool without their checksums, to be changed and written by hand."""
    return [json.loads(unseal(line)) for line in file.read_bytes().splitlines()]


def _version_2(file: Path) -> Path:
    """The same pool as the version before wrote it: without factors."""
    header, *questions = _by_hand(file)
    header = {name: part for name, part in header.items() if name != "factors"} | {"version": 2}
    bare = [
        {name: part for name, part in question.items() if name != "factors"}
        for question in questions
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in [header, *bare]))
    return file


def test_a_replay_declares_the_factors_of_the_runs_and_records_their_levels(
    games, regions, tmp_path
):
    for name, runs, factors in (
        ("g", games, ["scene", "pooled_episode"]),
        ("i", regions, ["item"]),
    ):
        factor = factors[0]
        done = on_pool(frozen(tmp_path / name, runs), "random", tmp_path / f"{name}-run")
        assert [each.name for each in done.header.factors] == factors
        column = f"factor.{factor}"
        met = {
            row["shown"]: row[column]
            for run in runs
            for row in run.decisions(["shown", column]).to_pylist()
        }
        asked = done.decisions(["shown", column]).to_pylist()
        assert [row[column] for row in asked] == [met[row["shown"]] for row in asked]


def test_a_pool_of_the_version_before_is_read_and_asked_as_it_was(games, tmp_path):
    file = Path(frozen(tmp_path / "pool", games, 20))
    now = read_pool(file)
    assert {len(question.factors) for question in now.decisions} == {2}
    then = read_pool(_version_2(file))
    assert [question.shown for question in then.decisions] == [
        question.shown for question in now.decisions
    ]
    assert (then.header.factors, {len(question.factors) for question in then.decisions}) == (
        (),
        {0},
    )
    env = ReplayEnv(pool=str(file))
    assert env.factors == ()
    fields = {"shown", "cluster", "before", "observation", "menu", "annotation"}
    assert all(
        set(question) == fields for question in env.content()
    )  # no new field changes what is hashed


def test_a_pool_of_the_version_before_is_the_one_that_the_same_command_draws(games, tmp_path):
    file = _version_2(Path(frozen(tmp_path / "pool", games, 20)))
    written = file.read_bytes()
    assert freeze_pool(tmp_path / "pool", games, decisions=20, seed=0) == file
    with pytest.raises(ConfigError, match="another pool"):
        freeze_pool(tmp_path / "pool", games, decisions=21, seed=0)
    assert file.read_bytes() == written


def test_a_pool_drawn_before_episodes_were_noted_is_the_one_that_the_same_command_draws(
    games, tmp_path
):
    file = Path(frozen(tmp_path / "pool", games, 20))
    header, *rest = _by_hand(file)
    header["factors"] = [each for each in header["factors"] if each["name"] == "scene"]
    for question in rest:
        del question["factors"]["pooled_episode"]
    file.write_text("\n".join(json.dumps(line) for line in (header, *rest)), encoding="utf-8")
    assert freeze_pool(tmp_path / "pool", games, decisions=20, seed=0) == file


def test_decisions_of_games_keep_episode_and_menu_as_clusters(games, tmp_path):
    """And say which: the episode that they were met in, not the one that asks them again."""
    pool = frozen(tmp_path / "pool", games)
    runs = [on_pool(pool, policy, tmp_path / policy) for policy in ("random", "first")]
    asked = runs[0].decisions(["factor.pooled_episode", "menu"]).to_pylist()
    met = {(row["factor.pooled_episode"], row["menu"]) for row in asked}
    episodes = {episode.identity for run in games for episode in run.episodes()}
    assert {episode for episode, _ in met} <= episodes
    assert len({menu for _, menu in met}) < len(met)  # menus come again in other episodes
    scores = score(runs[0])
    assert scores.unit == "episode and menu, two-way"
    assert all(axis.clusters <= len(episodes) for axis in scores.axes)
    found = compare(*runs)
    verdict = found[found.headline]
    assert verdict.unit == "episode and menu, two-way"
    assert verdict.test.startswith("t, two-way by episode and menu")
    known = [axis for axis in verdict.axes if axis.difference.value is not None]
    assert known
    assert all(axis.clusters <= len(episodes) and axis.p is not None for axis in known)


def test_a_pool_of_another_version_is_refused_with_those_that_are_read(games, tmp_path):
    file = Path(frozen(tmp_path / "pool", games, 5))
    header, *rest = _by_hand(file)
    header["version"] = 4
    file.write_text("\n".join(json.dumps(line) for line in (header, *rest)))
    with pytest.raises(
        DataError, match="'valueagents-pool' version 4; this reads valueagents-pool 2 and 3"
    ):
        read_pool(file)


def test_a_level_that_the_pool_does_not_declare_is_refused_with_its_line(games, tmp_path):
    file = Path(frozen(tmp_path / "pool", games, 5))
    header, first, *rest = _by_hand(file)
    first["factors"] = {"scnee": first["factors"].pop("scene")} | first["factors"]
    file.write_text("\n".join(json.dumps(line) for line in (header, first, *rest)))
    with pytest.raises(
        DataError, match=r"pool\.jsonl, line 2: unknown factor 'scnee'\. Did you mean 'scene'"
    ):
        read_pool(file)


def test_runs_that_declare_other_levels_for_a_factor_make_no_pool(regions):
    other = Run(regions[1].path)
    other.header = msgspec.structs.replace(
        other.header, factors=(Factor("item", "Which item.", ("a", "b")),)
    )
    with pytest.raises(
        ConfigError, match=r"declares factor 'item' with other levels .*; pool them apart"
    ):
        sample_pool([regions[0], other], decisions=10, seed=0)


def test_runs_of_different_tasks_make_no_pool(games, regions):
    with pytest.raises(ConfigError, match="differ in task or taxonomy"):
        sample_pool([games[0], regions[0]], decisions=10, seed=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:-1], "damaged"),
        (lambda lines: [*lines, lines[-1]], "damaged"),
        (lambda lines: [b"{}", *lines[1:]], "line 1"),
        (lambda lines: [lines[0], lines[1][:-9], *lines[2:]], "line 2"),
        (lambda lines: [b"[" * 5000, *lines[1:]], "line 1"),
        (lambda lines: [lines[0], b'{"shown":"",' + unseal(lines[1])[1:]], r"line 2: the key 'shown' is there twice"),
        (lambda lines: [*lines[:2], b"\xff"], "line 3: not UTF-8"),
    ],
)  # fmt: skip
def test_a_damaged_pool_is_refused_with_its_line(games, tmp_path, change, said):
    file = Path(frozen(tmp_path / "pool", games, 5))
    file.write_bytes(b"\n".join(change(file.read_bytes().splitlines())) + b"\n")
    with pytest.raises(DataError, match=said):
        read_pool(file)


def test_a_changed_byte_of_a_pool_is_noticed(games, tmp_path):
    file = Path(frozen(tmp_path / "pool", games, 5))
    whole = file.read_bytes()
    for place in range(0, len(whole), len(whole) // 150):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DataError, match=r"pool\.jsonl"):
            read_pool(file)


def test_the_command_freezes_asks_and_names_each_run(games, tmp_path, monkeypatch, capsys):
    from valueagents.cli import main

    pools = [word for source in games for word in ("--pool", str(source.path))]
    policies = ["--policy", "known:BEC=1", "--policy", "known:BEC=-1"]
    words = [
        "replay",
        *pools,
        *policies,
        "--out",
        str(tmp_path / "r"),
        "--decisions",
        "40",
        "--json",
    ]
    monkeypatch.setattr(sys, "argv", ["valueagents", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    said = json.loads(capsys.readouterr().out)
    assert [Path(each["run"]).name for each in said["runs"]] == ["known_BEC=1", "known_BEC=-1"]
    assert compare(*(each["run"] for each in said["runs"])).paired_situations == 40


def test_a_damaged_run_is_warned_of_before_it_is_pooled(games, tmp_path, monkeypatch, capsys):
    from valueagents.cli import main

    copy = tmp_path / "copy"
    shutil.copytree(games[0].path, copy)
    [segment] = copy.glob("episodes-*")
    segment.write_bytes(segment.read_bytes()[: segment.stat().st_size // 2])
    words = ["--pool", str(copy), "--policy", "random", "--out", str(tmp_path / "r")]
    monkeypatch.setattr(sys, "argv", ["valueagents", "replay", *words])
    with pytest.raises(SystemExit):
        main()
    assert f"warning: {copy}: " in capsys.readouterr().err


def test_a_folder_name_says_the_spec():
    assert run_folder("transformers:a/b?reading=say") == "transformers_a_b_reading=say"


def test_a_pool_is_not_frozen_inside_a_run(regions):
    with pytest.raises(ConfigError, match="is a run; give a folder of its own"):
        freeze_pool(regions[0].path, regions, decisions=10, seed=0)


def test_decisions_that_a_damage_has_taken_since_make_no_pool(tmp_path):
    config = RunConfig(env="valueagents/Dilemma-v0", policy="random", episodes=40, seed=1)
    run = execute(config, tmp_path / "run")
    assert run.decisions().num_rows == 40  # the table is made now
    [segment] = (tmp_path / "run").glob("episodes-*.gz")
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-40] + bytes(40))  # as long as it was
    with pytest.raises(DataError, match=r"run'?.*cannot be read any more, since a segment is"):
        sample_pool([tmp_path / "run"], decisions=40, seed=0)
