"""What stands around the question: earlier turns within a budget, and a persona or a text before
the task.
"""

import asyncio
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from valueagents.contracts.plugins import make_policy
from valueagents.contracts.policy import Exchange, View
from valueagents.errors import ConfigError
from valueagents.measuring.scores import score
from valueagents.policies.elicitation import read_elicitation
from valueagents.policies.engines import (
    Capability,
    Engine,
    GenerateReply,
    GenerateRequest,
    ScoreReply,
    ScoreRequest,
)
from valueagents.policies.language import LanguagePolicy
from valueagents.policies.prompts import load_persona, load_prompt, personas
from valueagents.policies.readings import LabelReading
from valueagents.running.execution import RunConfig, execute
from valueagents.taxonomy import load_taxonomy


class _ScoringEngine(Engine):
    """Finds all letters alike, and keeps what it was asked."""

    live = 1
    can = frozenset[Capability](("score",))

    def __init__(self) -> None:
        self.asked: list[ScoreRequest] = []

    def identity(self) -> dict[str, str]:
        return {"engine": "scoring/1"}

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def score(self, request: ScoreRequest) -> ScoreReply:
        self.asked.append(request)
        count = len(request.continuations)
        return ScoreReply(((-1.0,) * count,) * len(request.chats), (1,) * count, 10, 0)

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        raise NotImplementedError


def _policy(engine: Engine, **options: object) -> LanguagePolicy:
    return LanguagePolicy(
        engine,
        load_prompt("choose-1"),
        LabelReading(LabelReading.Options(rotations="none")),
        **options,
    )


def _episode(dilemma: View, turns: int, history: int | None) -> tuple[_ScoringEngine, list[int]]:
    engine = _ScoringEngine()
    policy = _policy(engine, history=history)
    transcript = tuple(Exchange(f"You see {k}.", f"Do {k}.") for k in range(turns))
    views = [msgspec.structs.replace(dilemma, transcript=transcript[:k]) for k in range(turns + 1)]
    return engine, [asyncio.run(policy.decide(view)).dropped_turns for view in views]


@pytest.mark.parametrize("history", [1, 2, 3, 7, 10])
def test_a_budget_drops_whole_blocks_and_never_shows_more(dilemma: View, history: int):
    engine, dropped = _episode(dilemma, 40, history)
    shown = [(len(request.chats[0]) - 2) // 2 for request in engine.asked]
    assert [d + s for d, s in zip(dropped, shown, strict=True)] == list(range(41))
    assert max(shown) == history
    assert all(s == turn for turn, s in enumerate(shown) if turn <= history)
    block = max(1, history // 2)
    assert {later - earlier for earlier, later in pairwise(dropped)} <= {0, block}
    assert min(shown[history:]) > history - block


def test_between_two_drops_a_prompt_only_grows_at_its_end(dilemma: View):
    engine, dropped = _episode(dilemma, 40, 10)
    chats = [request.chats[0][:-1] for request in engine.asked]
    kept = [later[: len(earlier)] == earlier for earlier, later in pairwise(chats)]
    assert kept == [before == after for before, after in pairwise(dropped)]
    assert sum(kept) >= 40 * 4 / 5 - 1
    assert all(chat[0].content == dilemma.task for chat in chats)


def test_without_a_budget_nothing_is_dropped(dilemma: View):
    engine, dropped = _episode(dilemma, 30, None)
    assert set(dropped) == {0}
    assert len(engine.asked[-1].chats[0]) == 2 + 2 * 30


def test_cut_prompts_are_counted_beside_the_scores(monkeypatch: pytest.MonkeyPatch, out: Path):
    monkeypatch.setattr(
        "valueagents.running.sources.make_policy", lambda _: _policy(_ScoringEngine(), history=1)
    )
    config = RunConfig(env="valueagents/ChoiceScript-v0", policy="scoring", episodes=2)
    played = execute(config, out)
    dropped = played.decisions()["dropped_turns"].to_pylist()
    assert max(dropped) > 1
    assert score(played).counts.prompts_cut == sum(d > 0 for d in dropped) > 0


def _system_texts(policy: LanguagePolicy, view: View) -> list[str]:
    asyncio.run(policy.decide(view))
    [chat] = policy.engine.asked[-1].chats
    return [message.content for message in chat]


def test_a_byte_order_mark_is_no_part_of_the_text_before_the_task(tmp_path: Path):
    file = tmp_path / "marked.txt"
    file.write_bytes(b"\xef\xbb\xbfYou are kind.\n")
    asked = read_elicitation({"system": str(file)}, default_reading="label", name="policy")
    assert asked.preamble == "You are kind."


def test_a_text_before_the_task_stands_once_and_in_the_system_message(dilemma: View):
    view = msgspec.structs.replace(dilemma, transcript=(Exchange("A gate.", "open it"),))
    system, *rest = _system_texts(_policy(_ScoringEngine(), preamble="You are kind."), view)
    assert system == f"You are kind.\n\n{dilemma.task}"
    assert not any("You are kind." in text for text in rest)


def test_persona_and_system_texts_enter_the_identity_by_content(tiny_model: Path, tmp_path: Path):
    for name, text in (
        ("one", "You are kind."),
        ("same", "You are kind.\n"),
        ("other", "You are bold."),
    ):
        (tmp_path / name).write_text(text)
    (tmp_path / "persona").write_text(load_persona("SDT-1"))
    specs = [
        "",
        "persona=SDT-1",
        "persona=SDT-2",
        *(f"system={tmp_path / n}" for n in ("one", "same", "other", "persona")),
    ]
    none, sdt1, sdt2, one, same, other, copied = (
        make_policy(f"transformers:{tiny_model}?{spec}").identity()["preamble"] for spec in specs
    )
    assert none == "none"
    assert len({none, sdt1, sdt2, one, other}) == 5
    assert (same, copied) == (one, sdt1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("persona=SDT-6", "unknown persona 'SDT-6'"),
        ("system=/nowhere/text", "system=/nowhere/text: .*give a text file"),
        ("system={empty}", "is empty; leave the option out"),
        ("system={binary}", "give a text file"),
    ],
)
def test_a_persona_or_text_that_is_none_is_refused_when_the_policy_is_made(
    tmp_path: Path, options: str, message: str
):
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0")
    spec = options.format(empty=tmp_path / "empty", binary=tmp_path / "binary")
    with pytest.raises(ConfigError, match=message):
        make_policy(f"transformers:smollm2-135m?{spec}")


def test_there_are_five_personas_of_every_value_each_of_its_own_words():
    axes = load_taxonomy("schwartz20").axes
    bundled = personas()
    assert len(bundled) == len({p.id for p in bundled}) == len({p.text for p in bundled}) == 100
    assert Counter(p.value for p in bundled) == dict.fromkeys((axis.id for axis in axes), 5)
    assert all(p.id in {f"{p.value}-{k}" for k in range(1, 6)} for p in bundled)


def test_no_persona_names_a_value():
    axes = load_taxonomy("schwartz20").axes
    ids = {axis.id for axis in axes}
    for persona in personas():
        words = {word.strip(".,;:'\"!?") for word in persona.text.split()}
        assert not words & ids, persona.id
        assert not [axis.name for axis in axes if axis.name.lower() in persona.text.lower()], (
            persona.id
        )
        assert persona.text.startswith("You "), persona.id
