"""The configuration of a LoRA adapter as an allow-list: every field is understood here, or switched
off, or refused.

PEFT's configuration grows with every release, and many of its fields change what is computed: some
move the base model itself, some add layers that other engines lack. So a field that is not named in
`LoraFields` must be off, whatever it may mean. Regular expressions are never evaluated: one can
take minutes for a single name.
"""

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from valueagents.errors import ConfigError, DataError
from valueagents.files.text import decode_json

CONFIG = "adapter_config.json"

_OFF: dict[str, tuple[object, ...]] = {
    "alora_invocation_tokens": (None,),
    "layer_replication": (None, []),
    "loftq_config": (None, {}),
    "modules_to_save": (None, []),
    "target_parameters": (None, []),
    "trainable_token_indices": (None,),
}
"""What switches a field off, where that is not null or false: for most of them an empty object
means all defaults.
"""
_REASONS = {
    "use_dora": "DoRA",
    "lora_bias": "LoRA biases",
    "modules_to_save": "whole modules beside the matrices (modules_to_save)",
    "trainable_token_indices": "trained token embeddings",
    "target_parameters": "adapted bare parameters (target_parameters)",
    "layer_replication": "repeated layers (layer_replication)",
    "alora_invocation_tokens": "a text that switches it on (aLoRA)",
}

_Rank = Annotated[int, msgspec.Meta(ge=1, le=65_536)]
_Name = Annotated[str, msgspec.Meta(min_length=1)]
_NAMES = r"^\^?[\w.]+\Z"
"""Names with dots, perhaps from the beginning on: what peft reads as an expression without any
repetition.
"""
_Pattern = Annotated[str, msgspec.Meta(pattern=_NAMES)]


class LoraFields(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a plain LoRA by peft's names, with peft's defaults.

    The first group decides what is computed. The second has no influence on answers once the
    matrices are loaded, and only its types are checked, because peft fails on others.
    """

    peft_type: Literal["LORA"]
    r: _Rank = 8
    lora_alpha: int | float = 8
    use_rslora: bool = False
    target_modules: list[_Name] | None = None
    exclude_modules: list[_Name] | None = None
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[_Pattern] | _Pattern | None = None
    rank_pattern: dict[_Pattern, _Rank] = {}
    alpha_pattern: dict[_Pattern, int | float] = {}
    fan_in_fan_out: bool = False
    bias: Literal["none"] = "none"
    init_lora_weights: bool | Literal["gaussian", "orthogonal"] = True
    task_type: Literal["CAUSAL_LM"] | None = None

    auto_mapping: dict[str, Any] | None = None
    peft_version: str | None = None
    base_model_name_or_path: str | None = None
    revision: str | None = None
    inference_mode: bool = False
    lora_dropout: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    megatron_core: str | None = None
    qalora_group_size: int = 16


def read_config(folder: Path, where: str) -> dict[str, Any]:
    """The fields of an adapter's configuration as they are written.

    Raises ConfigError if there is none or it is not a JSON object.
    """
    damaged, again = f"adapter {where!r}: {CONFIG} is damaged", "save the adapter again"
    try:  # a byte order mark, which peft does not read, is refused here, too
        return decode_json(damaged, (folder / CONFIG).read_text("utf-8"), dict[str, Any])
    except FileNotFoundError:
        raise ConfigError(
            f"adapter {where!r} has no {CONFIG}; give the folder that peft's save_pretrained wrote"
        ) from None
    except DataError as error:
        raise ConfigError(f"{error}; {again}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{damaged} ({error}); {again}") from error


def check_config(config: dict[str, Any], where: str) -> LoraFields:
    """The fields of a plain LoRA.

    Raises ConfigError, naming field and value, for anything that is not one.
    """
    kind = config.get("peft_type")
    if kind != "LORA":
        raise ConfigError(
            f"adapter {where!r} is of kind {kind!r}; only LORA can be shared by engines"
        )
    _refuse_switched_on(config, where)
    _refuse_known(config, where)
    try:
        fields = msgspec.convert(config, LoraFields)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"adapter {where!r}: {CONFIG} is not that of a plain LoRA ({error}); correct it"
        ) from error
    _check_scales(fields, where)
    return fields


def _refuse_switched_on(config: dict[str, Any], where: str) -> None:
    """Refuse every field that is not of a plain LoRA, unless it is off."""
    for field in sorted(config.keys() - set(LoraFields.__struct_fields__)):
        value = config[field]
        if value in _OFF.get(field, (None, False)):
            continue
        what = _REASONS.get(field, f"the field {_short(field)} = {_short(value)}")
        raise ConfigError(
            f"adapter {where!r} has {what}, which engines cannot serve; train a plain LoRA"
        )


def _refuse_known(config: dict[str, Any], where: str) -> None:
    """Refuse with the remedy what is seen among adapters of others."""
    bias = config.get("bias", "none")
    if bias != "none":
        raise ConfigError(
            f"adapter {where!r} trains biases ({bias!r}), which engines cannot serve; use"
            " bias='none'"
        )
    start = config.get("init_lora_weights", True)
    if isinstance(start, str) and start not in ("gaussian", "orthogonal"):
        # pissa, olora, corda and loftq subtract the first matrices from the base model whenever
        # they are loaded
        raise ConfigError(
            f"adapter {where!r} has init_lora_weights={_short(start)}, which may change the base"
            " model itself; convert it to a plain LoRA (peft: save_pretrained with"
            " path_initial_model_for_weight_conversion)"
        )
    for field in ("target_modules", "exclude_modules"):
        if isinstance(config.get(field), str):
            raise ConfigError(_not_evaluated(where, field, config[field]))
    for field in ("rank_pattern", "alpha_pattern"):
        keys = config.get(field)
        for key in keys if isinstance(keys, dict) else ():
            if not re.search(_NAMES, key):
                raise ConfigError(_not_evaluated(where, field, key))


def _not_evaluated(where: str, field: str, expression: str) -> str:
    return (
        f"adapter {where!r}: {field} has the regular expression {_short(expression)}, which is not"
        " evaluated; write the names of the modules in its place"
    )


def _check_scales(fields: LoraFields, where: str) -> None:
    """Refuse scales that switch the matrices off or are not numbers: the base model would be
    measured in their name.
    """
    scales = {"lora_alpha": fields.lora_alpha, **fields.alpha_pattern}
    for name, scale in scales.items():
        if scale == 0 or not math.isfinite(scale):
            raise ConfigError(
                f"adapter {where!r}: the scale {name}={scale} leaves nothing of it; correct"
                f" {CONFIG}"
            )


def _short(value: object) -> str:
    """The value on one line, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
