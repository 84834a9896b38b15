"""The engine for a model that somebody serves: vLLM, or any other OpenAI-compatible server, over
HTTP.

vLLM is asked with tokens, made by the server's own tokenizer, so that its log-probabilities are
those of the in-process engines. Every distinct sequence (a chat with an answer's beginning) is one
request for one more token, with the log-probabilities of just the tokens that answers go on with;
for longer answers the log-probabilities of the prompt come with it. One sequence a request, because
vLLM counts cached tokens of the last one only.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Annotated, Self

import msgspec

from valueagents.errors import ConfigError, PolicyError, unknown_name
from valueagents.policies.adapters import Adapter
from valueagents.policies.engines.chats import Tokens, refuse_alike
from valueagents.policies.engines.engine import (
    Capability,
    Engine,
    GenerateReply,
    GenerateRequest,
    Message,
    ScoreReply,
    ScoreRequest,
    TopReply,
    TopRequest,
)
from valueagents.policies.engines.openai.address import DEFAULT_KEY, read_address
from valueagents.policies.engines.openai.chat import ChatAsker, ChatFields, read_omitted
from valueagents.policies.engines.openai.client import Client, import_aiohttp, together
from valueagents.policies.engines.openai.completions import (
    AS_IT_IS,
    read_completion,
    score_sequence,
    usage_of,
)
from valueagents.policies.engines.openai.loading import ServedAdapter, find_adapters, have_served
from valueagents.policies.engines.openai.served import Served, ServerKind, find_served
from valueagents.policies.engines.openai.served_tokenizer import ServedTokenizer
from valueagents.policies.engines.openai.speaker import ServedSpeaker
from valueagents.policies.engines.selfcheck import check_adapters
from valueagents.policies.engines.spoken import SpokenCheck

log = logging.getLogger("valueagents")

_CAN: dict[ServerKind, frozenset[Capability]] = {
    "vllm": frozenset({"score", "generate", "seeds", "choices", "adapters"}),
    "other": frozenset({"top", "generate", "seeds"}),
}
_LONGEST_CHECK = 512
"""Tokens; it is made in every run, and costs seven times as many on the server."""

_PROBE = ScoreRequest(((Message("user", "Which one, A or B?"),),), ("A", "B", "A, of course."))


class OpenAIEngine(Engine):
    """A served model: vLLM's, or that of any other OpenAI-compatible server.

    Args:
        target: the URL of the server's API, `http://127.0.0.1:8000/v1`.
        adapters: names that adapters are served under, or PEFT folders that the server can read
            too: a request names one of those by its content hash (`self.adapters`). What is not
            served under its hash yet is loaded at entry, where the server allows it.
    """

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """How the server is asked.

        Args:
            model: the name the model is served under; by default the only one.
            server: vllm, or other: any OpenAI-compatible server, for reading=top where it shows the
                most probable tokens, else for reading=sample and reading=say.
            live: how many requests at once keep it busy.
            timeout_s: after which a request without an answer has failed.
            patience_s: how long a failing request is tried again; a server may be restarted
                meanwhile.
            tolerance: nats by which an adapter may answer differently beside others than alone
                (checked at the start).
            api_key_env: the environment variable that holds the key, if the server wants one.
            insecure: send the key unencrypted to another machine.
            explicit: tell server=other every setting of sampling, also those at the standard's
                defaults (temperature and top_p 1, top_k 0), because it has defaults of its own
                (llama.cpp, SGLang).
            omit: fields that server=other never gets although they are set, with commas between
                them: max_tokens, temperature, top_p, top_k, seed.
        """

        model: str | None = None
        server: ServerKind = "vllm"
        live: Annotated[int, msgspec.Meta(ge=1)] = 64
        timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
        patience_s: Annotated[float, msgspec.Meta(ge=0)] = 120.0
        tolerance: Annotated[float, msgspec.Meta(gt=0)] = 0.1
        api_key_env: str = DEFAULT_KEY
        insecure: bool = False
        explicit: bool = False
        omit: str = ""

    def __init__(
        self, target: str, options: Options | None = None, adapters: Sequence[str] = ()
    ) -> None:
        import_aiohttp()
        self.options = options or self.Options()
        if adapters and self.options.server == "other":
            raise ConfigError(
                "server=other cannot prove that adapters answer as they should; serve them with"
                " vLLM"
            )
        omitted = read_omitted(self.options.omit)
        if self.options.server == "vllm" and (omitted or self.options.explicit):
            raise ConfigError(
                "explicit and omit are for server=other; vLLM is always told every setting"
            )
        self._chat_fields = ChatFields(omitted, explicit=self.options.explicit)
        self._address = read_address(
            target, key_env=self.options.api_key_env, insecure=self.options.insecure
        )
        self._given_adapters = tuple(adapters)
        self._adapters: tuple[Adapter | ServedAdapter, ...] = ()
        self.can, self.live = _CAN[self.options.server], self.options.live
        self._served: Served | None = None
        self._client: Client | None = None
        self._tokenizer: ServedTokenizer | None = None
        self._truth: SpokenCheck | None = None

    def identity(self) -> dict[str, str]:
        """What the server says that decides its answers; asks it the first time.

        It does not show its weights.
        """
        served = self._found()
        known = {
            "engine": "openai/1",
            "server": self.options.server,
            "model": served.model,
            "window": str(served.window),
        }
        if self.options.server == "vllm":
            known |= {
                "version": served.version,
                "tokenizer": served.tokenizer,
                "chat_template": served.chat_template,
            }
        if served.template is not None and served.template.changed:
            known["template"] = served.template.changed
        if self._chat_fields.changed:
            known["fields"] = self._chat_fields.changed
        return known

    @property
    def adapters(self) -> tuple[Adapter | ServedAdapter, ...]:
        """The adapters in the order in which they were given; asks the server for its model the
        first time.
        """
        self._found()
        return self._adapters

    async def __aenter__(self) -> Self:
        """Connect, and have loaded what is not served yet.

        Raises ConfigError if the server does not load it, PolicyError if the server is not what it
        was, or adapters do not answer as they should.
        """
        served = await asyncio.to_thread(self._find)
        if self._served is not None and served != self._served:
            raise PolicyError(
                f"{self._address.root} serves something else than a moment ago; start again"
            )
        self._served = served
        await asyncio.to_thread(have_served, self._address, served, self._adapters)
        timeout_s, patience_s = self.options.timeout_s, self.options.patience_s
        client = Client(
            self._address, timeout_s=timeout_s, patience_s=patience_s, returned=self._require_same
        )
        self._client, self._tokenizer = client, ServedTokenizer(client, self._address.root, served)
        try:
            if self.options.server == "vllm":
                await self.score(_PROBE)
            if self._adapters:
                names = tuple(adapter.name for adapter in self._adapters)
                await check_adapters(self, names, tolerance=self.options.tolerance)
            await self._check_spoken(client, self._tokenizer, served)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        client, self._client, self._tokenizer, self._truth = self._client, None, None, None
        if client is not None:
            await client.close()

    async def score(self, request: ScoreRequest) -> ScoreReply:
        """The log-probabilities asked for."""
        self.require("score")
        client, tokenizer = self._entered()
        model, url = self._name(request.adapter), f"{self._address.api}/completions"
        chats = await together([tokenizer.prompt(chat) for chat in request.chats])
        texts = await tokenizer.texts(request.continuations)
        answers = [text.value for text in texts]
        refuse_alike(request.continuations, answers)
        tokenizer.fit(max(len(chat.value) for chat in chats), max(map(len, answers)))
        starts: dict[Tokens, list[Tokens]] = {}  # the answers by all of their tokens but the last
        for ids in answers:
            starts.setdefault(ids[:-1], []).append(ids)
        wanted: dict[
            Tokens, list[Tokens]
        ] = {}  # by distinct sequence: the answers that end after it
        for chat in chats:
            for start, found in starts.items():
                wanted.setdefault(chat.value + start, []).extend(found)
        await self._require_truth(max(map(len, wanted)), request.adapter)
        asked = [
            score_sequence(client, url, model, sequence, found)
            for sequence, found in wanted.items()
        ]
        read = dict(zip(wanted, await together(asked), strict=True))
        rows = []
        for chat in chats:
            known = {start: read[chat.value + start].logprobs for start in starts}
            rows.append(tuple(known[ids[:-1]][ids] for ids in answers))
        sequences = list(read.values())
        return ScoreReply(
            logprobs=tuple(rows),
            tokens=tuple(map(len, answers)),
            prompt_tokens=sum(map(len, wanted)),
            cached_tokens=sum(sequence.cached_tokens for sequence in sequences),
            queue_s=max(each.queue_s for each in (*chats, *texts))
            + max(each.queue_s for each in sequences),
            attempts=max(
                *(each.attempts for each in (*chats, *texts)),
                *(each.attempts for each in sequences),
            ),
        )

    async def top(self, request: TopRequest) -> TopReply:
        """The most probable first tokens, as far as the server shows them."""
        self.require("top")
        model, asker = self._name(request.adapter), self._asker()
        answers = await together([asker.top(chat, request.count, model) for chat in request.chats])
        return TopReply(
            tops=tuple(answer.value.top for answer in answers),
            prompt_tokens=sum(answer.value.prompt_tokens for answer in answers),
            cached_tokens=sum(answer.value.cached_tokens for answer in answers),
            queue_s=max(answer.queue_s for answer in answers),
            attempts=max(answer.attempts for answer in answers),
        )

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        """The text asked for."""
        if request.choices:
            self.require("choices")
        return await (
            self._complete(request) if self.options.server == "vllm" else self._chat(request)
        )

    async def _complete(self, request: GenerateRequest) -> GenerateReply:
        """By vLLM, from the same tokens that `score` sees."""
        client, tokenizer = self._entered()
        prompt = await tokenizer.prompt(request.chat)
        tokenizer.fit(len(prompt.value), request.sampling.max_tokens)
        await self._require_truth(len(prompt.value), request.adapter)
        body = {
            "model": self._name(request.adapter),
            "prompt": prompt.value,
            "seed": request.seed,
            **AS_IT_IS,
        }
        body |= msgspec.structs.asdict(request.sampling)
        if self._served is not None and self._served.end_token is not None:
            body["stop_token_ids"] = [self._served.end_token]
        if request.choices:  # guided_choice is ignored in silence
            body["structured_outputs"] = {"choice": request.choices}
        answer = await client.post(f"{self._address.api}/completions", body, read_completion)
        [choice, *_], usage = answer.value.choices, usage_of(answer.value.usage)
        return GenerateReply(
            text=choice.text,
            finish_reason=choice.finish_reason or "stop",
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.completion_tokens,
            queue_s=prompt.queue_s + answer.queue_s + answer.value.queue_s,
            attempts=max(prompt.attempts, answer.attempts),
        )

    async def _chat(self, request: GenerateRequest) -> GenerateReply:
        """By any server."""
        return await self._asker().ask(request, self._name(request.adapter))

    def _asker(self) -> ChatAsker:
        client, _ = self._entered()
        return ChatAsker(client, f"{self._address.api}/chat/completions", self._chat_fields)

    async def _check_spoken(
        self, client: Client, tokenizer: ServedTokenizer, served: Served
    ) -> None:
        """What the model and its adapters say has the log-probability with which it is scored.

        Where a server can only generate there is nothing to compare, and that is said. What passed
        is not kept for the next run: a server does not show its weights, nor how they are loaded.
        """
        if self.options.server == "other":
            log.info(
                "%s tells no tokens: whether it answers as its model does cannot be checked",
                self._address.root,
            )
            return
        url = f"{self._address.api}/completions"
        [chat] = _PROBE.chats
        truth = SpokenCheck(
            ServedSpeaker(client, url, self._name),
            f"{self._address.root} (vLLM {served.version}, model {served.model})",
            tokens=(await tokenizer.prompt(chat)).value,
            window=served.window,
            longest=_LONGEST_CHECK,
        )
        for adapter in (None, *(adapter.name for adapter in self._adapters)):
            await truth.require(1, adapter)
        self._truth = truth

    async def _require_truth(self, length: int, adapter: str | None) -> None:
        """The truth check has passed at this length; before there is one, nothing is required."""
        if self._truth is not None:
            await self._truth.require(length, adapter)

    async def _require_same(self) -> None:
        """A server that was away serves what it served before, adapters included.

        Raises PolicyError if it serves something else, ConfigError if it does not load an adapter
        again.
        """
        found = await asyncio.to_thread(
            find_served, self._address, self.options.server, self.options.model
        )
        if found != self._served:
            raise PolicyError(
                f"{self._address.root} came back and serves something else than before; start again"
            )
        await asyncio.to_thread(have_served, self._address, found, self._adapters)
        if self._truth is not None:
            self._truth.forget()

    def _find(self) -> Served:
        served = find_served(self._address, self.options.server, self.options.model)
        self._adapters = self._adapters or find_adapters(served, self._given_adapters)
        return served

    def _found(self) -> Served:
        """What is served; asked for once."""
        self._served = self._served or self._find()
        return self._served

    def _entered(self) -> tuple[Client, ServedTokenizer]:
        if self._client is None or self._tokenizer is None:
            raise PolicyError("the engine is not connected: use `async with`")
        return self._client, self._tokenizer

    def _name(self, adapter: str | None) -> str:
        """What the model with or without an adapter is served as."""
        if adapter is None:
            return self._served.model if self._served else ""
        names = [each.name for each in self._adapters]
        if adapter not in names:
            raise PolicyError(unknown_name("adapter", adapter, names))
        return adapter
