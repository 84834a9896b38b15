"""How much of an engine's own speed does a run keep, and how much of what prompts share is computed once?

A run with recording and display on is watched at its engine: every request is kept with its place in time. Then the
engine is loaded again, cold, and given the same requests in the same order, as many at once, with nothing around it.

efficiency   seconds of the replay ÷ seconds of the run, from the engine's being loaded to its last reply; in brackets
             the same of this process's CPU seconds, which other work on the machine hardly moves
hits         cached tokens ÷ ideal; the ideal is what an endless cache would share: the longest beginning that an
             earlier sequence of the same adapter had, and in brackets the part of it in whole blocks of 32 tokens
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from valueagents.policies.adapters import read_adapter
from valueagents.policies.engines import Engine, ScoreReply, ScoreRequest
from valueagents.policies.engines.chats import ChatTokenizer, Tokens
from valueagents.policies.engines.transformers.engine import TransformersEngine
from valueagents.policies.engines.vllm.engine import VllmEngine
from valueagents.policies.models import EMBEDDED, ModelFiles, find_model
from valueagents.running.progress import show_progress
from valueagents.running.runs import RunConfig, run

ENGINES: dict[str, type[Engine]] = {"transformers": TransformersEngine, "vllm": VllmEngine}
SETTINGS: dict[str, dict[str, Any]] = {"transformers": {}, "vllm": {"kv_cache_gib": 4, "spare_adapter_slot": "yes"}}
ENVS = {"dilemmas": "valueagents/Dilemma-v0", "multi-turn": "valueagents/ChoiceScript-v0"}
BLOCK_TOKENS = 32
SEED = 5


@dataclass(slots=True)
class Log:
    """What an engine was asked and how it answered: requests and replies in order, seconds each took, and of all.

    `ready` and `last`: the clock and this process's CPU seconds when the engine was loaded and at its last reply.
    """

    requests: list[ScoreRequest] = field(default_factory=list)
    replies: list[ScoreReply] = field(default_factory=list)
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


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


@contextmanager
def watched(engine: type[Engine]) -> Iterator[Log]:
    """Every engine of that class that is used in the block writes to the log; its self-check is left out."""
    log, enter, score = Log(), engine.__aenter__, engine.score

    async def watched_enter(self: Engine) -> Engine:
        entered = await enter(self)
        log.requests, log.replies, log.latencies_s = [], [], []
        log.ready = _clocks()
        return entered

    async def watched_score(self: Engine, request: ScoreRequest) -> ScoreReply:
        log.requests.append(request)
        began = time.perf_counter()
        reply = await score(self, request)
        log.last = _clocks()
        log.latencies_s.append(log.last[0] - began)
        log.replies.append(reply)
        return reply

    engine.__aenter__, engine.score = watched_enter, watched_score  # type: ignore[method-assign,assignment]
    try:
        yield log
    finally:
        engine.__aenter__, engine.score = enter, score  # type: ignore[method-assign]


def record(name: str, env: str, options: argparse.Namespace, adapter: Path | None) -> Log:
    """The log of a whole run: plan, rollout, recording, display."""
    settings = "".join(f"&{key}={value}" for key, value in SETTINGS[name].items())
    chosen = f"&adapter={adapter}" if adapter is not None else ""
    policy = f"{name}:{options.model}?rotations={options.rotations}{settings}{chosen}"
    env_options = {"max_steps": options.choices} if env == "multi-turn" else {}
    config = RunConfig(
        env=ENVS[env], env_options=env_options, policy=policy, episodes=options.episodes, seed=SEED, live=options.live
    )
    with watched(ENGINES[name]) as log, tempfile.TemporaryDirectory() as folder, show_progress(policy) as progress:
        run(config, Path(folder) / "run", progress=progress)
    return log


def replay(name: str, requests: Sequence[ScoreRequest], options: argparse.Namespace, adapter: Path | None) -> Log:
    """The same requests straight into a fresh engine."""

    async def ask() -> None:
        async with ENGINES[name](options.model, adapters=adapters, **SETTINGS[name]) as engine:  # type: ignore[call-arg]
            todo = iter(requests)

            async def agent() -> None:
                for request in todo:
                    await engine.score(request)

            await asyncio.gather(*(agent() for _ in range(options.live)))

    adapters = (str(adapter),) if adapter is not None else ()
    with watched(ENGINES[name]) as log:
        asyncio.run(ask())
    return log


def ideal_tokens(requests: Sequence[ScoreRequest], model: str, block: int) -> int:
    """The tokens, in whole blocks, that a cache without end would not compute; the last of a sequence always is."""
    chats = ChatTokenizer(find_model(model))
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


def report(row: str, model: str, ran: Log, replayed: Log) -> None:
    """Print one row."""
    prompt = sum(reply.prompt_tokens for reply in ran.replies)
    cached = sum(reply.cached_tokens for reply in ran.replies)
    ideal, in_blocks = (ideal_tokens(ran.requests, model, block) for block in (1, BLOCK_TOKENS))
    ordered = sorted(ran.latencies_s)
    tails = "/".join(f"{ordered[min(len(ordered) - 1, int(q * len(ordered)))]:.2f}" for q in (0.5, 0.95, 0.99))
    print(
        f"{row} {len(ran.requests):8} {prompt / ran.wall_s:9.0f} "
        f"{prompt / replayed.wall_s:9.0f} {replayed.wall_s / ran.wall_s:10.2f} ({replayed.cpu_s / ran.cpu_s:.2f}) "
        f"{cached / prompt:7.2f} "
        f"{cached / ideal:6.2f} ({cached / max(1, in_blocks):.2f}) {tails:>16}",
        flush=True,
    )


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


def main() -> None:
    """Print a table: a row for each engine, env, and without or with an adapter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--envs", nargs="+", default=list(ENVS), choices=list(ENVS))
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--choices", type=int, default=10, help="after which a multi-turn episode ends")
    parser.add_argument("--live", type=int, default=32)
    parser.add_argument("--rotations", default="all", choices=["all", "none"])
    parser.add_argument("--adapters", nargs="+", default=["no", "yes"], choices=["no", "yes"])
    options = parser.parse_args()
    asked = f"{options.live} live, label reading, rotations={options.rotations}"
    print(f"{options.model}, {options.episodes} episodes, {asked}")
    print(
        "engine        env         adapter  requests   run t/s  replay t/s efficiency (CPU) cached hits (blocks)  "
        "p50/95/99 s"
    )
    with tempfile.TemporaryDirectory() as folder:
        base = find_model(options.model)
        adapter = make_adapter(base, Path(folder) / "adapter") if "yes" in options.adapters else None
        for env in options.envs:
            for name in options.engines:
                for adapted in options.adapters:
                    chosen = adapter if adapted == "yes" else None
                    ran = record(name, env, options, chosen)
                    replayed = replay(name, ran.requests, options, chosen)
                    report(f"{name:13} {env:11} {adapted:8}", options.model, ran, replayed)


if __name__ == "__main__":
    main()
