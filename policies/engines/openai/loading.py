"""Adapter folders on a served model: read here, called by their hash, loaded by the server where it allows that.

The server must see a folder under the same path, so it runs on this machine or shares its files.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

from valueagents.errors import ConfigError, first_line
from valueagents.policies.adapters import Adapter, read_adapter
from valueagents.policies.engines.openai.client import Address
from valueagents.policies.engines.openai.served import Refused, Served, ask_server
from valueagents.policies.engines.vllm.adapter_gate import LOAD_PATH
from valueagents.policies.models import ModelFiles

_LOAD_S = 300.0


def read_folders(served: Served, folders: Sequence[str]) -> tuple[Adapter, ...]:
    """The adapters in folders, checked against the model that is served.

    Raises ConfigError if one is not fit for use, or the model cannot be seen from here.
    """
    if not folders:
        return ()
    otherwise = "give the name that the adapter is served under"
    if find_spec("torch") is None:
        raise ConfigError(
            f"adapter {folders[0]!r}: to read it, pip install 'valueagents[transformers]', or {otherwise}"
        )
    if not Path(served.root).is_dir():
        raise ConfigError(
            f"adapter {folders[0]!r}: the server's model {served.root!r} is not on this machine; {otherwise}"
        )
    base = ModelFiles(served.model, Path(served.root))
    return tuple(read_adapter(folder, base) for folder in folders)


def load_adapter(address: Address, adapter: Adapter) -> None:
    """The server serves the adapter under its hash. Raises ConfigError with the remedy if it cannot or will not."""
    body = {"lora_name": adapter.name, "lora_path": str(adapter.folder.resolve())}
    try:
        ask_server(address, address.root + LOAD_PATH, msgspec.json.encode(body), timeout_s=_LOAD_S)
    except Refused as error:
        if error.status in (404, 405):
            raise ConfigError(
                f"{address.root} does not serve the adapter {str(adapter.folder)!r} and loads none while it runs; "
                f"restart it with: valueagents serve MODEL --adapter {adapter.folder} (--load-from FOLDER: later ones)"
            ) from error
        raise ConfigError(f"{address.root} does not load {str(adapter.folder)!r}: {first_line(error)}") from error
