"""How much of an engine's own speed does a run keep, and how much of what prompts share is computed
once?

A run with recording and display on is watched at its engine: every request is kept with its place
in time. Then the engine is loaded again, cold, and given the same requests in the same order, as
many at once, with nothing around it. Each round has engines and a run folder of its own. Episodes
of a game begin alike, and an engine may answer an equal question from memory; the run did and the
replay does, so both times hold it, but what prompts share is counted without questions that are
equal to an earlier one.

Printed for each engine and env, without and with an adapter:

replay ÷ run     seconds from the engine's being loaded to its last reply; then the same of this
                 process's CPU seconds, which other work on the machine hardly moves
tokens computed  by the replay ÷ by the run: far from 1, one of them had what the other had not
cache hits       cached tokens ÷ ideal, which is what an endless cache would share: the longest
                 beginning that an earlier sequence of the same adapter had; then ÷ the part of the
                 ideal in whole blocks of 32 tokens
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from valueagents.experiments.bench.engines import make_engine
from valueagents.experiments.bench.timing import (
    make_parser,
    print_figure,
    read_options,
    require_work,
)
from valueagents.policies.adapters import read_adapter
from valueagents.policies.engines import Engine, ScoreReply, ScoreRequest
from valueagents.policies.engines.chats import ChatTokenizer, Tokens
from valueagents.policies.engines.transformers.engine import TransformersEngine
from valueagents.policies.engines.vllm.engine import VllmEngine
from valueagents.policies.models import EMBEDDED, ModelFiles, find_model
from valueagents.running.execution import RunConfig, execute
from valueagents.running.progress import show_progress

SIZES = {"episodes": (64, 2), "choices": (10, 2), "live": (32, 2), "rounds": (1, 1)}
ENGINES: dict[str, type[Engine]] = {"transformers": TransformersEngine, "vllm": VllmEngine}
SETTINGS = {"transformers": "", "vllm": "&kv_cache_gib=4&spare_adapter_slot=yes"}
ENVS = {"dilemmas": "valueagents/Dilemma-v0", "multi-turn": "valueagents/ChoiceScript-v0"}
BLOCK_TOKENS = 32
SEED = 5
QUANTILES = (0.5, 0.95, 0.99)


@dataclass(slots=True)
class Log:
    """What an engine was asked, in order, and how it answered, in the order of the replies, with
    the seconds of each.

    `ready` and `last`: the clock and this process's CPU seconds when the engine was loaded and at
    its last reply.
    """

    requests: list[ScoreRequest] = field(default_factory=list)
    answers: list[tuple[ScoreRequest, ScoreReply]] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    ready: tuple[float, float] = (0.0, 0.0)
    last: tuple[float, float] = (0.0, 0.0)

    @property
    def wall_s(self) -> float:
        """From the engine's being loaded to its last reply."""
        return self.last[0] - self.ready[0]

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all threads in that time."""
        return self.last[1] - self.ready[1]

    @property
    def prompt_tokens(self) -> int:
        """Tokens asked about."""
        return sum(reply.prompt_tokens for _, reply in self.answers)

    @property
    def computed_tokens(self) -> int:
        """Of these, those that the model read."""
        return sum(reply.prompt_tokens - reply.cached_tokens for _, reply in self.answers)

    def latency_s(self, quantile: float) -> float:
        """The seconds that this share of the requests took at most."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


@contextmanager
def watched(engine: type[Engine]) -> Iterator[Log]:
    """Every engine of that class that is used in the block writes to the log; its self-check is
    left out.
    """
    log, enter, score = Log(), engine.__aenter__, engine.score

    async def watched_enter(self: Engine) -> Engine:
        entered = await enter(self)
        log.requests, log.answers, log.latencies_s = [], [], []
        log.ready = _clocks()
        return entered

    async def watched_score(self: Engine, request: ScoreRequest) -> ScoreReply:
        log.requests.append(request)
        began = time.perf_counter()
        reply = await score(self, request)
        log.last = _clocks()
        log.latencies_s.append(log.last[0] - began)
        log.answers.append((request, reply))
        return reply

    engine.__aenter__, engine.score = watched_enter, watched_score  # type: ignore[method-assign,assignment]
    try:
        yield log
    finally:
        engine.__aenter__, engine.score = enter, score  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True)
class ReplayCase:
    """What is measured: an engine and an env by name, an adapter's folder or None, and the command
    line.
    """

    engine: str
    env: str
    adapter: Path | None
    options: argparse.Namespace

    @property
    def policy(self) -> str:
        """The spec of the policy, whose engine both the run and the replay ask."""
        adapter = "" if self.adapter is None else f"&adapter={self.adapter}"
        rotations = f"rotations={self.options.rotations}"
        return f"{self.engine}:{self.options.model}?{rotations}{SETTINGS[self.engine]}{adapter}"

    def record(self) -> Log:
        """The log of a whole run: plan, rollout, recording, display."""
        options = self.options
        config = RunConfig(
            env=ENVS[self.env],
            env_options={"max_steps": options.choices} if self.env == "multi-turn" else {},
            policy=self.policy,
            episodes=options.episodes,
            seed=SEED,
            live=options.live,
        )
        shown = show_progress(self.policy)
        with (
            watched(ENGINES[self.engine]) as log,
            tempfile.TemporaryDirectory() as folder,
            shown as progress,
        ):
            played = execute(config, Path(folder) / "run", progress=progress)
            require_work("episodes played", done=len(played.episodes()), needed=options.episodes)
        return log

    def replay(self, requests: Sequence[ScoreRequest]) -> Log:
        """The same requests straight into a fresh engine."""

        async def ask() -> None:
            async with make_engine(self.policy) as engine:
                todo = iter(requests)

                async def agent() -> None:
                    for request in todo:
                        await engine.score(request)

                await asyncio.gather(*(agent() for _ in range(self.options.live)))

        with watched(ENGINES[self.engine]) as log:
            asyncio.run(ask())
        require_work("requests replayed", done=len(log.answers), needed=len(requests))
        return log

    def measure(self) -> None:
        """Print the row's figures."""
        pairs = []
        for _ in range(self.options.rounds):
            ran = self.record()
            pairs.append((ran, self.replay(ran.requests)))
        runs = [ran for ran, _ in pairs]
        distinct = set(runs[0].requests)
        adapted = "with an adapter" if self.adapter is not None else "without adapter"
        equal = len(runs[0].requests) - len(distinct)
        print(
            f"{self.engine}, {self.env}, {adapted}: {len(runs[0].requests)} requests, {equal} equal"
            " to an earlier one"
        )
        print_figure(
            "run", [ran.prompt_tokens / ran.wall_s for ran in runs], "tokens asked about/s"
        )
        print_figure(
            "  of these computed, not from memory",
            [r.computed_tokens / r.wall_s for r in runs],
            "tokens/s",
        )
        for quantile in QUANTILES:
            name = f"  seconds that {quantile:.0%} of the requests took at most"
            print_figure(name, [ran.latency_s(quantile) for ran in runs], "s")
        print_figure("replay ÷ run, seconds", [b.wall_s / a.wall_s for a, b in pairs], least=0.9)
        print_figure("replay ÷ run, CPU seconds", [b.cpu_s / a.cpu_s for a, b in pairs])
        print_figure(
            "replay ÷ run, tokens computed",
            [b.computed_tokens / a.computed_tokens for a, b in pairs],
        )
        self._print_hits(runs)

    def _print_hits(self, runs: Sequence[Log]) -> None:
        chats = ChatTokenizer(find_model(self.options.model))
        shares, hits, in_blocks = [], [], []
        for ran in runs:
            asked = first_answers(ran)
            cached = sum(reply.cached_tokens for reply in asked.values())
            shares.append(cached / sum(reply.prompt_tokens for reply in asked.values()))
            hits.append(cached / max(1, ideal_tokens(list(asked), chats, 1)))
            in_blocks.append(cached / max(1, ideal_tokens(list(asked), chats, BLOCK_TOKENS)))
        print_figure("cached ÷ asked about, equal requests left out", shares)
        print_figure("cache hits ÷ ideal, in tokens", hits)
        print_figure(f"cache hits ÷ ideal, in blocks of {BLOCK_TOKENS}", in_blocks, least=0.95)


def first_answers(log: Log) -> dict[ScoreRequest, ScoreReply]:
    """The distinct requests in the order of asking, with the reply that was computed: the least
    cached of equals.
    """
    found: dict[ScoreRequest, ScoreReply] = {}
    for request, reply in log.answers:
        known = found.get(request)
        if known is None or reply.cached_tokens < known.cached_tokens:
            found[request] = reply
    return {request: found[request] for request in dict.fromkeys(log.requests)}


def ideal_tokens(requests: Sequence[ScoreRequest], chats: ChatTokenizer, block: int) -> int:
    """The tokens, in whole blocks, that a cache without end would not compute; the last of a
    sequence always is.
    """
    tries: dict[str | None, dict[Tokens, Any]] = {}
    ideal = 0
    for request in requests:
        prompts, answers = chats.encode(request)
        for sequence in dict.fromkeys(prompt + ids[:-1] for prompt in prompts for ids in answers):
            node, known, found = tries.setdefault(request.adapter, {}), True, 0
            for start in range(0, len(sequence) - block + 1, block):
                piece = sequence[start : start + block]
                known = known and piece in node
                found += block if known and start + block < len(sequence) else 0
                node = node.setdefault(piece, {})
            ideal += found
    return ideal


def make_adapter(base: ModelFiles, folder: Path) -> Path:
    """A LoRA adapter with random weights."""
    import peft
    import torch
    import transformers

    torch.manual_seed(SEED)
    model = transformers.AutoModelForCausalLM.from_pretrained(base.folder)
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=8, target_modules=["q_proj", "v_proj"]))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    adapted.save_pretrained(folder)
    read_adapter(str(folder), base)
    return folder


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures of each engine, env, and without or with an adapter."""
    parser = make_parser(__doc__)
    installed = [name for name in ENGINES if find_spec(name) is not None]
    parser.add_argument(
        "--engines",
        nargs="+",
        default=installed,
        choices=list(ENGINES),
        help="by default: installed",
    )
    parser.add_argument("--envs", nargs="+", default=list(ENVS), choices=list(ENVS))
    parser.add_argument(
        "--adapters",
        nargs="+",
        choices=["no", "yes"],
        help="by default no and yes, with --quick no",
    )
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--rotations", default="all", choices=["all", "none"])
    options = read_options(parser, SIZES, argv)
    options.adapters = options.adapters or (["no"] if options.quick else ["no", "yes"])
    asked = f"{options.live} live, label reading, rotations={options.rotations}"
    print(f"{options.model}, {options.episodes} episodes, {asked}")
    with tempfile.TemporaryDirectory() as folder:
        base = find_model(options.model)
        adapter = (
            make_adapter(base, Path(folder) / "adapter") if "yes" in options.adapters else None
        )
        for env in options.envs:
            for engine in options.engines:
                for adapted in options.adapters:
                    ReplayCase(
                        engine, env, adapter if adapted == "yes" else None, options
                    ).measure()


if __name__ == "__main__":
    main()
