"""Reader: a model that remembers what it read lately, so that an episode's next turn is read on
from the last.

Kept are the key-value caches of single texts. A new text begins where the longest known beginning
ends: an earlier turn of its episode, or the task that all episodes of an env begin with. A question
that was answered lately is not even read: a hundred episodes of a game begin alike.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from valueagents.policies.engines.chats import Tokens
from valueagents.policies.engines.engine import ScoreReply
from valueagents.policies.engines.transformers.forward import Forward, Layers
from valueagents.policies.engines.transformers.prefix import Prefix, common_length, stacked


@dataclass(frozen=True, slots=True)
class _Kept:
    """A text that was read with an adapter, and the keys and values that it left."""

    adapter: str | None
    tokens: Tokens
    layers: Layers
    size: int


class Reader:
    """Reads texts on a model, with whatever adapter is switched on; the caller says which.

    It keeps nothing until it is told how much it may: what is remembered cannot show that an engine
    errs.

    Args:
        model: a causal language model of transformers.
        device: where it is.
    """

    def __init__(self, model: Any, device: str) -> None:
        self.model, self.forward = model, Forward(model, device)
        self._most_bytes, self._most_texts = 0.0, 0
        self._kept: list[_Kept] = []
        self._answers: dict[Hashable, ScoreReply] = {}

    def remember_up_to(self, *, most_bytes: float, most_texts: int) -> None:
        """From now on keep that much, the oldest goes first.

        An episode comes again when all others have, or never.
        """
        self._most_bytes, self._most_texts = most_bytes, most_texts

    def begin(
        self, adapter: str | None, texts: Sequence[Tokens]
    ) -> tuple[Prefix, list[int], list[int]]:
        """A row for each text; how many of its tokens are read; how many of these were not computed
        for it.

        What all texts have in common is read in any case, once.
        """
        if not self.forward.keeps:
            nothing = [0] * len(texts)
            return stacked(self.forward, [([], ())] * len(texts)), nothing, nothing
        root = common_length(texts)
        found = [self._longest(adapter, text) for text in texts]
        shared, known = found[0]
        if known < root:
            begun = stacked(self.forward, [(shared, texts[0][:known])])
            shared = begun.read([0], [texts[0][known:root]]).row(0)
        rows = [(layers, length) if length >= root else (shared, root) for layers, length in found]
        read = [length for _, length in rows]
        begun = stacked(
            self.forward,
            [(layers, text[:n]) for (layers, n), text in zip(rows, texts, strict=True)],
        )
        return begun, read, [known, *read[1:]]

    def keep(self, adapter: str | None, tokens: Tokens, prefix: Prefix, row: int) -> None:
        """Remember the text of a row that was read to its end; it takes the place of its own
        beginnings.
        """
        if not self._most_bytes or not self.forward.keeps:
            return
        layers = prefix.row(row)
        size = sum(part.nbytes for pair in layers if pair is not None for part in pair)
        self._kept = [
            old
            for old in self._kept
            if old.adapter != adapter or tokens[: len(old.tokens)] != old.tokens
        ]
        self._kept.append(_Kept(adapter, tokens, layers, size))
        while (
            len(self._kept) > self._most_texts
            or sum(kept.size for kept in self._kept) > self._most_bytes
        ):
            del self._kept[0]

    def answer(self, question: Hashable) -> ScoreReply | None:
        """What was answered to it lately."""
        return self._answers.get(question)

    def remember(self, question: Hashable, reply: ScoreReply) -> None:
        """Remember an answer, as long as texts are kept."""
        self._answers.pop(question, None)
        if self._most_bytes:
            self._answers[question] = reply
        if len(self._answers) > self._most_texts:
            del self._answers[next(iter(self._answers))]

    def _longest(self, adapter: str | None, text: Tokens) -> tuple[Layers, int]:
        """The kept text with the longest beginning of this one, and the beginning's length."""
        found: tuple[Layers, int] = ([], 0)
        for kept in self._kept:
            beaten = found[1] + 1
            if kept.adapter == adapter and kept.tokens[:beaten] == text[:beaten]:
                found = kept.layers, common_length([kept.tokens, text])
        return found
