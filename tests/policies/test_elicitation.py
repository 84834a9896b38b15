"""The env owns its question: which prompts and which reading a model is asked by, and which
paraphrase an item gets.
"""

from collections import Counter
from pathlib import Path

import pytest

from valueagents.contracts.decision import Option
from valueagents.contracts.environment import Turn, ValueEnv
from valueagents.contracts.plugins import make_env, make_policy
from valueagents.contracts.policy import DesignPlace
from valueagents.errors import ConfigError, EnvError
from valueagents.measuring.reading import read_answers
from valueagents.policies.elicitation import read_elicitation
from valueagents.policies.engines import (
    Capability,
    Engine,
    GenerateReply,
    GenerateRequest,
    ScoreReply,
    ScoreRequest,
)
from valueagents.policies.language import language_policy, prompt_of
from valueagents.policies.prompts import bundled_prompts
from valueagents.running.execution import RunConfig, execute
from valueagents.running.sources import env_source
from valueagents.taxonomy import load_taxonomy


class Even(Engine):
    """Finds all continuations alike, in tokens of one character.

    Args:
        target: the name of the model.
    """

    can, live = frozenset[Capability](("score",)), 8

    def __init__(self, target: str = "even", *_: object) -> None:
        self.target = target

    def identity(self) -> dict[str, str]:
        return {"engine": "even/1", "model": self.target}

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def score(self, request: ScoreRequest) -> ScoreReply:
        tokens = tuple(map(len, request.continuations))
        row = tuple(-0.1 * length for length in tokens)
        return ScoreReply((row,) * len(request.chats), tokens, 10, 0)

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        raise NotImplementedError


PROMPTS = bundled_prompts("choose")
ENVS = {"choose": "Dilemma", "rate": "Survey", "judge": "Judgement", "answer": "Stereotype"}


@pytest.mark.parametrize("asks", ENVS)
def test_an_env_is_met_in_the_prompts_of_its_own_question_without_any_option(out: Path, asks: str):
    env = f"valueagents/{ENVS[asks]}-v0"
    assert make_env(env).asks == asks
    policy = language_policy(Even(), read_elicitation({}))
    run = execute(RunConfig(env=env, policy="even", episodes=12), out, policy=policy)
    assert run.failed() == []
    assert run.header.asks == asks
    used = Counter(run.decisions()["prompt"].to_pylist())
    assert used.keys() <= {prompt.id for prompt in bundled_prompts(asks)}
    assert len(used) >= 3
    identity = run.header.policy_identity
    assert identity["reading"].partition("/")[0] == ("likelihood" if asks == "rate" else "label")
    assert identity.get("normaliser") == ("sum" if asks == "rate" else None)
    assert identity.get("opening") == ("answer" if asks == "judge" else None)
    assert Counter(read_answers(run).factor("prompt").tolist()) == used


def test_every_bundled_env_but_survey_and_judgement_asks_to_choose():
    for name in ("Dilemma", "Sanity", "ChoiceScript"):
        assert make_env(f"valueagents/{name}-v0").asks == "choose"
    assert ValueEnv.asks == "choose"


class Shouting(ValueEnv):
    """Asks what no prompt knows."""

    taxonomy, task, version, asks = load_taxonomy("gert10"), "Shout.", "1", "shout"

    def __init__(self) -> None:
        super().__init__(max_menu=1)

    def start(self, situation: str | None) -> Turn:
        return Turn("Now.", (Option("a", "A!"),))

    def advance(self, option: Option) -> Turn:
        return Turn("", terminated=True)


def test_a_question_that_does_not_exist_is_an_env_error_that_names_those_that_do(out: Path):
    config = RunConfig(env="shouting", policy="random", episodes=1)
    with pytest.raises(EnvError, match="asks 'shout'; it may ask choose, rate, judge, answer"):
        execute(config, out, env=env_source(Shouting))


@pytest.mark.parametrize("reading", ["label", "say"])
def test_a_reading_that_is_named_is_taken_whatever_the_env_asks(reading: str):
    elicitation = read_elicitation({"reading": reading})
    kinds = {each.identity()["reading"].partition("/")[0] for each in elicitation.readings.values()}
    assert kinds == {reading}


def test_an_option_of_the_engines_reading_keeps_that_reading_in_every_env():
    readings = read_elicitation({"rotations": "none"}).readings
    assert {each.identity().get("rotations") for each in readings.values()} == {"none"}


def test_an_option_that_every_reading_has_leaves_a_question_its_own():
    readings = read_elicitation({"pick": "argmax"}).readings
    assert readings["rate"].identity()["normaliser"] == "sum"
    assert {each.identity()["pick"] for each in readings.values()} == {"argmax"}


def test_an_engine_that_only_speaks_is_heard_in_every_env():
    readings = read_elicitation({}, default_reading="say").readings
    assert {each.identity()["reading"].partition("/")[0] for each in readings.values()} == {"say"}


def test_one_prompt_can_be_fixed_for_every_item_and_env(tiny_model: Path):
    policy = make_policy(f"transformers:{tiny_model}?prompt=choose-3")
    assert [prompt.id for prompt in policy.prompts] == ["choose-3"]
    assert [prompt.id for prompt in policy.for_question("rate").prompts] == ["choose-3"]
    with pytest.raises(ConfigError, match="unknown prompt 'choose-9'"):
        make_policy(f"transformers:{tiny_model}?prompt=choose-9")


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_every_block_of_items_has_every_prompt_once(seed: int):
    count = len(PROMPTS)
    given = [prompt_of(PROMPTS, DesignPlace(place, 0, seed)).id for place in range(10 * count)]
    for first in range(0, len(given), count):
        assert len(set(given[first : first + count])) == count


def test_repetitions_of_an_item_go_through_all_prompts_and_stay_balanced():
    count = len(PROMPTS)
    for place in range(count):
        again = {prompt_of(PROMPTS, DesignPlace(place, r, 3)).id for r in range(count)}
        assert len(again) == count
    for repetition in range(count):
        met = {prompt_of(PROMPTS, DesignPlace(place, repetition, 3)).id for place in range(count)}
        assert len(met) == count


def test_another_seed_gives_items_other_prompts_and_the_same_seed_the_same():
    def given(seed: int) -> list[str]:
        return [prompt_of(PROMPTS, DesignPlace(place, 0, seed)).id for place in range(60)]

    assert given(5) == given(5)
    same = sum(a == b for a, b in zip(given(5), given(6), strict=True))
    assert same < 30  # 10 of 60 by chance


def test_two_policies_meet_every_item_in_the_same_words(tmp_path: Path):
    used = []
    for model in ("one", "other"):
        policy = language_policy(Even(model), read_elicitation({}))
        config = RunConfig(env="valueagents/Dilemma-v0", policy=model, episodes=40, seed=4)
        table = execute(config, tmp_path / model, policy=policy).decisions()
        items, prompts = (table[name].to_pylist() for name in ("situation", "prompt"))
        used.append(dict(zip(items, prompts, strict=True)))
    assert used[0] == used[1]
    assert len(set(used[0].values())) == len(PROMPTS)
