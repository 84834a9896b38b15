"""Adapters that were once measured as something else, or ended in a traceback: each is refused in
one sentence.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from valueagents.errors import ConfigError, PolicyError
from valueagents.policies.adapter_config import CONFIG
from valueagents.policies.adapters import WEIGHTS, load_adapter, read_adapter
from valueagents.policies.models import ModelFiles
from valueagents.policies.training.merge import merge_adapter

HANGS = "(([a-z_.0-9]*)*)*!"  # on a name of thirty letters: longer than anybody waits
FIRST = "base_model.model.model.layers.0.self_attn.q_proj"
Tensors = dict[str, Any]


@pytest.fixture
def folder(tiny_adapter: Path, tmp_path: Path) -> Path:
    """An adapter of q_proj and v_proj, to be changed."""
    return Path(shutil.copytree(tiny_adapter, tmp_path / "adapter"))


@pytest.fixture
def base(tiny_model: Path) -> ModelFiles:
    return ModelFiles("tiny", tiny_model)


def _set(folder: Path, **fields: Any) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **fields}))


def _change(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)


def _refusal(folder: Path, base: ModelFiles) -> str:
    with pytest.raises(ConfigError) as caught:
        read_adapter(str(folder), base)
    assert "\n" not in str(caught.value)
    assert repr(str(folder)) in str(caught.value)
    return str(caught.value)


def _renamed(old: str, new: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name.replace(old, new): tensor for name, tensor in tensors.items()}


def _without(part: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if part not in name}


def _as_integers(tensors: Tensors) -> Tensors:
    return {name: (tensor * 10).int() for name, tensor in tensors.items()}


def _with(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, name: next(iter(tensors.values())).clone()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _renamed(".weight", ".default.weight"),
            "holds 8 tensors for which its adapter_config.json has no place",
        ),
        (
            _renamed("base_model.model.", ""),
            "holds 8 tensors for which its adapter_config.json has no place",
        ),
        (
            _without(".layers.1."),
            "lacks 4 of the 8 tensors that its adapter_config.json asks for in",
        ),
        (_without("lora_B"), "lacks 4 of the 8 tensors"),
        (
            _without(f"{FIRST}.lora_A"),
            f", first {FIRST}.lora_A.weight; use its own base model",
        ),
        (_as_integers, "is of int32; save it as one of float64, float32, bfloat16, float16"),
        (_with("base_model.model.lm_head.weight"), "save_embedding_layers=False"),
        (_with(f"{FIRST}.lora_magnitude_vector"), "has no place"),
        (_with("a\nb.lora_A"), r"'a\nb.lora_A' is not the name of a tensor"),
        (lambda tensors: {name: tensor.sum() for name, tensor in tensors.items()}, "has shape ()"),
    ],
)
def test_a_file_that_does_not_fill_exactly_its_places_is_refused(
    folder: Path, base: ModelFiles, change: Callable[[Tensors], Tensors], message: str
):
    _change(folder, change)
    assert message in _refusal(folder, base)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"init_lora_weights": "pissa"},
            "may change the base model itself; convert it to a plain LoRA",
        ),
        ({"init_lora_weights": "olora"}, "may change the base model itself"),
        ({"init_lora_weights": "a" * 200}, "init_lora_weights='aaaa"),
        ({"layers_to_transform": [7]}, "does not fit"),
        ({"layers_to_transform": [1]}, "holds 4 tensors for which"),
        ({"exclude_modules": ["v_proj"]}, "holds 4 tensors for which"),
        ({"target_modules": ["q_proj"]}, "holds 4 tensors for which"),
        ({"target_modules": HANGS}, "regular expression"),
        ({"exclude_modules": HANGS}, "regular expression"),
        ({"rank_pattern": {HANGS: 8}}, "regular expression"),
        ({"alpha_pattern": {"q_proj|v_proj": 8}}, "regular expression"),
        ({"layers_to_transform": [0, 1], "layers_pattern": HANGS}, "$.layers_pattern"),
        ({"target_modules": 3}, "$.target_modules"),
        ({"target_modules": []}, "does not fit"),
        ({"r": 0}, "$.r"),
        ({"r": 10**30}, "$.r"),
        ({"r": 4}, "has shape (8, 64)"),
        ({"r": "8"}, "$.r"),
        ({"rank_pattern": None}, "$.rank_pattern"),
        ({"lora_alpha": 0}, "the scale lora_alpha=0 leaves nothing of it"),
        ({"alpha_pattern": {"q_proj": 0}}, "the scale q_proj=0 leaves nothing of it"),
        ({"lora_alpha": None}, "$.lora_alpha"),
        ({"lora_dropout": "0.1"}, "$.lora_dropout"),
        ({"use_rslora": "false"}, "$.use_rslora"),
        ({"task_type": "SEQ_CLS"}, "$.task_type"),
        ({"bias": None}, "trains biases (None)"),
        (
            {"arrow_config": {"top_k": 2}},
            "has the field 'arrow_config' = {'top_k': 2}, which engines cannot serve",
        ),
        ({"kasa_config": {}}, "has the field 'kasa_config' = {}"),
        ({"alora_invocation_tokens": []}, "aLoRA"),
        ({"a_field_of\ntomorrow": "x" * 100}, r"the field 'a_field_of\ntomorrow' = 'xxx"),
    ],
)
def test_a_configuration_that_is_not_a_plain_loras_is_refused(
    folder: Path, base: ModelFiles, fields: dict[str, Any], message: str
):
    _set(folder, **fields)
    assert message in _refusal(folder, base)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "null", '{"peft_type": "LORA", "r": NaN}', "\ufeff{}"]
)
def test_a_configuration_that_is_no_json_object_is_refused(
    folder: Path, base: ModelFiles, text: str
):
    (folder / CONFIG).write_text(text, encoding="utf-8")
    assert "adapter_config.json is damaged" in _refusal(folder, base)


def test_fields_of_another_release_are_taken_while_they_are_off(folder: Path, base: ModelFiles):
    name = read_adapter(str(folder), base).name
    _set(
        folder,
        a_field_of_tomorrow=None,
        another=False,
        peft_version="99.0",
        qalora_group_size=4,
        modules_to_save=[],
    )
    assert read_adapter(str(folder), base).name == name


def test_what_peft_only_warns_of_is_loaded_without_a_word(folder: Path, base: ModelFiles):
    import transformers

    _set(folder, a_field_of_tomorrow=None, exclude_modules=["nothing"], alpha_pattern={"o_proj": 3})
    adapter = read_adapter(str(folder), base)
    model = transformers.AutoModelForCausalLM.from_pretrained(base.folder)
    assert (
        load_adapter(model, None, adapter, name="it").active_adapter == "it"
    )  # warnings are errors here


def test_the_order_of_two_scales_that_both_match_is_part_of_the_name(
    folder: Path, base: ModelFiles
):
    names = set()
    for keys in (["q_proj", "self_attn.q_proj"], ["self_attn.q_proj", "q_proj"]):
        _set(folder, alpha_pattern={key: 4 * len(key) for key in keys})
        names.add(read_adapter(str(folder), base).name)
    assert len(names) == 2


def test_scales_and_embeddings_are_told_for_engines_that_do_not_take_all(
    folder: Path, base: ModelFiles
):
    assert read_adapter(str(folder), base).one_scale
    assert read_adapter(str(folder), base).embeddings == ()
    _set(folder, alpha_pattern={"q_proj": 5})
    assert not read_adapter(str(folder), base).one_scale


@pytest.mark.parametrize(
    "later", ["other numbers", "another scale", "a name of which peft takes no notice"]
)
def test_a_folder_that_was_changed_after_it_was_read_is_not_loaded(
    folder: Path, base: ModelFiles, later: str
):
    import transformers

    adapter = read_adapter(str(folder), base)
    model = transformers.AutoModelForCausalLM.from_pretrained(base.folder)
    match later:
        case "other numbers":
            _change(folder, lambda tensors: {name: tensor * 2 for name, tensor in tensors.items()})
        case "another scale":
            _set(folder, lora_alpha=3)
        case _:
            _change(folder, _renamed(".weight", ".default.weight"))
    with pytest.raises(
        PolicyError, match=r"was changed after it was read|is not in the loaded model"
    ) as caught:
        load_adapter(model, None, adapter, name=adapter.name)
    assert repr(str(folder)) in str(caught.value)


@pytest.mark.filterwarnings(
    "ignore:Setting .save_embedding_layers.", "ignore:Model has .tie_word_embeddings"
)
def test_an_adapter_of_a_matrix_that_is_used_at_both_ends_is_not_merged(
    tiny_model: Path,
    copy_model: Callable[[Path], Path],
    make_adapter: Callable[..., Path],
    tmp_path: Path,
):
    tied = copy_model(tiny_model)
    config = json.loads((tied / "config.json").read_text())
    (tied / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    _drop_head(tied)
    folder = make_adapter(tied, seed=4, modules=("q_proj", "lm_head"))
    _change(
        folder,
        lambda tensors: {name: tensor for name, tensor in tensors.items() if ".lora_" in name},
    )
    with pytest.raises(
        ConfigError, match=r"adapts lm_head, whose matrix the base model also uses at its other end"
    ):
        merge_adapter(folder, tmp_path / "merged", base=str(tied))
    assert not (tmp_path / "merged").exists()


def _drop_head(model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    tensors.pop("lm_head.weight", None)
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
