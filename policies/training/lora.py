"""A frozen base model with a fresh LoRA adapter in it: loaded, saved as a PEFT folder, merged into
plain weights.
"""

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from valueagents.errors import ConfigError, StoreError, first_line
from valueagents.identity import seed_from
from valueagents.policies.adapters import Adapter, quiet_peft, read_adapter
from valueagents.policies.models import ModelFiles
from valueagents.policies.training.settings import Settings

log = logging.getLogger("valueagents")


def where_to_train(settings: Settings) -> tuple[str, str]:
    """Device and number format: as the settings say, else bfloat16 on a GPU, float32 on a CPU.

    Raises ConfigError if a package is missing or the settings ask for what this machine cannot do.
    """
    if find_spec("peft") is None:
        raise ConfigError("peft is not installed: pip install 'valueagents[transformers]'")
    import torch

    device, dtype = ("cuda", "bfloat16") if torch.cuda.is_available() else ("cpu", "float32")
    dtype = dtype if settings.dtype == "auto" else settings.dtype
    if settings.quantise == "nf4":
        if device == "cpu":
            raise ConfigError(
                "quantise=nf4 needs a GPU and torch finds none; give --set quantise=none"
            )
        if find_spec("bitsandbytes") is None:
            raise ConfigError("quantise=nf4: pip install bitsandbytes, or give --set quantise=none")
    return device, dtype


def load_trainable(
    files: ModelFiles, settings: Settings, *, device: str, dtype: str, seed: int
) -> Any:
    """The base model, frozen, in a `peft.PeftModel` whose matrices are drawn from the seed.

    Raises PolicyError if the model cannot be loaded, ConfigError if it has none of the named
    layers.
    """
    import peft
    import torch

    model = load_base(files, dtype=dtype, device=device, quantise=settings.quantise)
    torch.manual_seed(seed_from("adapter", seed))
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        task_type="CAUSAL_LM",
        **_places(model, settings),
    )
    model.config.use_cache = True
    try:
        with quiet_peft():
            adapted = peft.get_peft_model(model, config)
    except ValueError as error:
        raise ConfigError(
            f"modules={settings.modules} do not fit {files.name!r}: {first_line(error)}"
        ) from error
    adapted.peft_config["default"].base_model_name_or_path = files.name
    return adapted


def _places(model: Any, settings: Settings) -> dict[str, Any]:
    """Where matrices go, in peft's words."""
    modules = settings.target_modules()
    if settings.upper_layers == 1:
        return {"target_modules": modules}
    if isinstance(modules, str):  # peft wants names where not all layers are meant
        from torch.nn import Linear
        from transformers.pytorch_utils import Conv1D

        in_layers = model.base_model.named_modules()
        modules = sorted(
            {
                name.rpartition(".")[2]
                for name, each in in_layers
                if isinstance(each, Linear | Conv1D)
            }
        )
    layers = model.config.get_text_config().num_hidden_layers
    first = layers - max(1, round(layers * settings.upper_layers))
    return {"target_modules": modules, "layers_to_transform": list(range(first, layers))}


def load_base(files: ModelFiles, *, dtype: str, device: str, quantise: str = "none") -> Any:
    """The base model from its safetensors. Raises PolicyError if it cannot be loaded."""
    import torch
    import transformers

    transformers.logging.disable_progress_bar()
    options: dict[str, Any] = {"dtype": getattr(torch, dtype), "use_safetensors": True}
    if quantise == "nf4":
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
        options["device_map"] = {"": 0}
    if (device, dtype) == ("cpu", "bfloat16"):
        options["attn_implementation"] = (
            "eager"  # torch's own is slower there, by a fifth of a step
        )
    log.info("loading %s (%s)", files.name, dtype)
    with files.loading():
        model = transformers.AutoModelForCausalLM.from_pretrained(files.folder, **options)
    return model if quantise == "nf4" else model.to(device)


def save_adapter(adapted: Any, out: Path, files: ModelFiles) -> Adapter:
    """Write the adapter as a PEFT folder, safetensors only, and read it back as every engine
    will. Raises StoreError if the disk does not take it.
    """
    from safetensors import SafetensorError

    # "auto" would ask the hub about the base model; no embedding is ever trained here
    try:
        adapted.save_pretrained(  # trl leaves a copy of the first state with it, "ref"
            out, selected_adapters=["default"], safe_serialization=True, save_embedding_layers=False
        )
    except (SafetensorError, OSError) as error:
        raise StoreError(
            f"the adapter cannot be written to {out} ({first_line(error)}); make room and give the"
            " same command again"
        ) from error
    (out / "README.md").unlink(missing_ok=True)  # peft's model card, an empty form
    return read_adapter(str(out), files)
