"""`valueagents serve`: a vLLM server with the settings that suit this machine, under names that say
what it holds.

The model is served as NAME@HASH (the beginning of the hash of its weights) and as `base`, an
adapter under its content hash: a name that can be given to other weights tomorrow would mix up
runs, and vLLM's cache of prefixes.
"""

import ipaddress
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from valueagents.contracts.options import make_options
from valueagents.errors import ConfigError
from valueagents.policies.engines.flags import with_option_flags
from valueagents.policies.engines.vllm.options import VllmOptions

if TYPE_CHECKING:
    from valueagents.policies.adapters import Adapter

_MODULE = "vllm.entrypoints.openai.api_server"
_GATE = "valueagents.policies.engines.vllm.adapter_gate.AdapterGate"
_HASH_DIGITS = 12


class Serving(msgspec.Struct, frozen=True):
    """What is served where. `adapters`: names by the folders that the user gave; later ones come
    from `load_from`.
    """

    model: str
    adapters: Mapping[str, str]
    host: str
    port: int
    key_env: str | None = None
    load_from: str | None = None

    @property
    def url(self) -> str:
        """The address that a client on this machine uses."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 – compared, not bound
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def usage(self) -> str:
        """How to use the server, to be pasted."""
        key = f"&api_key_env={self.key_env}" if self.key_env else ""
        spec = f"openai:{self.url}/v1?model={self.model}{key}"
        lines = [
            f"serving {self.model} at {self.url}/v1; stop with Ctrl-C",
            "",
            f"  valueagents run --env valueagents/Dilemma-v0 --policy '{spec}'",
        ]
        for folder, name in self.adapters.items():
            lines += ["", f"with the adapter {folder}:", f"  --policy '{spec}&adapter={name}'"]
        if self.load_from is not None:
            asker = "whoever has the key" if self.key_env else "any program on this machine"
            lines += ["", f"{asker} can have adapters of {self.load_from} loaded:"]
            lines += [f"  --policy '{spec}&adapter={self.load_from}/FOLDER'"]
        return "\n".join(lines)


@with_option_flags(
    VllmOptions, without=("spare_adapter_slot",)
)  # a server keeps the slot wherever it is needed
def main(
    model: Annotated[str, typer.Argument(help="smollm2-135m (embedded), a folder, or a hub id.")],
    adapter: Annotated[
        list[str] | None, typer.Option(help="A PEFT folder or hub id; may be repeated.")
    ] = None,
    load_from: Annotated[
        Path | None, typer.Option(help="Load adapters of this folder when a client asks.")
    ] = None,
    load_slots: Annotated[int, typer.Option(min=1, help="With --load-from: how many at most.")] = 4,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    public: Annotated[
        bool, typer.Option("--public", help="Allow an address that others can reach.")
    ] = False,
    api_key_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds the key to ask for.")
    ] = None,
    wait_s: Annotated[
        float, typer.Option(min=1, help="Give up if it does not answer by then.")
    ] = 1800.0,
    **engine: str | None,
) -> None:
    """Serve a model and its adapters with vLLM."""
    given = {name: value for name, value in engine.items() if value is not None}
    options = make_options(VllmOptions, "serve", given)
    key = check_address(host, port, public=public, key_env=api_key_env)
    later = load_slots if check_loading(load_from, host, adapter or ()) else 0
    from valueagents.policies.adapters import read_adapter
    from valueagents.policies.engines.vllm.server_process import run_server
    from valueagents.policies.engines.vllm.settings import (
        find_vllm,
        vllm_arguments,
        vllm_environment,
    )
    from valueagents.policies.models import find_model

    device, version = find_vllm()
    files = find_model(model, options.revision)
    adapters = {folder: read_adapter(folder, files) for folder in adapter or ()}
    arguments = vllm_arguments(
        files,
        options,
        device=device,
        adapters=list(adapters.values()),
        spare_adapter_slot=device == "cpu",
        later_adapters=later,
    )
    called = files.folder.name if Path(model).is_dir() else model
    name = f"{called}@{files.hashes()['weights'][:_HASH_DIGITS]}"
    names = {folder: each.name for folder, each in adapters.items()}
    serving = Serving(name, names, host, port, api_key_env, str(load_from) if load_from else None)
    command = server_command(
        serving, arguments, {each.name: str(each.folder) for each in adapters.values()}
    )
    environment = {**os.environ, **vllm_environment(device, options.kv_cache_gib)}
    if key:
        environment["VLLM_API_KEY"] = key
    if load_from is not None:
        environment |= gate_environment(files.folder, load_from, list(adapters.values()), later)
    print(f"starting vLLM {version} ({device}) …", flush=True)
    run_server(command, environment, url=serving.url, usage=serving.usage(), wait_s=wait_s)


def check_address(host: str, port: int, *, public: bool, key_env: str | None) -> str | None:
    """The key to ask for, if any.

    Raises ConfigError for an address that must not or cannot be listened on.
    """
    key = os.environ.get(key_env) if key_env is not None else None
    if key_env is not None and not key:
        raise ConfigError(
            f"--api-key-env {key_env}: the environment variable is not set; put the key into it"
        )
    if not _is_loopback(host) and not (public and key):
        lacking = " and ".join(
            ([] if public else ["--public"])
            + ([] if key else ["a key in the variable that --api-key-env names"])
        )
        raise ConfigError(f"--host {host}: others could reach the server; that needs {lacking}")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host} port {port} ({error.strerror}); choose another --port"
        ) from error
    return key


def check_loading(load_from: Path | None, host: str, adapters: Sequence[str]) -> bool:
    """Whether adapters may be loaded while it runs.

    Raises ConfigError where that is not safe, or not set up.
    """
    if load_from is None:
        return False
    if not load_from.is_dir():
        raise ConfigError(
            f"--load-from {load_from} is not a folder; name the one that adapters are trained into"
        )
    if not _is_loopback(host):
        raise ConfigError(
            f"--load-from: others could have --host {host} load adapters; listen on 127.0.0.1"
        )
    if not adapters:
        raise ConfigError(
            "--load-from needs an --adapter that shows the rank and the modules of those to come"
        )
    return True


def gate_environment(
    model: Path, load_from: Path, adapters: Sequence["Adapter"], slots: int
) -> dict[str, str]:
    """What makes the server load adapters, and tells its gate which ones."""
    from valueagents.policies.engines.vllm.adapter_gate import LIMITS_VARIABLE, AdapterLimits
    from valueagents.policies.engines.vllm.settings import adapted_modules, allowed_rank

    modules = tuple(adapted_modules(adapters))
    limits = AdapterLimits(
        str(model.resolve()), str(load_from.resolve()), allowed_rank(adapters), modules, slots
    )
    return {
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        LIMITS_VARIABLE: msgspec.json.encode(limits).decode(),
    }


def server_command(
    serving: Serving, arguments: Mapping[str, object], adapters: Mapping[str, str]
) -> list[str]:
    """The command line of the server; `arguments` by vLLM's names, `adapters`: folders by name."""
    from valueagents.policies.engines.vllm.settings import vllm_flags

    command = [sys.executable, "-m", _MODULE, "--host", serving.host, "--port", str(serving.port)]
    command += [*vllm_flags(arguments), "--served-model-name", serving.model, "base"]
    command += [
        "--enable-prompt-tokens-details",
        "--generation-config",
        "vllm",
    ]  # the client says how text is drawn
    if serving.load_from is not None:  # no page that a browser here shows may ask
        command += ["--middleware", _GATE, "--allowed-origins", "[]"]
    if adapters:
        command += ["--lora-modules", *(f"{name}={folder}" for name, folder in adapters.items())]
    return command


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
