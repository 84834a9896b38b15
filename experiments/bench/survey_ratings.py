"""What does profiling a model on the survey cost? The engine's shared prefixes against one full pass for each rating.

First the bundled 480 affirming statements (or so many as are named), each rated once. The two ways take turns on blocks
of statements, so whatever else the machine does falls on both; full passes run for every `EACH`-th block only. Then one
statement in all 27 prompt variants: how many forward passes that takes.

    python -m valueagents.experiments.bench.survey_ratings [STATEMENTS]
"""

import asyncio
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import transformers

from valueagents.contracts.plugins import make_env
from valueagents.contracts.policy import View
from valueagents.policies.engines import ScoreRequest
from valueagents.policies.engines.chats import ChatTokenizer
from valueagents.policies.engines.transformers.engine import TransformersEngine
from valueagents.policies.models import EMBEDDED, find_model
from valueagents.policies.prompts import load_prompt
from valueagents.policies.readings import LikelihoodReading

BLOCK, EACH = 16, 6
VARIANTS = 27


def questions(count: int, variants: int) -> list[ScoreRequest]:
    """What is asked about so many statements, each in so many variants."""
    world = make_env("valueagents/Survey-v0", split="all", poles="affirm", variants=variants)
    reading, prompt = LikelihoodReading("sum"), load_prompt("rate-1")
    asked: list[ScoreRequest] = []
    for situation in world.situations()[: count * variants]:
        observation, info = world.reset(seed=0, options={"situation": situation})
        asked += reading.requests(prompt, View(world.task, (), observation, info["menu"], seed=0))
    return asked


async def main(count: int) -> None:
    """Print times, their ratio, the largest difference of a log-likelihood, and the passes that 27 variants take."""
    transformers.logging.disable_progress_bar()
    files = find_model(EMBEDDED)
    chats = ChatTokenizer(files)
    model = transformers.AutoModelForCausalLM.from_pretrained(files.folder, dtype=torch.float32).eval()
    asked = questions(count, 1)
    shared_s = shared_beside_s = full_s = worst = 0.0
    beside = 0
    async with TransformersEngine(EMBEDDED, dtype="float32", device="cpu") as engine:
        await engine.score(asked[0])
        for number, first in enumerate(range(0, len(asked), BLOCK)):
            block = asked[first : first + BLOCK]
            started = time.perf_counter()
            replies = await asyncio.gather(*(engine.score(request) for request in block))
            took = time.perf_counter() - started
            shared_s += took
            if number % EACH == 0:
                started = time.perf_counter()
                sums = [[full_pass(model, chats, request, text) for text in request.continuations] for request in block]
                full_s += time.perf_counter() - started
                shared_beside_s += took
                beside += len(block)
                both = zip(sums, replies, strict=True)
                worst = max(worst, *(abs(a - b) for own, r in both for a, b in zip(own, r.logprobs[0], strict=True)))
        with forward_passes() as passes:
            replies = await asyncio.gather(*(engine.score(request) for request in questions(1, VARIANTS)))
    print(f"{len(asked)} statements profiled in {shared_s:.1f} s, full passes for {beside} of them, float32")
    print(f"shared prefixes {shared_beside_s / beside:7.3f} s a statement")
    print(f"full passes     {full_s / beside:7.3f} s a statement, one for each of 6 ratings")
    print(f"ratio           {full_s / shared_beside_s:7.2f}   (bar: 3)")
    print(f"largest difference of a log-likelihood {worst:.1e}")
    tokens = sum(reply.prompt_tokens for reply in replies)
    computed = tokens - sum(reply.cached_tokens for reply in replies)
    print(f"{VARIANTS} variants of a statement: {len(passes)} forward passes (bar: {VARIANTS}),", end=" ")
    print(f"{computed} tokens computed of {tokens} asked about")


def full_pass(model: torch.nn.Module, chats: ChatTokenizer, request: ScoreRequest, text: str) -> float:
    """Log P(text | question) by one forward pass over both."""
    (prompt,), (answer,) = chats.encode(ScoreRequest(request.chats, (text,)))
    with torch.inference_mode():
        logprobs = model(input_ids=torch.tensor([[*prompt, *answer[:-1]]])).logits[0].log_softmax(-1)
    return math.fsum(logprobs[len(prompt) - 1 + place, token].item() for place, token in enumerate(answer))


@contextmanager
def forward_passes() -> Iterator[Sequence[str]]:
    """The forward passes of whole language models while it is open."""
    seen: list[str] = []

    def note(module: torch.nn.Module, _arguments: Any) -> None:
        if isinstance(module, transformers.PreTrainedModel) and hasattr(module, "lm_head"):
            seen.append(type(module).__name__)

    register: Callable[[Any], Any] = torch.nn.modules.module.register_module_forward_pre_hook
    hook = register(note)
    try:
        yield seen
    finally:
        hook.remove()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 480))
