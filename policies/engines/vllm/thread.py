"""The thread that owns vLLM: requests come in through a queue, join the running batch, and leave it
when they are done.

vLLM batches continuously, so there is nothing to gather: whatever has arrived joins before the next
step. An error of a request is that request's; an error of a step is everybody's, those who come
later included. Nobody waits for ever.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from valueagents.errors import PolicyError
from valueagents.policies.adapters import Adapter
from valueagents.policies.engines.vllm.asks import SequenceAnswer, SequenceAsk

_REASON_CHARACTERS = 400


@dataclass(slots=True, eq=False)
class _Batch:
    """Asks that are answered together, and who waits for them."""

    asks: Sequence[SequenceAsk]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[list[SequenceAnswer]]"
    arrived: float
    answers: dict[int, SequenceAnswer] = field(default_factory=dict)
    forget: bool = False

    def settle(self, result: list[SequenceAnswer] | Exception) -> None:
        """Hand the result to the waiting loop."""

        def deliver() -> None:
            if self.future.done():
                return
            if isinstance(result, Exception):
                self.future.set_exception(result)
            else:
                self.future.set_result(result)

        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(deliver)


@dataclass(frozen=True, slots=True)
class _Running:
    """A request of vLLM's: ask number `place` of a batch; `began` is when it was handed over."""

    batch: _Batch
    place: int
    began: float


class VllmThread:
    """vLLM's synchronous engine on a thread of its own.

    Args:
        make_engine: makes the engine; called on the thread, because its OpenMP threads belong to
            the one that made it.
        adapters: loaded at once; asks name them.
    """

    def __init__(self, make_engine: Callable[[], Any], adapters: Sequence[Adapter]) -> None:
        self._make_engine, self._adapters = make_engine, adapters
        self._inbox: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._running: dict[str, _Running] = {}
        self._failed: PolicyError | None = None
        self._count = 0
        self._engine: Any = None
        self._loras: dict[str, Any] = {}
        self._thread: threading.Thread | None = None

    async def load(self) -> int:
        """Start, and wait until vLLM has loaded; the window in tokens.

        Raises PolicyError if it cannot be loaded.
        """
        loop = asyncio.get_running_loop()
        loading = _Batch((), loop, loop.create_future(), time.monotonic())
        self._thread = threading.Thread(
            target=self._work, args=[loading], name="vllm engine", daemon=True
        )
        self._thread.start()
        await loading.future
        return int(self._engine.vllm_config.model_config.max_model_len)

    async def answer(self, asks: Sequence[SequenceAsk]) -> list[SequenceAnswer]:
        """The answers in the order of the asks. Cancelled, it takes its requests out of vLLM."""
        loop = asyncio.get_running_loop()
        batch = _Batch(asks, loop, loop.create_future(), time.monotonic())
        self._inbox.put(batch)
        return await batch.future

    async def forget(self) -> None:
        """What was read is computed anew from here on; call it while nothing else is asked.

        Raises PolicyError if vLLM keeps it.
        """
        loop = asyncio.get_running_loop()
        batch = _Batch((), loop, loop.create_future(), time.monotonic(), forget=True)
        self._inbox.put(batch)
        await batch.future

    async def close(self) -> None:
        """Fail whoever still waits, free vLLM and let the thread end."""
        self._inbox.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _work(self, loading: _Batch) -> None:
        try:
            self._load()
        except Exception as error:  # of whatever kind: the caller waits for it
            loading.settle(PolicyError(f"vLLM cannot load the model: {_reason(error)}"))
            self._free()
            return
        loading.settle([])
        try:
            while self._take():
                self._step()
        finally:
            left = PolicyError("the engine was left while it was asked")
            self._fail_running(left)
            while not self._inbox.empty():  # whoever asked after the word to stop
                batch = self._inbox.get()
                if batch is not None:
                    batch.settle(left)
            self._free()

    def _load(self) -> None:
        from vllm.lora.request import LoRARequest

        self._engine = self._make_engine()
        for number, adapter in enumerate(self._adapters, start=1):
            self._loras[adapter.name] = LoRARequest(adapter.name, number, str(adapter.folder))
            self._engine.add_lora(self._loras[adapter.name])

    def _take(self) -> bool:
        """Add all that has arrived; wait if there is nothing else to do.

        False when it is time to stop.
        """
        while True:
            try:
                batch = self._inbox.get(block=not self._running)
            except queue.Empty:
                return True
            if batch is None:
                return False
            if self._failed is not None:
                batch.settle(self._failed)
            else:
                self._add(batch)

    def _add(self, batch: _Batch) -> None:
        try:
            if batch.forget:
                done = self._engine.reset_prefix_cache()
                batch.settle([] if done else PolicyError("vLLM is asked and keeps what it reads"))
                return
            for place in range(len(batch.asks)):
                self._submit(batch, place)
        except Exception as error:  # it is the request's, raised where the request was made
            self._drop(batch)
            batch.settle(PolicyError(f"vLLM refuses the request: {_reason(error)}"))

    def _submit(self, batch: _Batch, place: int, *, reread: bool = False) -> None:
        ask = batch.asks[place]
        self._count += 1
        name = str(self._count)
        self._engine.add_request(
            name,
            _prompt(ask),
            _sampling_params(ask, reread=reread),
            lora_request=self._loras[ask.adapter] if ask.adapter is not None else None,
        )
        self._running[name] = _Running(batch, place, time.monotonic())

    def _step(self) -> None:
        for batch in {
            running.batch for running in self._running.values() if running.batch.future.cancelled()
        }:
            self._drop(batch)
        if not self._running:
            return
        try:
            for output in self._engine.step():
                if output.finished:
                    self._finish(output)
        except Exception as error:  # nothing that vLLM holds can be trusted any more
            self._failed = PolicyError(f"vLLM stopped: {_reason(error)}")
            self._fail_running(self._failed)

    def _finish(self, output: Any) -> None:
        running = self._running.pop(output.request_id, None)
        if running is None:
            return
        batch, ask = running.batch, running.batch.asks[running.place]
        if ask.scored_from is not None and (output.num_cached_tokens or 0) >= ask.scored_from:
            # The cache went past the first place that is to be scored, and what it holds has no
            # log-probabilities.
            self._submit(batch, running.place, reread=True)
            return
        batch.answers[running.place] = _answer(ask, output, running.began - batch.arrived)
        if len(batch.answers) == len(batch.asks):
            batch.settle([batch.answers[place] for place in range(len(batch.asks))])

    def _drop(self, batch: _Batch) -> None:
        names = [name for name, running in self._running.items() if running.batch is batch]
        for name in names:
            del self._running[name]
        if names:
            self._engine.abort_request(names)

    def _fail_running(self, error: PolicyError) -> None:
        for running in self._running.values():
            running.batch.settle(error)
        self._running.clear()

    def _free(self) -> None:
        from vllm.distributed import cleanup_dist_env_and_memory

        if self._engine is not None:
            self._engine.engine_core.shutdown()
            self._engine = None
        cleanup_dist_env_and_memory()


def _prompt(ask: SequenceAsk) -> Any:
    from vllm import TokensPrompt

    if not ask.salt:
        return TokensPrompt(prompt_token_ids=list(ask.tokens))
    return TokensPrompt(prompt_token_ids=list(ask.tokens), cache_salt=ask.salt)


def _sampling_params(ask: SequenceAsk, *, reread: bool) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    always = {"detokenize": False, "output_kind": RequestOutputKind.FINAL_ONLY}
    if ask.sampling is None:
        scored = (
            {"prompt_logprobs": 0, "skip_reading_prefix_cache": reread}
            if ask.scored_from is not None
            else {}
        )
        return SamplingParams(
            max_tokens=1, temperature=0.0, logprob_token_ids=list(ask.next_ids), **scored, **always
        )
    return SamplingParams(
        temperature=ask.sampling.temperature,
        top_p=ask.sampling.top_p,
        top_k=ask.sampling.top_k,
        max_tokens=ask.sampling.max_tokens,
        seed=ask.seed,
        ignore_eos=ask.told,
        stop_token_ids=list(ask.ends),
        logprobs=0 if ask.told else None,
        structured_outputs=(
            StructuredOutputsParams(choice=list(ask.choices)) if ask.choices else None
        ),
        **always,
    )


def _answer(ask: SequenceAsk, output: Any, waited_s: float) -> SequenceAnswer:
    (said,) = output.outputs
    coming = said.logprobs[0] if said.logprobs else {}
    scored: tuple[float, ...] = ()
    if ask.scored_from is not None:
        last = ask.tokens[
            ask.scored_from :
        ]  # counted from the end: vLLM may leave out what it read from the cache
        rows = output.prompt_logprobs[-len(last) :]
        scored = tuple(row[token].logprob for row, token in zip(rows, last, strict=True))
    stats = output.metrics
    queued_s = (
        max(0.0, stats.scheduled_ts - stats.queued_ts)
        if stats is not None and stats.scheduled_ts
        else 0.0
    )
    return SequenceAnswer(
        next_logprobs={token: coming[token].logprob for token in ask.next_ids},
        scored=scored,
        said=tuple(said.token_ids),
        finish_reason="length" if said.finish_reason == "length" else "stop",
        cached_tokens=output.num_cached_tokens or 0,
        queue_s=round(waited_s + queued_s, 6),
        told=_told(said) if ask.told else (),
    )


def _told(said: Any) -> tuple[float, ...]:
    """The log-probability of each token that was generated."""
    tokens = zip(said.logprobs, said.token_ids, strict=True)
    return tuple(row[token].logprob for row, token in tokens)


def _reason(error: BaseException) -> str:
    """What a person can use of an error's message, on one line: vLLM wraps it in a validation
    report.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next(
        (line.partition("Value error, ")[2] for line in lines if "Value error, " in line),
        " ".join(lines[:3]),
    )
    return (told or type(error).__name__)[:_REASON_CHARACTERS]
