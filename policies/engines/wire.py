"""What servers answer: the fields that are read of OpenAI's completion and chat objects, and of what vLLM adds."""

from typing import Annotated

import msgspec

FinishReason = Annotated[str, msgspec.Meta(pattern="^(?!abort|error)")]
"""An answer that the server broke off when it stopped is none, and is asked for again."""


class TokenLogprob(msgspec.Struct):
    """The log-probability of a token of the prompt."""

    logprob: float


class Logprobs(msgspec.Struct):
    """By place of the answer and token ("token_id:7")."""

    top_logprobs: list[dict[str, float]]


class CompletionChoice(msgspec.Struct):
    """`prompt_logprobs` by place of the prompt and token ("7"); the first place has none."""

    text: str
    finish_reason: FinishReason | None = None
    logprobs: Logprobs | None = None
    prompt_logprobs: list[dict[str, TokenLogprob] | None] | None = None


class ChatMessage(msgspec.Struct):
    """The assistant's."""

    content: str | None = None


class ChatChoice(msgspec.Struct):
    """One answer of a chat."""

    message: ChatMessage
    finish_reason: FinishReason | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Metrics(msgspec.Struct):
    queue_time_ms: float | None = None


class Usage(msgspec.Struct):
    """Counted by the server; `cached_tokens` 0 where it does not say."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that the server did not compute again."""
        return (self.prompt_tokens_details.cached_tokens or 0) if self.prompt_tokens_details else 0


class _Reply(msgspec.Struct, kw_only=True):
    usage: Usage | None = None
    metrics: _Metrics | None = None

    @property
    def counted(self) -> Usage:
        """The usage; zeros where the server counts nothing."""
        return self.usage or Usage()

    @property
    def queue_s(self) -> float:
        """Seconds that the request waited in the server, 0 where it does not say."""
        return (self.metrics.queue_time_ms or 0.0) / 1000 if self.metrics else 0.0


class Completion(_Reply, kw_only=True):
    """The answer of /v1/completions."""

    choices: Annotated[list[CompletionChoice], msgspec.Meta(min_length=1)]


class ChatCompletion(_Reply, kw_only=True):
    """The answer of /v1/chat/completions."""

    choices: Annotated[list[ChatChoice], msgspec.Meta(min_length=1)]


COMPLETION = msgspec.json.Decoder(Completion)
CHAT_COMPLETION = msgspec.json.Decoder(ChatCompletion)
