"""The adapters of a served model: a name that one is served under, or a PEFT folder.

A folder is read here, called by the hash of its content, and loaded by the server where it allows
that. The server must see it under the same path, so it runs on this machine or shares its files.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

from valueagents.errors import ConfigError, first_line, unknown_name
from valueagents.policies.adapters import Adapter, read_adapter
from valueagents.policies.engines.openai.address import Address
from valueagents.policies.engines.openai.client import ServerRefused, ask_server
from valueagents.policies.engines.openai.served import Served
from valueagents.policies.engines.vllm.adapter_gate import LOAD_PATH
from valueagents.policies.models import ModelFiles

_LOAD_S = 300.0


class ServedAdapter(msgspec.Struct, frozen=True):
    """An adapter of which nothing is known but the name that it is served under."""

    name: str


def find_adapters(served: Served, given: Sequence[str]) -> tuple[Adapter | ServedAdapter, ...]:
    """What the user calls adapters, each found as a folder or as a served name, in their order.

    Raises ConfigError if a name is not served, a folder is not fit for use, or its base model
    cannot be seen from here.
    """
    return tuple(
        _read_folder(served, each) if Path(each).is_dir() else _named(served, each)
        for each in given
    )


def _named(served: Served, name: str) -> ServedAdapter:
    if name not in served.names:
        raise ConfigError(unknown_name("served adapter", name, served.names))
    return ServedAdapter(name)


def _read_folder(served: Served, folder: str) -> Adapter:
    instead = "give the name that the adapter is served under"
    if find_spec("torch") is None:
        raise ConfigError(
            f"adapter {folder!r}: to read it, pip install 'valueagents[transformers]', or {instead}"
        )
    if not Path(served.root).is_dir():
        raise ConfigError(
            f"adapter {folder!r}: the server's model {served.root!r} is not on this machine;"
            f" {instead}"
        )
    return read_adapter(folder, ModelFiles(served.model, Path(served.root)))


def have_served(
    address: Address, served: Served, adapters: Sequence[Adapter | ServedAdapter]
) -> None:
    """The server serves every adapter: folders that it does not serve yet are loaded under their
    hash.

    Raises ConfigError with the remedy if it does not load one, or no longer serves a name.
    """
    for adapter in adapters:
        if isinstance(adapter, ServedAdapter):
            _named(served, adapter.name)
        elif adapter.name not in served.names:
            _load(address, adapter)


def _load(address: Address, adapter: Adapter) -> None:
    body = {"lora_name": adapter.name, "lora_path": str(adapter.folder.resolve())}
    try:
        ask_server(address, address.root + LOAD_PATH, msgspec.json.encode(body), timeout_s=_LOAD_S)
    except ServerRefused as error:
        if error.status in (404, 405):
            raise ConfigError(
                f"{address.root} does not serve the adapter {str(adapter.folder)!r} and loads none"
                " while it runs; restart it with: valueagents serve MODEL --adapter"
                f" {adapter.folder} (--load-from FOLDER: later ones)"
            ) from error
        raise ConfigError(
            f"{address.root} does not load {str(adapter.folder)!r}: {first_line(error)}"
        ) from error
