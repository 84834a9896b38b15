"""Language-model policies: from a spec string to recorded choices, and no annotation in any
token.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from valueagents.contracts.decision import Choice
from valueagents.contracts.plugins import make_policy
from valueagents.contracts.policy import View
from valueagents.errors import ConfigError, PolicyError
from valueagents.policies.engines import (
    Engine,
    GenerateReply,
    GenerateRequest,
    ScoreReply,
    ScoreRequest,
)
from valueagents.policies.engines.transformers.engine import TransformersEngine
from valueagents.policies.language import LanguagePolicy
from valueagents.policies.prompts import load_prompt
from valueagents.policies.readings import LabelReading, LikelihoodReading, ReadingMode, ScoreReading
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run

PLANTED = "xyzzy"
HEADER = {
    "format": "valueagents-items",
    "version": 1,
    "taxonomy": "schwartz20",
    "task": "Decide what you do.",
    "provenance": f"{PLANTED}-provenance",
    "scaling": f"{PLANTED}-scaling",
}


class _ScriptedEngine(Engine):
    """Answers every chat with the same log-probabilities, ten tokens a request."""

    live = 7

    can = frozenset({"score"})

    def __init__(self, logprobs: Sequence[float]) -> None:
        self.logprobs, self.asked, self.entered = tuple(logprobs), [], 0

    def identity(self) -> dict[str, str]:
        return {"engine": "scripted/1"}

    async def __aenter__(self):
        self.entered += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self.entered -= 1

    async def score(self, request: ScoreRequest) -> ScoreReply:
        self.asked.append(request)
        return ScoreReply((self.logprobs,) * len(request.chats), (1,) * len(self.logprobs), 10, 4)

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        raise NotImplementedError


def _decide(engine: Engine, reading: ReadingMode, view: View, pick: str = "draw") -> Choice:
    return asyncio.run(
        LanguagePolicy(engine, load_prompt("choose-1"), _picking(reading, pick)).decide(view)
    )


def _picking(reading: ScoreReading, pick: str) -> ScoreReading:
    reading.pick = pick
    return reading


def _data_file(folder: Path, texts: Sequence[str]) -> Path:
    """A bank of items with two options each; ids, setting, cluster and header hold the planted
    word.
    """
    lines = [HEADER]
    for i, text in enumerate(texts):
        options = [
            {
                "id": f"{PLANTED}-a",
                "text": f"Give back number {i}.",
                "values": {"BEC": 1, "HED": -1},
            },
            {
                "id": f"{PLANTED}-b",
                "text": f"Keep number {i}.",
                "values": {"HED": 0.5, "ACH": None},
            },
        ]
        item = {"id": f"{PLANTED}-{i}", "text": text, "options": options}
        lines.append({**item, "setting": f"{PLANTED}-home", "cluster": f"{PLANTED}-post"})
    file = folder / "items.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def _run(model: Path, data: Path, out: Path, options: str = "") -> Run:
    spec = f"transformers:{model}{options}"
    return execute(
        RunConfig(env="valueagents/Dilemma-v0", env_options={"data": str(data)}, policy=spec), out
    )


@pytest.fixture
def tokenized(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that a tokenizer makes tokens of, from here on."""
    import transformers

    base, texts = transformers.tokenization_utils_base.PreTrainedTokenizerBase, []
    encode = base.__call__

    def recorded(self, text, *args, **kwargs):
        texts.append(text)
        return encode(self, text, *args, **kwargs)

    monkeypatch.setattr(base, "__call__", recorded)
    return texts


@pytest.mark.parametrize(
    "options", ["", "?rotations=none", "?reading=likelihood", "?reading=likelihood&normaliser=pmi"]
)
def test_no_annotation_and_no_id_reaches_a_token(
    tiny_model: Path, tmp_path: Path, out: Path, tokenized: list[str], options: str
):
    texts = ["You find a coat on your chair.", "It rains."]
    played = _run(tiny_model, _data_file(tmp_path, texts), out, options)
    assert len(played.episodes()) == 2
    words = "\n".join(tokenized)
    for shown in (*texts, "Give back number 0.", "Keep number 1.", "Decide what you do."):
        assert shown in words  # the recording is not empty
    assert PLANTED in str(played.episodes())  # and the words to look for are in the run
    assert PLANTED not in words
    axes = played.header.taxonomy.axes
    for marker in [m for axis in axes for m in (axis.id, axis.name)]:
        assert not re.search(rf"\b{re.escape(marker)}\b", words, re.IGNORECASE)


def test_a_run_records_what_the_model_said(tiny_model: Path, tmp_path: Path, out: Path):
    played = _run(tiny_model, _data_file(tmp_path, ["One.", "Two.", "Three."]), out)
    assert played.failed() == []
    for episode in played.episodes():
        [decision] = episode.decisions
        choice = decision.choice
        assert sum(choice.probabilities) == pytest.approx(1, abs=1e-9)
        assert sum(choice.position_probabilities) == pytest.approx(1, abs=1e-9)
        assert 0 < choice.mass <= 1
        assert choice.reading == "drawn"
        assert 0 < choice.cached_tokens < choice.prompt_tokens
        assert decision.chosen is not None


def test_a_repeated_run_loads_no_model(
    tiny_model: Path, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
):
    data = _data_file(tmp_path, ["One.", "Two."])
    before = _run(tiny_model, data, out).episodes()
    monkeypatch.setattr(TransformersEngine, "__aenter__", lambda _: pytest.fail("loaded"))
    assert _run(tiny_model, data, out).episodes() == before


def test_the_same_run_elsewhere_gives_the_same_choices(
    tiny_model: Path, copy_model: Callable[[Path], Path], tmp_path: Path
):
    data = _data_file(tmp_path, ["One.", "Two.", "Three."])
    here, there = (
        _run(m, data, tmp_path / str(i)) for i, m in enumerate([tiny_model, copy_model(tiny_model)])
    )
    assert [e.identity for e in here.episodes()] == [e.identity for e in there.episodes()]
    for one, other in zip(here.episodes(), there.episodes(), strict=True):
        assert one.decisions[0].choice.option == other.decisions[0].choice.option


def test_an_item_over_the_window_is_one_failed_episode_with_both_numbers(
    tiny_model: Path, tmp_path: Path, out: Path
):
    played = _run(tiny_model, _data_file(tmp_path, ["One.", "word " * 900, "Three."]), out)
    assert [e.situation for e in sorted(played.episodes(), key=lambda e: e.situation)] == [
        "xyzzy-0",
        "xyzzy-2",
    ]
    [failure] = played.failed()
    assert (failure.situation, failure.error) == ("xyzzy-1", "PromptTooLong")
    assert re.search(r"prompt of \d{3,} tokens.*512", failure.message)


def test_a_control_token_in_an_option_is_a_failed_episode_in_every_reading(
    tiny_model: Path, tmp_path: Path
):
    data = _data_file(tmp_path, ["One.", "Two."])
    data.write_text(data.read_text().replace("Keep number 1.", "Keep it.<|im_end|>"))
    for reading in ("label", "likelihood"):
        played = _run(tiny_model, data, tmp_path / reading, f"?reading={reading}")
        assert [(f.situation, f.error) for f in played.failed()] == [("xyzzy-1", "PolicyError")], (
            reading
        )


def test_an_unknown_model_stops_a_run_before_its_directory_is_made(tmp_path: Path, out: Path):
    with pytest.raises(ConfigError, match="Did you mean 'smollm2-135m'"):
        _run(Path("smollm2-135"), _data_file(tmp_path, ["One."]), out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("readng=label", "unknown option of transformers 'readng'.*Did you mean 'reading'"),
        ("prompt=choose1", "unknown prompt 'choose1'.*Did you mean 'choose-1'"),
        (
            "reading=labels",
            r"unknown reading 'labels'\. Did you mean 'label'\? Known: label, likelihood, sample, say,",
        ),
        ("reading=likelihood&normaliser=tokens", r"normaliser=tokens.*\btoken\b"),
        ("rotations=al", r"rotations=al.*\ball\b"),
        ("pick=argmin", r"pick=argmin.*\bargmax\b"),
        ("dtype=float23", r"dtype=float23.*\bfloat32\b"),
        ("device=cude", r"device=cude.*\bcuda\b"),
        ("batch_tokens=many", "batch_tokens=many.*int"),
        ("batch_tokens=0", "batch_tokens=0.*1"),
        ("batch_tokens=-5", "batch_tokens=-5.*1"),
        ("reading", "name=value"),
    ],
)
def test_a_wrong_option_is_a_config_error_with_what_is_right(options: str, message: str):
    with pytest.raises(ConfigError, match=message):
        make_policy(f"transformers:smollm2-135m?{options}")


def test_a_policy_needs_a_model():
    for spec in ("transformers", "transformers:", "transformers:?reading=label"):
        with pytest.raises(ConfigError, match="transformers:TARGET"):
            make_policy(spec)


def test_making_a_policy_finds_and_loads_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "valueagents.policies.engines.local.find_model", lambda *_: pytest.fail("looked")
    )
    assert isinstance(make_policy("transformers:no/such-model"), LanguagePolicy)


def test_every_option_that_decides_an_answer_is_in_the_identity(tiny_model: Path):
    options = [
        "",
        "?rotations=none",
        "?pick=argmax",
        "?dtype=bfloat16",
        "?reading=likelihood",
        "?reading=likelihood&normaliser=sum",
        "?reading=likelihood&normaliser=pmi",
    ]
    identities = [make_policy(f"transformers:{tiny_model}{o}").identity() for o in options]
    assert len({tuple(sorted(identity.items())) for identity in identities}) == len(options)
    assert [each.split()[0] for each in identities[0]["prompt"].split(", ")] == [
        f"choose-{k}" for k in range(2, 8)
    ]


def test_what_decides_no_answer_is_not_in_the_identity(
    tiny_model: Path, copy_model: Callable[[Path], Path]
):
    identity = make_policy(f"transformers:{tiny_model}").identity()
    for spec in (
        f"{tiny_model}?batch_tokens=100",
        f"{tiny_model}?dtype=float32&device=cpu",
        str(copy_model(tiny_model)),
    ):
        assert make_policy(f"transformers:{spec}").identity() == identity
    assert not any(
        str(tiny_model) in value or tiny_model.name in value for value in identity.values()
    )


def test_a_changed_model_is_another_policy(tiny_model: Path, plain_model: Path):
    assert (
        make_policy(f"transformers:{tiny_model}").identity()
        != make_policy(f"transformers:{plain_model}").identity()
    )


def test_choices_are_drawn_from_the_probabilities(dilemma: View):
    policy = LanguagePolicy(
        _ScriptedEngine([-1.0, -2.0, -4.0]),
        load_prompt("choose-1"),
        LabelReading(LabelReading.Options(rotations="none")),
    )

    async def ask_all() -> list[Choice]:
        return [
            await policy.decide(msgspec.structs.replace(dilemma, seed=seed)) for seed in range(1500)
        ]

    choices = asyncio.run(ask_all())
    drawn = Counter(choice.option for choice in choices)
    assert {choice.reading for choice in choices} == {"drawn"}
    for option, p in zip(dilemma.menu, choices[0].probabilities, strict=True):
        assert abs(drawn[option.id] - 1500 * p) < 4 * (1500 * p * (1 - p)) ** 0.5


def test_argmax_takes_the_most_probable_whatever_the_seed(dilemma: View):
    for seed in range(20):
        view = msgspec.structs.replace(dilemma, seed=seed)
        choice = _decide(
            _ScriptedEngine([-2.0, -1.0, -1.1]),
            LabelReading(LabelReading.Options(rotations="none")),
            view,
            "argmax",
        )
        assert (choice.option, choice.reading) == (dilemma.menu[1].id, "argmax")


def test_the_same_seed_draws_the_same_option(dilemma: View):
    engine = _ScriptedEngine([-1.0, -1.0, -1.0])
    assert (
        len(
            {
                _decide(
                    engine, LabelReading(LabelReading.Options(rotations="none")), dilemma
                ).option
                for _ in range(5)
            }
        )
        == 1
    )


@pytest.mark.parametrize(("normaliser", "requests"), [("token", 1), ("pmi", 2)])
def test_the_tokens_of_all_requests_are_counted(dilemma: View, normaliser: str, requests: int):
    engine = _ScriptedEngine([-1.0, -2.0, -3.0])
    choice = _decide(
        engine,
        LikelihoodReading(LikelihoodReading.Options(normaliser=normaliser, beside="free")),
        dilemma,
    )
    assert len(engine.asked) == requests
    assert (choice.prompt_tokens, choice.cached_tokens) == (10 * requests, 4 * requests)
    assert choice.position_probabilities is None


def test_an_engines_error_is_the_policys(dilemma: View):
    class Failing(_ScriptedEngine):
        async def score(self, request: ScoreRequest) -> ScoreReply:
            raise PolicyError("the window is full")

    with pytest.raises(PolicyError, match="the window is full"):
        _decide(
            Failing([0.0]), LikelihoodReading(LikelihoodReading.Options(normaliser="pmi")), dilemma
        )


def test_a_policy_enters_and_leaves_its_engine():
    engine = _ScriptedEngine([-1.0])
    policy = LanguagePolicy(engine, load_prompt("choose-1"), LabelReading())

    async def enter() -> tuple[bool, int]:
        async with policy as entered:
            return entered is policy, engine.entered

    assert asyncio.run(enter()) == (True, 1)
    assert engine.entered == 0
    assert policy.live == engine.live


def test_an_estimate_grows_with_the_text_and_is_none_without_ground():
    engine = _ScriptedEngine([-1.0])
    policy = LanguagePolicy(engine, load_prompt("choose-1"), LabelReading())
    assert policy.estimate_s(10, 4000) is None  # the engine knows no speed
    engine.tokens_per_s = 100.0
    assert policy.estimate_s(10, None) is None
    once, twice = policy.estimate_s(10, 4000), policy.estimate_s(20, 8000)
    assert 10 <= once <= 30  # 1,000 tokens at 100 a second, some of them more than once
    assert twice == pytest.approx(2 * once)
