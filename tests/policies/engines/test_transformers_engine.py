"""The in-process engine against full forward passes of a tiny random llama, and what it counts and
refuses.
"""

import asyncio
import functools
import gc
import json
import random
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from valueagents.contracts.policy import View
from valueagents.errors import ConfigError, PolicyError, PromptTooLong
from valueagents.policies.engines import Chat, Message, ScoreReply, ScoreRequest
from valueagents.policies.engines.transformers import scoring
from valueagents.policies.engines.transformers.engine import TransformersEngine
from valueagents.policies.engines.transformers.forward import Forward
from valueagents.policies.engines.transformers.prefix import Prefix
from valueagents.policies.models import ModelFiles
from valueagents.policies.prompts import load_prompt
from valueagents.policies.readings import LabelReading, LikelihoodReading

WINDOW = 512
Ask = Callable[..., list[ScoreReply]]
Naive = Callable[[Path, ScoreRequest], list[list[float]]]
PromptIds = Callable[[Path, Chat], list[int]]
LETTERS = ("A", "B", "C")
SENTENCES = (
    "Give it back.",
    "Keep it",
    "Ask the neighbour whose coat it is, and wait – quietly – for an answer.\nThen go.",
)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of tokens that each forward pass of the engine was needed for, from here on.

    Where rows differ in length, places are filled with padding or with tokens that are read again;
    none is added.
    """
    forward, needed, passes = Forward.__call__, Prefix.predict, []

    @functools.wraps(needed)
    def counted(self, rows, pieces, *, keep):
        passes.append(sum(map(len, pieces)))
        longest.append(max(map(len, pieces)))
        return needed(self, rows, pieces, keep=keep)

    @functools.wraps(forward)
    def measured(self, texts, width, held, *, keep):
        assert width == longest[-1]
        return forward(self, texts, width, held, keep=keep)

    longest: list[int] = []
    monkeypatch.setattr(Prefix, "predict", counted)
    monkeypatch.setattr(Forward, "__call__", measured)
    return passes


def _chat(*texts: str, task: str = "Decide what you do.") -> Chat:
    """A task, then user and assistant in turn."""
    roles = ["user", "assistant"] * len(texts)
    return (
        Message("system", task),
        *(Message(role, text) for role, text in zip(roles, texts, strict=False)),
    )


def _many(tasks: int = 1) -> list[ScoreRequest]:
    """Twelve requests of different lengths, kinds and numbers of options."""
    rng = random.Random(5)
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
    requests = []
    for i in range(12):
        texts = [
            " ".join(rng.choices(words, k=rng.randint(1, 14))) for _ in range(rng.choice([0, 2]))
        ]
        ends = [" ".join(rng.choices(words, k=rng.randint(1, 14))) for _ in range(1 + i % 3)]
        chats = tuple(_chat(*texts, end, task=f"{chr(97 + i % tasks)}: decide.") for end in ends)
        requests.append(ScoreRequest(chats, LETTERS if i % 2 else SENTENCES[: 1 + i % 3]))
    return requests


def _assert_equal(reply: ScoreReply, expected: list[list[float]]) -> None:
    assert [len(row) for row in reply.logprobs] == [len(row) for row in expected]
    for row, wanted in zip(reply.logprobs, expected, strict=True):
        assert row == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(
    "continuations", [("A",), LETTERS, SENTENCES, ("A", "A b", "A b c"), ("A", SENTENCES[2])]
)
@pytest.mark.parametrize("chats", [1, 3])
def test_a_request_alone_is_scored_as_by_full_passes(
    tiny_model: Path, ask: Ask, naive: Naive, continuations: tuple[str, ...], chats: int
):
    request = ScoreRequest(
        tuple(_chat("You find a coat. " * r + "Now?") for r in range(1, chats + 1)), continuations
    )
    _assert_equal(ask(tiny_model, request)[0], naive(tiny_model, request))


def test_requests_in_one_batch_are_scored_as_by_full_passes(
    tiny_model: Path, ask: Ask, naive: Naive, computed: list[int]
):
    replies = ask(tiny_model, *_many())
    assert len(computed) <= 3  # the task, the situations, the tails: one batch indeed
    for request, reply in zip(_many(), replies, strict=True):
        _assert_equal(reply, naive(tiny_model, request))


@pytest.mark.parametrize("batch_tokens", [1, 300, 1000])
def test_small_batches_give_the_same_scores(
    tiny_model: Path, ask: Ask, naive: Naive, batch_tokens: int
):
    replies = ask(tiny_model, *_many(), batch_tokens=batch_tokens)
    for request, reply in zip(_many(), replies, strict=True):
        _assert_equal(reply, naive(tiny_model, request))


def test_logits_too_large_for_one_pass_are_computed_in_several(
    tiny_model: Path, ask: Ask, naive: Naive, monkeypatch: pytest.MonkeyPatch, computed: list[int]
):
    monkeypatch.setattr(scoring, "_LOGITS_A_PASS", 20_000)
    replies = ask(tiny_model, *_many())
    assert len(computed) > 4
    for request, reply in zip(_many(), replies, strict=True):
        _assert_equal(reply, naive(tiny_model, request))


def test_many_equal_requests_are_scored_as_one(
    tiny_model: Path, ask: Ask, naive: Naive, computed: list[int]
):
    request = ScoreRequest((_chat("Now?"),), SENTENCES)
    replies = ask(tiny_model, *[request] * 5)
    for reply in replies:
        _assert_equal(reply, naive(tiny_model, request))
    spent = [reply.prompt_tokens - reply.cached_tokens for reply in replies]
    assert spent == [sum(computed), 0, 0, 0, 0]


def test_without_a_chat_template_the_texts_are_scored_as_they_stand(
    plain_model: Path, ask: Ask, naive: Naive
):
    for request, reply in zip(_many(), ask(plain_model, *_many()), strict=True):
        _assert_equal(reply, naive(plain_model, request))


def test_jobs_with_nothing_in_common_are_scored_as_by_full_passes(
    plain_model: Path, ask: Ask, naive: Naive
):
    requests = [*_many(tasks=12), ScoreRequest(((Message("user", ""),),), SENTENCES)]
    for request, reply in zip(requests, ask(plain_model, *requests), strict=True):
        _assert_equal(reply, naive(plain_model, request))


@pytest.mark.parametrize("continuations", [LETTERS, SENTENCES])
def test_chats_of_one_request_with_nothing_in_common_are_scored_as_by_full_passes(
    plain_model: Path, ask: Ask, naive: Naive, continuations: tuple[str, ...]
):
    chats = (
        _chat("Now?", task="One task."),
        _chat("You find a coat. " * 5, task="Another."),
        _chat("X", task="!"),
    )
    request = ScoreRequest(chats, continuations)
    _assert_equal(ask(plain_model, request)[0], naive(plain_model, request))


def test_a_prompt_of_one_token_is_scored_as_by_full_passes(
    plain_model: Path, ask: Ask, naive: Naive
):
    request = ScoreRequest(((Message("user", ""),),), SENTENCES)
    _assert_equal(ask(plain_model, request)[0], naive(plain_model, request))


def test_one_chat_may_continue_another(plain_model: Path, ask: Ask, naive: Naive):
    request = ScoreRequest(
        ((Message("user", "A"),), (Message("user", "A\nA\nA"),)), ("A\nA", "A", "B")
    )
    _assert_equal(ask(plain_model, request)[0], naive(plain_model, request))


def test_a_reply_counts_the_tokens_of_every_continuation(
    tiny_model: Path, ask: Ask, prompt_ids: PromptIds
):
    [reply] = ask(tiny_model, ScoreRequest((_chat("Now?"),), SENTENCES))
    before = len(prompt_ids(tiny_model, _chat("Now?")))
    rows = [before + n - 1 for n in reply.tokens]
    assert reply.prompt_tokens == sum(rows)
    one_letter = ask(tiny_model, ScoreRequest((_chat("Now?"),), ("A", "B")))[0]
    assert one_letter.tokens == (1, 1)


def test_labels_without_rotations_cost_exactly_one_prefill(
    tiny_model: Path, ask: Ask, prompt_ids: PromptIds, dilemma: View, computed: list[int]
):
    prompt = load_prompt("choose-1")
    [request] = LabelReading(LabelReading.Options(rotations="none")).requests(prompt, dilemma)
    [reply] = ask(tiny_model, request)
    listing = len(prompt_ids(tiny_model, prompt.listing(dilemma, dilemma.menu)))
    assert reply.prompt_tokens - reply.cached_tokens == listing
    assert sum(computed) == listing


def test_a_likelihood_request_computes_its_prompt_once(
    tiny_model: Path, ask: Ask, prompt_ids: PromptIds, dilemma: View, computed: list[int]
):
    prompt = load_prompt("choose-1")
    [request, _] = LikelihoodReading(LikelihoodReading.Options(normaliser="sum")).requests(
        prompt, dilemma
    )
    [reply] = ask(tiny_model, request)
    before = len(prompt_ids(tiny_model, prompt.open_question(dilemma)))
    assert reply.prompt_tokens == sum(before + n - 1 for n in reply.tokens)
    assert reply.prompt_tokens - reply.cached_tokens == before - 1 + sum(reply.tokens)
    assert sum(computed) == before - 1 + sum(reply.tokens)


def test_rotations_compute_the_situation_once(
    tiny_model: Path, ask: Ask, dilemma: View, computed: list[int]
):
    [request] = LabelReading().requests(load_prompt("choose-1"), dilemma)
    [reply] = ask(tiny_model, request)
    assert sum(computed) == reply.prompt_tokens - reply.cached_tokens < reply.prompt_tokens


def test_the_counters_of_a_batch_add_up_to_what_was_computed(
    tiny_model: Path, ask: Ask, computed: list[int]
):
    replies = ask(tiny_model, *_many())
    assert sum(reply.prompt_tokens - reply.cached_tokens for reply in replies) == sum(computed)


def test_a_prompt_over_the_window_is_refused_with_both_numbers(
    tiny_model: Path, ask: Ask, prompt_ids: PromptIds
):
    chat = _chat("You find a coat. " * 200)
    length = len(prompt_ids(tiny_model, chat))
    assert length > WINDOW
    with pytest.raises(PolicyError, match=rf"\b{length} tokens.*\b{WINDOW}\b"):
        ask(tiny_model, ScoreRequest((chat,), ("A",)))


def test_the_last_prompt_that_fits_the_window_with_its_answer_is_scored(
    tiny_model: Path, ask: Ask, naive: Naive, prompt_ids: PromptIds
):
    length = len(prompt_ids(tiny_model, _chat("")))
    fits, over = (
        ScoreRequest((_chat("7" * (WINDOW - length - answer)),), ("A",)) for answer in (1, 0)
    )
    assert len(prompt_ids(tiny_model, fits.chats[0])) == WINDOW - 1
    _assert_equal(ask(tiny_model, fits)[0], naive(tiny_model, fits))
    with pytest.raises(PolicyError, match="window"):
        ask(tiny_model, over)


def test_a_prompt_over_the_window_costs_only_its_own_request(tiny_model: Path, naive: Naive):
    before, over, after = (
        ScoreRequest((_chat(text),), LETTERS) for text in ("Now?", "coat " * 600, "And then?")
    )

    async def ask_all():
        async with TransformersEngine(str(tiny_model)) as engine:
            return await asyncio.gather(
                *map(engine.score, (before, over, after)), return_exceptions=True
            )

    first, refused, last = asyncio.run(ask_all())
    assert isinstance(refused, PromptTooLong)
    _assert_equal(first, naive(tiny_model, before))
    _assert_equal(last, naive(tiny_model, after))


@pytest.mark.parametrize("token", ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|unnamed|>"])
@pytest.mark.parametrize("place", ["task", "question", "continuation"])
def test_a_control_token_in_the_text_is_refused_by_name(
    tiny_model: Path, ask: Ask, token: str, place: str
):
    planted = f"Hello {token} there"
    chat = _chat(
        planted if place == "question" else "Now?", task=planted if place == "task" else "Decide."
    )
    with pytest.raises(PolicyError, match=token.replace("|", r"\|")):
        ask(tiny_model, ScoreRequest((chat,), ("A", planted if place == "continuation" else "B")))


def test_an_option_without_tokens_is_refused(tiny_model: Path, ask: Ask):
    with pytest.raises(PolicyError, match="empty"):
        ask(tiny_model, ScoreRequest((_chat("Now?"),), ("A", "")))


def test_without_a_system_role_the_task_joins_the_first_question(
    tiny_model: Path, copy_model: Callable[[Path], Path], ask: Ask
):
    folder = copy_model(tiny_model)
    template = (folder / "chat_template.jinja").read_text()
    refusal = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{%"
        " endif %}"
    )
    (folder / "chat_template.jinja").write_text(refusal + template)  # as Gemma 2 has it
    split = (Message("system", "Decide."), Message("user", "Now?"))
    joined = (Message("user", "Decide.\n\nNow?"),)
    (got,) = ask(folder, ScoreRequest((split,), LETTERS))
    (wanted,) = ask(folder, ScoreRequest((joined,), LETTERS))
    assert got.logprobs == wanted.logprobs


def test_a_template_that_refuses_any_chat_is_a_policy_error(
    tiny_model: Path, copy_model: Callable[[Path], Path], ask: Ask
):
    folder = copy_model(tiny_model)
    (folder / "chat_template.jinja").write_text("{{ raise_exception('No chats today') }}")
    with pytest.raises(PolicyError, match="No chats today"):
        ask(folder, ScoreRequest((_chat("Now?"),), LETTERS))


def test_a_template_that_makes_nothing_of_the_chat_is_a_policy_error(
    tiny_model: Path, copy_model: Callable[[Path], Path], ask: Ask
):
    folder = copy_model(tiny_model)
    (folder / "chat_template.jinja").write_text("{# nothing #}")
    with pytest.raises(PolicyError, match="does not show the task"):
        ask(folder, ScoreRequest((_chat("Now?"),), LETTERS))


def test_an_engine_that_is_not_entered_says_so(tiny_model: Path):
    with pytest.raises(PolicyError, match="async with"):
        asyncio.run(
            TransformersEngine(str(tiny_model)).score(ScoreRequest((_chat("Now?"),), LETTERS))
        )


def test_an_engine_that_was_left_says_so(tiny_model: Path):
    async def ask_too_late():
        async with TransformersEngine(str(tiny_model)) as engine:
            pass
        await asyncio.wait_for(engine.score(ScoreRequest((_chat("Now?"),), LETTERS)), timeout=0.3)

    with pytest.raises(PolicyError, match="async with"):
        asyncio.run(ask_too_late())


def test_an_engine_can_be_entered_again(tiny_model: Path):
    async def ask_twice() -> list[ScoreReply]:
        engine, replies = TransformersEngine(str(tiny_model)), []
        for _ in range(2):
            async with engine:
                replies.append(await engine.score(ScoreRequest((_chat("Now?"),), LETTERS)))
        return replies

    first, second = asyncio.run(ask_twice())
    assert first.logprobs == second.logprobs


def test_leaving_the_engine_lets_the_model_go(tiny_model: Path, monkeypatch: pytest.MonkeyPatch):
    import transformers

    made, make = [], transformers.LlamaForCausalLM.__init__

    @functools.wraps(make)
    def watched(self, *args, **kwargs):
        made.append(weakref.ref(self))
        make(self, *args, **kwargs)

    monkeypatch.setattr(transformers.LlamaForCausalLM, "__init__", watched)
    engine, before = TransformersEngine(str(tiny_model)), _threads()

    async def enter_and_leave():
        async with engine:
            await engine.score(ScoreRequest((_chat("Now?"),), LETTERS))

    asyncio.run(enter_and_leave())
    for thread in _threads() - before:
        thread.join(timeout=5)
    gc.collect()
    assert [ref() is None for ref in made] == [True]


def test_a_failed_load_is_a_policy_error_and_leaves_no_thread(
    tiny_model: Path, copy_model: Callable[[Path], Path], ask: Ask
):
    folder = copy_model(tiny_model)
    (folder / "config.json").write_text('{"model_type": "no-such-architecture"}')
    before = _threads()
    with pytest.raises(PolicyError, match="cannot be loaded"):
        ask(folder, ScoreRequest((_chat("Now?"),), LETTERS))
    for thread in _threads() - before:
        thread.join(timeout=2)
    assert _threads() <= before


@pytest.mark.parametrize(
    ("field", "value"), [("use_cache", None), ("hidden_size", "many"), ("vocab_size", 1e308)]
)
def test_a_configuration_of_wrong_types_is_a_policy_error_of_one_line(
    tiny_model: Path, copy_model: Callable[[Path], Path], field: str, value: Any
):
    folder = copy_model(tiny_model)
    config = json.loads((folder / "config.json").read_text()) | {field: value}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(PolicyError, match=f"cannot be loaded: .*{field}") as refused:
        ModelFiles(str(folder), folder).window()
    assert "\n" not in str(refused.value)


def test_torn_weights_are_a_policy_error(
    tiny_model: Path, copy_model: Callable[[Path], Path], ask: Ask
):
    weights = copy_model(tiny_model) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(PolicyError, match="cannot be loaded"):
        ask(weights.parent, ScoreRequest((_chat("Now?"),), LETTERS))


def test_weights_that_lack_a_tensor_are_a_policy_error_not_random_numbers(
    tiny_model: Path, copy_model: Callable[[Path], Path], ask: Ask
):
    from safetensors.torch import load_file, save_file

    weights = copy_model(tiny_model) / "model.safetensors"
    tensors = load_file(weights)
    del tensors["model.layers.1.mlp.down_proj.weight"]
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(PolicyError, match="cannot be loaded"):
        ask(weights.parent, ScoreRequest((_chat("Now?"),), LETTERS))


def test_a_model_without_a_tokenizer_is_a_policy_error(
    tiny_model: Path, copy_model: Callable[[Path], Path], ask: Ask
):
    folder = copy_model(tiny_model)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises((ConfigError, PolicyError), match=r"tokenizer|cannot be loaded"):
        ask(folder, ScoreRequest((_chat("Now?"),), LETTERS))


def test_code_in_a_models_folder_is_never_run(
    tiny_model: Path, copy_model: Callable[[Path], Path], ask: Ask
):
    folder = copy_model(tiny_model)
    trace = folder / "was-run"
    (folder / "modeling_own.py").write_text(f"open({str(trace)!r}, 'w').close()\nclass Own: pass\n")
    auto_map = {"AutoConfig": "modeling_own.Own", "AutoModelForCausalLM": "modeling_own.Own"}
    (folder / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": auto_map}))
    with pytest.raises(PolicyError, match="cannot be loaded"):
        ask(folder, ScoreRequest((_chat("Now?"),), LETTERS))
    assert not trace.exists()


def test_a_gpu_that_is_not_there_is_a_config_error(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="device=cpu"):
        TransformersEngine(str(tiny_model), TransformersEngine.Options(device="cuda"))


def test_auto_means_float32_on_a_cpu_and_bfloat16_on_a_gpu(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert TransformersEngine(str(tiny_model)).identity()["dtype"] == "float32"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert TransformersEngine(str(tiny_model)).identity()["dtype"] == "bfloat16"


def test_bfloat16_is_computed_and_near(tiny_model: Path, ask: Ask, naive: Naive):
    request = ScoreRequest((_chat("Now?"),), LETTERS)
    [reply] = ask(tiny_model, request, dtype="bfloat16")
    exact = naive(tiny_model, request)[0]
    assert reply.logprobs[0] == pytest.approx(exact, abs=0.5)
    assert reply.logprobs[0] != pytest.approx(exact, abs=1e-4)


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "transformers engine"}
