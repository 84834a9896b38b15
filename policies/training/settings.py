"""Settings: the hyper-parameters of a training, as named presets (`presets.toml`) with the user's
overrides.
"""

import math
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

import msgspec

from valueagents.errors import ConfigError, unknown_name

_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Fraction = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How an adapter is fitted.

    Args:
        rank, alpha, dropout: of LoRA; matrices are scaled by alpha/rank.
        modules: `all-linear`, or names of linear layers separated by commas (`q_proj,v_proj`).
        upper_layers: share of the model's layers, from the last one down, that get matrices; below
            them nothing is differentiated, which saves time.
        learning_rate: the largest, reached after the warm-up; it then falls to 0 in a straight
            line.
        preference_learning_rate: the same for the preference methods.
        beta: trl's for the preference methods; for choices how sharp the softmax over a menu is.
        warmup: fraction of all steps.
        epochs: at most this many.
        patience: stop after this many epochs without a smaller eval loss.
        keep: the adapter of the epoch with the smallest eval loss (best), or of the last one.
        poles: of each statement the affirming wording is trained, or both. Trained on both, an
            adapter has no wording left that was not trained: acquiescence cannot be checked.
        variants: prompt variants of each statement that are trained.
        label_variants: how many of them, from the first on, a baseline label is averaged over.
        others: share of the statements of other values (of the menus in which the target is not at
            stake) that an epoch trains, drawn anew each time; 1 = all of them.
        rotate: a statement is trained in one variant an epoch, in turn, instead of in all of them.
        batch_rows: rows that one step of the optimiser averages over.
        pass_rows: rows of one forward pass; less needs less memory and changes no result but its
            rounding.
        weight_decay, clip: of AdamW; the largest norm of a gradient.
        labels: a statement's baseline rating is the most probable one (argmax), or the majority of
            three ratings drawn at temperature 0.5 for each variant (sampled), as in the study, or
            the one nearest to the expected rating (expected): the most probable one says next to
            nothing where all six are about as probable.
        dtype: number format of the frozen weights; auto: bfloat16 on a GPU, float32 on a CPU. The
            matrices are float32.
        quantise: nf4 holds the frozen weights in 4 bits; it needs a GPU and bitsandbytes.
    """

    rank: _Positive
    alpha: _Positive
    dropout: _Fraction
    modules: str
    upper_layers: Annotated[float, msgspec.Meta(gt=0, le=1)]
    learning_rate: Annotated[float, msgspec.Meta(gt=0)]
    preference_learning_rate: Annotated[float, msgspec.Meta(gt=0)]
    beta: Annotated[float, msgspec.Meta(gt=0)]
    warmup: _Fraction
    epochs: _Positive
    patience: _Positive
    keep: Literal["best", "last"]
    poles: Literal["affirm", "both"]
    variants: Annotated[int, msgspec.Meta(ge=1, le=27)]
    label_variants: Annotated[int, msgspec.Meta(ge=1, le=27)]
    others: Annotated[float, msgspec.Meta(gt=0, le=1)]
    rotate: bool
    batch_rows: _Positive
    pass_rows: _Positive
    weight_decay: Annotated[float, msgspec.Meta(ge=0)]
    clip: Annotated[float, msgspec.Meta(gt=0)]
    labels: Literal["argmax", "sampled", "expected"]
    dtype: Literal["auto", "float32", "bfloat16"]
    quantise: Literal["none", "nf4"]

    def target_modules(self) -> str | list[str]:
        """The modules as peft wants them."""
        return (
            self.modules
            if self.modules == "all-linear"
            else [name.strip() for name in self.modules.split(",")]
        )


@cache
def presets() -> dict[str, Settings]:
    """The bundled settings by name."""
    text = (
        files("valueagents.policies.training").joinpath("presets.toml").read_text(encoding="utf-8")
    )
    return msgspec.convert(tomllib.loads(text), dict[str, Settings])


def load_settings(preset: str, overrides: Mapping[str, object] | None = None) -> Settings:
    """A preset's settings with overrides, which may be texts.

    Raises ConfigError for an unknown name or a bad value.
    """
    known = presets()
    if preset not in known:
        raise ConfigError(unknown_name("preset", preset, known))
    settings: dict[str, Any] = msgspec.structs.asdict(known[preset])
    for name, value in (overrides or {}).items():
        if name not in settings:
            raise ConfigError(unknown_name("setting", name, settings))
        settings[name] = value
    try:
        made = msgspec.convert(settings, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"bad setting: {error}") from error
    for name, value in msgspec.structs.asdict(made).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"bad setting: {name} = {value} is not a finite number")
    if made.label_variants > made.variants:
        raise ConfigError(
            f"label_variants={made.label_variants} is more than variants={made.variants}; give both"
        )
    return made
