"""Adapters that peft wrote: what is refused before weights load, what the name covers, and many on
one engine.
"""

import asyncio
import itertools
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from valueagents.envs.replay_command import replay
from valueagents.errors import ConfigError, PolicyError
from valueagents.policies.adapter_config import CONFIG
from valueagents.policies.adapters import MANIFEST, WEIGHTS, read_adapter
from valueagents.policies.engines import (
    Engine,
    GenerateReply,
    GenerateRequest,
    Message,
    Sampling,
    ScoreReply,
    ScoreRequest,
)
from valueagents.policies.engines.selfcheck import check_adapters
from valueagents.policies.engines.transformers.core import ModelCore
from valueagents.policies.engines.transformers.engine import TransformersEngine
from valueagents.policies.models import ModelFiles, find_model
from valueagents.running.runs import Run

pytestmark = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing.:FutureWarning"
)  # peft 0.21 asks for it
CHATS = tuple(
    (Message("system", "Decide."), Message("user", text))
    for text in ("Now?", "You find a coat. " * 3)
)
ANSWERS = ("A", "Give it back.")
Train = Callable[..., Path]


@pytest.fixture(scope="session")
def train(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """A PEFT folder whose matrices are random numbers of a seed."""
    import peft
    import torch
    import transformers

    def make(seed: int = 1, model: Path = tiny_model, **options: Any) -> Path:
        folder = tmp_path_factory.mktemp("adapters") / f"adapter-{seed}"
        base = transformers.AutoModelForCausalLM.from_pretrained(model)
        config = peft.LoraConfig(
            **{"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], **options}
        )
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            torch.manual_seed(seed)
            adapted = peft.get_peft_model(base, config)
            for name, parameter in adapted.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(parameter, std=0.3)
        adapted.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def adapters(train: Train) -> tuple[Path, ...]:
    """Three of different seeds and ranks."""
    return (
        train(1),
        train(2, r=2),
        train(3, target_modules=["o_proj", "down_proj"], use_rslora=True),
    )


@pytest.fixture
def copied(adapters: tuple[Path, ...], tmp_path: Path) -> Path:
    """The first of them, to be changed."""
    return Path(shutil.copytree(adapters[0], tmp_path / "copy"))


def _change_config(folder: Path, **fields: Any) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **fields}))


def _change_tensor(folder: Path, change: Callable[[Any], Any], which: int = 0) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / WEIGHTS)
    name = sorted(tensors)[which]
    tensors[name] = change(tensors[name].clone())
    save_file(tensors, folder / WEIGHTS)


def _pickled(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")


def _first_to(value: float) -> Callable[[Any], Any]:
    def change(tensor: Any) -> Any:
        tensor[0, 0] = value
        return tensor

    return change


def _changed_after_its_manifest(folder: Path) -> None:
    """As a disk would, that changes one number of a finished training."""
    (folder / MANIFEST).write_text('{"adapter": "0f"}')
    _change_tensor(folder, _first_to(0.5))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda f: (f / CONFIG).unlink(),
            "has no adapter_config.json; give the folder that peft's save_pretrained",
        ),
        (lambda f: (f / CONFIG).write_text("{"), "adapter_config.json is damaged"),
        (lambda f: (f / CONFIG).write_text("[]"), "adapter_config.json is damaged"),
        (lambda f: (f / CONFIG).write_text("\ufeff{}"), "adapter_config.json is damaged"),
        (lambda f: (f / CONFIG).write_text("[" * 5000), "adapter_config.json is damaged"),
        (lambda f: (f / CONFIG).write_bytes(b'{"a": "\xff"}'), "adapter_config.json is damaged"),
        (
            lambda f: (f / CONFIG).write_text('{"peft_type": "LORA", "r": 8, "r": 1}'),
            "adapter_config.json is damaged: the key 'r' is there twice",
        ),
        (_changed_after_its_manifest, "is not the one that its manifest.json names"),
        (
            lambda f: (f / WEIGHTS).unlink(),
            "has no adapter_model.safetensors; save it with safe_serialization=True",
        ),
        (_pickled, "adapter_model.bin can run code and is not read"),
        (lambda f: (f / WEIGHTS).write_bytes(b"\0" * 99), "adapter_model.safetensors is damaged"),
        (
            lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-9]),
            "adapter_model.safetensors is damaged",
        ),
        (lambda f: _change_config(f, use_dora=True), "has DoRA"),
        (lambda f: _change_config(f, modules_to_save=["lm_head"]), "modules_to_save"),
        (lambda f: _change_config(f, bias="lora_only"), "trains biases ('lora_only')"),
        (lambda f: _change_config(f, lora_bias=True), "has LoRA biases"),
        (lambda f: _change_config(f, layer_replication=[[0, 1]]), "repeated layers"),
        (lambda f: _change_config(f, alora_invocation_tokens=[5]), "aLoRA"),
        (lambda f: _change_config(f, peft_type="IA3"), "is of kind 'IA3'; only LORA"),
        (
            lambda f: _change_tensor(f, _first_to(float("nan"))),
            "holds numbers that are not finite; train it again",
        ),
        (
            lambda f: _change_tensor(f, _first_to(float("-inf")), 3),
            "holds numbers that are not finite",
        ),
        (
            lambda f: (f / MANIFEST).write_text('{"base": {"weights": "f00"}}'),
            "trained on a model with other weights",
        ),
        (lambda f: (f / MANIFEST).write_text("{"), "manifest.json is damaged"),
        (lambda f: (f / MANIFEST).write_text('{"base": "llama"}'), "manifest.json is damaged"),
    ],
)
def test_a_spoiled_adapter_is_refused_in_one_line_before_weights_load(
    tiny_model: Path,
    copied: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], object],
    message: str,
):
    spoil(copied)
    monkeypatch.setattr(
        "transformers.AutoModelForCausalLM.from_pretrained", lambda *_, **__: pytest.fail("loaded")
    )

    async def enter() -> None:
        async with TransformersEngine(str(tiny_model), adapters=(str(copied),)):
            pytest.fail("entered")

    with pytest.raises(ConfigError) as caught:
        asyncio.run(enter())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert repr(str(copied)) in str(caught.value)


def test_an_empty_folder_and_an_unknown_name_are_refused(tiny_model: Path, tmp_path: Path):
    base = find_model(str(tiny_model))
    with pytest.raises(ConfigError, match=r"has no adapter_config.json"):
        read_adapter(str(tmp_path), base)
    with pytest.raises(ConfigError, match=r"unknown adapter.*Give a PEFT folder or a hub id"):
        read_adapter(str(tmp_path / "nothing"), base)


def test_a_hub_id_that_cannot_be_had_is_one_line(tiny_model: Path, monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def unreachable(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("no network\nand nothing cached")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(
        ConfigError, match=r"adapter 'some/adapter' is neither a folder nor .*hub"
    ) as caught:
        read_adapter("some/adapter", find_model(str(tiny_model)))
    assert "\n" not in str(caught.value)


def test_a_repository_of_several_adapters_is_read_by_folder(
    tiny_model: Path,
    adapters: tuple[Path, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    import huggingface_hub

    shutil.copytree(adapters[0], tmp_path / "loving")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    base = find_model(str(tiny_model))
    alone = read_adapter(str(adapters[0]), base)
    assert read_adapter("some/characters/loving", base).name == alone.name
    with pytest.raises(ConfigError, match=r"adapter of some/characters.*Did you mean 'loving'"):
        read_adapter("some/characters/lovin", base)


@pytest.fixture(scope="session")
def wider_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same kind of model, 96 wide."""
    import transformers

    folder = tmp_path_factory.mktemp("models") / "wider"
    config = transformers.AutoConfig.from_pretrained(tiny_model)
    config.hidden_size = 96
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_an_adapter_of_another_base_model_is_refused_by_shape(
    train: Train, tiny_model: Path, wider_model: Path
):
    folder = train(5, model=wider_model)
    with pytest.raises(
        ConfigError,
        match=r"q_proj has shape \(4, 96\), the base model .* need \(4, 64\); use its own",
    ):
        read_adapter(str(folder), find_model(str(tiny_model)))


def test_an_adapter_of_a_smaller_model_is_refused_by_shape_and_not_as_incomplete(
    tiny_model: Path, adapters: tuple[Path, ...], tmp_path: Path
):
    import transformers

    larger = transformers.AutoConfig.from_pretrained(tiny_model)
    larger.hidden_size, larger.num_hidden_layers, larger.layer_types = 96, 3, None
    larger.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"has shape \(4, 64\), .* use its own base model"):
        read_adapter(str(adapters[0]), ModelFiles("larger", tmp_path))


def test_an_adapter_of_a_module_that_the_base_lacks_is_refused(tiny_model: Path, copied: Path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(copied / WEIGHTS)
    save_file(
        {name.replace("q_proj", "query"): tensor for name, tensor in tensors.items()},
        copied / WEIGHTS,
    )
    with pytest.raises(
        ConfigError, match=r"adapts model\.layers\.0\.self_attn\.query, which .* does not have"
    ):
        read_adapter(str(copied), find_model(str(tiny_model)))


def test_an_adapter_without_matrices_is_refused(tiny_model: Path, copied: Path):
    from safetensors.torch import save_file

    save_file({}, copied / WEIGHTS)
    with pytest.raises(ConfigError, match="holds no LoRA matrices"):
        read_adapter(str(copied), find_model(str(tiny_model)))


def test_the_manifest_of_the_right_base_model_is_believed(tiny_model: Path, copied: Path):
    base = find_model(str(tiny_model))
    (copied / MANIFEST).write_text(
        json.dumps({"base": {"weights": base.hashes()["weights"]}, "seed": 7})
    )
    assert read_adapter(str(copied), base).rank == 4


def test_rank_and_modules_are_those_of_the_tensors(tiny_model: Path, adapters: tuple[Path, ...]):
    base = find_model(str(tiny_model))
    read = [read_adapter(str(folder), base) for folder in adapters]
    assert [adapter.rank for adapter in read] == [4, 2, 4]
    assert read[0].target_modules == ("q_proj", "v_proj")
    assert read[2].target_modules == ("down_proj", "o_proj")


def test_the_name_depends_on_neither_path_nor_manifest_nor_what_changes_no_answer(
    tiny_model: Path, adapters: tuple[Path, ...], copied: Path
):
    base = find_model(str(tiny_model))
    name = read_adapter(str(adapters[0]), base).name
    assert read_adapter(str(copied), base).name == name
    (copied / MANIFEST).write_text('{"seed": 7}')
    (copied / "README.md").write_text("Mine.")
    _change_config(
        copied,
        base_model_name_or_path="elsewhere",
        target_modules=["v_proj", "q_proj"],
        lora_alpha=8.0,
        lora_dropout=0.3,
        inference_mode=False,
        alpha_pattern={},
        exclude_modules=None,
        revision="main",
    )
    assert read_adapter(str(copied), base).name == name


def test_the_name_depends_on_every_tensor_and_on_what_scales_them(
    tiny_model: Path, adapters: tuple[Path, ...], tmp_path: Path
):
    base = find_model(str(tiny_model))
    changes: list[Callable[[Path], object]] = [lambda f: None]
    changes += [lambda f, k=k: _change_tensor(f, lambda t: t + 1e-6, k) for k in range(8)]
    changes += [lambda f: _change_tensor(f, lambda t: t.double())]
    fields = {
        "lora_alpha": 9,
        "use_rslora": True,
        "alpha_pattern": {"q_proj": 3},
        "rank_pattern": {"q_proj": 4},
    }
    changes += [
        lambda f, field=field: _change_config(f, **{field: fields[field]}) for field in fields
    ]
    names = set()
    for i, change in enumerate(changes):
        folder = Path(shutil.copytree(adapters[0], tmp_path / str(i)))
        change(folder)
        names.add(read_adapter(str(folder), base).name)
    assert len(names) == len(changes)


def _everything(names: tuple[str | None, ...]) -> list[ScoreRequest]:
    """Each a text of its own length: equal ones are answered once, whatever stands beside them."""
    texts = [f"{day} days. {message.content}" for day in (1, 20, 300) for _, message in CHATS]
    chats = [(CHATS[0][0], Message("user", text)) for text in texts]
    return [ScoreRequest((chat,), ANSWERS, name) for chat in chats for name in names]


async def _load_and_score(
    model: Path, folders: tuple[Path, ...]
) -> tuple[tuple[str, ...], list[ScoreReply], list[GenerateReply]]:
    async with TransformersEngine(
        str(model), adapters=[str(folder) for folder in folders]
    ) as engine:
        names = tuple(adapter.name for adapter in engine.adapters)
        greedy = Sampling(temperature=0, max_tokens=8)
        texts = [GenerateRequest(CHATS[0], greedy, 0, (), name) for name in (None, *names)]
        replies = await asyncio.gather(
            *(engine.score(r) for r in _everything((None, *names))),
            *(engine.generate(r) for r in texts),
        )
        return names, list(replies[: -len(texts)]), list(replies[-len(texts) :])


@pytest.mark.slow
def test_many_adapters_in_one_batch_answer_as_alone_and_as_merged_weights(
    tiny_model: Path, adapters: tuple[Path, ...], tmp_path: Path, copy_model: Callable[[Path], Path]
):
    import peft
    import transformers

    names, mixed, said = asyncio.run(_load_and_score(tiny_model, adapters))
    assert len(set(names)) == 3
    count = 1 + len(adapters)
    assert len({tuple(reply.logprobs) for reply in mixed[:count]}) == count  # they do differ
    for k, folder in enumerate((None, *adapters)):
        merged = copy_model(tiny_model)
        if folder is not None:
            base = transformers.AutoModelForCausalLM.from_pretrained(tiny_model)
            peft.PeftModel.from_pretrained(base, folder).merge_and_unload().save_pretrained(merged)
        _, alone, alone_said = asyncio.run(_load_and_score(merged, ()))
        of_adapter = mixed[k::count]
        for reply, wanted in zip(of_adapter, alone, strict=True):
            assert reply.logprobs[0] == pytest.approx(wanted.logprobs[0], abs=1e-4)
        assert said[k].text == alone_said[0].text
    names, single, _ = asyncio.run(_load_and_score(tiny_model, adapters[1:2]))
    for reply, wanted in zip(single[1::2], mixed[2::count], strict=True):
        assert reply.logprobs[0] == pytest.approx(wanted.logprobs[0], abs=1e-4)


def test_an_adapter_that_is_not_loaded_is_named(tiny_model: Path):
    async def ask() -> None:
        async with TransformersEngine(str(tiny_model)) as engine:
            await engine.score(ScoreRequest((CHATS[0],), ANSWERS, "hed-down"))

    with pytest.raises(PolicyError, match="adapter 'hed-down' is not loaded"):
        asyncio.run(ask())


class _AdaptedEngine(Engine):
    """Answers by adapter; where it leaks, the base model's rows beside an adapter's get the
    adapter's answer.
    """

    live = 9
    can = frozenset({"score", "adapters"})

    def __init__(self, leak: float) -> None:
        self.leak, self.waiting = leak, []

    def identity(self) -> dict[str, str]:
        return {"engine": "adapted/1"}

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def score(self, request: ScoreRequest) -> ScoreReply:
        self.waiting.append(request.adapter)
        await asyncio.sleep(0)
        mixed = len(set(self.waiting)) > 1
        await asyncio.sleep(0)
        self.waiting.remove(request.adapter)
        value = -1.0 if request.adapter is None else -2.0
        if mixed and request.adapter is None:
            value += self.leak
        return ScoreReply(
            ((value,) * len(request.continuations),), (1,) * len(request.continuations), 1, 0
        )

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        raise NotImplementedError


def test_the_self_check_passes_a_sound_engine_and_stops_one_that_leaks(
    tiny_model: Path, adapters: tuple[Path, ...]
):
    async def check() -> float:
        folders = [str(folder) for folder in adapters]
        async with TransformersEngine(
            str(tiny_model), TransformersEngine.Options(kv_cache_gib=0), folders
        ) as engine:
            return await check_adapters(
                engine, tuple(a.name for a in engine.adapters), tolerance=1e-3
            )

    assert asyncio.run(check()) < 1e-3
    assert asyncio.run(check_adapters(_AdaptedEngine(0.0), ("one", "two"), tolerance=1e-3)) == 0
    with pytest.raises(
        PolicyError, match="the base model answers differently beside others than alone, by 1 nats"
    ):
        asyncio.run(check_adapters(_AdaptedEngine(-1.0), ("one", "two"), tolerance=1e-3))
    with pytest.raises(PolicyError, match="the base model"):
        asyncio.run(check_adapters(_AdaptedEngine(float("nan")), ("one",), tolerance=1e-3))


def test_in_the_self_check_every_request_beside_others_is_a_text_of_its_own():
    asked: list[ScoreRequest] = []
    engine = _AdaptedEngine(0.0)
    score = engine.score

    async def noted(request: ScoreRequest) -> ScoreReply:
        asked.append(request)
        return await score(request)

    engine.score = noted
    asyncio.run(check_adapters(engine, ("one", "two"), tolerance=1e-3))
    alone, mixed = asked[: len(asked) // 2], asked[len(asked) // 2 :]
    assert mixed == alone
    assert len({(request.chats, request.adapter) for request in mixed}) == len(mixed) == 24
    assert len({len(request.chats[0][-1].content) for request in mixed}) == 8


def test_an_engine_that_errs_beside_others_does_not_pass_its_check_by_what_it_remembers(
    tiny_model: Path, adapters: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
):
    adapted, switches = ModelCore._adapted, itertools.count()
    alone = 2 * (1 + len(adapters))

    def leaking(core: ModelCore, adapter: str | None):
        return adapted(core, adapter if next(switches) < alone else core._adapters[0].name)

    async def enter() -> None:
        async with TransformersEngine(
            str(tiny_model), adapters=[str(folder) for folder in adapters]
        ):
            pass

    monkeypatch.setattr(ModelCore, "_adapted", leaking)
    with pytest.raises(PolicyError, match="answers differently beside others than alone"):
        asyncio.run(enter())


def test_what_is_remembered_of_one_adapter_is_not_anothers(
    tiny_model: Path, adapters: tuple[Path, ...]
):
    """The same two turns to everybody in turn: the second begins where the first ended, with the
    same matrices.
    """
    longer = (*CHATS[1], Message("assistant", "A"), Message("user", "And now?"))

    async def ask(kv_cache_gib: float | None) -> list[ScoreReply]:
        folders = [str(folder) for folder in adapters]
        async with TransformersEngine(
            str(tiny_model), TransformersEngine.Options(kv_cache_gib=kv_cache_gib), folders
        ) as engine:
            names = [None, *(adapter.name for adapter in engine.adapters)]
            asked = [
                ScoreRequest((chat,), ANSWERS, name)
                for chat in (CHATS[1], longer)
                for name in names
            ]
            return [await engine.score(request) for request in asked]

    remembered, anew = asyncio.run(ask(None)), asyncio.run(ask(0))
    for one, other in zip(remembered, anew, strict=True):
        assert one.logprobs[0] == pytest.approx(other.logprobs[0], abs=1e-4)
    names = 1 + len(adapters)
    gained = [
        one.cached_tokens - other.cached_tokens for one, other in zip(remembered, anew, strict=True)
    ]
    assert gained[:names] == [0] * names
    assert min(gained[names:]) > 0


def test_a_replay_asks_nobody_before_all_adapters_are_there(
    tiny_model: Path, known_run: Run, tmp_path: Path
):
    specs = ["random", f"transformers:{tiny_model}?adapter={tmp_path}/none"]
    with pytest.raises(ConfigError, match=f"{tmp_path}/none"):
        replay(policy=specs, pool=[known_run.path], out=tmp_path / "pool")
    assert not (tmp_path / "pool").exists()
