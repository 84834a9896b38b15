"""The truth check: what is wrong is refused with numbers, what passed is kept, longer questions are
checked anew.
"""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from valueagents.errors import PolicyError
from valueagents.policies.adapters import WEIGHTS
from valueagents.policies.engines import Message, ScoreReply, ScoreRequest
from valueagents.policies.engines.transformers.engine import TransformersEngine
from valueagents.policies.engines.transformers.prefix import Prefix
from valueagents.policies.engines.transformers.truth import TruthCheck

Ask = Callable[..., list[ScoreReply]]
NOW = ScoreRequest(((Message("system", "Decide."), Message("user", "Now?")),), ("A", "B"))
LONG = ScoreRequest(((Message("system", "Decide."), Message("user", "a coat, " * 40)),), ("A", "B"))


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[int, str | None]]:
    """Length and adapter of every check that is made from here on; none was made before."""
    made, compare = [], TruthCheck._compare

    def counted(self: TruthCheck, length: int, adapter: str | None) -> tuple[float, float]:
        made.append((length, adapter))
        return compare(self, length, adapter)

    monkeypatch.setenv("VALUEAGENTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(TruthCheck, "_compare", counted)
    return made


@pytest.mark.usefixtures("checks")
def test_a_row_that_is_off_by_one_place_is_refused_with_numbers_and_layer(
    tiny_model: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
):
    held = Prefix._held

    def shifted(self: Prefix, rows: list[int], lengths: list[int]) -> object:
        return [(keys.roll(1, dims=-2), values) for keys, values in held(self, rows, lengths)]

    monkeypatch.setattr(Prefix, "_held", shifted)
    with pytest.raises(
        PolicyError, match=r"'llama' is refused: .*128 tokens is \d.*0\.0001.*layer 0 .*first"
    ):
        ask(tiny_model, NOW)


@pytest.mark.usefixtures("checks")
def test_a_model_that_sees_later_words_is_refused_at_load(
    tiny_model: Path, copy_model: Callable[[Path], Path]
):
    import transformers

    folder = copy_model(tiny_model)
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = transformers.BertConfig(vocab_size=400, initializer_range=0.2, **sizes)
    transformers.BertLMHeadModel(config).save_pretrained(folder)

    async def load() -> None:
        async with TransformersEngine(str(folder)):
            pass

    with pytest.raises(PolicyError, match=r"'bert' is refused: .*depends on later ones"):
        asyncio.run(load())


def test_what_passed_is_checked_once_for_base_and_each_adapter(
    tiny_model: Path, tiny_adapter: Path, ask: Ask, checks: list[tuple[int, str | None]]
):
    ask(tiny_model, NOW, adapters=[str(tiny_adapter)])
    assert [length for length, _ in checks] == [128, 128]
    assert [adapter is None for _, adapter in checks] == [True, False]
    ask(tiny_model, NOW, adapters=[str(tiny_adapter)])
    assert len(checks) == 2


def test_other_weights_are_checked_anew(
    tiny_model: Path,
    copy_model: Callable[[Path], Path],
    ask: Ask,
    checks: list[tuple[int, str | None]],
):
    from safetensors.torch import load_file, save_file

    ask(tiny_model, NOW)
    weights = copy_model(tiny_model) / "model.safetensors"
    tensors = load_file(weights)
    tensors["model.norm.weight"] *= 1.5
    save_file(tensors, weights, metadata={"format": "pt"})
    ask(weights.parent, NOW)
    assert len(checks) == 2


def test_a_longer_question_is_checked_at_its_length_and_at_most_at_the_window(
    tiny_model: Path, ask: Ask, checks: list[tuple[int, str | None]]
):
    longer = ScoreRequest(
        ((Message("system", "Decide."), Message("user", "a coat, " * 80)),), ("A", "B")
    )
    ask(tiny_model, NOW, LONG, longer)
    lengths = [length for length, _ in checks]
    assert lengths[0] == 128
    assert lengths[-1] == 512
    assert lengths == sorted(set(lengths))


@pytest.mark.usefixtures("checks")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rounding_of_short_formats_is_not_taken_for_an_error(
    tiny_model: Path, ask: Ask, dtype: str
):
    [reply] = ask(tiny_model, LONG, dtype=dtype)
    assert len(reply.logprobs[0]) == 2


@pytest.mark.usefixtures("checks")
def test_an_adapter_that_gives_no_numbers_is_refused_by_its_own_name(
    tiny_model: Path, tiny_adapter: Path, ask: Ask, tmp_path: Path
):
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny_adapter, tmp_path / "huge"))
    weights = folder / WEIGHTS
    huge = {name: tensor * 1e30 for name, tensor in load_file(weights).items()}
    save_file(huge, weights)
    with pytest.raises(
        PolicyError, match=rf"^adapter '{folder}' on .*'llama' is refused: .* not numbers; look at"
    ):
        ask(tiny_model, NOW, adapters=[str(folder)])


@pytest.mark.usefixtures("checks")
def test_an_adapter_that_is_read_wrongly_is_refused_by_its_own_name(
    tiny_model: Path, tiny_adapter: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
):
    scored = TruthCheck._scored

    def off(self: TruthCheck, *given: Any) -> dict[str, float]:
        return {name: 0.3 if given[-1] else off for name, off in scored(self, *given).items()}

    monkeypatch.setattr(TruthCheck, "_scored", off)
    with pytest.raises(PolicyError, match=rf"^adapter '{tiny_adapter}' .*alone, .*0\.3 nats off"):
        ask(tiny_model, NOW, adapters=[str(tiny_adapter)])


@pytest.mark.usefixtures("checks")
def test_an_error_larger_than_rounding_is_refused_in_bfloat16(
    tiny_model: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
):
    """Of 0.4 nats, which were once taken for rounding."""
    scored = TruthCheck._scored

    def off(self: TruthCheck, *given: Any) -> dict[str, float]:
        return {name: off + 0.4 for name, off in scored(self, *given).items()}

    monkeypatch.setattr(TruthCheck, "_scored", off)
    with pytest.raises(PolicyError, match=r"0\.4\d* nats off"):
        ask(tiny_model, NOW, dtype="bfloat16")


@pytest.mark.usefixtures("checks")
def test_a_model_that_raises_in_a_batch_is_refused_at_load(
    tiny_model: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
):
    def fails(*_: object, **__: object) -> None:
        raise TypeError("no such argument\nat all")

    monkeypatch.setattr(Prefix, "predict", fails)
    with pytest.raises(
        PolicyError, match=r"'llama' is refused: it cannot be read in batches: no such argument$"
    ):
        ask(tiny_model, NOW)
