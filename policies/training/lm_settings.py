"""Settings of a decoder that is trained from scratch, and what it costs by arithmetic."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Annotated, Any

import msgspec

from valueagents.errors import ConfigError, unknown_name

_Count = Annotated[int, msgspec.Meta(ge=1)]
_GPU_FLOPS, _UTILISATION = 989e12, 0.4
"""Of an H100 in bfloat16 without sparsity (NVIDIA's data sheet), and the share of it that training
reaches.
"""


class LmSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a decoder is made.

    Args:
        vocabulary: entries of its own tokenizer, byte-level BPE.
        tokens: read in training, the same number of its own tokens from every text.
        width, layers, heads: of the decoder, a Llama.
        context: tokens of a training example, and the window.
        batch_tokens: of one step of the optimiser.
        pass_tokens: of one pass; less needs less memory. 0 = a whole batch.
        learning_rate: the largest, after the warm-up; it then falls along a cosine.
        warmup: fraction of all steps.
        save_steps: a training that is killed goes on from the last multiple of so many steps.
    """

    vocabulary: Annotated[int, msgspec.Meta(ge=300)]
    tokens: _Count
    width: _Count
    layers: _Count
    heads: _Count
    context: Annotated[int, msgspec.Meta(ge=8)]
    batch_tokens: _Count
    pass_tokens: Annotated[int, msgspec.Meta(ge=0)] = 0
    learning_rate: Annotated[float, msgspec.Meta(gt=0)]
    warmup: Annotated[float, msgspec.Meta(ge=0, lt=1)]
    save_steps: _Count

    @property
    def parameters(self) -> int:
        """Of a Llama with tied embeddings and an MLP of 8/3 of its width, norms aside."""
        return self.vocabulary * self.width + self.layers * 12 * self.width**2

    @property
    def blocks(self) -> int:
        """Training examples."""
        return max(1, self.tokens // self.context)

    @property
    def batch(self) -> int:
        """Examples a step."""
        return max(1, self.batch_tokens // self.context)

    @property
    def steps(self) -> int:
        """Steps of the optimiser."""
        return max(1, self.blocks // self.batch)


def lm_settings(preset: str, overrides: Mapping[str, Any]) -> LmSettings:
    """A preset with other values for some settings.

    Raises ConfigError for an unknown preset or setting, and for heads that do not divide the width.
    """
    source = files("valueagents.policies").joinpath("training", "lm_presets.toml")
    presets = tomllib.loads(source.read_text(encoding="utf-8"))
    if preset not in presets:
        raise ConfigError(unknown_name("preset", preset, presets))
    for name in overrides:
        if name not in LmSettings.__struct_fields__:
            raise ConfigError(unknown_name("setting", name, LmSettings.__struct_fields__))
    try:
        found = msgspec.convert({**presets[preset], **overrides}, LmSettings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"preset {preset!r}: {error}") from error
    if found.width % (2 * found.heads):
        raise ConfigError(
            f"width {found.width} does not give each of {found.heads} heads an even number; choose"
            " a multiple of twice the heads"
        )
    return found


def lm_cost(settings: LmSettings, *, models: int = 1) -> str:
    """What so many of them take: parameters, tokens, text, operations, GPU hours, by arithmetic."""
    operations = 6.0 * settings.parameters * settings.tokens
    hours = operations / (_GPU_FLOPS * _UTILISATION) / 3600
    size = f"{settings.parameters / 1e6:,.1f} million parameters, {settings.tokens:,} tokens"
    return (
        f"{models} decoder{'s' if models > 1 else ''} of {size} (about"
        f" {4 * settings.tokens / 1e9:,.3g} GB of text), {settings.steps:,} steps of"
        f" {settings.batch * settings.context:,} tokens; each {operations:.2g} operations (6 ×"
        f" parameters × tokens), {hours:,.0f} hours on an H100 at {100 * _UTILISATION:.0f} % of its"
        f" speed, all {models * hours:,.0f}"
    )
