"""The contract of an engine: how likely continuations are after chats (`score`), and what comes
next (`generate`).

One `score` covers every way of reading a choice from probabilities: labels are K one-token
continuations after R listings of the options; likelihood is K long continuations after one chat. An
engine computes what the sequences of a request share once, and may batch requests as it likes. A
request names the adapter that answers it; an engine that holds several never lets one request's
adapter touch another's answer.
"""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Annotated, ClassVar, Literal, Protocol, Self

import msgspec

from valueagents.contracts.options import NoOptions
from valueagents.errors import ConfigError

Capability = Literal["score", "top", "generate", "adapters", "choices", "seeds"]
"""score, top and generate: answers the call; adapters: with value adapters; choices: can be held to
one of given texts;
seeds: the same seed gives the same text, as long as the batch it is computed in is the same.
"""


class Message(msgspec.Struct, frozen=True):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


Chat = tuple[Message, ...]


class ScoreRequest(msgspec.Struct, frozen=True):
    """Ask for log P(continuation | chat) of every continuation (K) after every chat (R), as the
    assistant's answer. After a chat of no messages a continuation is a text by itself: only the
    model's start token is before it.

    `adapter` is the name of one of the engine's adapters; None = the base model.
    """

    chats: tuple[Chat, ...]
    continuations: tuple[str, ...]
    adapter: str | None = None


class ScoreReply(msgspec.Struct, frozen=True):
    """`logprobs` (R, K): natural log, summed over a continuation's tokens, of which there are
    `tokens` (K).

    `prompt_tokens` is the length of all distinct sequences that were asked about, `cached_tokens`
    how many of these were not computed because another sequence shared them. `queue_s` is the wait
    before the model began, `attempts` the tries that it took, `replayed` says that it is a stored
    reply of an earlier run.
    """

    logprobs: tuple[tuple[float, ...], ...]
    tokens: tuple[int, ...]
    prompt_tokens: int
    cached_tokens: int
    queue_s: float = 0.0
    attempts: int = 1
    replayed: bool = False


class TopRequest(msgspec.Struct, frozen=True):
    """Ask for the `count` most probable tokens with which the assistant's answer to every chat (R)
    may begin.
    """

    chats: tuple[Chat, ...]
    count: int
    adapter: str | None = None


class TopReply(msgspec.Struct, frozen=True):
    """`tops` (R): the texts of the most probable first tokens with their natural log-probabilities,
    at least one and perhaps fewer than asked for. The other fields are as in `ScoreReply`.
    """

    tops: tuple[tuple[tuple[str, float], ...], ...]
    prompt_tokens: int
    cached_tokens: int
    queue_s: float = 0.0
    attempts: int = 1
    replayed: bool = False


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How text is drawn.

    Args:
        temperature: of the drawing; 0 = the most probable token each time.
        top_p: draw from the most probable tokens that together have this probability.
        top_k: draw from this many most probable tokens; 0 = all.
        max_tokens: the answer is cut after this many.
    """

    temperature: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    top_k: Annotated[int, msgspec.Meta(ge=0)] = 0
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] = 256


class GenerateRequest(msgspec.Struct, frozen=True):
    """Ask for the assistant's answer to a chat.

    `choices`, if any, are the only texts that it may be.
    """

    chat: Chat
    sampling: Sampling
    seed: int
    choices: tuple[str, ...] = ()
    adapter: str | None = None


WITHHELD = ("refusal", "content_filter")
"""The finish reasons of what is said in place of an answer."""


class GenerateReply(msgspec.Struct, frozen=True):
    """The answer, without control tokens.

    `finish_reason`: "stop", or "length" where `max_tokens` cut it.

    One of `WITHHELD` says that the text is not an answer but what was said in its place: the
    model's refusal, where a server tells that apart, or the words of a server's content filter. The
    other fields are as in `ScoreReply`.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    queue_s: float = 0.0
    attempts: int = 1
    replayed: bool = False


class EngineAdapter(Protocol):
    """A value adapter of an engine.

    `name` is what requests call it: the hash of its content wherever that is known.
    """

    @property
    def name(self) -> str:
        """Under which `ScoreRequest.adapter` and `GenerateRequest.adapter` ask for it."""


class Engine(ABC):
    """A language model. Enter it to load, leave it to free.

    A class that is registered under `valueagents.engines` is made by `EngineClass(target, options,
    adapters)`: what a spec names after the colon, an `Options` struct, and what the user calls the
    adapters. Making it loads nothing.
    """

    Options: ClassVar[type[msgspec.Struct]] = NoOptions
    """The options: fields with type, bounds and default, and an `Args:` section that says in a line
    what each does.
    """

    default_reading: str = "label"
    """The reading mode of a spec that names none."""

    can: frozenset[Capability]
    """What it answers; a policy that needs more is refused when it is made."""

    live: int
    """How many requests at once keep it busy."""

    tokens_per_s: float | None = None
    """A rough speed for the plan of a run; None = unknown."""

    def require(self, *needed: Capability) -> None:
        """Raise ConfigError if this engine lacks a capability."""
        lacking = [capability for capability in needed if capability not in self.can]
        if lacking:
            has = ", ".join(sorted(self.can))
            raise ConfigError(
                f"{type(self).__name__} cannot do {', '.join(lacking)}, only {has}; use another"
                " engine or reading"
            )

    @property
    def adapters(self) -> tuple[EngineAdapter, ...]:
        """The adapters in the order in which they were given.

        Whoever can do `adapters` overrides it.

        Raises ConfigError if one is unfit for use: they are read when first asked for.
        """
        return ()

    @abstractmethod
    def identity(self) -> dict[str, str]:
        """Hashes of weights, tokenizer and chat template, and the number format: all that decides
        its answers.
        """

    @abstractmethod
    async def score(self, request: ScoreRequest) -> ScoreReply:
        """The log-probabilities asked for.

        Raises PolicyError if the prompt does not fit the model's window.
        """

    async def top(self, request: TopRequest) -> TopReply:
        """The most probable first tokens. Whoever can do `top` overrides it."""
        self.require("top")
        raise NotImplementedError

    @abstractmethod
    async def generate(self, request: GenerateRequest) -> GenerateReply:
        """The text asked for. Raises PolicyError if prompt and `max_tokens` do not fit the model's
        window.
        """

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Load the model. Raises PolicyError if it cannot be loaded."""

    @abstractmethod
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free it."""
