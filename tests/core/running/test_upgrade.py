"""Runs that schema 1 wrote: read with the factors that their situations hid, and continued where
they stopped.
"""

import gzip
import json
import shutil
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from valueagents.contracts.decision import SCHEMA, Episode
from valueagents.contracts.plugins import make_env
from valueagents.errors import ConfigError, StoreError
from valueagents.running.execution import RunConfig, execute, plan
from valueagents.running.runs import Run
from valueagents.running.store import RunStore
from valueagents.running.upgrade import bundled_taxonomy, upgraded_episode, upgraded_header
from valueagents.taxonomy import load_taxonomy

FIXTURES = Path(__file__).parent / "fixtures" / "schema1"
KEPT = {"survey": 5, "judgement": 4, "game": 2}
"""The stored runs, each with its number of episodes."""
RAW_TAXONOMY = msgspec.json.decode(msgspec.json.encode(load_taxonomy("gert10")))


def copied(name: str, out: Path) -> Path:
    """Opening a run writes its table, so the stored one is copied first."""
    return Path(shutil.copytree(FIXTURES / name, out))


def config_of(name: str, episodes: int) -> RunConfig:
    header = json.loads((FIXTURES / name / "run.json").read_text())
    assert header["schema"] == 1
    return RunConfig(
        env=header["env"],
        policy=header["policy"],
        env_options=header["env_options"],
        episodes=episodes,
        seed=header["seed"],
    )


def timeless(episode: Episode, *, factors: bool = True) -> Episode:
    """An episode without its wall-clock times, and if wanted without its factors."""
    decisions = []
    for decision in episode.decisions:
        choice = msgspec.structs.replace(decision.choice, latency_s=0.0)
        levels = decision.factors if factors else {}
        decisions.append(msgspec.structs.replace(decision, choice=choice, factors=levels))
    return msgspec.structs.replace(episode, decisions=tuple(decisions), duration_s=0.0)


def test_a_stored_survey_has_its_pair_pole_and_variant_as_factors(out):
    stored = Run(copied("survey", out))
    assert stored.header.factors == make_env("valueagents/Survey-v0").factors
    for episode in stored.episodes():
        pair, pole, variant = episode.situation.split("/")
        assert [d.factors for d in episode.decisions] == [
            {"item": pair, "pole": pole, "variant": variant}
        ]
    columns = stored.decisions(
        ["situation", "factor.item", "factor.pole", "factor.variant"]
    ).to_pylist()
    assert len(columns) == KEPT["survey"]
    assert all("/".join(list(row.values())[1:]) == row["situation"] for row in columns)


def test_stored_judgements_have_their_item_as_a_factor(out):
    stored = Run(copied("judgement", out))
    assert stored.header.factors == make_env("valueagents/Judgement-v0").factors
    assert (
        stored.decisions()["factor.item"].to_pylist() == stored.decisions()["situation"].to_pylist()
    )


def test_a_stored_game_hid_no_facts_and_declares_no_factors(out):
    stored = Run(copied("game", out))
    assert stored.header.factors == ()
    assert {len(d.factors) for episode in stored.episodes() for d in episode.decisions} == {0}
    assert not any(name.startswith("factor.") for name in stored.decisions().column_names)


@pytest.mark.parametrize("name", sorted(KEPT))
def test_a_stored_run_of_an_env_that_was_changed_is_read_but_not_continued(name, out):
    copied(name, out)
    assert len(Run(out).episodes()) == KEPT[name]
    with pytest.raises(ConfigError, match=r"its version is 1, not [23]"):
        execute(config_of(name, KEPT[name] + 1), out)


@pytest.fixture
def of_schema_1(out, tmp_path):
    """The settings of a run of two episodes that stands in `out` as schema 1 wrote it, of an env
    that is as it was.
    """
    settings = RunConfig(env="valueagents/Dilemma-v0", policy="random", episodes=2, seed=7)
    made = execute(settings, tmp_path / "made")
    out.mkdir()
    header = json.loads((made.path / "run.json").read_text())
    for later in ("factors", "asks", "unrepeatable", "notes", "crc"):
        del header[later]
    (out / "run.json").write_text(json.dumps({**header, "schema": 1}))
    lines = []
    for line in _lines(made):
        episode = json.loads(line)
        del episode["crc"]
        for decision in episode["decisions"]:
            del decision["factors"]
        lines.append(json.dumps({**episode, "schema": 1}))
    with gzip.open(out / "episodes-0001.jsonl.gz", "wt") as file:
        file.write("".join(f"{line}\n" for line in lines))
    return settings


def test_a_stored_run_is_continued_and_plays_only_what_it_owes(of_schema_1, out, tmp_path):
    settings = msgspec.structs.replace(of_schema_1, episodes=5)
    assert plan(settings, out).owed == 3
    before = [segment.read_bytes() for segment in RunStore.open(out).segments()]
    played: list[int] = []
    done = execute(
        settings, out, progress=lambda finished, failed, owed: played.append(finished + failed)
    )
    assert played == [1, 2, 3]
    assert [segment.read_bytes() for segment in done.store.segments()][:-1] == before
    whole = execute(settings, tmp_path / "whole")
    # what schema 1 did not write of a game nobody can add
    ours, theirs = ([timeless(e, factors=False) for e in each.episodes()] for each in (done, whole))
    assert ours == theirs


def test_each_line_of_a_continued_run_says_its_own_schema_and_all_are_read_as_this_one(
    of_schema_1, out
):
    done = execute(msgspec.structs.replace(of_schema_1, episodes=3), out)
    stored = [json.loads(line)["schema"] for line in _lines(done)]
    assert stored == [1, 1, SCHEMA]
    assert {episode.schema for episode in done.episodes()} == {SCHEMA}
    assert json.loads((out / "run.json").read_text())["schema"] == 1


def _lines(done: Run) -> list[bytes]:
    return [
        line
        for segment in done.store.segments()
        for line in gzip.decompress(segment.read_bytes()).splitlines()
    ]


def test_a_table_that_schema_1_made_is_made_again(out):
    stored = Run(copied("survey", out))
    fresh = stored.decisions()
    old = fresh.drop_columns([name for name in fresh.column_names if name.startswith("factor.")])
    metadata = {**fresh.schema.metadata, b"valueagents.made_from": b"[1]"}
    pq.write_table(old.replace_schema_metadata(metadata), out / "decisions.parquet")
    assert Run(out).decisions()["factor.pole"].to_pylist() == fresh["factor.pole"].to_pylist()


def raw_header(**fields) -> dict:
    return {"env": "valueagents/Survey-v0", "taxonomy": RAW_TAXONOMY, "schema": 1, **fields}


def raw_episode(situation: str | None, **fields) -> dict:
    return {"situation": situation, "decisions": [{"observation": "Now?"}], "schema": 1, **fields}


def test_what_is_of_this_schema_or_a_newer_one_is_left_as_it_is():
    for schema in (SCHEMA, SCHEMA + 1):
        header, episode = raw_header(schema=schema), raw_episode("H1/affirm/v01", schema=schema)
        assert upgraded_header(header) is header
        assert upgraded_episode(episode, header) is episode


def test_a_pair_whose_id_holds_a_slash_keeps_it():
    upgraded = upgraded_episode(raw_episode("a/b/oppose/v03"), raw_header())
    assert upgraded["decisions"][0]["factors"] == {
        "item": "a/b",
        "pole": "oppose",
        "variant": "v03",
    }


@pytest.mark.parametrize(
    ("env", "situation"),
    [("village/Garden-v0", "a/affirm/v01"), ("valueagents/Survey-v0", "H1"), ("x/Y-v0", None)],
)
def test_a_situation_that_schema_1_did_not_build_is_left_alone(env, situation):
    upgraded = upgraded_episode(raw_episode(situation), raw_header(env=env))
    assert upgraded == raw_episode(situation, schema=2)


def test_the_envs_that_play_items_declare_them_and_nobody_else_anything():
    for env in ("Dilemma", "Judgement", "Sanity"):
        assert [
            f["name"] for f in upgraded_header(raw_header(env=f"valueagents/{env}-v0"))["factors"]
        ] == ["item"]
    assert upgraded_header(raw_header(env="valueagents/Jericho-v0"))["factors"] == []


def test_a_stored_taxonomy_without_the_fields_added_since_is_the_bundled_one():
    fewer = {name: RAW_TAXONOMY[name] for name in ("id", "version", "source", "axes")}
    assert bundled_taxonomy(fewer) == RAW_TAXONOMY
    less = {
        **fewer,
        "axes": [{name: axis[name] for name in ("id", "name", "wants")} for axis in fewer["axes"]],
    }
    assert upgraded_header(raw_header(taxonomy=less))["taxonomy"] == RAW_TAXONOMY


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"id": "mine"},
        {"axes": RAW_TAXONOMY["axes"][:-1]},
        {"axes": RAW_TAXONOMY["axes"][::-1]},
        {"axes": [{**axis, "wants": "peace"} for axis in RAW_TAXONOMY["axes"]]},
        {"axes": None},
    ],
    ids=["version", "id", "fewer axes", "order", "words", "none"],
)
def test_another_taxonomy_stays_as_it_was_stored(change):
    stored = {**RAW_TAXONOMY, **change}
    assert bundled_taxonomy(stored) is stored


@pytest.mark.parametrize("raw", [None, [], "schwartz20", {}, {"id": []}])
def test_what_is_no_taxonomy_is_left_to_whoever_decodes_it(raw):
    assert bundled_taxonomy(raw) is raw


@pytest.mark.parametrize("damage", [{"env": []}, {"taxonomy": "gone"}, {"seed": "x"}])
def test_a_damaged_header_of_schema_1_is_a_store_error_that_names_it(out, damage):
    copied("survey", out)
    header = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(header | damage))
    with pytest.raises(StoreError, match=r"run\.json is damaged"):
        RunStore.open(out)
