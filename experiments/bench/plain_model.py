"""The embedded model asked the plain way, nothing shared and nothing kept; and a count of what
models compute.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from valueagents.policies.engines import ScoreRequest
from valueagents.policies.engines.chats import ChatTokenizer
from valueagents.policies.models import EMBEDDED, find_model


class PlainModel:
    """The embedded model in float32 on the CPU, with its tokenizer."""

    def __init__(self) -> None:
        transformers.logging.disable_progress_bar()
        files = find_model(EMBEDDED)
        self.chats = ChatTokenizer(files)
        model = transformers.AutoModelForCausalLM.from_pretrained(files.folder, dtype=torch.float32)
        self._model = model.eval()

    def logprobs(self, request: ScoreRequest) -> list[float]:
        """(K,) log P(answer | chat) of the request's only chat: one forward pass over chat and
        answer for each.
        """
        [prompt], answers = self.chats.encode(request)
        return [self._full_pass(prompt, answer) for answer in answers]

    def _full_pass(self, prompt: tuple[int, ...], answer: tuple[int, ...]) -> float:
        with torch.inference_mode():
            logits = self._model(input_ids=torch.tensor([[*prompt, *answer[:-1]]])).logits[0]
            logprobs = logits.log_softmax(-1)
        first = len(prompt) - 1
        return math.fsum(
            logprobs[first + place, token].item() for place, token in enumerate(answer)
        )


@dataclass(slots=True)
class Passes:
    """Forward passes of whole language models, and the positions (rows × width, padding included)
    that they read.
    """

    count: int = 0
    positions: int = 0


@contextmanager
def forward_passes() -> Iterator[Passes]:
    """Every model of this process is counted while the block runs, on whatever thread."""
    seen = Passes()

    def note(module: torch.nn.Module, arguments: Any) -> None:
        if isinstance(module, transformers.PreTrainedModel) and hasattr(module, "lm_head"):
            seen.count += 1
        elif isinstance(
            module, torch.nn.Embedding
        ):  # gets the token ids, which the model above may get by name
            seen.positions += arguments[0].numel()

    hook = torch.nn.modules.module.register_module_forward_pre_hook(note)
    try:
        yield seen
    finally:
        hook.remove()
