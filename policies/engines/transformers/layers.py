"""Which layer of a model first answers differently in two passes: to say what an architecture does
not carry.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def first_wrong_layer(
    model: Any, one: Callable[[], object], other: Callable[[], object], tolerance: float
) -> str:
    """Names the first layer whose output for the last token of the first row differs by more than
    `tolerance`.
    """
    layers = _layers(model)
    states = [_last_states(layers, run) for run in (one, other)]
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None) or []
    for i, (a, b) in enumerate(zip(*states, strict=False)):
        if not float((a - b).abs().max()) <= tolerance:
            kind = kinds[i] if i < len(kinds) else type(layers[i]).__name__
            return f"layer {i} ({kind}) is the first that differs"
    return "no layer differs between a text alone and beside others, only what comes after them"


def _layers(model: Any) -> "list[torch.nn.Module]":
    """The blocks of the model: its first list of as many modules as it has layers."""
    import torch

    count = model.config.get_text_config().num_hidden_layers
    lists = (module for module in model.modules() if isinstance(module, torch.nn.ModuleList))
    return next((list(modules) for modules in lists if len(modules) == count), [])


def _last_states(
    layers: "list[torch.nn.Module]", run: Callable[[], object]
) -> "list[torch.Tensor]":
    """What each layer gave for the last token of the first row when it was last called."""
    states: dict[int, torch.Tensor] = {}

    def hook(i: int) -> Callable[..., None]:
        def keep(_module: object, _arguments: object, output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            states[i] = hidden[0, -1].detach().float()

        return keep

    handles = [layer.register_forward_hook(hook(i)) for i, layer in enumerate(layers)]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return [states[i] for i in sorted(states)]
