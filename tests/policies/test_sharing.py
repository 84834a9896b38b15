"""Policies on one model share it: loaded once in a study of adapters, with nobody's answer changed.

A counting engine beside the real one, on tiny models.
"""

import asyncio
import shutil
from itertools import groupby
from pathlib import Path

import msgspec
import pytest

from counting_engine import items
from valueagents.contracts.plugins import make_env, make_policy
from valueagents.errors import ConfigError, PolicyError
from valueagents.experiments.studies.common_states import config_of
from valueagents.experiments.studies.design import Study
from valueagents.experiments.studies.given import meet_envs, run_given
from valueagents.experiments.studies.given_design import read_given, specs_in
from valueagents.experiments.studies.subjects import Subject
from valueagents.experiments.studies.survey_to_behavior import meet_all
from valueagents.identity import content_hash
from valueagents.policies.engines.transformers.engine import TransformersEngine
from valueagents.policies.models import EMBEDDED
from valueagents.policies.sharing import SharedModels
from valueagents.policies.training.survey import plan_training
from valueagents.running.execution import execute
from valueagents.running.rollout import env_identity
from valueagents.running.runs import Run


def design(folder: Path, base: str, *policies: str) -> Path:
    """The TOML of a study in two envs, each policy as `name: way = "value"`."""
    lines = [f'base = "{base}"']
    for policy in policies:
        name, way = policy.split(": ", 1)
        lines += ["[[policies]]", f'name = "{name}"', way]
    for thing, rotations in (("coats", "none"), ("keys", "all")):
        bank = items(folder / f"{thing}.jsonl", thing)
        lines += ["[[envs]]", f'name = "{thing}"', 'role = "behaviour"']
        lines += ['env = "valueagents/Dilemma-v0"', f'env_options = {{ data = "{bank}" }}']
        lines += [f'elicitation = {{ reading = "label", rotations = "{rotations}" }}']
    file = folder / "mine.toml"
    file.write_text("\n".join(lines))
    return file


OWN = ('one: adapter = "a"', 'two: adapter = "b"', 'hedonist: persona = "HED-1"')


def meet(file: Path, out: Path) -> dict[str, dict[str, Run]]:
    """The runs by env and policy."""
    return {each.env.name: each.played for each in asyncio.run(meet_envs(read_given(file), out))}


def test_base_adapters_and_persona_share_one_model_over_all_envs(counting, tmp_path):
    file = str(design(tmp_path, "counting:x", *OWN))
    met = meet(file, tmp_path / "out")
    assert counting.events == ["load x with a, b", "free x"]
    in_turn = [adapter for adapter, _ in groupby(counting.asked)]
    assert in_turn == ["base", "hash of a", "hash of b", "base"]
    study = read_given(file)
    for env in study.envs:
        assert list(met[env.name]) == ["base", "one", "two", "hedonist"]
        for name, spec in specs_in(study, env).items():
            alone = make_policy(spec).for_question("choose")
            assert met[env.name][name].header.policy == spec
            assert met[env.name][name].header.policy_identity == alone.identity()
    counting.events.clear()
    meet(file, tmp_path / "out")
    assert counting.events == []  # nothing was owed


def test_a_run_that_was_begun_by_its_spec_alone_is_continued(counting, tmp_path, monkeypatch):
    file, out = str(design(tmp_path, "counting:x", *OWN)), tmp_path / "out"
    study = read_given(file)
    env = study.envs[0]
    config = config_of(env, specs_in(study, env)["one"], seed=0)
    folder = out / "runs" / "coats" / f"one-{content_hash(msgspec.to_builtins(config))[:8]}"
    monkeypatch.setattr(counting, "patience", 2)
    begun = execute(config, folder)
    assert (len(begun.episodes()), len(begun.failed())) == (2, 2)
    monkeypatch.setattr(counting, "patience", float("inf"))
    counting.asked.clear()
    continued = meet(file, out)["coats"]["one"]
    assert continued.path == begun.path
    assert len(continued.episodes()) == 4
    of_first, of_other = counting.asked.count("hash of a"), counting.asked.count("hash of b")
    assert of_other - of_first == 2  # those two were not asked again


def test_a_study_that_trains_shares_its_model_too(counting, tmp_path):
    given = read_given(str(design(tmp_path, "counting:x", *OWN)))
    study = Study(
        base="x",
        engine="counting",
        engine_options={"speed": 3},
        preset="quick",
        targets=("HED",),
        seeds=(1,),
        envs=given.envs,
        primary="keys",
        base_envs=("keys",),
    )
    training = plan_training(base=EMBEDDED, target="HED", direction="down", seed=1, preset="quick")
    sets = [Subject("base", None), Subject("one", training), Subject("two", training)]
    folders = {"one": Path("some a&b"), "two": Path("b")}
    met = asyncio.run(meet_all(study, sets, folders, tmp_path / "out"))
    assert counting.events == ["load x with some a&b, b", "free x"]
    in_turn = [adapter for adapter, _ in groupby(counting.asked)]
    assert in_turn == ["base", "hash of some a&b", "hash of b"]
    assert [list(met[env]) for env in given.envs] == [["one", "two"], ["base", "one", "two"]]
    for env, runs in met.items():
        for name, run in runs.items():
            made = make_env(env.env, **env.env_options)
            content = run.header.policy_identity, env_identity(env.env, made), env.episodes, 0
            assert run.path.name == f"{name}-{content_hash(*content)[:8]}"
            alone = make_policy(run.header.policy).for_question(made.asks)
            assert run.header.policy_identity == alone.identity()


def test_one_model_at_a_time_is_loaded_and_each_once(counting, tmp_path):
    others = (
        'other: policy = "counting:y"',
        *OWN[:1],
        'fast: policy = "counting:x?speed=2"',
        'told: policy = "counting:x?persona=HED-2"',
        'known: policy = "known:HED=1"',
    )
    met = meet(str(design(tmp_path, "counting:x", *others)), tmp_path / "out")
    assert counting.events == [
        *("load x with a", "free x"),
        *("load y with ", "free y"),
        *("load x with ", "free x"),
    ]
    assert list(met["keys"]) == ["base", "other", "one", "fast", "told", "known"]


@pytest.mark.parametrize("base", ["random", "known:HED=0"])
def test_a_base_without_a_model_stays_as_it_is(counting, tmp_path, base):
    file = design(tmp_path, base, 'other: policy = "known:HED=1"')
    text = file.read_text().split("\n")
    file.write_text("\n".join(line for line in text if not line.startswith("elicitation")))
    met = meet(str(file), tmp_path / "out")
    assert [len(run.episodes()) for run in met["keys"].values()] == [4, 4]
    assert counting.events == []


def test_a_model_is_freed_when_a_run_fails_and_one_that_cannot_be_loaded_is_told(
    counting, tmp_path, monkeypatch
):
    monkeypatch.setattr(counting, "patience", 2)
    with pytest.raises(PolicyError, match=r"failed \(PolicyError\); run the command again"):
        meet(str(design(tmp_path, "counting:x", *OWN)), tmp_path / "out")
    assert counting.events == ["load x with a, b", "free x"]
    with pytest.raises(PolicyError, match="no such weights"):
        meet(str(design(tmp_path, "counting:broken", *OWN)), tmp_path / "broken")


def test_what_is_wrong_with_a_spec_is_told_before_anything_is_loaded(counting):
    for wrong, message in (
        ("counting:x?sped=1", "speed"),
        ("counting?speed=1", "needs a target"),
        ("countin:x", "counting"),
        ("counting:x?reading=say", "cannot do generate"),
    ):
        with pytest.raises(ConfigError, match=message):
            SharedModels(["counting:x", wrong])


@pytest.mark.slow
def test_scores_are_those_of_each_spec_alone(tiny_model, make_adapter, tmp_path, monkeypatch):
    loads = []
    load = TransformersEngine.__aenter__

    async def counted(engine: TransformersEngine) -> TransformersEngine:
        loads.append(engine)
        return await load(engine)

    monkeypatch.setattr(TransformersEngine, "__aenter__", counted)
    first, second = (make_adapter(tiny_model, seed=seed) for seed in (1, 2))
    copy = shutil.copytree(first, tmp_path / "copy")
    policies = (
        f'one: adapter = "{first}"',
        f'two: adapter = "{second}"',
        f'one again: adapter = "{copy}"',
        'hedonist: persona = "HED-1"',
    )
    file = design(tmp_path, f"transformers:{tiny_model}", *policies)
    run_given(str(file), tmp_path / "out")
    assert len(loads) == 1
    study = read_given(str(file))
    for env in study.envs:
        scores = {}
        for name, spec in specs_in(study, env).items():
            config = config_of(env, spec, seed=study.seed)
            alone = execute(config, tmp_path / "alone" / env.name / name)
            [shared] = (tmp_path / "out" / "runs" / env.name).glob(f"{name}-????????")
            assert Run(shared).header == alone.header
            scores[name] = probabilities(Run(shared))
            assert scores[name] == pytest.approx(probabilities(alone), abs=1e-5)
        assert scores["one again"] == pytest.approx(scores["one"], abs=1e-5)
        assert scores["two"] != pytest.approx(scores["one"], abs=1e-3)
        assert scores["base"] != pytest.approx(scores["one"], abs=1e-3)
        assert scores["base"] != pytest.approx(scores["hedonist"], abs=1e-3)


def probabilities(run: Run) -> list[float]:
    """Those of all options, by item and option."""
    rows = run.decisions(["situation", "option_ids", "probabilities"]).to_pylist()
    found = {
        (row["situation"], option): p
        for row in rows
        for option, p in zip(row["option_ids"], row["probabilities"], strict=True)
    }
    return [found[key] for key in sorted(found)]
