"""The study in one command: designs, stages that are kept, what the page says; on the embedded
model.
"""

import asyncio
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import markupsafe
import msgspec
import pytest

from valueagents.errors import ConfigError
from valueagents.experiments.studies.common_states import common_states
from valueagents.experiments.studies.design import read_study
from valueagents.experiments.studies.subjects import menus_of_choices, subjects
from valueagents.experiments.studies.survey_to_behavior import run_study
from valueagents.policies.engines.vllm import engine as vllm_engine
from valueagents.policies.models import EMBEDDED, cache_folder, find_model
from valueagents.policies.prompts import load_prompt
from valueagents.running.execution import RunConfig, execute
from valueagents.running.pool import read_pool

SMALL = """
base = "smollm2-135m"
preset = "quick"
overrides = { epochs = 1, others = 0.02 }
targets = ["HED"]
seeds = [1]
primary = "dilemmas"
base_envs = ["sanity"]

[[envs]]
name = "survey"
role = "survey"
env = "valueagents/Survey-v0"
env_options = { split = "test" }
elicitation = { reading = "likelihood", normaliser = "sum" }
episodes = 80

[[envs]]
name = "judgement"
role = "judgement"
env = "valueagents/Judgement-v0"
env_options = { posts = "POSTS" }
elicitation = { reading = "likelihood", normaliser = "sum" }

[[envs]]
name = "dilemmas"
role = "behaviour"
env = "valueagents/Dilemma-v0"
elicitation = { reading = "label" }
episodes = 20

[[envs]]
name = "choice game"
role = "behaviour"
env = "valueagents/ChoiceScript-v0"
env_options = { max_steps = 4 }
elicitation = { reading = "label", history = 1 }
episodes = 1
replay = 4

[[envs]]
name = "sanity"
role = "competence"
env = "valueagents/Sanity-v0"
elicitation = { reading = "label" }
episodes = 10
"""


@pytest.mark.slow
@pytest.mark.parametrize("design", ["quick", "controls", "four-sides", "full", "paper"])
def test_the_bundled_designs_are_studies(monkeypatch: pytest.MonkeyPatch, design: str):
    monkeypatch.setattr(
        vllm_engine, "find_vllm", lambda: ("cpu", "0.32.0")
    )  # the published one is for vLLM
    study = read_study(design)
    names = [subject.name for subject in subjects(study)]
    kinds = 1 + study.placebo + (study.choices is not None)
    wanted = 1 + len(study.seeds) * (1 + kinds * len(study.targets) * len(study.directions))
    assert len(names) == len(set(names)) == wanted
    assert study.primary in {study_env.name for study_env in study.envs}


@pytest.mark.slow  # `full` reads every env that it names
def test_the_published_design_is_the_full_one_and_the_survey_in_the_words_of_training():
    paper, full = (read_study(design, installed=False) for design in ("paper", "full"))
    [published] = (each for each in paper.envs if each not in full.envs)
    assert [each for each in paper.envs if each != published] == list(full.envs)
    assert published.env_options == {"split": "test", "variants": 27, "wordings": "trained"}
    assert load_prompt(published.elicitation["prompt"]).use == "training"


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")
def test_an_engine_that_is_not_installed_is_named_before_anything_is_trained():
    with pytest.raises(ConfigError, match="vllm is not installed: "):
        read_study("paper")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('primary = "dilemma"', "Did you mean 'dilemmas'"),
        ('targets = ["HEDD"]', "HEDD.*Did you mean 'HED'"),
        ("seeds = []", "seeds"),
        ('preset = "quik"', "Did you mean 'quick'"),
        ('like = "quik"', "Did you mean 'quick'"),
        ("colour = 1", "colour"),
        ('like = "{file}"', "circle"),
        ('base_envs = ["moon"]', "moon"),
        ("targets = ", "is not TOML"),
    ],
)
def test_a_mistake_is_named_before_anything_is_trained(tmp_path, change: str, message: str):
    file = tmp_path / "mine.toml"
    like = "" if change.startswith("like") else 'like = "quick"\n'
    file.write_text(like + change.replace("{file}", str(file)))
    with pytest.raises(ConfigError, match=message):
        subjects(read_study(str(file)))


def test_targets_share_one_control_a_seed_and_so_their_statements(tmp_path):
    trained = {each.name: each.training for each in subjects(read_study("four-sides"))}
    assert {"control-1", "control-2", "control-3", "TRA-down-2"} <= trained.keys()
    assert trained["control-2"].direction == "control"
    assert trained["control-2"].target == "all"
    file = tmp_path / "one.toml"
    file.write_text('like = "four-sides"\ntargets = ["HED"]\n')
    alone = {each.name: each.training for each in subjects(read_study(str(file)))}
    assert alone["control-2"].target == "HED"


@pytest.mark.slow
def test_the_controls_hold_out_twenty_menus_that_contest_each_target():
    study = read_study("controls")
    held_out = menus_of_choices(study).parted().asked("test")
    for target in study.targets:
        assert sum(each.contests(target) for each in held_out) >= 20


@pytest.mark.slow
@pytest.mark.parametrize(("design", "enough"), [("quick", 3), ("controls", 20)])
def test_a_random_policys_states_are_among_the_common_ones(tmp_path, design: str, enough: int):
    study = read_study(design)
    [game] = [each for each in study.envs if each.env == "valueagents/ChoiceScript-v0"]
    assert game.random_episodes > 0
    config = RunConfig(env=game.env, env_options=game.env_options, policy="first", episodes=1)
    run = execute(config, tmp_path / "first")
    replayed = asyncio.run(common_states(game, [run], tmp_path, seed=study.seed))
    pool = read_pool(Path(replayed.env_options["pool"]))
    met = {source.policy: source.decisions for source in pool.header.sources}
    assert set(met) == {"first", "random"}
    assert met["random"] > met["first"] > 0
    assert len(pool.decisions) == game.replay
    for target in study.targets:
        on = [[o.get(target, 0) for o in each.annotation.values] for each in pool.decisions]
        assert sum(len(set(x)) > 1 for x in on) >= enough


@pytest.mark.slow
def test_a_whole_study_and_its_repetition(tmp_path, monkeypatch):
    known = cache_folder() / "models"
    find_model(EMBEDDED)  # its files are there
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "models").symlink_to(known)
    monkeypatch.setenv("VALUEAGENTS_CACHE", str(tmp_path / "cache"))  # no reply of another test
    file, posts, out = tmp_path / "small.toml", tmp_path / "posts.jsonl", tmp_path / "out"
    file.write_text(SMALL.replace("POSTS", str(posts)))
    bundled = (
        files("valueagents.envs")
        .joinpath("data", "judgements-1.jsonl")
        .read_text("utf-8")
        .splitlines()
    )
    endless = {
        **msgspec.json.decode(bundled[1]),
        "id": "endless",
        "text": "And then she said so. " * 2000,
    }
    posts.write_text("\n".join([*bundled[:9], msgspec.json.encode(endless).decode()]))
    report = run_study(str(file), out)
    page, record = report.page.read_text(), msgspec.json.decode((out / "study.json").read_bytes())
    assert markupsafe.escape(report.answer) in page
    assert record["answer"] == report.answer
    assert set(record["adapters"]) == {"control-1", "HED-down-1"}
    assert "In 'dilemmas' there is no answer: no target has enough contested items" in report.answer
    assert "choice game, same states" in {effect["env"] for effect in record["effects"]}
    assert "choice game" not in {effect["env"] for effect in record["effects"]}
    assert record["too_long"]["judgement"] == {"control-1": 1, "HED-down-1": 1}
    assert sum(n for counts in record["too_long"].values() for n in counts.values()) == 2
    finished = {path: path.stat().st_mtime_ns for path in out.rglob("*.jsonl.gz")}
    again = run_study(
        str(file), out
    )  # nothing is owed but the endless post: nothing is written anew
    assert again.answer == report.answer
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
