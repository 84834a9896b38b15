"""Prefix: rows of text that a model has read, to be selected, repeated and read on from.

A row has no gaps: padding comes before it, never inside. Layers with windows, chunks or distances
count places of the cache, so a gap would hide from a row what it should see, depending on who else
is in the batch. Where the pieces that a batch reads next differ in length, a shorter one is read
together with the tokens before it, in the places where padding would be: that costs no place more
than padding does.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from valueagents.policies.engines.chats import Tokens
from valueagents.policies.engines.transformers.forward import Forward, Layers

if TYPE_CHECKING:
    import torch


class Prefix:
    """Rows of text and the keys and values that the model keeps of them.

    Reading on makes another prefix.

    Args:
        forward: the model.
        texts: the rows.
        layers: keys and values, (rows, heads, tokens, width), a row at the end of its places; empty
            = none.
    """

    def __init__(self, forward: Forward, texts: Sequence[Tokens], layers: Layers) -> None:
        self._forward, self._texts, self._layers = forward, list(texts), layers

    def row(self, row: int) -> Layers:
        """The keys and values of a row, without padding, copied."""
        length = len(self._texts[row])
        return [
            (
                None
                if pair is None
                else (pair[0][row, :, -length:].clone(), pair[1][row, :, -length:].clone())
            )
            for pair in self._layers
        ]

    def read(self, rows: Sequence[int], pieces: Sequence[Tokens]) -> "Prefix":
        """Each piece read on from the row of that number; a row may be named often, or not at all.

        A model that reads its rows from the beginning each time reads nothing yet.
        """
        if self._forward.keeps:
            return self.predict(rows, pieces, keep=1)[0]
        return Prefix(self._forward, self._joined(rows, pieces), [])

    def predict(
        self, rows: Sequence[int], pieces: Sequence[Tokens], *, keep: int
    ) -> "tuple[Prefix, torch.Tensor]":
        """The same, and the logits of the last `keep` places (at least one), (pieces, keep,
        vocabulary).
        """
        texts = self._joined(rows, pieces)
        width = max(map(len, pieces if self._forward.keeps else texts))
        held = self._held(rows, [max(0, len(text) - width) for text in texts])
        logits, layers = self._forward(texts, width, held, keep=keep)
        return Prefix(self._forward, texts, layers), logits

    def _joined(self, rows: Sequence[int], pieces: Sequence[Tokens]) -> list[Tokens]:
        return [self._texts[row] + piece for row, piece in zip(rows, pieces, strict=True)]

    def _held(self, rows: Sequence[int], lengths: Sequence[int]) -> Layers:
        """The keys and values of the first `lengths` tokens of these rows, each at the end of its
        places.
        """
        import torch

        own_lengths = [len(text) for text in self._texts]
        if list(rows) == list(range(len(own_lengths))) and list(lengths) == own_lengths:
            return self._layers
        own_width, width = max(own_lengths), max(lengths)
        if not width:
            return []
        device = self._forward.device
        picked = torch.tensor(rows, device=device)[:, None]
        begins = torch.tensor([own_width - own_lengths[row] for row in rows], device=device)[
            :, None
        ]
        padding = width - torch.tensor(lengths, device=device)[:, None]
        places = (torch.arange(width, device=device) - padding + begins).clamp(
            min=0
        )  # (rows, width)
        return [
            (
                None
                if pair is None
                else (_gather(pair[0], picked, places), _gather(pair[1], picked, places))
            )
            for pair in self._layers
        ]


def stacked(forward: Forward, rows: Sequence[tuple[Layers, Tokens]]) -> Prefix:
    """The prefix of texts that were read one by one; of each text's keys and values the beginning
    is taken.
    """
    width = max(len(text) for _, text in rows)
    depth = max(len(layers) for layers, _ in rows) if width else 0
    layers: Layers = []
    for i in range(depth):
        parts = [(layers[i] if layers else None, len(text)) for layers, text in rows]
        keys = _stack(
            [(pair[0] if pair is not None else None, length) for pair, length in parts], width
        )
        values = _stack(
            [(pair[1] if pair is not None else None, length) for pair, length in parts], width
        )
        layers.append(None if keys is None or values is None else (keys, values))
    return Prefix(forward, [text for _, text in rows], layers)


def _gather(states: "torch.Tensor", rows: "torch.Tensor", places: "torch.Tensor") -> "torch.Tensor":
    """(rows, heads, width, size) at `places` (rows', width') of `rows` (rows', 1)."""
    by_place = states.transpose(1, 2)  # (rows, width, heads, size)
    return by_place[rows, places].transpose(1, 2)


def _stack(parts: "Sequence[tuple[torch.Tensor | None, int]]", width: int) -> "torch.Tensor | None":
    """(heads, tokens, size) of several rows as (rows, heads, width, size): the beginning of each,
    at the end.

    None if there are none; a row of no tokens needs none.
    """
    known = [part for part, _ in parts if part is not None]
    if not known:
        return None
    heads, _, size = known[0].shape
    stacked = known[0].new_zeros((len(parts), heads, width, size))
    for row, (part, length) in enumerate(parts):
        if part is not None and length:
            stacked[row, :, width - length :] = part[:, :length]
    return stacked


def common_length(sequences: Sequence[tuple[int, ...]]) -> int:
    """The length of the longest common beginning."""
    first, last = min(sequences), max(sequences)
    for i, (a, b) in enumerate(zip(first, last, strict=False)):
        if a != b:
            return i
    return min(len(first), len(last))
