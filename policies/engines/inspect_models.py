"""The engine for the providers of Inspect (inspect-ai): OpenAI, Anthropic, Google, Mistral, Bedrock
and some twenty more, each by its own interface.

Inspect needs other versions of some packages than training does, so it has an environment of its
own: pip install 'valueagents[inspect]'.
"""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import msgspec

from valueagents.errors import ConfigError, PolicyError, first_line
from valueagents.policies.engines.engine import (
    Capability,
    Chat,
    Engine,
    GenerateReply,
    GenerateRequest,
    Sampling,
    ScoreReply,
    ScoreRequest,
    TopReply,
    TopRequest,
)
from valueagents.running.inspect_log import require_inspect

if TYPE_CHECKING:
    from inspect_ai.model import ContentReasoning, GenerateConfig, Model, ModelOutput

_FINISH = {"max_tokens": "length", "model_length": "length"}
_DEFAULTS = Sampling()
_SMALL_SEED = 2**31  # many providers keep a seed in 32 bits


class InspectEngine(Engine):
    """A model of any provider that Inspect knows; it speaks, and some show their top tokens.

    Args:
        target: PROVIDER/MODEL as Inspect writes it, `anthropic/claude-sonnet-5`; the key is in the
            provider's own environment variable.
        adapters: none; a provider serves no adapters of ours.
    """

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """How the provider is asked.

        Args:
            live: how many requests at once.
            timeout_s: after which a request, with all tries of it, has failed.
            reasoning_effort: of models that reason.
            explicit: send settings of sampling at the usual defaults (temperature and top_p 1),
                too, because the provider has others.
            most_tokens: the run asks no more when so many tokens, read and said, have been taken.
            most_cost: likewise of US dollars, where Inspect knows the model's prices.
        """

        live: Annotated[int, msgspec.Meta(ge=1)] = 16
        timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 300.0
        reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
        explicit: bool = False
        most_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
        most_cost: Annotated[float, msgspec.Meta(gt=0)] | None = None

    default_reading = "say"
    can = frozenset[Capability](("top", "generate", "seeds"))

    def __init__(
        self, target: str, options: Options | None = None, adapters: Sequence[str] = ()
    ) -> None:
        if "/" not in target.strip("/"):
            raise ConfigError(f"inspect:{target}: write PROVIDER/MODEL, as anthropic/NAME")
        if adapters:
            raise ConfigError("inspect: a provider serves no adapters; serve them with vLLM")
        require_inspect()
        self.options, self._target = options or self.Options(), target
        self.live = self.options.live
        self._model: Model | None = None
        self.tokens, self.cost = 0, 0.0

    def identity(self) -> dict[str, str]:
        """The provider's name of the model: what stands behind it is not shown."""
        effort = self.options.reasoning_effort
        return {
            "engine": "inspect/1",
            "model": self._target,
            **({} if effort is None else {"reasoning_effort": effort}),
            **({"fields": "explicit"} if self.options.explicit else {}),
        }

    async def __aenter__(self) -> Self:
        """Have Inspect make the provider.

        Raises ConfigError for an unknown one, or one whose package or key is missing.
        """
        from inspect_ai.model import get_model

        try:
            self._model = await asyncio.to_thread(get_model, self._target, memoize=False)
        except Exception as error:  # each provider has errors of its own
            raise ConfigError(f"inspect:{self._target}: {first_line(error)}") from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the provider's connections: Inspect leaves that to whoever asked for the model."""
        model, self._model = self._model, None
        if model is not None:
            await model.api.aclose()

    async def score(self, request: ScoreRequest) -> ScoreReply:
        """Not possible: no provider tells the probability of a given text."""
        self.require("score")
        raise NotImplementedError

    async def top(self, request: TopRequest) -> TopReply:
        """The most probable first tokens, of providers that show them."""
        from inspect_ai.model import GenerateConfig

        config = GenerateConfig(max_tokens=1, logprobs=True, top_logprobs=request.count)
        asked = (self._ask(chat, config) for chat in request.chats)
        outputs = await asyncio.gather(*asked)
        counts = [_tokens(output) for output in outputs]
        return TopReply(
            tops=tuple(map(_shown, outputs)),
            prompt_tokens=sum(count.prompt for count in counts),
            cached_tokens=sum(count.cached for count in counts),
        )

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        """The text asked for; a model's reasoning, where it is shown, comes first, in <think>."""
        if request.choices:
            self.require("choices")
        output = await self._ask(request.chat, self._config(request))
        count, stop = _tokens(output), str(output.stop_reason)
        return GenerateReply(
            text=_text(output),
            finish_reason=_FINISH.get(stop, stop),
            prompt_tokens=count.prompt,
            cached_tokens=count.cached,
            output_tokens=count.output,
        )

    def _config(self, request: GenerateRequest) -> "GenerateConfig":
        from inspect_ai.model import GenerateConfig

        sampling, explicit = request.sampling, self.options.explicit

        def sent(name: str) -> Any:
            value = getattr(sampling, name)
            return value if explicit or value != getattr(_DEFAULTS, name) else None

        return GenerateConfig(
            max_tokens=sampling.max_tokens,
            temperature=sent("temperature"),
            top_p=sent("top_p"),
            top_k=sampling.top_k or None,
            seed=request.seed % _SMALL_SEED,
            reasoning_effort=self.options.reasoning_effort,
        )

    async def _ask(self, chat: Chat, config: "GenerateConfig") -> "ModelOutput":
        """What the provider answers. Raises PolicyError."""
        from inspect_ai.model import (
            ChatMessageAssistant,
            ChatMessageSystem,
            ChatMessageUser,
            GenerateConfig,
        )

        if self._model is None:
            raise PolicyError("the engine is not connected: use `async with`")
        self._require_budget()
        kinds = {
            "system": ChatMessageSystem,
            "user": ChatMessageUser,
            "assistant": ChatMessageAssistant,
        }
        messages = [kinds[message.role](content=message.content) for message in chat]
        within = GenerateConfig(timeout=max(1, round(self.options.timeout_s)))
        try:
            output = await self._model.generate(messages, config=within.merge(config))
        except Exception as error:  # each provider has errors of its own
            said = error.__cause__ or error  # Inspect's own begins with all that was asked
            raise PolicyError(f"inspect:{self._target}: {first_line(said)}") from error
        if output.error or not output.choices:
            raise PolicyError(f"inspect:{self._target}: {output.error or 'no answer'}")
        self._count(output)
        return output

    def _count(self, output: "ModelOutput") -> None:
        usage = output.usage
        self.tokens += 0 if usage is None else usage.total_tokens
        told = None if usage is None else usage.total_cost
        if self.options.most_cost is not None and told is None:
            raise PolicyError(
                f"Inspect knows no price of {self._target}: say most_tokens in place of most_cost"
            )
        self.cost += told or 0.0

    def _require_budget(self) -> None:
        """Raise PolicyError if what this session may take is used up."""
        most_tokens, most_cost = self.options.most_tokens, self.options.most_cost
        if most_tokens is not None and self.tokens >= most_tokens:
            raise PolicyError(
                f"{self.tokens:,} tokens are taken, most_tokens={most_tokens}; the same command"
                " goes on with as many again"
            )
        if most_cost is not None and self.cost >= most_cost:
            raise PolicyError(
                f"{self.cost:.4g} dollars are spent, most_cost={most_cost:g}; the same command goes"
                " on with as many again"
            )


class _Tokens(msgspec.Struct, frozen=True):
    prompt: int
    cached: int
    output: int


def _tokens(output: "ModelOutput") -> _Tokens:
    """Of the prompt all tokens, those from and for a cache included: providers count them apart."""
    usage = output.usage
    if usage is None:
        return _Tokens(0, 0, 0)
    prompt = max(usage.input_tokens, usage.total_tokens - usage.output_tokens)
    return _Tokens(prompt, min(prompt, usage.input_tokens_cache_read or 0), usage.output_tokens)


def _text(output: "ModelOutput") -> str:
    content = output.message.content
    thoughts = [] if isinstance(content, str) else [p for p in content if p.type == "reasoning"]
    thought = "\n".join(map(_readable, thoughts)).strip()
    return f"<think>\n{thought}\n</think>\n{output.completion}" if thought else output.completion


def _readable(part: "ContentReasoning") -> str:
    """A thought in words: of a redacted one `reasoning` is a cipher of the provider's."""
    return (part.summary or "") if part.redacted else part.reasoning


def _shown(output: "ModelOutput") -> tuple[tuple[str, float], ...]:
    """The most probable first tokens. Raises PolicyError where the provider does not show them."""
    logprobs = output.choices[0].logprobs
    shown = logprobs.content[0].top_logprobs if logprobs is not None and logprobs.content else None
    if not shown:
        raise PolicyError(
            "the provider does not show the most probable tokens of this model; use reading=sample"
        )
    return tuple(sorted(((each.token, each.logprob) for each in shown), key=lambda each: -each[1]))
