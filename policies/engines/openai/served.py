"""Served: what a server says about itself, asked once before a run and once more when it starts."""

import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from valueagents.errors import ConfigError, PolicyError, first_line, unknown_name
from valueagents.identity import content_hash
from valueagents.policies.engines.chats import TEMPLATE_OPTIONS
from valueagents.policies.engines.openai.client import Address, error_message

ServerKind = Literal["vllm", "other"]

_TIMEOUT_S = 10.0
_SYSTEM = {"role": "system", "content": "Decide what you do."}
_USER = {"role": "user", "content": "Which one – A, B or C?"}
_TALK = [_USER, {"role": "assistant", "content": "B"}, {"role": "user", "content": "And now?\n"}]
_TEXT = (
    "The quick brown fox, 1234567890 – naïve façade; Zażółć gęślą jaźń. Съешь же ещё этих мягких булок. "
    "いろはにほへと 天地玄黄 다람쥐 헌 쳇바퀴 نص حكيم שלום עולם नमस्ते 🙂👩‍🚀\n\tdef f(x): return x**2  # (A) [B] {C}\r\n"
)


@dataclass(frozen=True, slots=True)
class Served:
    """`names` are all models and adapters served, `window` the tokens that prompt and answer may have (0 = not said).

    `root` is where the server found the model. The hashes are of the tokens that it makes of a fixed text and of fixed
    chats. `system_role` and `templated` say what its chat template knows. Equal = the same but for `names`: others may
    have adapters loaded.
    """

    version: str
    model: str
    names: tuple[str, ...] = field(compare=False)
    window: int
    root: str = ""
    tokenizer: str = ""
    chat_template: str = ""
    system_role: bool = True
    templated: bool = True


class _Model(msgspec.Struct):
    id: str
    root: str | None = None
    parent: str | None = None
    max_model_len: int | None = None


class _Models(msgspec.Struct):
    data: list[_Model]


class _Version(msgspec.Struct):
    version: str


class _Tokens(msgspec.Struct):
    tokens: list[int]


class Refused(Exception):
    """The server answered with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"status {status}: {message}")
        self.status, self.message = status, message


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


def find_served(address: Address, kind: ServerKind, model: str | None) -> Served:
    """What is served at an address. Blocks for as long as the server takes to answer a few short questions.

    Raises PolicyError if nobody answers, ConfigError if the server is of another kind or does not serve `model`.
    """
    version = _vllm_version(address) if kind == "vllm" else ""
    try:
        models = msgspec.json.decode(ask_server(address, f"{address.api}/models"), type=_Models).data
    except (Refused, msgspec.MsgspecError) as error:
        raise PolicyError(f"{address.api}/models does not list what is served: {first_line(error)}") from error
    chosen = _choose(models, model)
    names = tuple(sorted(each.id for each in models))
    served = Served(version, chosen.id, names, chosen.max_model_len or 0, chosen.root or "")
    return _with_tokenizer(address, served) if kind == "vllm" else served


def _vllm_version(address: Address) -> str:
    try:
        return msgspec.json.decode(ask_server(address, f"{address.root}/version"), type=_Version).version
    except (Refused, msgspec.MsgspecError) as error:
        raise ConfigError(
            f"{address.root} is not a vLLM server (/version: {first_line(error)}); give vLLM's own URL, or say "
            "server=other to use it without probabilities"
        ) from error


def _choose(models: list[_Model], name: str | None) -> _Model:
    """The model of that name, or the only base model."""
    by_name = {model.id: model for model in models}
    if name is not None:
        if name not in by_name:
            raise ConfigError(unknown_name("served model", name, by_name))
        return by_name[name]
    bases = [model for model in models if model.parent is None]
    if len(bases) != 1:
        raise ConfigError(f"the server serves {', '.join(sorted(by_name)) or 'no model'}; say which with model=")
    return bases[0]


def _with_tokenizer(address: Address, served: Served) -> Served:
    def tokens(**body: object) -> list[int]:
        data = msgspec.json.encode({"model": served.model, **body})
        return msgspec.json.decode(ask_server(address, f"{address.root}/tokenize", data), type=_Tokens).tokens

    def chat(*messages: dict[str, str], unless: str) -> list[int] | None:
        """The tokens, or None if the server refuses the chat with words like `unless`."""
        try:
            return tokens(messages=messages, add_generation_prompt=True, chat_template_kwargs=TEMPLATE_OPTIONS)
        except Refused as error:
            if error.status == 400 and unless in error.message:
                return None
            raise

    try:
        text = tokens(prompt=_TEXT, add_special_tokens=False)
        with_system, without = chat(_SYSTEM, *_TALK, unless=""), chat(*_TALK, unless="chat template")
        started = tokens(prompt=_TEXT, add_special_tokens=True)[: len(text) + 4]
    except (Refused, msgspec.MsgspecError) as error:
        raise PolicyError(f"{address.root}/tokenize does not answer as vLLM's does: {first_line(error)}") from error
    return replace(
        served,
        tokenizer=content_hash(text, started),
        chat_template=content_hash(with_system, without),
        system_role=with_system is not None,
        templated=without is not None,
    )


def ask_server(address: Address, url: str, data: bytes | None = None, *, timeout_s: float = _TIMEOUT_S) -> bytes:
    """The body of an answer, to a GET or to posted JSON. Raises Refused, or PolicyError if nobody answers."""
    request = urllib.request.Request(url, data, address.headers())  # noqa: S310 – http or https: see read_address
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
    try:
        with opener.open(request, timeout=timeout_s) as response:
            text: bytes = response.read()
            return text
    except urllib.error.HTTPError as error:
        with error:
            raise Refused(error.code, address.without_key(error_message(error.read()))) from None
    except (OSError, http.client.HTTPException) as error:  # URLError and time-outs are OSErrors
        raise PolicyError(
            f"no server answers at {address.root} ({first_line(error)}); start one with: valueagents serve MODEL"
        ) from error
