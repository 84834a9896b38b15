"""Prefix: rows of text that a model has read, as its key-value cache, to be selected, copied and read on from.

Rows are padded on the left, so what is asked for is at the end of every row.
"""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Layers = list[tuple["torch.Tensor", "torch.Tensor"]]
"""What a model keeps of one text: keys and values of every layer, (heads, tokens, width) each."""


class Prefix:
    """Rows of text that the model has read: its key-value cache and which places of it are real (1) or padding (0).

    `rows`: what each begins with, given by `row` earlier, and how many tokens of it; by default one empty row.
    """

    def __init__(self, model: Any, device: str, rows: Sequence[tuple[Layers, int]] = (([], 0),)) -> None:
        import torch
        import transformers

        self._model = model
        width = max(length for _, length in rows)
        self._mask = torch.zeros((len(rows), width), dtype=torch.long, device=device)
        for row, (_, length) in enumerate(rows):
            self._mask[row, width - length :] = 1
        depth = len(rows[0][0])
        read = [
            tuple(_stack([(layers[i][side], length) for layers, length in rows], width) for side in (0, 1))
            for i in range(depth)
        ]
        self._cache = transformers.DynamicCache(read or None, config=model.config)

    @property
    def can_be_cut(self) -> bool:
        """Does the cache hold every place of every layer? One of a sliding window, say, has no beginning."""
        from transformers.cache_utils import DynamicLayer

        return all(type(layer) is DynamicLayer and layer.is_initialized for layer in self._cache.layers)

    def row(self, row: int) -> Layers:
        """The keys and values of a row, without padding, copied."""
        real = self._mask[row].nonzero()[:, 0]
        return [
            (layer.keys[row].index_select(1, real), layer.values[row].index_select(1, real))
            for layer in self._cache.layers
        ]

    def copy(self) -> "Prefix":
        """A prefix that can be extended without changing this one."""
        twin = object.__new__(Prefix)
        twin._model, twin._cache, twin._mask = self._model, copy.deepcopy(self._cache), self._mask
        return twin

    def select(self, rows: list[int]) -> None:
        """Keep these rows, repeated where they are named more than once."""
        import torch

        index = torch.tensor(rows, device=self._mask.device)
        if self._mask.shape[1]:
            self._cache.batch_select_indices(index)
        self._mask = self._mask[index]

    def extend(self, sequences: list[tuple[int, ...]], *, keep: int) -> "torch.Tensor":
        """Read one more sequence in each row; the logits of the last `keep` places, (rows, keep, vocabulary)."""
        import torch

        width = max(len(sequence) for sequence in sequences)
        padded = [(0,) * (width - len(sequence)) + sequence for sequence in sequences]
        real = [[0] * (width - len(sequence)) + [1] * len(sequence) for sequence in sequences]
        ids = torch.tensor(padded, device=self._mask.device)
        self._mask = torch.cat([self._mask, torch.tensor(real, device=self._mask.device)], dim=1)
        positions = (self._mask.cumsum(dim=1) - 1).clamp(min=0)[:, -width:]
        output = self._model(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=min(keep, width),
        )
        logits: torch.Tensor = output.logits
        return logits


def _stack(parts: "Sequence[tuple[torch.Tensor, int]]", width: int) -> "torch.Tensor":
    """(heads, tokens, size) of several rows as (rows, heads, width, size): `width` tokens of each, at the end."""
    heads, _, size = parts[0][0].shape
    stacked = parts[0][0].new_zeros((len(parts), heads, width, size))
    for row, (part, length) in enumerate(parts):
        stacked[row, :, width - length :] = part[:, :length]
    return stacked


def common_length(sequences: Sequence[tuple[int, ...]]) -> int:
    """The length of the longest common beginning."""
    first, last = min(sequences), max(sequences)
    for i, (a, b) in enumerate(zip(first, last, strict=False)):
        if a != b:
            return i
    return min(len(first), len(last))
