"""The truth check: before the engine is trusted, its answers are compared with plain passes of the
same weights.

A plain pass reads one text from beginning to end, without padding, cache or company. The engine
reads in pieces, in batches, from memory; where an architecture does not carry that, its numbers are
wrong without any error. So each length of text is checked before the first question of that length
is answered, base and adapters, in every way of reading: scores alone and in mixed company, from
memory, and token by token. What passed is kept by content hash.
"""

import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valueagents.errors import PolicyError, first_line
from valueagents.identity import content_hash
from valueagents.policies.engines.chats import Tokens
from valueagents.policies.engines.engine import ScoreReply
from valueagents.policies.engines.spoken import keep
from valueagents.policies.engines.transformers.forward import Forward
from valueagents.policies.engines.transformers.layers import first_wrong_layer
from valueagents.policies.engines.transformers.reader import Reader
from valueagents.policies.engines.transformers.scoring import AnswerPlace, ScoreJob, score_jobs
from valueagents.policies.models import cache_folder

if TYPE_CHECKING:
    import torch

log = logging.getLogger("valueagents")

LEAST_NATS = 1e-4
"""What may be rounding in any case.

So may one unit in the last place of the largest logit: where plain passes of all shapes agree to
the last bit (attention without a kernel of its own, in 16 bits on a CPU), a pass in pieces was off
by up to 0.36 of that unit (gpt-oss, MPT, GPT-J, Falcon, XGLM; 43 tiny architectures, 128 to 384
tokens). Elsewhere the engine was off by at most 1.4 times what plain passes differ by in bfloat16
and 3.5 times in float16.
"""

_OF_THE_ARCHITECTURE = (
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a model raises that lacks something the engine asks of it; every question would fail
alike.
"""

# the engine may differ by this many times what plain passes of different shapes differ by
_FACTOR = 5
_SHORTEST = 128  # tokens of the check at load; longer ones are made when a longer question comes
_TAIL = 6  # tokens of the longest answer
_SEEN = 2 * _TAIL  # places of a text that are compared, at its end
_PROBE = 4  # texts in a check
_FULL_BYTES = 4  # of a number in float32
_TRIES_IN_SHORT_FORMATS = 3
"""Rounding may send a token to another expert, which moves a text by nats (Phi-3.5-MoE in bfloat16:
0.5, on one set of texts of six); what is wrong with an engine is so on other texts, too.
"""


class TruthCheck:
    """Checks a model at the lengths that are asked for; what is switched on when it is asked is
    what it checks.

    Args:
        model: a causal language model of transformers, on `device`.
        tokens: tokens that a text may be made of.
        window: how many tokens the model takes, 0 = it does not say.
        identity: all that decides the engine's answers.
        folders: where the adapters came from, by their names.
    """

    def __init__(
        self,
        model: Any,
        device: str,
        *,
        tokens: Sequence[int],
        window: int,
        identity: Mapping[str, str],
        folders: Mapping[str, Path] | None = None,
    ) -> None:
        self._model, self._device, self._window = model, device, window
        self._tokens = sorted(set(tokens))
        self._identity, self._folders = dict(identity), dict(folders or {})
        self._passed: dict[str | None, int] = {}

    def require(self, length: int, adapter: str | None) -> None:
        """The engine answers truly on texts of up to `length` tokens.

        Raises PolicyError, with both numbers and the first layer that differs, if it does not.
        """
        if length <= self._passed.get(adapter, 0):
            return
        checked = max(_SHORTEST, 1 << (length - 1).bit_length())
        if self._window:
            checked = min(checked, self._window)
        kept = self._kept_file(checked, adapter)
        if not kept.is_file():
            try:
                worst, tolerance = self._compare(checked, adapter)
            except _OF_THE_ARCHITECTURE as error:
                raise PolicyError(
                    f"{self._called(adapter)} is refused: it cannot be read in batches:"
                    f" {first_line(error)}"
                ) from error
            log.debug("answers at %d tokens differ from plain passes by %.2g nats", checked, worst)
            keep(kept, {"tokens": checked, "nats": worst, "tolerance": tolerance})
        self._passed[adapter] = checked

    def _kept_file(self, length: int, adapter: str | None) -> Path:
        import torch
        import transformers

        versions = [str(torch.__version__), transformers.__version__, str(self._device)]
        return (
            cache_folder()
            / "checked"
            / content_hash("truth/2", self._identity, versions, adapter, length)
        )

    def _compare(self, length: int, adapter: str | None) -> tuple[float, float]:
        """The largest difference in nats, and how large it might be."""
        tries = 1 if self._model.dtype.itemsize >= _FULL_BYTES else _TRIES_IN_SHORT_FORMATS
        for first in range(tries - 1):
            try:
                return self._compare_on(_texts(self._tokens, length, first), adapter)
            except PolicyError as error:
                log.debug("asked again on other texts: %s", error)
        return self._compare_on(_texts(self._tokens, length, tries - 1), adapter)

    def _compare_on(self, texts: Sequence[Tokens], adapter: str | None) -> tuple[float, float]:
        import torch

        with torch.inference_mode():
            alone = [self._plain([text])[0] for text in texts]
            self._check_numbers(alone, adapter)
            least = self._least(texts[0])
            tolerance = max(least, _FACTOR * self._noise(texts, alone))
            self._check_causal(alone, tolerance)
            differences = self._scored(texts, alone, adapter) | self._said(texts, alone, adapter)
        for reading, difference in differences.items():
            if not difference <= tolerance:  # so that a difference that is not a number is refused
                raise PolicyError(
                    f"{self._called(adapter)} is refused: {reading}, a log-probability at"
                    f" {len(texts[0])} tokens is {difference:.3g} nats off a plain pass of the"
                    f" same weights, {tolerance:.2g} may be rounding;"
                    f" {self._first_wrong(texts, least)}; use another engine or model"
                )
        return max(differences.values()), tolerance

    def _called(self, adapter: str | None) -> str:
        """What a message calls the model, with the adapter that is switched on."""
        model = f"model type {self._model.config.model_type!r}"
        if adapter is None:
            return model
        return f"adapter {str(self._folders.get(adapter, adapter))!r} on {model}"

    def _check_numbers(self, alone: "Sequence[torch.Tensor]", adapter: str | None) -> None:
        """Plain passes give numbers, or nothing can be compared with them."""
        if all(bool((row == row).all()) for row in alone):  # not equal to itself: not a number
            return
        remedy = (
            "look at the model's weights, or use another dtype"
            if adapter is None
            else "look at its weights, lora_alpha and r, or train it again"
        )
        raise PolicyError(
            f"{self._called(adapter)} is refused: a plain pass gives log-probabilities that are not"
            f" numbers; {remedy}"
        )

    def _least(self, text: Tokens) -> float:
        """Nats that may be rounding in any case: see LEAST_NATS."""
        import torch

        unit = float(torch.finfo(self._model.dtype).eps)
        logits = self._logits([text])
        largest = float(logits[logits.isfinite()].abs().max())  # some forbid tokens by -inf
        return max(LEAST_NATS, unit * largest)

    def _noise(self, texts: Sequence[Tokens], alone: "Sequence[torch.Tensor]") -> float:
        """How far plain passes differ: two rows at once, and attention by another kernel.

        Of the texts the second noisiest: in one a router may have sent a token elsewhere, which
        moves it by nats (Phi-3.5-MoE in bfloat16: 2.7).
        """
        from torch.nn.attention import SDPBackend, sdpa_kernel

        differences = []
        for i in (0, 2, 3):  # the second is the first but for its end
            text, row = texts[i], alone[i]
            batched = self._plain([text, text])[1]
            with sdpa_kernel(SDPBackend.MATH):
                other = self._plain([text])[0]
            wanted = _own(row, text)
            off = ((wanted - _own(passed, text)).abs().max() for passed in (batched, other))
            differences.append(max(map(float, off)))
        return sorted(differences)[-2]

    def _plain(self, texts: Sequence[Tokens]) -> "list[torch.Tensor]":
        """Log-probabilities of the next token at the last places of texts of one length, (places,
        vocabulary) each.
        """
        return list(self._logits(texts).log_softmax(dim=-1))

    def _logits(self, texts: Sequence[Tokens]) -> "torch.Tensor":
        """The same as logits, in float32: (texts, places, vocabulary)."""
        import torch

        takes = Forward(self._model, self._device).takes
        options = {"logits_to_keep": _SEEN, "use_cache": False}
        options = {name: value for name, value in options.items() if name in takes}
        logits = self._model(input_ids=torch.tensor(texts, device=self._device), **options).logits
        last: torch.Tensor = logits[:, -_SEEN:].float()
        return last

    def _check_causal(self, alone: "Sequence[torch.Tensor]", tolerance: float) -> None:
        """The first two texts differ in their last tokens only, so all places before must be
        alike.
        """
        before = _SEEN - _TAIL
        difference = float((alone[0][:before] - alone[1][:before]).abs().max())
        if not difference <= tolerance:
            raise PolicyError(
                f"{self._called(None)} is refused: what it says of earlier tokens depends on later"
                f" ones ({difference:.3g} nats), as in an encoder; use a causal language model"
            )

    def _scored(
        self, texts: Sequence[Tokens], alone: "Sequence[torch.Tensor]", adapter: str | None
    ) -> dict[str, float]:
        """Differences of scores: alone, in mixed company, and read on from what is remembered."""
        jobs = [_job(texts[:2], adapter), *(_job([text], adapter) for text in texts[2:])]
        wanted = [alone[:2], *([row] for row in alone[2:])]
        reader = Reader(self._model, self._device)
        found = {
            "alone": _worst(score_jobs(reader, jobs[:1]), jobs[:1], wanted[:1]),
            "in mixed company": _worst(score_jobs(reader, jobs), jobs, wanted),
        }
        reader.remember_up_to(most_bytes=float("inf"), most_texts=_PROBE)
        begun = [_job([text[: len(text) // 2]], adapter) for text in texts[1:]]
        score_jobs(reader, begun)
        return found | {"read on from memory": _worst(score_jobs(reader, jobs), jobs, wanted)}

    def _said(
        self, texts: Sequence[Tokens], alone: "Sequence[torch.Tensor]", adapter: str | None
    ) -> dict[str, float]:
        """Differences where answers grow token by token, and rows leave the batch."""
        reader, going = Reader(self._model, self._device), list(range(len(texts)))
        prefix, read, _ = reader.begin(adapter, [text[: -_TAIL - 1] for text in texts])
        pieces = [text[n:-_TAIL] for text, n in zip(texts, read, strict=True)]
        rows, worst = going, 0.0
        for step in range(_TAIL):
            prefix, logits = prefix.predict(rows, pieces, keep=1)
            for row, predicted in zip(
                going, logits[:, -1].float().log_softmax(dim=-1), strict=True
            ):
                token = texts[row][len(texts[row]) - _TAIL + step]
                off = abs(float(predicted[token] - alone[row][_SEEN - _TAIL - 1 + step, token]))
                worst = max(worst, off if off == off else float("inf"))
            rows = list(range(len(going)))[: max(1, len(going) - step % 2)]
            going = [going[row] for row in rows]
            pieces = [(texts[row][len(texts[row]) - _TAIL + step],) for row in going]
        return {"token by token": worst}

    def _first_wrong(self, texts: Sequence[Tokens], least: float) -> str:
        """Which layer first differs, between a plain pass and one beside a shorter text."""
        reader = Reader(self._model, self._device)

        def beside_others() -> None:
            prefix, read, _ = reader.begin(None, [text[:-_TAIL] for text in texts])
            prefix.predict(
                range(len(texts)), [text[n:] for text, n in zip(texts, read, strict=True)], keep=1
            )

        return first_wrong_layer(self._model, lambda: self._plain([texts[0]]), beside_others, least)


def _texts(tokens: Sequence[int], length: int, number: int) -> list[Tokens]:
    """Texts that begin alike: two of the whole length with different ends, a short one and one of
    half the length; others for each number.
    """
    dice = random.Random(length + number * 2**32)  # noqa: S311 – a probe, not a secret
    long = tuple(dice.choices(tokens, k=length))
    other = (*long[:-_TAIL], *dice.choices(tokens, k=_TAIL))
    short = (*long[:4], *dice.choices(tokens, k=4 + _TAIL))
    half = (*long[: length // 3], *dice.choices(tokens, k=length // 6 + _TAIL))
    return [long, other, short, half]


def _job(rows: Sequence[Tokens], adapter: str | None) -> ScoreJob:
    """A request of rows. The first of several has an answer of one token, as letters are, all
    others long ones.
    """
    lengths = [_TAIL if i or len(rows) == 1 else 1 for i in range(len(rows))]
    targets = tuple(
        AnswerPlace(i, 0, i, row[-n:]) for i, (row, n) in enumerate(zip(rows, lengths, strict=True))
    )
    sequences = tuple(row[:-1] for row in rows)
    shared = min(len(row) for row in sequences) - _TAIL
    return ScoreJob(sequences, max(0, shared), targets, (len(rows), 1), adapter)


def _worst(
    replies: Sequence[ScoreReply],
    jobs: Sequence[ScoreJob],
    wanted: "Sequence[Sequence[torch.Tensor]]",
) -> float:
    """The largest difference of a token's log-probability; infinite if it is not a number."""
    worst = 0.0
    for reply, job, rows in zip(replies, jobs, wanted, strict=True):
        for target in job.targets:
            text = job.rows[target.row] + target.ids[-1:]
            expected = float(_own(rows[target.row], text)[-len(target.ids) :].double().sum())
            off = abs(reply.logprobs[target.r][target.k] - expected) / len(target.ids)
            worst = max(worst, off if off == off else float("inf"))
    return worst


def _own(logprobs: "torch.Tensor", text: Tokens) -> "torch.Tensor":
    """Log-probabilities of a text's last tokens, from its last places; the very last predicts what
    comes after.
    """
    ids = logprobs.new_tensor(text[1 - len(logprobs) :]).long()
    return logprobs[:-1].gather(1, ids[:, None])[:, 0]
