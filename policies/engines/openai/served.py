"""Served: what a server says about itself, asked once before a run and once more when it starts."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import msgspec

from valueagents.errors import ConfigError, PolicyError, first_line, unknown_name
from valueagents.identity import content_hash
from valueagents.policies.engines.chats import TEMPLATE_OPTIONS
from valueagents.policies.engines.openai.address import Address
from valueagents.policies.engines.openai.bodies import (
    NoAnswer,
    counted,
    decode,
    read_text,
    read_tokens,
)
from valueagents.policies.engines.openai.client import ServerRefused, ask_server
from valueagents.policies.engines.openai.served_template import (
    Messages,
    ServedTemplate,
    find_template,
)

ServerKind = Literal["vllm", "other"]

_WITHOUT_LIST = frozenset({401, 403, 404, 405, 501})
"""What servers say to /models that have no list, or show it to other keys only."""

_NAMES_SHOWN = 12
_SYSTEM = {"role": "system", "content": "Decide what you do."}
_USER = {"role": "user", "content": "Which one – A, B or C?"}
_TALK = [_USER, {"role": "assistant", "content": "B"}, {"role": "user", "content": "And now?\n"}]
_TEXT = (
    "The quick brown fox, 1234567890 – naïve façade; Zażółć gęślą jaźń. Съешь же ещё этих мягких"
    " булок. いろはにほへと 天地玄黄 다람쥐 헌 쳇바퀴 نص حكيم שלום עולם नमस्ते 🙂👩‍🚀\n\tdef f(x):"
    " return x**2  # (A) [B] {C}\r\n"
)


@dataclass(frozen=True, slots=True)
class Served:
    """`names` are all models and adapters served, `window` the tokens that prompt and answer may
    have (0 = not said).

    `root` is where the server found the model. The hashes are of the tokens that it makes of a
    fixed text and of fixed chats. `template` says what its chat template does (None: it has none),
    `end_token` what ends an answer by it, besides the tokenizer's own (None: nothing more is
    known). Equal = the same but for `names`: others may have adapters loaded.
    """

    version: str
    model: str
    names: tuple[str, ...] = field(compare=False)
    window: int
    root: str = ""
    tokenizer: str = ""
    chat_template: str = ""
    template: ServedTemplate | None = None
    end_token: int | None = None


_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class _Model(msgspec.Struct):
    """Of a server that is not vLLM nothing but the name can be relied on."""

    id: _Name
    root: Any = None
    parent: Any = None
    max_model_len: Any = None


class _Models(msgspec.Struct):
    data: list[_Model]


class _Version(msgspec.Struct):
    version: _Name


_MODELS, _VERSION = msgspec.json.Decoder(_Models), msgspec.json.Decoder(_Version)


def find_served(address: Address, kind: ServerKind, model: str | None) -> Served:
    """What is served at an address.

    Blocks for as long as the server takes to answer a few short questions.

    Raises PolicyError if nobody answers, ConfigError if the server is of another kind or does not
    serve `model`.
    """
    version = _vllm_version(address) if kind == "vllm" else ""
    try:
        models = decode(ask_server(address, f"{address.api}/models"), _MODELS).data
    except (ServerRefused, NoAnswer) as error:
        if kind == "other" and model is not None and getattr(error, "status", 404) in _WITHOUT_LIST:
            return Served(version, model, (model,), 0)
        raise PolicyError(
            f"{address.api}/models does not list what is served: {first_line(error)}"
        ) from error
    chosen = _choose(models, model, kind)
    names = tuple(sorted(each.id for each in models))
    root = chosen.root if isinstance(chosen.root, str) else ""
    served = Served(version, chosen.id, names, counted(chosen.max_model_len), root)
    return _with_tokenizer(address, served) if kind == "vllm" else served


def _vllm_version(address: Address) -> str:
    try:
        return decode(ask_server(address, f"{address.root}/version"), _VERSION).version
    except (ServerRefused, NoAnswer) as error:
        raise ConfigError(
            f"{address.root} is not a vLLM server (/version: {first_line(error)}); give vLLM's own"
            " URL, or say server=other to use it without probabilities"
        ) from error


def _choose(models: list[_Model], name: str | None, kind: ServerKind) -> _Model:
    """The model of that name, or the only base model.

    Gemini lists `models/NAME` and is asked for NAME.
    """
    by_name = {model.id: model for model in models}
    if kind == "other":
        by_name |= {model.id.removeprefix("models/"): model for model in models}
    if name is not None:
        if name not in by_name:
            raise ConfigError(unknown_name("served model", name, by_name))
        return by_name[name]
    bases = [model for model in models if model.parent is None]
    if len(bases) != 1:
        raise ConfigError(f"the server serves {_listed(by_name)}; say which with model=")
    return bases[0]


def _listed(names: Iterable[str]) -> str:
    """A few names: a router serves hundreds."""
    found = sorted(names)
    more = f" and {len(found) - _NAMES_SHOWN} more" if len(found) > _NAMES_SHOWN else ""
    return ", ".join(found[:_NAMES_SHOWN]) + more or "no model"


def _with_tokenizer(address: Address, served: Served) -> Served:
    def tokens(**body: object) -> list[int]:
        data = msgspec.json.encode({"model": served.model, **body})
        return list(read_tokens(ask_server(address, f"{address.root}/tokenize", data)))

    def chat(*messages: dict[str, str], unless: str) -> list[int] | None:
        """The tokens, or None if the server refuses the chat with words like `unless`."""
        try:
            return tokens(
                messages=messages, add_generation_prompt=True, chat_template_kwargs=TEMPLATE_OPTIONS
            )
        except ServerRefused as error:
            if error.status == 400 and unless in error.message:
                return None
            raise

    def rendered(messages: Messages) -> str | None:
        found = chat(*messages, unless="")
        if found is None:
            return None
        data = msgspec.json.encode({"model": served.model, "tokens": found})
        return read_text(ask_server(address, f"{address.root}/detokenize", data))

    try:
        text = tokens(prompt=_TEXT, add_special_tokens=False)
        with_system, without = (
            chat(_SYSTEM, *_TALK, unless=""),
            chat(*_TALK, unless="chat template"),
        )
        template = find_template(rendered) if without is not None else None
        end = tokens(prompt=template.end, add_special_tokens=False) if template else []
        started = tokens(prompt=_TEXT, add_special_tokens=True)[: len(text) + 4]
    except (ServerRefused, NoAnswer) as error:
        raise PolicyError(
            f"{address.root}/tokenize does not answer as vLLM's does: {first_line(error)}"
        ) from error
    return replace(
        served,
        tokenizer=content_hash(text, started),
        chat_template=content_hash(with_system, without),
        template=template,
        end_token=end[0] if len(end) == 1 else None,
    )
