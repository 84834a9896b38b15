"""A language-model policy is an engine × a prompt × a reading mode × an adapter, all in its spec string:

transformers:smollm2-135m?reading=likelihood&normaliser=pmi&adapter=runs/hed-down
"""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Annotated, Literal, Self

import msgspec

from valueagents.contracts.decision import Choice
from valueagents.contracts.policy import Policy, View
from valueagents.errors import ConfigError
from valueagents.identity import content_hash
from valueagents.policies.engines import Engine, Sampling
from valueagents.policies.engines.openai.engine import OpenAIEngine
from valueagents.policies.engines.openai.served import ServerKind
from valueagents.policies.engines.reply_cache import CachingEngine
from valueagents.policies.engines.transformers.engine import Device, DType, TransformersEngine
from valueagents.policies.engines.vllm.engine import SpareSlot, VllmEngine
from valueagents.policies.engines.vllm.settings import VllmDType
from valueagents.policies.prompts import Prompt, load_persona, load_prompt
from valueagents.policies.readings import (
    LabelReading,
    LikelihoodReading,
    Normaliser,
    Pick,
    Question,
    ReadingMode,
    Rotations,
    SayReading,
)

_AT_LEAST_1, _ABOVE_0 = msgspec.Meta(ge=1), msgspec.Meta(gt=0)


class Mind(msgspec.Struct, frozen=True, kw_only=True):
    """The options that every language-model policy has, whatever its engine.

    Args:
        reading: `label` (options listed, probability of the letters), `likelihood` (of the option texts) or `say`.
        rotations: for label: list the menu in all cyclic orders and average, or in the shown order only.
        normaliser: for likelihood: sum, token or pmi.
        pick: for label and likelihood: draw from the probabilities, or argmax.
        temperature, top_p, top_k, max_tokens: for say: how text is drawn.
        reasoning: for say: think in words before the answer.
        constrained: for say: hold the answer to the letters.
        prompt: id of the prompt.
        persona: id of a bundled persona, put before the task.
        system: a text file, put before the task.
        history: at most so many earlier turns are shown; older ones go in blocks, so that a beginning stays shared.
        adapter: a PEFT folder or hub id (for a server: the name under which it serves one, or a folder).
        cache: a file of replies; what stands in it is not asked again.
    """

    reading: Literal["label", "likelihood", "say"] = "label"
    rotations: Rotations = "all"
    normaliser: Normaliser = "token"
    pick: Pick = "draw"
    temperature: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    top_k: Annotated[int, msgspec.Meta(ge=0)] = 0
    max_tokens: Annotated[int, _AT_LEAST_1] = 256
    reasoning: bool = False
    constrained: bool = False
    prompt: str = "choose-1"
    persona: str | None = None
    system: str | None = None
    history: Annotated[int, _AT_LEAST_1] | None = None
    adapter: str | None = None
    cache: str | None = None

    def mode(self) -> ReadingMode:
        """The reading mode. Raises ConfigError for an option that belongs to another."""
        belongs = {
            "label": ("rotations", "pick"),
            "likelihood": ("normaliser", "pick"),
            "say": ("temperature", "top_p", "top_k", "max_tokens", "reasoning", "constrained"),
        }
        for name in sorted({name for names in belongs.values() for name in names} - set(belongs[self.reading])):
            if getattr(self, name) != getattr(Mind(), name):
                owners = " or ".join(f"reading={mode}" for mode, names in belongs.items() if name in names)
                raise ConfigError(f"option {name} does nothing with reading={self.reading}; it is for {owners}")
        if self.reading == "label":
            return LabelReading(self.rotations, self.pick)
        if self.reading == "likelihood":
            return LikelihoodReading(self.normaliser, self.pick)
        sampling = Sampling(self.temperature, self.top_p, self.top_k, self.max_tokens)
        return SayReading(sampling, reasoning=self.reasoning, constrained=self.constrained)

    def preamble(self) -> str | None:
        """What is put before the task: the persona's text or that of the file. Raises ConfigError if there is none."""
        if self.persona is not None and self.system is not None:
            raise ConfigError("persona and system both stand before the task; give one of them")
        if self.persona is not None:
            return load_persona(self.persona)
        if self.system is None:
            return None
        try:
            text = Path(self.system).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"system={self.system}: {error}; give a text file") from error
        if not text:
            raise ConfigError(f"system={self.system} is empty; leave the option out")
        return text


class LanguagePolicy(Policy):
    """Puts a view to a language model and reads a choice from its answer.

    Args:
        engine: the model; it may be shared with other policies.
        prompt: how the view is put.
        reading: how the answer is read. Raises ConfigError if the engine cannot do what it needs.
        adapter: gives the name of the engine's adapter; asked when the files may be read.
        preamble: a text before the task.
        history: at most so many earlier turns are shown.
    """

    def __init__(
        self,
        engine: Engine,
        prompt: Prompt,
        reading: ReadingMode,
        *,
        adapter: Callable[[], str] | None = None,
        preamble: str | None = None,
        history: int | None = None,
    ) -> None:
        engine.require(*reading.needs, *(("adapters",) if adapter is not None else ()))
        self.engine, self.prompt, self.reading = engine, prompt, reading
        self.live = engine.live
        self._adapter, self._preamble, self._history = adapter, preamble, history

    def identity(self) -> dict[str, str]:
        """Everything that decides an answer, by content."""
        return {
            "policy": "language/1",
            **self.engine.identity(),
            "adapter": self._adapter() if self._adapter is not None else "none",
            "prompt": f"{self.prompt.id} {self.prompt.hash()}",
            "preamble": content_hash(self._preamble) if self._preamble is not None else "none",
            "history": str(self._history or "all"),
            **self.reading.identity(),
        }

    async def __aenter__(self) -> Self:
        """Load the model."""
        await self.engine.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free it."""
        await self.engine.__aexit__(kind, error, trace)

    async def decide(self, view: View) -> Choice:
        """The option that the model's answer comes to."""
        dropped = _dropped(len(view.transcript), self._history)
        task = view.task if self._preamble is None else f"{self._preamble}\n\n{view.task}"
        shown = msgspec.structs.replace(view, task=task, transcript=view.transcript[dropped:])
        adapter = self._adapter() if self._adapter is not None else None
        choice = await self.reading.choose(self.engine, Question(shown, self.prompt, adapter))
        return msgspec.structs.replace(choice, dropped_turns=dropped)

    def estimate_s(self, decisions: int, characters: int | None) -> float | None:
        """From the engine's rough speed: text at four characters a token, a third computed again for each listing."""
        if characters is None or self.engine.tokens_per_s is None:
            return None
        return characters / 4 * 2 / self.engine.tokens_per_s


def _dropped(turns: int, history: int | None) -> int:
    """How many of the oldest turns are left out: half a budget at a time, so that most prompts only grow at the end."""
    if history is None or turns <= history:
        return 0
    block = max(1, history // 2)
    return -(-(turns - history) // block) * block


def language_policy(engine: Engine, mind: Mind, adapter: Callable[[], str] | None) -> LanguagePolicy:
    """The policy on an engine that the options describe; how the maker of any engine's policies ends."""
    cached = engine if mind.cache is None else CachingEngine(engine, Path(mind.cache))
    return LanguagePolicy(
        cached,
        load_prompt(mind.prompt),
        mind.mode(),
        adapter=adapter,
        preamble=mind.preamble(),
        history=mind.history,
    )


def transformers_policy(
    target: str,
    *,
    revision: str | None = None,
    dtype: DType = "auto",
    device: Device = "auto",
    batch_tokens: Annotated[int, _AT_LEAST_1] | None = None,
    kv_cache_gib: Annotated[float, msgspec.Meta(ge=0)] | None = None,
    template: Literal["model", "plain"] = "model",
    mind: Mind = Mind(),  # noqa: B008 – frozen
) -> LanguagePolicy:
    """A policy on a model in this process: `smollm2-135m` (embedded), a folder, or a hub id.

    Args:
        target: the model.
        revision: branch, tag or commit of a hub id.
        dtype: auto (float32 on a CPU, bfloat16 on a GPU), float32, bfloat16 or float16.
        device: auto, cpu or cuda.
        batch_tokens: tokens in one forward pass; less needs less memory.
        kv_cache_gib: memory for what was read lately, 0 = none; None = 2 on a CPU, a quarter of what is free on a GPU.
        template: the model's own chat template, or plain texts, one after another.
        mind: how the model is asked and its answer read.
    """
    engine = TransformersEngine(
        target,
        revision=revision,
        dtype=dtype,
        device=device,
        batch_tokens=batch_tokens,
        kv_cache_gib=kv_cache_gib,
        template=template,
        adapters=(mind.adapter,) if mind.adapter is not None else (),
    )
    return language_policy(engine, mind, (lambda: engine.adapters[0].name) if mind.adapter is not None else None)


def openai_policy(
    target: str,
    *,
    model: str | None = None,
    server: ServerKind = "vllm",
    live: Annotated[int, _AT_LEAST_1] = 64,
    timeout_s: Annotated[float, _ABOVE_0] = 60.0,
    patience_s: Annotated[float, msgspec.Meta(ge=0)] = 120.0,
    tolerance: Annotated[float, _ABOVE_0] = 0.1,
    api_key_env: str = "OPENAI_API_KEY",
    insecure: bool = False,
    mind: Mind = Mind(),  # noqa: B008 – frozen
) -> LanguagePolicy:
    """A policy on a served model: the URL of vLLM's or any other OpenAI-compatible server.

    Args:
        target: the URL, `http://127.0.0.1:8000/v1`.
        model: the name it is served under; needed if there are several.
        server: vllm, or other: any OpenAI-compatible server, for reading=say.
        live: how many requests at once keep it busy.
        timeout_s: after which a request without an answer has failed.
        patience_s: how long a failing request is tried again; a server may be restarted meanwhile.
        tolerance: nats by which an adapter may answer otherwise beside others than alone (checked at the start).
        api_key_env: the environment variable that holds the key, if the server wants one.
        insecure: send the key unencrypted to another machine.
        mind: how the model is asked and its answer read; its adapter is a PEFT folder that the server can read too, or
            else the name under which one is served.
    """
    folder = mind.adapter if mind.adapter is not None and Path(mind.adapter).is_dir() else None
    named = mind.adapter if folder is None else None
    engine = OpenAIEngine(
        target,
        model=model,
        adapters={named: named} if named is not None else None,
        folders=(folder,) if folder is not None else (),
        server=server,
        live=live,
        timeout_s=timeout_s,
        patience_s=patience_s,
        tolerance=tolerance,
        api_key_env=api_key_env,
        insecure=insecure,
    )

    def adapter() -> str:
        return named or engine.adapters[0].name

    return language_policy(engine, mind, adapter if mind.adapter is not None else None)


def vllm_policy(
    target: str,
    *,
    revision: str | None = None,
    dtype: VllmDType = "auto",
    tensor_parallel: Annotated[int, _AT_LEAST_1] = 1,
    max_model_len: Annotated[int, _AT_LEAST_1] | None = None,
    quantization: str | None = None,
    gpu_memory: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.9,
    kv_cache_gib: Annotated[int, _AT_LEAST_1] = 1,
    spare_adapter_slot: SpareSlot = "auto",
    mind: Mind = Mind(),  # noqa: B008 – frozen
) -> LanguagePolicy:
    """A policy on vLLM in this process: `smollm2-135m` (embedded), a folder, or a hub id.

    Args:
        target: the model.
        revision: branch, tag or commit of a hub id.
        dtype: auto (float32 on a CPU, bfloat16 on a GPU), float32, bfloat16 or float16.
        tensor_parallel: GPUs that share the model.
        max_model_len: tokens of the window; less needs less memory.
        quantization: vLLM's name of a method.
        gpu_memory: share of a GPU's memory that vLLM takes.
        kv_cache_gib: on a CPU, memory for what sequences share.
        spare_adapter_slot: auto (if the self-check finds that it is needed), yes or no.
        mind: how the model is asked and its answer read.
    """
    engine = VllmEngine(
        target,
        revision=revision,
        dtype=dtype,
        adapters=(mind.adapter,) if mind.adapter is not None else (),
        tensor_parallel=tensor_parallel,
        max_model_len=max_model_len,
        quantization=quantization,
        gpu_memory=gpu_memory,
        kv_cache_gib=kv_cache_gib,
        spare_adapter_slot=spare_adapter_slot,
    )
    return language_policy(engine, mind, (lambda: engine.adapters[0].name) if mind.adapter is not None else None)
