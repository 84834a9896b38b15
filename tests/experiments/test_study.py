"""The study in one command: designs, stages that are kept, what the page says; on the embedded
model.
"""

from importlib.resources import files
from importlib.util import find_spec

import markupsafe
import msgspec
import pytest

from valueagents.errors import ConfigError
from valueagents.experiments.studies import page as study_page
from valueagents.experiments.studies.effects import Effect
from valueagents.experiments.studies.survey_to_behavior import (
    control_name,
    read_study,
    run_study,
    subjects,
)
from valueagents.measuring.inference import Estimate
from valueagents.policies.engines.vllm import engine as vllm_engine

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
env_options = { split = "test", poles = "affirm" }
elicitation = { reading = "likelihood", normaliser = "sum", prompt = "rate-1" }
episodes = 40

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
@pytest.mark.parametrize("design", ["quick", "four-sides", "full", "paper"])
def test_the_bundled_designs_are_studies(monkeypatch: pytest.MonkeyPatch, design: str):
    monkeypatch.setattr(
        vllm_engine, "find_vllm", lambda: ("cpu", "0.32.0")
    )  # the published one is for vLLM
    study = read_study(design)
    names = [subject.name for subject in subjects(study)]
    controls = len({control_name(study, target, 1) for target in study.targets}) * len(study.seeds)
    wanted = 1 + controls + len(study.seeds) * len(study.targets) * len(study.directions)
    assert len(names) == len(set(names)) == wanted
    assert study.primary in {study_env.name for study_env in study.envs}


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
        ("targets = ", "cannot be read"),
    ],
)
def test_a_mistake_is_named_before_anything_is_trained(tmp_path, change: str, message: str):
    file = tmp_path / "mine.toml"
    like = "" if change.startswith("like") else 'like = "quick"\n'
    file.write_text(like + change.replace("{file}", str(file)))
    with pytest.raises(ConfigError, match=message):
        subjects(read_study(str(file)))


def test_a_control_is_trained_on_the_prompts_of_its_target():
    four, full = read_study("four-sides"), read_study("full")
    assert control_name(four, "HED", 1) != control_name(
        four, "TRA", 1
    )  # an epoch has 15 % of the other statements
    assert control_name(full, "HED", 1) == control_name(full, "TRA", 1)  # an epoch has all
    trained = {subject.name: subject.training for subject in subjects(four)}
    assert trained["control-TRA-2"].target == trained["TRA-down-2"].target == "TRA"
    assert trained["control-TRA-2"].direction == "control"


def _effect(**parts: Estimate) -> Effect:
    names = (
        "shift",
        "drift",
        "net_drift",
        "selectivity",
        "circle_slope",
        "noise_shift",
        "drop",
        "gain",
        "off_target_gain",
    )
    unknown = {name: Estimate() for name in names}
    return Effect(
        env="survey",
        role="survey",
        target="HED",
        direction="down",
        seeds=(),
        axes=(),
        p=None,
        **{**unknown, **parts},
    )


def _answer(drop: Estimate, shift: Estimate, *others: Effect) -> str:
    study = msgspec.structs.replace(read_study("quick"), seeds=(1,))
    behaviour = msgspec.structs.replace(_effect(shift=shift), env="dilemmas", role="behaviour")
    return study_page.answer(study, [_effect(drop=drop), behaviour, *others])


def test_the_answer_says_what_the_intervals_allow():
    moved = Estimate(1.0, 0.5, 1.5)
    assert "behaviour followed the survey, at 25 %" in _answer(moved, Estimate(0.1, 0.05, 0.15))
    assert "no evidence that behaviour followed; more than 15 %" in _answer(
        moved, Estimate(0.01, -0.04, 0.06)
    )
    assert "went against" in _answer(moved, Estimate(-0.1, -0.15, -0.05))
    assert "the survey itself did not move" in _answer(
        Estimate(0.1, -0.2, 0.4), Estimate(0.1, 0.05, 0.15)
    )
    assert "No answer" in _answer(Estimate(reason="no survey"), Estimate(0.1, 0.05, 0.15))
    habit = msgspec.structs.replace(
        _effect(drop=Estimate(-0.9, -1.0, -0.8)), env="opposing wordings"
    )
    assert "a habit of such ratings" in _answer(moved, Estimate(0.0, -0.1, 0.1), habit)
    assert "habit" not in _answer(moved, Estimate(0.0, -0.1, 0.1))
    assert "Exploratory: 1 seed" in _answer(moved, Estimate(0.1, 0.05, 0.15))


@pytest.mark.slow
def test_a_whole_study_and_its_repetition(tmp_path):
    file, posts, out = tmp_path / "small.toml", tmp_path / "posts.jsonl", tmp_path / "out"
    file.write_text(SMALL.replace("POSTS", str(posts)))
    bundled = (
        files("valueagents.envs")
        .joinpath("data", "judgements.jsonl")
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
    assert set(record["adapters"]) == {"control-HED-1", "HED-down-1"}
    assert "choice game, same states" in {effect["env"] for effect in record["effects"]}
    assert "choice game" not in {effect["env"] for effect in record["effects"]}
    assert record["too_long"]["judgement"] == {"control-HED-1": 1, "HED-down-1": 1}
    assert sum(n for counts in record["too_long"].values() for n in counts.values()) == 2
    finished = {path: path.stat().st_mtime_ns for path in out.rglob("*.jsonl.gz")}
    again = run_study(
        str(file), out
    )  # nothing is owed but the endless post: nothing is written anew
    assert again.answer == report.answer
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
