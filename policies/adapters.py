"""Value adapters: PEFT folders with LoRA weights, loaded whole or refused, and called by the hash
of what they hold.

A name can be given to other weights tomorrow, so nothing here goes by names: the hash covers the
tensors and the LoRA fields that decide what is computed, and neither the folder's path nor its
manifest. What engines cannot share is refused with the reason (`adapter_config.py`), and so is a
file that does not fill exactly the places that its configuration makes in the base model
(`adapter_slots.py`).
"""

import hashlib
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from valueagents.errors import ConfigError, PolicyError, StoreError, first_line, unknown_name
from valueagents.identity import content_hash
from valueagents.policies.adapter_config import check_config, read_config
from valueagents.policies.adapter_slots import (
    PEFT_ERRORS,
    check_filled,
    find_slots,
    module_of,
    scales_of,
)
from valueagents.policies.models import ModelFiles, fetch_from_hub
from valueagents.running.sealed import read_sealed

if TYPE_CHECKING:
    import torch

WEIGHTS, MANIFEST = "adapter_model.safetensors", "manifest.json"
_PICKLED = ("adapter_model.bin", "adapter_model.pt", "adapter_model.pth")
_NUMBERS = ("float64", "float32", "bfloat16", "float16")
_DECIDING = (
    "alpha_pattern",
    "fan_in_fan_out",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "r",
    "rank_pattern",
    "target_modules",
    "use_rslora",
)
_Tensor = tuple[str, tuple[int, ...], str]
"""Name, shape and content hash."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A checked adapter. `name` is its content hash, `rank` the largest rank of any of its
    matrices.

    `target_modules` are the last parts of the adapted modules' names, `embeddings` the full names
    of those among them that are the input or output embedding. `one_scale`: all matrices are scaled
    by the configuration's alpha and r.
    """

    name: str
    folder: Path
    rank: int
    target_modules: tuple[str, ...]
    embeddings: tuple[str, ...] = ()
    one_scale: bool = True


def read_adapter(where: str, base: ModelFiles) -> Adapter:
    """The adapter in a PEFT folder or under a hub id, ORGANISATION/NAME or, where a repository
    holds several, ORGANISATION/NAME/FOLDER. No weights of the base model are loaded.

    Raises ConfigError if it is none, is of a kind that engines cannot share, holds anything but
    finite floating-point numbers, was made for another base model than `base`, does not fill
    exactly the places that it asks for there, or is not what its manifest names.
    """
    folder = _folder(where)
    config = read_config(folder, where)
    fields = check_config(config, where)
    _require_weights(folder, where)
    tensors = [_described(name, tensor) for name, tensor in _read_tensors(folder, where)]
    if not any(".lora_" in name for name, _, _ in tensors):
        raise ConfigError(f"adapter {where!r} holds no LoRA matrices; its training saved nothing")
    told = _told_name(folder, base, where)
    slots = find_slots(folder, base, where)
    check_filled({name: shape for name, shape, _ in tensors}, slots, base, where)
    name = _content_name(config, tensors, slots.scales)
    if told not in (None, name):
        raise ConfigError(
            f"adapter {where!r} is not the one that its {MANIFEST} names: a file was changed since;"
            f" train or copy it again, or take {MANIFEST} away if that was meant"
        )
    of_config = fields.lora_alpha / (math.sqrt(fields.r) if fields.use_rslora else fields.r)
    return Adapter(
        name=name,
        folder=folder,
        rank=max(
            shape[0]
            for name, shape, _ in tensors
            if name.split(".lora_")[1].startswith(("A", "embedding_A"))
        ),
        target_modules=tuple(
            sorted({module_of(name).rsplit(".", 1)[-1] for name, _, _ in tensors})
        ),
        embeddings=slots.embeddings,
        one_scale=all(math.isclose(scale, of_config) for scale in slots.scales.values()),
    )


def _folder(where: str) -> Path:
    """The folder of an adapter. Raises ConfigError if there is none, naming what the hub has."""
    if Path(where).is_dir():
        return Path(where)
    several = re.fullmatch(r"([\w.-]+/[\w.-]+)/([\w.-]+)", where)
    if several is None:
        return fetch_from_hub(where, None, "adapter")
    named, inner = several.groups()
    repository = fetch_from_hub(named, None, "adapter")
    held = sorted(each.name for each in repository.iterdir() if each.is_dir())
    if inner not in held:
        raise ConfigError(unknown_name(f"adapter of {named}", inner, held))
    return repository / inner


def load_adapter(model: Any, adapted: Any, adapter: Adapter, *, name: str) -> Any:
    """The adapter is in the model under a name, and switched off if others were there before; its
    `peft.PeftModel`.

    `adapted` is the model's `PeftModel`, None before its first adapter. Raises PolicyError if not
    every number that was read is in its place, or the folder no longer holds what `adapter` was
    made of.
    """
    import peft

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whatever peft doubts is compared below
            if adapted is None:
                adapted = peft.PeftModel.from_pretrained(
                    model, adapter.folder, name, use_safetensors=True
                )
            else:
                adapted.load_adapter(adapter.folder, name, use_safetensors=True)
    except PEFT_ERRORS as error:
        raise PolicyError(
            f"adapter {str(adapter.folder)!r} cannot be loaded: {first_line(error)}"
        ) from error
    _check_loaded(adapted, adapter, name)
    return adapted


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Around what makes or trains a `PeftModel`: peft and trl use names that transformers 5.23
    warns about.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing` is deprecated")
        yield


def _require_weights(folder: Path, where: str) -> None:
    if not (folder / WEIGHTS).is_file():
        pickled = [name for name in _PICKLED if (folder / name).is_file()]
        remedy = f"{pickled[0]} can run code and is not read; " if pickled else ""
        raise ConfigError(
            f"adapter {where!r} has no {WEIGHTS}; {remedy}save it with safe_serialization=True"
        )


def _read_tensors(folder: Path, where: str) -> "Iterator[tuple[str, torch.Tensor]]":
    """Every tensor, sorted by name.

    Raises ConfigError for one that is not of finite floating-point numbers.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            for name in sorted(file.keys()):
                if not re.fullmatch(r"[\w.]+", name):
                    raise ConfigError(
                        f"adapter {where!r}: {name!r} is not the name of a tensor; save it again"
                    )
                tensor = file.get_tensor(name)
                kind = str(tensor.dtype).removeprefix("torch.")
                if kind not in _NUMBERS:
                    raise ConfigError(
                        f"adapter {where!r}: {name} is of {kind}; save it as one of"
                        f" {', '.join(_NUMBERS)}"
                    )
                if not torch.isfinite(tensor).all():
                    raise ConfigError(
                        f"adapter {where!r}: {name} holds numbers that are not finite; train it"
                        " again"
                    )
                yield name, tensor
    except (SafetensorError, OSError) as error:
        raise ConfigError(
            f"adapter {where!r}: {WEIGHTS} is damaged ({first_line(error)}); save it again"
        ) from error


def _described(name: str, tensor: "torch.Tensor") -> _Tensor:
    import torch

    data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return name, tuple(tensor.shape), hashlib.sha256(str(tensor.dtype).encode() + data).hexdigest()


def _told_name(folder: Path, base: ModelFiles, where: str) -> str | None:
    """The adapter's name in its manifest; None where there is none.

    Raises ConfigError if the manifest is damaged or names other weights than those of `base`.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return None
    try:
        told = read_sealed(manifest, _Manifest, remedy="train or copy it again")
    except (OSError, StoreError) as error:
        raise ConfigError(f"adapter {where!r}: {error}") from error
    weights = told.base.get("weights")
    if weights is not None and weights != base.hashes()["weights"]:
        raise ConfigError(
            f"adapter {where!r} was trained on a model with other weights than {base.name!r}; use"
            " its own"
        )
    return told.adapter


class _Manifest(msgspec.Struct, frozen=True):
    """What a manifest says of the base model, hashes as in `ModelFiles.hashes`, and the adapter's
    name.
    """

    base: dict[str, Any] = {}
    adapter: str | None = None


def _check_loaded(adapted: Any, adapter: Adapter, name: str) -> None:
    """Compare what peft has put into the model with the file.

    Raises PolicyError where they differ.
    """
    import peft
    import torch

    where = str(adapter.folder)
    state = peft.get_peft_model_state_dict(adapted, adapter_name=name, save_embedding_layers=False)
    tensors = []
    for key, tensor in _read_tensors(adapter.folder, where):
        tensors.append(_described(key, tensor))
        loaded = state.pop(key, None)
        if loaded is None or not torch.equal(loaded.cpu(), tensor.to(loaded.dtype)):
            raise PolicyError(
                f"adapter {where!r}: {key} is not in the loaded model as it is in the file; load it"
                " again"
            )
    if state:
        raise PolicyError(
            f"adapter {where!r}: {min(state)} was loaded, but is not in the file; load it again"
        )
    if (
        _content_name(read_config(adapter.folder, where), tensors, scales_of(adapted, name))
        != adapter.name
    ):
        raise PolicyError(f"adapter {where!r} was changed after it was read; start again")


def _content_name(
    config: Mapping[str, Any], tensors: Sequence[_Tensor], scales: Mapping[str, float]
) -> str:
    """The hash of all that decides what an adapter computes."""
    deciding = {key: _canonical(config.get(key)) for key in _DECIDING}
    # the first of several patterns that match counts, and their order is not part of `deciding`
    in_order = [dict(scales)] if len(config.get("alpha_pattern", ())) > 1 else []
    return content_hash(
        deciding, [[name, list(shape), digest] for name, shape, digest in tensors], *in_order
    )


def _canonical(value: object) -> object:
    """The same for the same meaning: names in order, numbers without needless fractions, nothing
    for empty.
    """
    if isinstance(value, list):
        return sorted(map(str, value))
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return int(value)
    return value or None
