"""`valueagents serve`: a vLLM server with the settings that suit this machine, under names that say what it holds.

The model is served as NAME@HASH (the beginning of the hash of its weights) and as `base`, an adapter under its content
hash: a name that can be given to other weights tomorrow would mix up runs, and vLLM's cache of prefixes.
"""

import ipaddress
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from valueagents.errors import ConfigError, PolicyError

if TYPE_CHECKING:
    from valueagents.policies.adapters import Adapter

_MODULE = "vllm.entrypoints.openai.api_server"
_GATE = "valueagents.policies.engines.vllm.adapter_gate.AdapterGate"
_POLL_S, _LINE_EVERY_S, _STOP_S = 0.5, 10.0, 15.0
_HASH_DIGITS = 12
_LOG_LINES = 20


class Serving(msgspec.Struct, frozen=True):
    """What is served where. `adapters`: names by the folders that the user gave; later ones come from `load_from`."""

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


def main(
    model: Annotated[str, typer.Argument(help="smollm2-135m (embedded), a folder, or a hub id.")],
    adapter: Annotated[list[str] | None, typer.Option(help="A PEFT folder or hub id; may be repeated.")] = None,
    load_from: Annotated[Path | None, typer.Option(help="Load adapters of this folder when a client asks.")] = None,
    load_slots: Annotated[int, typer.Option(min=1, help="With --load-from: how many at most.")] = 4,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    public: Annotated[bool, typer.Option("--public", help="Allow an address that others can reach.")] = False,
    api_key_env: Annotated[str | None, typer.Option(help="Environment variable that holds the key to ask for.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")] = None,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    max_model_len: Annotated[int | None, typer.Option(min=1, help="Tokens of the window.")] = None,
    tensor_parallel: Annotated[int, typer.Option(min=1, help="GPUs that share the model.")] = 1,
    quantization: Annotated[str | None, typer.Option(help="vLLM's name of a method.")] = None,
    gpu_memory: Annotated[float, typer.Option(min=0.01, max=1, help="Share of a GPU's memory.")] = 0.9,
    kv_cache_gib: Annotated[int, typer.Option(min=1, help="On a CPU: memory for what sequences share.")] = 1,
    wait_s: Annotated[float, typer.Option(min=1, help="Give up if it does not answer by then.")] = 1800.0,
) -> None:
    """Serve a model and its adapters with vLLM."""
    key = check_address(host, port, public=public, key_env=api_key_env)
    later = load_slots if check_loading(load_from, host, adapter or ()) else 0
    from valueagents.policies.adapters import read_adapter
    from valueagents.policies.engines.vllm.settings import find_vllm, vllm_dtype, vllm_environment, vllm_options
    from valueagents.policies.models import find_model

    device, version = find_vllm()
    files = find_model(model, revision)
    adapters = {folder: read_adapter(folder, files) for folder in adapter or ()}
    options = vllm_options(
        files,
        device=device,
        dtype=vllm_dtype(dtype, device),
        adapters=list(adapters.values()),
        spare_adapter_slot=device == "cpu",
        later_adapters=later,
        tensor_parallel=tensor_parallel,
        max_model_len=max_model_len,
        quantization=quantization,
        gpu_memory=gpu_memory,
    )
    name = f"{files.folder.name if Path(model).is_dir() else model}@{files.hashes()['weights'][:_HASH_DIGITS]}"
    names = {folder: each.name for folder, each in adapters.items()}
    serving = Serving(name, names, host, port, api_key_env, str(load_from) if load_from else None)
    command = server_command(serving, options, {each.name: str(each.folder) for each in adapters.values()})
    environment = {**os.environ, **vllm_environment(device, kv_cache_gib), **({"VLLM_API_KEY": key} if key else {})}
    if load_from is not None:
        environment |= gate_environment(files.folder, load_from, list(adapters.values()), later)
    print(f"starting vLLM {version} ({device}) …", flush=True)
    with tempfile.TemporaryDirectory(prefix="valueagents-serve-") as folder:
        serve(command, environment, Path(folder) / "server.log", serving, wait_s=wait_s)


def check_address(host: str, port: int, *, public: bool, key_env: str | None) -> str | None:
    """The key to ask for, if any. Raises ConfigError for an address that must not or cannot be listened on."""
    key = os.environ.get(key_env) if key_env is not None else None
    if key_env is not None and not key:
        raise ConfigError(f"--api-key-env {key_env}: the environment variable is not set; put the key into it")
    if not _is_loopback(host) and not (public and key):
        lacking = " and ".join(
            ([] if public else ["--public"]) + ([] if key else ["a key in the variable that --api-key-env names"])
        )
        raise ConfigError(f"--host {host}: others could reach the server; that needs {lacking}")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host} port {port} ({error.strerror}); choose another --port") from error
    return key


def check_loading(load_from: Path | None, host: str, adapters: Sequence[str]) -> bool:
    """Whether adapters may be loaded while it runs. Raises ConfigError where that is not safe, or not set up."""
    if load_from is None:
        return False
    if not load_from.is_dir():
        raise ConfigError(f"--load-from {load_from} is no folder; name the one that adapters are trained into")
    if not _is_loopback(host):
        raise ConfigError(f"--load-from: others could have --host {host} load adapters; listen on 127.0.0.1")
    if not adapters:
        raise ConfigError("--load-from needs an --adapter that shows the rank and the modules of those to come")
    return True


def gate_environment(model: Path, load_from: Path, adapters: Sequence["Adapter"], slots: int) -> dict[str, str]:
    """What makes the server load adapters, and tells its gate which ones."""
    from valueagents.policies.engines.vllm.adapter_gate import ROOM_VARIABLE, AdapterRoom
    from valueagents.policies.engines.vllm.settings import adapted_modules, allowed_rank

    modules = tuple(adapted_modules(adapters))
    room = AdapterRoom(str(model.resolve()), str(load_from.resolve()), allowed_rank(adapters), modules, slots)
    return {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", ROOM_VARIABLE: msgspec.json.encode(room).decode()}


def server_command(serving: Serving, options: Mapping[str, object], adapters: Mapping[str, str]) -> list[str]:
    """The command line of the server; `adapters`: folders by name."""
    from valueagents.policies.engines.vllm.settings import vllm_flags

    command = [sys.executable, "-m", _MODULE, "--host", serving.host, "--port", str(serving.port)]
    command += [*vllm_flags(options), "--served-model-name", serving.model, "base"]
    command += ["--enable-prompt-tokens-details", "--generation-config", "vllm"]  # the client says how text is drawn
    if serving.load_from is not None:  # no page that a browser here shows may ask
        command += ["--middleware", _GATE, "--allowed-origins", "[]"]
    if adapters:
        command += ["--lora-modules", *(f"{name}={folder}" for name, folder in adapters.items())]
    return command


def serve(
    command: Sequence[str], environment: Mapping[str, str], log: Path, serving: Serving, *, wait_s: float
) -> None:
    """Run the server until Ctrl-C or SIGTERM; nothing of it is left then.

    Raises PolicyError with the end of its log if it dies or does not answer in time.
    """
    with _stopped_by_signals(), log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 – our own command; a session of its own: signals are ours to pass on
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            _wait_until_it_answers(process, f"{serving.url}/health", log, wait_s)
            print(serving.usage(), flush=True)
            process.wait()
            raise PolicyError(f"the server ended (exit code {process.returncode}):\n{_tail(log)}")
        except KeyboardInterrupt:
            print("stopping …", flush=True)
        finally:
            _stop(process)
    print("stopped", flush=True)


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", url: str, log: Path, wait_s: float) -> None:
    started = told = time.monotonic()
    while not _answers(url):
        if process.poll() is not None:
            raise PolicyError(f"the server ended before it answered (exit code {process.returncode}):\n{_tail(log)}")
        now = time.monotonic()
        if now - started > wait_s:
            raise PolicyError(f"the server does not answer after {wait_s:g} s (--wait-s):\n{_tail(log)}")
        if now - told > _LINE_EVERY_S:
            told = now
            print(f"loading, {now - started:.0f} s …", flush=True)
        time.sleep(_POLL_S)
    print(f"it answers after {time.monotonic() - started:.0f} s", flush=True)


def _answers(url: str) -> bool:
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=5) as reply:  # noqa: S310 – http to our own server
            return bool(reply.status == 200)
    except OSError:  # a URLError is one
        return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the server and whatever it started: gently, then not."""
    for number, patience_s in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, _STOP_S)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:  # the whole group is gone
            break
        deadline = time.monotonic() + patience_s
        while _group_lives(process) and time.monotonic() < deadline:
            time.sleep(0.1)
    process.wait()


def _group_lives(process: "subprocess.Popen[bytes]") -> bool:
    process.poll()  # else a dead leader would count as one of the living
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> Any:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-_LOG_LINES:]) or "  (its log is empty)"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
