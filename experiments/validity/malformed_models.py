"""Files that models, trainings, cards and studies leave and read again, small and correct."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from valueagents.contracts.decision import Choice, Option
from valueagents.contracts.policy import View
from valueagents.experiments.card.budget import FORMAT, CardPlan, read_plan, write_plan
from valueagents.experiments.studies.dry_run import finished_noise
from valueagents.experiments.studies.simulated_study import Noise
from valueagents.experiments.validity.durability_damage import HashingEngine
from valueagents.experiments.validity.malformed_items import Format, Words
from valueagents.policies.adapters import MANIFEST, WEIGHTS, read_adapter
from valueagents.policies.engines import ScoreReply, ScoreRequest
from valueagents.policies.engines.reply_cache import CachingEngine
from valueagents.policies.language import LanguagePolicy
from valueagents.policies.models import ModelFiles
from valueagents.policies.prompts import load_prompt
from valueagents.policies.readings import LabelReading, SayReading
from valueagents.policies.training.folder import claim
from valueagents.running.sealed import write_sealed

_REQUEST = {"base": "tiny", "target": "HED", "direction": "down", "seed": 1, "rate": 0.5}
_OPTIONS = (Option("a", "Stay."), Option("b", "Go."), Option("c", "Ask."))
_VIEWS = [View("Decide.", (), f"It is {hour} o'clock.", _OPTIONS, seed=hour) for hour in range(4)]


class _Scoring(HashingEngine):
    """Gives log-probabilities, too."""

    can = frozenset({"generate", "score", "seeds"})

    async def score(self, request: ScoreRequest) -> ScoreReply:
        """As hashes have it."""
        rows = []
        for chat in request.chats:
            digests = (
                hashlib.sha256(repr((chat, each)).encode()) for each in request.continuations
            )
            rows.append(tuple(-1 - each.digest()[0] / 100 for each in digests))
        return ScoreReply(tuple(rows), (1,) * len(request.continuations), 40, 0)


async def _answers(cache: Path) -> list[Choice]:
    """What is read from the replies in a cache."""
    found = []
    for reading in (LabelReading(), SayReading()):
        engine = CachingEngine(_Scoring(), cache)
        async with LanguagePolicy(engine, load_prompt("choose-1"), reading) as policy:
            found += [await policy.decide(view) for view in _VIEWS]
    return found


def _replies(path: str) -> object:
    choices = asyncio.run(_answers(Path(path)))
    return [(each.option, each.probabilities, each.raw) for each in choices]


def _cache(folder: Path) -> Sequence[str]:
    asyncio.run(_answers(folder / "replies.sqlite"))
    return ["replies.sqlite"]


def _model_and_adapter(folder: Path) -> Sequence[str]:
    """A tiny model of random weights and an adapter of it, as peft saves one."""
    import peft
    import torch
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=32,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
    )
    torch.manual_seed(1)
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(folder / "base")
    lora = peft.LoraConfig(
        r=1,
        lora_alpha=2,
        target_modules=["q_proj", "v_proj"],
        rank_pattern={"q_proj": 2},
        task_type="CAUSAL_LM",
    )
    peft.get_peft_model(model, lora).save_pretrained(folder / "adapter")
    base, where = _base(folder), folder / "adapter"
    name = read_adapter(str(where), base).name
    write_sealed(where / MANIFEST, {"adapter": name, "base": base.hashes(), "seed": 1})
    return [f"adapter/{each}" for each in ("adapter_config.json", WEIGHTS, MANIFEST)]


def _base(folder: Path) -> ModelFiles:
    return ModelFiles(str(folder / "base"), folder / "base")


def _model(folder: Path) -> Sequence[str]:
    _model_and_adapter(folder)
    return ["base/config.json"]


def _adapter(path: str) -> object:
    found = read_adapter(path, _base(Path(path).parent))
    return replace(found, folder=Path())


def _window(path: str) -> object:
    files = ModelFiles(path, Path(path))
    return files.hashes(), files.window()


def _training(folder: Path) -> Sequence[str]:
    claim(folder / "out-of-it", _REQUEST)
    return ["out-of-it/training.json"]


def _plan(folder: Path) -> Sequence[str]:
    write_plan(folder, CardPlan(FORMAT, {"seed": 1, "envs": {"survey": 9}}, {"survey": 4}))
    return ["card.json"]


def _noise(folder: Path) -> Sequence[str]:
    record = {"format": "valueagents-study 2", "answer": "No.", "noise": Noise(source="")}
    write_sealed(folder / "study.json", record)
    return ["study.json"]


def _read(reader: str, name: str) -> Callable[[Path], list[Words]]:
    return lambda folder: [[reader, str(folder / name)]]


_OF_PROGRAMS = [
    Format("cache of replies", _cache, _read("read-replies", "replies.sqlite")),
    Format("request of a training", _training, _read("read-training", "out-of-it")),
    Format("plan of a card", _plan, _read("read-plan", "")),
    Format("record of a study", _noise, _read("read-noise", "")),
]
_OF_PEFT = [
    Format("adapter", _model_and_adapter, _read("read-adapter", "adapter")),
    Format("configuration of a model", _model, _read("read-model", "base")),
]


def models() -> list[Format]:
    """Those that can be read here."""
    return [*_OF_PROGRAMS, *_OF_PEFT] if find_spec("peft") is not None else _OF_PROGRAMS


READERS: Mapping[str, Callable[[str], object]] = {
    "read-replies": _replies,
    "read-training": lambda path: claim(Path(path), _REQUEST),
    "read-plan": lambda path: read_plan(Path(path)),
    "read-noise": lambda path: finished_noise(Path(path)),
    "read-adapter": _adapter,
    "read-model": _window,
}
"""Of files whose commands would play or train."""
