"""Real vLLM in this process beside the transformers engine, with adapters, in float32.

`make vllm-test` runs it.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from valueagents.errors import ConfigError, PolicyError
from valueagents.measuring.scores import score
from valueagents.policies.engines import Engine, GenerateRequest, Message, Sampling, ScoreRequest
from valueagents.policies.engines.spoken import SpokenCheck
from valueagents.policies.engines.transformers.engine import TransformersEngine
from valueagents.policies.engines.vllm import thread
from valueagents.policies.engines.vllm.asks import SequenceAnswer, SequenceAsk
from valueagents.policies.engines.vllm.engine import VllmEngine
from valueagents.policies.engines.vllm.options import VllmOptions
from valueagents.policies.models import EMBEDDED, find_model
from valueagents.running.execution import RunConfig, execute

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("vllm") is None, reason="vLLM is not installed here: make vllm-test"
    ),
    pytest.mark.filterwarnings("ignore"),  # vLLM's own, of which there are many
]

T = TypeVar("T")
TOLERANCE = 1e-3  # nats, in a sum over up to 25 tokens
DECISIONS = 200
ADAPTED_DECISIONS = (
    40  # vLLM gathers LoRA weights token by token on a CPU: 200 take four minutes an adapter
)
PROBABILITY_TOLERANCE = 1e-3
E3P_TOLERANCE = 1e-3
LETTERS = ("A", "B", "C")
SENTENCES = (
    "Give it back.",
    "Keep it",
    "SequenceAsk the neighbour whose coat it is, and wait – quietly – for an answer.\nThen go.",
)
GREEDY = Sampling(temperature=0.0, max_tokens=12)


def _chat(text: str) -> tuple[Message, ...]:
    return Message("system", "Decide what you do."), Message("user", text)


def _requests(adapters: tuple[str | None, ...], count: int = 24) -> list[ScoreRequest]:
    """Of different lengths and kinds, the adapters in turn."""
    rng = random.Random(7)
    words = [
        "the coat",
        "is on",
        "a chair;",
        "nobody saw",
        "you",
        "ünd",
        "–",
        "it rains\nagain",
        "7",
    ]
    made = []
    for i in range(count):
        texts = [" ".join(rng.choices(words, k=rng.randint(1, 12))) for _ in range(1 + i % 3)]
        chats = tuple(_chat(" ".join(texts[: r + 1])) for r in range(len(texts)))
        made.append(
            ScoreRequest(chats, LETTERS if i % 2 else SENTENCES, adapters[i % len(adapters)])
        )
    return made


class Entered:
    """An engine that was entered, and a loop to ask it from."""

    def __init__(self, engine: Any) -> None:
        self.engine, self._runner = engine, asyncio.Runner()
        self.do(engine.__aenter__())

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(asyncio.wait_for(coroutine, timeout=240))

    def together(self, requests: list[ScoreRequest]) -> list[Any]:
        async def ask() -> list[Any]:
            return await asyncio.gather(*map(self.engine.score, requests), return_exceptions=True)

        return self.do(ask())

    def alone_and_mixed(self, requests: list[ScoreRequest]) -> tuple[list[Any], list[Any]]:
        """One after another and all at once, each time computed anew."""
        self.do(self.engine._thread.forget())
        alone = [self.do(self.engine.score(request)) for request in requests]
        self.do(self.engine._thread.forget())
        return alone, self.together(requests)

    def leave(self) -> None:
        self.do(self.engine.__aexit__(None, None, None))
        self._runner.close()


@pytest.fixture(scope="module")
def adapters(tiny_model: Path, make_adapter: Callable[..., Path]) -> list[str]:
    """Two adapters of the tiny model, of different rank and modules."""
    second = make_adapter(tiny_model, seed=2, rank=4, modules=("k_proj", "v_proj", "down_proj"))
    return [str(make_adapter(tiny_model, seed=1)), str(second)]


@pytest.fixture(scope="module")
def served(tiny_model: Path, adapters: list[str]) -> Iterator[Entered]:
    """vLLM with the tiny model and both adapters."""
    entered = Entered(VllmEngine(str(tiny_model), VllmOptions(spare_adapter_slot="yes"), adapters))
    yield entered
    entered.leave()


@pytest.fixture(scope="module")
def reference(tiny_model: Path, adapters: list[str]) -> Iterator[Entered]:
    """The same on transformers."""
    entered = Entered(TransformersEngine(str(tiny_model), adapters=adapters))
    yield entered
    entered.leave()


def _names(entered: Entered) -> tuple[str | None, ...]:
    return (None, *(adapter.name for adapter in entered.engine.adapters))


def _largest_difference(first: list[Any], second: list[Any]) -> float:
    return max(
        abs(a - b)
        for one, other in zip(first, second, strict=True)
        for row, its in zip(one.logprobs, other.logprobs, strict=True)
        for a, b in zip(row, its, strict=True)
    )


def test_labels_and_texts_score_as_on_transformers_with_and_without_adapters(
    served: Entered, reference: Entered
):
    requests = _requests(_names(served))
    got, wanted = served.together(requests), reference.together(requests)
    assert _largest_difference(got, wanted) < TOLERANCE
    assert [reply.tokens for reply in got] == [reply.tokens for reply in wanted]
    assert [reply.prompt_tokens for reply in got] == [reply.prompt_tokens for reply in wanted]


def test_adapters_change_the_answers(served: Entered):
    base, first, second = (_requests((name,), 2) for name in _names(served))
    replies = [served.together(requests) for requests in (base, first, second)]
    assert _largest_difference(replies[0], replies[1]) > 0.01
    assert _largest_difference(replies[0], replies[2]) > 0.01
    assert _largest_difference(replies[1], replies[2]) > 0.01


def test_a_mixed_batch_answers_as_each_request_alone(served: Entered):
    alone, mixed = served.alone_and_mixed(_requests(_names(served)))
    assert [reply.cached_tokens for reply in mixed] != [reply.prompt_tokens for reply in mixed]
    assert _largest_difference(mixed, alone) < TOLERANCE


def test_what_was_forgotten_is_computed_anew(served: Entered):
    request = ScoreRequest((_chat("A coat hangs on a chair. " * 8),), LETTERS)
    for _ in range(2):
        reply = served.do(served.engine.score(request))
    assert reply.cached_tokens > reply.prompt_tokens / 2
    served.do(served.engine._thread.forget())
    assert served.do(served.engine.score(request)).cached_tokens == 0


@pytest.mark.parametrize("continuations", [LETTERS, SENTENCES])
def test_a_second_asking_gives_the_same_scores(served: Entered, continuations: tuple[str, ...]):
    chats = [
        _chat("A coat hangs on a chair. " * 8 + f"{i} {len(continuations[0])}") for i in range(4)
    ]
    requests = [ScoreRequest((chat,), continuations) for chat in chats]
    first, second = served.together(requests), served.together(requests)
    assert _largest_difference(first, second) < TOLERANCE
    if continuations == LETTERS:  # texts are computed again: the cache holds no log-probabilities
        assert all(reply.cached_tokens > reply.prompt_tokens / 2 for reply in second)


def test_labels_without_rotations_cost_one_prefill(served: Entered):
    request = ScoreRequest((_chat("Which letter, of these that nobody asked before?"),), LETTERS)
    reply = served.do(served.engine.score(request))
    assert reply.prompt_tokens - reply.cached_tokens <= len(
        served.engine._chats.prompt(request.chats[0])
    )


def test_greedy_texts_are_those_of_transformers_also_side_by_side(
    served: Entered, reference: Entered
):
    requests = [
        GenerateRequest(_chat(text), GREEDY, seed=1, adapter=name)
        for text in ("You find a coat.", "Now?")
        for name in _names(served)
    ]

    async def ask(engine: Engine) -> list[Any]:
        return await asyncio.gather(*map(engine.generate, requests))

    got, wanted = served.do(ask(served.engine)), reference.do(ask(reference.engine))
    assert [reply.text for reply in got] == [reply.text for reply in wanted]
    assert [reply.finish_reason for reply in got] == [reply.finish_reason for reply in wanted]
    assert [reply.prompt_tokens for reply in got] == [reply.prompt_tokens for reply in wanted]


def test_the_same_seed_says_the_same_and_another_something_else(served: Entered):
    def say(seed: int) -> str:
        request = GenerateRequest(_chat("You find a coat."), Sampling(max_tokens=16), seed)
        return str(served.do(served.engine.generate(request)).text)

    assert say(1) == say(1)
    assert len({say(seed) for seed in range(4)}) > 1


def test_choices_are_held_to(served: Entered):
    for seed in range(4):
        request = GenerateRequest(_chat("Which?"), Sampling(max_tokens=16), seed, SENTENCES[:2])
        assert served.do(served.engine.generate(request)).text in SENTENCES[:2]


def test_a_prompt_over_the_window_costs_only_its_own_request(served: Entered):
    good, bad = (
        ScoreRequest((_chat("Now?"),), LETTERS),
        ScoreRequest((_chat("coat " * 600),), LETTERS),
    )
    first, refused, last = served.together([good, bad, good])
    assert isinstance(refused, PolicyError)
    assert "512" in str(refused)
    assert _largest_difference([first], [last]) < TOLERANCE


def test_an_adapter_that_is_not_loaded_is_refused_by_name(served: Entered):
    with pytest.raises(PolicyError, match="no-such-adapter"):
        served.do(served.engine.score(ScoreRequest((_chat("Now?"),), LETTERS, "no-such-adapter")))


def test_without_the_spare_slot_the_self_check_stops_the_run(tiny_model: Path, adapters: list[str]):
    engine = VllmEngine(str(tiny_model), VllmOptions(spare_adapter_slot="no"), adapters)
    if engine.device != "cpu":
        pytest.skip("the remedy is for CPUs")

    async def enter() -> None:
        async with engine:
            pass

    with pytest.raises(PolicyError, match="answers differently beside others than alone"):
        asyncio.run(asyncio.wait_for(enter(), timeout=240))


def test_the_self_check_applies_the_remedy_and_says_so(
    tiny_model: Path, adapters: list[str], caplog: pytest.LogCaptureFixture
):
    engine = VllmEngine(str(tiny_model), adapters=adapters[:1])

    async def ask() -> Any:
        async with engine:
            names = (None, engine.adapters[0].name)
            requests = _requests(names, 8)
            alone = [await engine.score(request) for request in requests]
            await engine._thread.forget()
            return alone, await asyncio.gather(*map(engine.score, requests))

    alone, mixed = asyncio.run(asyncio.wait_for(ask(), timeout=240))
    assert _largest_difference(alone, mixed) < TOLERANCE
    if engine.device == "cpu":
        assert any("spare adapter slot" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("spoken", "scored", "message"),
    [
        (0.5, 0.0, "scored otherwise as the next token.*0.5 nats off.*logprobs-mode"),
        (0.0, 0.5, "scored otherwise as a text.*prompt_logprobs"),
        (float("nan"), 0.0, "scored otherwise as the next token"),
    ],
)
def test_log_probabilities_that_are_not_those_of_what_is_said_are_refused_by_setting(
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    spoken: float,
    scored: float,
    message: str,
):
    answer = thread._answer

    def changed(ask: SequenceAsk, output: Any, waited_s: float) -> SequenceAnswer:
        found = answer(ask, output, waited_s)
        told = tuple(number + spoken for number in found.told)
        return replace(found, told=told, scored=tuple(each + scored for each in found.scored))

    monkeypatch.setenv("VALUEAGENTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(thread, "_answer", changed)

    async def enter() -> None:
        async with VllmEngine(str(tiny_model)):
            pass

    with pytest.raises(PolicyError, match=rf"vLLM .*dtype=float32\) is refused: .*{message}"):
        asyncio.run(asyncio.wait_for(enter(), timeout=240))


def test_what_is_said_is_compared_once_and_again_for_longer_questions(
    tiny_model: Path, adapters: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    made, compare = [], SpokenCheck._compare

    async def counted(self: SpokenCheck, length: int, adapter: str | None) -> dict[str, float]:
        found = await compare(self, length, adapter)
        made.append((length, adapter is None, found["nats"]))
        return found

    monkeypatch.setenv("VALUEAGENTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(SpokenCheck, "_compare", counted)

    async def ask() -> None:
        engine = VllmEngine(str(tiny_model), VllmOptions(spare_adapter_slot="yes"), adapters[:1])
        async with engine:
            await engine.score(ScoreRequest((_chat("a coat, " * 40),), LETTERS))
            await engine.score(ScoreRequest((_chat("a hat, " * 40),), LETTERS))

    for _ in range(2):  # the second time everything is known
        asyncio.run(asyncio.wait_for(ask(), timeout=240))
    assert [(length, base) for length, base, _ in made][:2] == [(128, True), (128, False)]
    assert [length for length, _, _ in made[2:]] == [256]
    assert max(nats for _, _, nats in made) < TOLERANCE


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rounding_of_short_formats_is_not_taken_for_an_error(
    tiny_model: Path, dtype: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("VALUEAGENTS_CACHE", str(tmp_path / "cache"))

    async def ask() -> Any:
        async with VllmEngine(str(tiny_model), VllmOptions(dtype=dtype)) as engine:
            return await engine.score(ScoreRequest((_chat("a coat, " * 40),), LETTERS))

    assert len(asyncio.run(asyncio.wait_for(ask(), timeout=240)).logprobs[0]) == len(LETTERS)


def test_an_error_of_vllm_reaches_everybody_who_waits_and_comes_later(tiny_model: Path):
    async def ask() -> list[Any]:
        async with VllmEngine(str(tiny_model)) as engine:
            request = ScoreRequest((_chat("Now?"),), SENTENCES)
            await engine.score(request)

            def broken() -> None:
                raise RuntimeError("the model fell over")

            engine._thread._engine.step = broken
            waiting = await asyncio.gather(
                *(engine.score(request) for _ in range(5)), return_exceptions=True
            )
            later = await asyncio.gather(engine.score(request), return_exceptions=True)
            return [*waiting, *later]

    answers = asyncio.run(asyncio.wait_for(ask(), timeout=240))
    assert len(answers) == 6
    assert all(isinstance(answer, PolicyError) and "fell over" in str(answer) for answer in answers)


def test_a_model_that_cannot_be_loaded_is_one_clear_error(
    tiny_model: Path, copy_model: Callable[[Path], Path]
):
    folder = copy_model(tiny_model)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])

    async def enter() -> None:
        async with VllmEngine(str(folder)):
            pass

    with pytest.raises(PolicyError, match="vLLM cannot load the model"):
        asyncio.run(asyncio.wait_for(enter(), timeout=240))


def test_an_adapter_of_another_model_is_refused_before_loading(
    tiny_model: Path, adapters: list[str]
):
    async def enter() -> None:
        async with VllmEngine(EMBEDDED, adapters=adapters[:1]):
            pass

    with pytest.raises(ConfigError, match="its own"):
        asyncio.run(enter())


@pytest.mark.parametrize(("seed", "decisions"), [(None, DECISIONS), (1, ADAPTED_DECISIONS)])
def test_the_same_decisions_give_the_same_probabilities_and_scores_on_both_engines(
    seed: int | None, decisions: int, make_adapter: Callable[..., Path], tmp_path: Path
):
    runs = []
    chosen = (
        f"&adapter={make_adapter(find_model(EMBEDDED).folder, seed=seed)}"
        if seed is not None
        else ""
    )
    for engine in ("transformers", "vllm"):
        spare = "&spare_adapter_slot=yes" if engine == "vllm" else ""
        policy = f"{engine}:{EMBEDDED}?rotations=none{spare}{chosen}"
        config = RunConfig(env="valueagents/Dilemma-v0", policy=policy, episodes=decisions, seed=3)
        runs.append(execute(config, tmp_path / engine))
    first, second = (
        sorted(
            (row["situation"], row["repetition"], *row["probabilities"])
            for row in done.decisions().to_pylist()
        )
        for done in runs
    )
    assert len(first) == len(second) == decisions
    assert [row[:2] for row in first] == [row[:2] for row in second]
    worst = max(
        float(np.abs(np.subtract(a[2:], b[2:])).max()) for a, b in zip(first, second, strict=True)
    )
    assert worst < PROBABILITY_TOLERANCE
    pairs = zip(*(score(done).axes for done in runs), strict=True)
    estimates = [(a["E3p"].value, b["E3p"].value) for a, b in pairs]
    known = [(a, b) for a, b in estimates if a is not None and b is not None]
    assert known or decisions < DECISIONS
    assert max((abs(a - b) for a, b in known), default=0.0) < E3P_TOLERANCE
