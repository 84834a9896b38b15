"""Chat: /v1/chat/completions of any server: only what was set is sent, and what comes back is read
as it may come.

A setting at the standard's default is not sent, because many servers refuse fields that they do not
know. A field that a server refuses by its name is renamed (`max_tokens`, which newer models call
`max_completion_tokens`) or left out from then on where the answers stay what they are meant to be
(`seed`, `max_tokens`); any other stays an error.
"""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from valueagents.errors import ConfigError, PolicyError, unknown_name
from valueagents.policies.engines.engine import Chat, GenerateReply, GenerateRequest, Sampling
from valueagents.policies.engines.openai.bodies import MIB, NoAnswer, decode
from valueagents.policies.engines.openai.client import Client, ServerRefused, TimedAnswer
from valueagents.policies.engines.openai.completions import NOTHING, require_finished, usage_of
from valueagents.policies.engines.openai.top_logprobs import ShownTop, read_top

log = logging.getLogger("valueagents")

T = TypeVar("T")

FIELDS = ("max_tokens", "temperature", "top_p", "top_k", "seed")
NEWER_LIMIT = "max_completion_tokens"

_SMALL_SEED = 2**31  # many servers keep a seed in 32 bits
_MOST_BYTES = 8 * MIB
_LONGEST_REASON = 40
_DEFAULTS = {"temperature": 1.0, "top_p": 1.0, "top_k": 0}
_MAY_GO = ("seed", "max_tokens", NEWER_LIMIT)
_BAD_REQUEST = frozenset({400, 404, 422})
_UNWANTED = re.compile(
    r"support|unknown|unrecogni[sz]ed|unexpected|permitted|allowed|forbidden|\bextra\b|deprecated|"
    r"invalid (?:parameter|argument|field|property)|not (?:a )?valid"
)
_TOO_MUCH = re.compile(r"too (?:large|many|long|high)|at most|maximum|greater than|less than|range")
"""It is the value that is refused, not the field."""

_FILTERS = frozenset(
    {"content_filter", "content_policy_violation", "safety", "prohibited_content", "recitation"}
)


class _Part(msgspec.Struct):
    type: Any = None
    text: Any = None


class _Message(msgspec.Struct):
    """`refusal` is what the model says in place of an answer."""

    content: str | list[_Part] | None = None
    refusal: Any = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: Any = None


class _Chat(msgspec.Struct):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)]
    usage: msgspec.Raw = NOTHING


_CHAT = msgspec.json.Decoder(_Chat)


def read_omitted(text: str) -> frozenset[str]:
    """The fields in a text like "seed,top_p".

    Raises ConfigError for a name that is none of them.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in FIELDS:
            raise ConfigError(f"omit={text}: " + unknown_name("field", name, FIELDS))
    return frozenset(names)


class ChatFields:
    """Which fields a server gets; what it refuses by name is remembered.

    Args:
        omitted: fields that are never sent.
        explicit: send settings at the standard's defaults, too.
    """

    def __init__(self, omitted: frozenset[str] = frozenset(), *, explicit: bool = False) -> None:
        self._omitted, self._explicit = omitted, explicit
        self._refused: set[str] = set()
        self._limit = "max_tokens"

    @property
    def changed(self) -> str:
        """How the user has changed what is sent; "" where he has not."""
        omitted = [f"without {name}" for name in sorted(self._omitted)]
        return ", ".join([*(["explicit"] if self._explicit else []), *omitted])

    def body(self, request: GenerateRequest, model: str) -> dict[str, Any]:
        """What is posted."""
        settings = {**msgspec.structs.asdict(request.sampling), "seed": request.seed % _SMALL_SEED}
        body: dict[str, Any] = {"model": model, "messages": request.chat}
        for name in FIELDS:
            sent_as = self._limit if name == "max_tokens" else name
            at_default = settings[name] == _DEFAULTS.get(name) and not self._explicit
            if not (name in self._omitted or sent_as in self._refused or at_default):
                body[sent_as] = settings[name]
        return body

    def learn(self, refused: ServerRefused, body: dict[str, Any]) -> None:
        """The next body is without what this one was refused for.

        Raises `refused` if that is nothing of ours.
        """
        said = refused.message.lower()
        named = [
            name
            for name in body
            if name in (*FIELDS, NEWER_LIMIT) and re.search(rf"\b{name}\b", said)
        ]
        if (
            refused.status not in _BAD_REQUEST
            or not named
            or _TOO_MUCH.search(said)
            or not _UNWANTED.search(said)
        ):
            raise refused
        name = named[0]
        if name == "max_tokens":
            self._limit = NEWER_LIMIT
        elif name in _MAY_GO:
            if name not in self._refused:
                log.warning(
                    "the server refuses the field %s; answers are asked for without it", name
                )
            self._refused.add(name)
        else:
            raise PolicyError(
                f"the server refuses {name}={body[name]}: {refused.message}; leave it at its"
                f" default, or say omit={name}"
            ) from refused


class ChatAsker:
    """Asks for the answers to chats, with the fields that the server takes."""

    def __init__(self, client: Client, url: str, fields: ChatFields) -> None:
        self._client, self._url, self._fields = client, url, fields

    async def ask(self, request: GenerateRequest, model: str) -> GenerateReply:
        """The answer; what a filter says in its place has the finish_reason content_filter.

        Raises PolicyError.
        """
        try:
            answer = await self._post(request, model, {}, read_chat)
        except ServerRefused as refused:
            if refused.code.lower() in _FILTERS:
                return GenerateReply(refused.message, "content_filter", 0, 0, 0)
            raise
        reply = answer.value
        return msgspec.structs.replace(reply, attempts=answer.attempts, queue_s=answer.queue_s)

    async def top(self, chat: Chat, count: int, model: str) -> TimedAnswer[ShownTop]:
        """The most probable tokens that the answer to a chat may begin with.

        Raises PolicyError, with what to do, where the server does not show them.
        """
        request = GenerateRequest(chat, Sampling(max_tokens=1), seed=0)
        try:
            return await self._post(
                request, model, {"logprobs": True, "top_logprobs": count}, read_top
            )
        except ServerRefused as refused:
            if "logprobs" in refused.message.lower():
                raise PolicyError(
                    f"the server shows no {count} most probable tokens: {refused.message}; ask for"
                    " fewer with count=, or use reading=sample"
                ) from refused
            raise

    async def _post(
        self,
        request: GenerateRequest,
        model: str,
        more: Mapping[str, Any],
        read: Callable[[bytes], T],
    ) -> TimedAnswer[T]:
        """The answer to a request, with the fields that the server takes."""
        while True:
            body = {**self._fields.body(request, model), **more}
            try:
                return await self._client.post(self._url, body, read, most_bytes=_MOST_BYTES)
            except ServerRefused as refused:
                if refused.code.lower() in _FILTERS:
                    raise
                self._fields.learn(refused, body)


def read_chat(body: bytes) -> GenerateReply:
    """The reply in an answer. Raises NoAnswer if there is none, BrokenOff if the server did not
    finish it.
    """
    found = decode(body, _CHAT)
    choice, usage = found.choices[0], usage_of(found.usage)
    finish_reason = choice.finish_reason if isinstance(choice.finish_reason, str) else "stop"
    require_finished(finish_reason)
    text, refusal = _text(choice.message.content), choice.message.refusal
    if finish_reason.lower() in _FILTERS:
        finish_reason = "content_filter"
    elif finish_reason == "refusal" or (isinstance(refusal, str) and refusal and not text):
        finish_reason = "refusal"
        text = text or str(refusal or "")
    return GenerateReply(
        text=text,
        finish_reason=finish_reason[:_LONGEST_REASON],
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        output_tokens=usage.completion_tokens,
    )


def _text(content: str | list[_Part] | None) -> str:
    """The words of a content; of parts those that are text.

    Raises NoAnswer if none of its parts is.
    """
    if content is None or isinstance(content, str):
        return content or ""
    texts = [
        part.text
        for part in content
        if isinstance(part.text, str) and part.type in ("text", "output_text", None)
    ]
    if content and not texts:
        raise NoAnswer("none of the parts of its content is text")
    return "".join(texts)
