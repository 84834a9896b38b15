"""Forward: one pass of a causal language model over rows of text, going on from what it keeps of
their beginnings.
"""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from valueagents.policies.engines.chats import Tokens

if TYPE_CHECKING:
    import torch

Layers = list["tuple[torch.Tensor, torch.Tensor] | None"]
"""Keys and values of every layer, (…, heads, tokens, width) each; None for a layer that uses those
of another.
"""


class Forward:
    """Calls a model with those of the arguments that its architecture takes.

    `keeps`: whether the model keeps keys and values of every token in every layer, so that it can
    read on from any place. Models with a recurrent state, say, do not: their rows are read from the
    beginning each time. `takes`: the names of its arguments.

    Args:
        model: a causal language model of transformers.
        device: where it is.
    """

    def __init__(self, model: Any, device: str) -> None:
        self.device = device
        self._model = model
        self.takes = frozenset(inspect.signature(model.forward).parameters)
        self.keeps = "past_key_values" in self.takes and _keeps_every_token(model)

    def __call__(
        self, texts: Sequence[Tokens], width: int, held: Layers, *, keep: int
    ) -> "tuple[torch.Tensor, Layers]":
        """Read the last `width` tokens of every text, after the keys and values `held` of those
        before.

        Rows are padded on the left only. The result is the logits of the last `keep` places (at
        least one), (rows, keep, vocabulary), and the keys and values of whole rows.
        """
        import torch

        total = max(map(len, texts))
        ids = [(0,) * (width - len(text)) + text[-width:] for text in texts]
        lengths = torch.tensor([[len(text)] for text in texts])
        places = torch.arange(total)[None] - (total - lengths)  # negative where a row is padded
        cache = _cache(held) if self.keeps else None
        arguments = {
            "input_ids": torch.tensor(ids, device=self.device),
            "attention_mask": (places >= 0).long().to(self.device),
            "position_ids": places.clamp(min=0)[:, -width:].to(self.device),
            "past_key_values": cache,
            "use_cache": self.keeps,
            # places instead of their number: for a slice of the states torch copies the
            # matrix of the vocabulary for every row
            "logits_to_keep": torch.arange(max(0, width - keep), width, device=self.device),
        }
        output = self._model(
            **{name: value for name, value in arguments.items() if name in self.takes}
        )
        logits: torch.Tensor = output.logits[:, -keep:]
        return logits, _layers(cache)


def _keeps_every_token(model: Any) -> bool:
    """Whether nothing but keys and values of single tokens is carried from one token to the next.

    Layers with windows count: all of their tokens can be kept, and the mask hides those outside the
    window.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

    if model._is_stateful:
        return False
    layers = DynamicCache(config=model.config).layers
    kinds = {type(layer).__name__ for layer in layers}
    return kinds <= {DynamicLayer.__name__, DynamicSlidingWindowLayer.__name__, "DummyLayer"}


def _cache(held: Layers) -> Any:
    """A cache that holds these tensors themselves; what is read next makes new ones.

    It is made without the model's configuration, so that layers with windows keep all tokens.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer

    cache = DynamicCache()
    for pair in held:
        layer = DynamicLayer()
        if pair is not None:
            layer.lazy_initialization(*pair)
            layer.keys, layer.values = pair
        cache.layers.append(layer)
    return cache


def _layers(cache: Any) -> Layers:
    if cache is None:
        return []
    return [(layer.keys, layer.values) if layer.is_initialized else None for layer in cache.layers]
