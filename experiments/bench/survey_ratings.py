"""What does profiling a model on the survey cost? The engine's shared prefixes against one full
pass for each rating.

Affirming statements of the bundled survey (all 480 with --statements 480), each rated once. The two
ways take turns on blocks of statements; full passes, which are slow, run for every fourth block
only, and the ratio is of those blocks. The engine is as profiling has it: it remembers the task
that all questions begin with, read once on an opposing statement that is not among those measured.
No statement comes twice, and a reply without a computed token, one from memory, ends the
measurement. Then one statement in all 27 prompt variants, on an engine that was never asked about
it: how many forward passes that takes.
"""

import asyncio
from collections.abc import Iterator, Sequence

from valueagents.contracts.plugins import make_env
from valueagents.contracts.policy import View
from valueagents.experiments.bench.engines import EMBEDDED_FLOAT32, make_engine, questions
from valueagents.experiments.bench.plain_model import PlainModel, forward_passes
from valueagents.experiments.bench.timing import (
    Rounds,
    make_parser,
    print_figure,
    read_options,
    require_work,
)
from valueagents.policies.engines import Engine, ScoreReply, ScoreRequest

POLICY = f"{EMBEDDED_FLOAT32}&reading=likelihood&normaliser=sum&beside=free&prompt=rate-1"
SIZES = {"statements": (192, 8), "block": (16, 4), "variants": (27, 3)}
FULL_PASSES_EVERY = 4  # blocks


def ratings(count: int, *, variants: int = 1, poles: str = "affirm") -> list[ScoreRequest]:
    """What is asked about the first statements, each in `variants` variants."""
    options = {"split": "all", "poles": poles, "variants": variants, "wordings": "trained"}
    env = make_env("valueagents/Survey-v0", **options)
    asked: list[ScoreRequest] = []
    for situation in env.situations()[: count * variants]:
        observation, info = env.reset(seed=0, options={"situation": situation})
        asked += questions(POLICY, View(env.task, (), observation, info["menu"], seed=0))
    return asked


def blocks(requests: Sequence[ScoreRequest], size: int) -> Iterator[Sequence[ScoreRequest]]:
    """The requests in their order, `block` at a time."""
    for first in range(0, len(requests), size):
        yield requests[first : first + size]


async def ask_all(engine: Engine, requests: Sequence[ScoreRequest]) -> list[ScoreReply]:
    """The replies to all, asked for at once. Raises NotMeasured if one came from memory."""
    replies = await asyncio.gather(*(engine.score(request) for request in requests))
    read = sum(reply.cached_tokens < reply.prompt_tokens for reply in replies)
    require_work("questions read", done=read, needed=len(requests))
    return replies


async def measure_profile(statements: int, block_size: int) -> None:
    """Print what a statement takes in both ways, and how far their log-likelihoods differ."""
    plain, asked = PlainModel(), ratings(statements)
    [warm_up] = ratings(1, poles="oppose")
    measured, worst, compared = Rounds(), 0.0, 0
    async with make_engine(POLICY) as engine:
        await engine.score(warm_up)
        plain.logprobs(warm_up)
        for number, block in enumerate(blocks(asked, block_size)):
            beside = number % FULL_PASSES_EVERY == 0
            with measured.timed("shared, compared" if beside else "shared, the rest"):
                replies = await ask_all(engine, block)
            if beside:
                with measured.timed("full"):
                    sums = [plain.logprobs(request) for request in block]
                worst = max(worst, *_differences(sums, replies))
                compared += len(block)
    shared, full = sum(measured.seconds("shared, compared")), sum(measured.seconds("full"))
    print(f"{len(asked)} statements, full passes for {compared} of them, float32")
    print_figure("shared prefixes, seconds a statement", [shared / compared], "s")
    print_figure("full passes, one for each of 6 ratings", [full / compared], "s")
    print_figure(
        "full passes ÷ shared prefixes", measured.ratios("full", "shared, compared"), least=3
    )
    print_figure("largest difference of a log-likelihood", [worst], "nats", most=1e-3)


async def measure_variants(variants: int) -> None:
    """Print how many forward passes one statement in all its prompt variants takes, and how many
    tokens.
    """
    asked = ratings(1, variants=variants)
    async with make_engine(POLICY) as engine:
        with forward_passes() as passes:
            replies = await ask_all(engine, asked)
    tokens = sum(reply.prompt_tokens for reply in replies)
    computed = tokens - sum(reply.cached_tokens for reply in replies)
    require_work("positions that the model read", done=passes.positions, needed=computed)
    print_figure(
        f"{variants} variants of a statement", [passes.count], "forward passes", most=variants
    )
    print_figure("tokens computed ÷ tokens asked about", [computed / tokens])


def _differences(sums: Sequence[Sequence[float]], replies: Sequence[ScoreReply]) -> list[float]:
    pairs = [
        pair
        for row, reply in zip(sums, replies, strict=True)
        for pair in zip(row, reply.logprobs[0], strict=True)
    ]
    return [abs(one - other) for one, other in pairs]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure at the size that the command line says."""
    options = read_options(make_parser(__doc__), SIZES, argv)
    asyncio.run(measure_profile(options.statements, options.block))
    asyncio.run(measure_variants(options.variants))


if __name__ == "__main__":
    main()
