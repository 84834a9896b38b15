"""What does sharing prefixes save? Six multi-token options after a 300-token prompt, on the
embedded model in float32.

Side by side, in turn, in one process: the engine's shared-prefix scoring, and one full forward pass
an option. The engine keeps nothing from one question to the next (kv_cache_gib=0), so every round
is a first reading: with memory it would answer the same question at once, and read another text of
the same length on from the beginning that it knows. That a round computed as many tokens as a first
reading must is checked by the engine's own count and by what its model was given. Then the prefills
that a label menu costs: positions computed for six labels ÷ tokens of the listing.
"""

import asyncio
from collections.abc import Sequence

from valueagents.contracts.decision import Option
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
from valueagents.policies.engines import Engine, Message, ScoreReply, ScoreRequest
from valueagents.policies.engines.chats import ChatTokenizer

ENGINE = f"{EMBEDDED_FLOAT32}&kv_cache_gib=0"
SIZES = {"rounds": (7, 2), "prompt_tokens": (300, 100)}
SYSTEM = "You meet situations that call for a decision."
SENTENCE = "The ferry was late again, and on the bench lay a purse of green leather. "
OPTIONS = (
    "Walk back to the harbour and give the captain her purse before the ferry sails.",
    "Keep the purse until Monday and put a note on the board beside the ticket office.",
    "Hand it to the policeman at the gate and let him find out whose purse it might be.",
    "Look through the papers inside the purse for a telephone number and ring it at once.",
    "Leave the purse on the bench where it lay, since its owner may come back to look there.",
    "Take the money for the shelter's roof and drop the empty purse in the captain's letter box.",
)


def situation(chats: ChatTokenizer, tokens: int) -> str:
    """A text whose chat, with template and system prompt, has at most this many tokens."""
    text = SENTENCE * (1 + tokens // 10)
    while len(chats.prompt((Message("system", SYSTEM), Message("user", text)))) > tokens:
        text = text[:-1]
    return text


def tokens_of_a_first_reading(chats: ChatTokenizer, request: ScoreRequest) -> int:
    """What must be computed where nothing is known: the prompt once but for its last token, then a
    row an answer.

    A row is the prompt's last token and the answer without its own last, which nothing follows.
    """
    [prompt], answers = chats.encode(request)
    return len(prompt) - 1 + sum(len(answer) for answer in answers)


async def measure_options(
    engine: Engine, plain: PlainModel, request: ScoreRequest, rounds: int
) -> tuple[Rounds, float]:
    """The times of both ways after a round that does not count, and the largest difference of a
    log-likelihood.

    Raises NotMeasured if the engine computed less than a first reading must.
    """
    needed = tokens_of_a_first_reading(plain.chats, request)
    measured, worst = Rounds(), 0.0
    await engine.score(request)
    plain.logprobs(request)
    for _ in range(rounds):
        with forward_passes() as passes, measured.timed("shared"):
            reply = await engine.score(request)
        require_work("tokens computed, by the engine's count", done=_computed(reply), needed=needed)
        require_work("positions that the model read", done=passes.positions, needed=needed)
        with forward_passes(), measured.timed("full"):
            sums = plain.logprobs(request)
        worst = max(worst, *_differences(sums, reply.logprobs[0]))
    return measured, worst


async def label_prefills(engine: Engine, text: str) -> float:
    """Positions computed for a label menu in one order ÷ tokens of its listing."""
    menu = tuple(Option(str(k), option) for k, option in enumerate(OPTIONS))
    view = View(SYSTEM, (), text, menu, seed=0)
    [request] = questions(f"{ENGINE}&reading=label&rotations=none", view)
    with forward_passes() as passes:
        reply = await engine.score(request)
    require_work(
        "tokens of the listing computed", done=passes.positions, needed=reply.prompt_tokens
    )
    return passes.positions / reply.prompt_tokens


async def measure(rounds: int, prompt_tokens: int) -> None:
    """Print times, their ratio, the largest difference of a log-likelihood, and what a label menu
    costs.
    """
    plain = PlainModel()
    text = situation(plain.chats, prompt_tokens)
    request = ScoreRequest(((Message("system", SYSTEM), Message("user", text)),), OPTIONS)
    async with make_engine(ENGINE) as engine:
        measured, worst = await measure_options(engine, plain, request, rounds)
        prefills = await label_prefills(engine, text)
    [prompt], answers = plain.chats.encode(request)
    lengths = [len(answer) for answer in answers]
    print(
        f"{len(OPTIONS)} options of {min(lengths)} to {max(lengths)} tokens after {len(prompt)}"
        " tokens, float32"
    )
    print_figure("shared prefix", measured.seconds("shared"), "s")
    print_figure("full passes", measured.seconds("full"), "s")
    print_figure("full passes ÷ shared prefix", measured.ratios("full", "shared"), least=3.5)
    print_figure("largest difference of a log-likelihood", [worst], "nats", most=1e-3)
    print_figure(
        "label menu, positions computed ÷ tokens of the listing", [prefills], "prefills", most=1
    )


def _computed(reply: ScoreReply) -> int:
    return reply.prompt_tokens - reply.cached_tokens


def _differences(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [abs(one - other) for one, other in zip(first, second, strict=True)]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure at the size that the command line says."""
    options = read_options(make_parser(__doc__), SIZES, argv)
    asyncio.run(measure(options.rounds, options.prompt_tokens))


if __name__ == "__main__":
    main()
