"""`valueagents serve`: refusals before anything is loaded; a real server that starts, answers and
leaves nothing.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from valueagents.errors import ConfigError, PolicyError
from valueagents.experiments.validity.processes import lives
from valueagents.policies.adapters import Adapter
from valueagents.policies.engines import Message, ScoreRequest
from valueagents.policies.engines.vllm.adapter_gate import LIMITS_VARIABLE, AdapterLimits
from valueagents.policies.engines.vllm.server_process import run_server
from valueagents.policies.engines.vllm.serving import (
    Serving,
    check_address,
    check_loading,
    gate_environment,
    server_command,
)

READY_S = 240.0
CLI = [sys.executable, "-c", "from valueagents.cli import main; main()"]


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.5"])
def test_the_loopback_needs_no_key(host: str, port: int):
    assert check_address(host, port, public=False, key_env=None) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "example.org"])
@pytest.mark.parametrize(("public", "key"), [(False, None), (True, None), (False, "s3cret")])
def test_an_address_that_others_reach_needs_the_flag_and_a_key(
    host: str, port: int, public: bool, key: str | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SERVER_KEY", key or "")
    with pytest.raises(
        ConfigError, match="others could reach" if key else "others could reach|--public|key"
    ):
        check_address(host, port, public=public, key_env="SERVER_KEY" if key else None)


def test_with_flag_and_key_others_may_reach_it(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERVER_KEY", "s3cret")
    assert check_address("0.0.0.0", port, public=True, key_env="SERVER_KEY") == "s3cret"


def test_a_variable_without_a_key_is_refused_by_name(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SERVER_KEY", raising=False)
    with pytest.raises(ConfigError, match="SERVER_KEY"):
        check_address("127.0.0.1", port, public=False, key_env="SERVER_KEY")


def test_a_port_in_use_is_refused_by_number():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {number} .*--port"):
            check_address("127.0.0.1", number, public=False, key_env=None)


def test_the_command_names_content_and_holds_no_key():
    serving = Serving("tiny@0123456789ab", {"runs/a": "hash-a"}, "127.0.0.1", 8123, "SERVER_KEY")
    command = server_command(
        serving, {"model": "/m", "enable_lora": True, "max_loras": 2}, {"hash-a": "/runs/a"}
    )
    assert command[1:3] == ["-m", "vllm.entrypoints.openai.api_server"]
    joined = " ".join(command)
    assert "--served-model-name tiny@0123456789ab base" in joined
    assert "--lora-modules hash-a=/runs/a" in joined
    assert "--api-key" not in joined  # it would stand in everybody's list of processes
    assert (
        "'openai:http://127.0.0.1:8123/v1?model=tiny@0123456789ab&api_key_env=SERVER_KEY&adapter=hash-a'"
        in (serving.usage())
    )


def test_loading_later_needs_a_folder_the_loopback_and_an_adapter_to_go_by(tmp_path: Path):
    assert not check_loading(None, "0.0.0.0", [])
    assert check_loading(tmp_path, "127.0.0.1", ["runs/a"])
    with pytest.raises(ConfigError, match="is not a folder"):
        check_loading(tmp_path / "nothing", "127.0.0.1", ["runs/a"])
    with pytest.raises(ConfigError, match=r"--host 0\.0\.0\.0 load adapters; listen on 127"):
        check_loading(tmp_path, "0.0.0.0", ["runs/a"])
    with pytest.raises(ConfigError, match="needs an --adapter"):
        check_loading(tmp_path, "127.0.0.1", [])


def test_a_server_that_loads_later_has_a_gate_and_no_ear_for_browsers(tmp_path: Path):
    serving = Serving("tiny", {}, "127.0.0.1", 8123, load_from="runs")
    command = " ".join(server_command(serving, {"model": "/m"}, {}))
    assert (
        "--middleware valueagents.policies.engines.vllm.adapter_gate.AdapterGate"
        " --allowed-origins []" in command
    )
    assert "any program on this machine can have adapters of runs loaded" in serving.usage()
    assert "--middleware" not in server_command(
        Serving("tiny", {}, "127.0.0.1", 8123), {"model": "/m"}, {}
    )
    adapter = Adapter("hash", tmp_path, 5, ("v_proj", "q_proj"))
    variables = gate_environment(tmp_path, tmp_path, [adapter], 3)
    assert variables["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "True"
    limits = msgspec.json.decode(variables[LIMITS_VARIABLE], type=AdapterLimits)
    assert (limits.rank, limits.modules, limits.slots, limits.folder) == (
        8,
        ("q_proj", "v_proj"),
        3,
        str(tmp_path.resolve()),
    )


def _dying(port: int, code: str, wait_s: float = 30.0) -> None:
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-c", code]
    run_server(command, dict(os.environ), url=url, usage="it serves", wait_s=wait_s)


def test_a_server_that_dies_is_told_with_the_end_of_its_log(port: int):
    with pytest.raises(PolicyError, match=r"exit code 3.*\n(.*\n)*.*out of luck"):
        _dying(port, "print('out of luck'); raise SystemExit(3)")


@pytest.mark.slow
def test_a_server_that_never_answers_is_given_up_and_ended(port: int, tmp_path: Path):
    code = (
        f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()));"
        " time.sleep(60)"
    )
    with pytest.raises(PolicyError, match=r"does not answer after 2 s"):
        _dying(port, code, wait_s=2.0)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


SERVES = """
import http.server, os, subprocess, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVES
COMMAND = """
import os, sys
from valueagents.policies.engines.vllm.server_process import run_server
url = "http://127.0.0.1:" + sys.argv[2]
command = [sys.executable, "-c", sys.argv[1], sys.argv[2]]
run_server(command, dict(os.environ), url=url, usage="it serves", wait_s=60)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "number"),
    [
        (SERVES, signal.SIGKILL),
        (SERVES, signal.SIGTERM),
        (SERVES, signal.SIGHUP),
        (SERVES, signal.SIGINT),
        (STUBBORN, signal.SIGKILL),
        (STUBBORN, signal.SIGTERM),
    ],
)
def test_whatever_ends_the_command_ends_the_server_and_what_that_started(
    port: int, server: str, number: signal.Signals, tmp_path: Path
):
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", COMMAND, server, str(port)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert any("it serves" in line for line in process.stdout)
    family = _children(process.pid)
    assert len(family) == 3
    process.send_signal(number)
    process.wait(60)
    deadline = time.monotonic() + 30
    while any(map(lives, family)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(lives, family))
    assert list(tmp_path.iterdir()) == []
    process.stdout.close()


def _children(pid: int) -> set[int]:
    """The living descendants of a process."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    parents = [tuple(map(int, line.split())) for line in listed.splitlines()]
    found = {pid}
    while more := {child for child, parent in parents if parent in found} - found:
        found |= more
    return found - {pid}


@pytest.fixture
def served(
    make_adapter: Callable[..., Path], tiny_model: Path, port: int
) -> Iterator[tuple[subprocess.Popen[str], list[str], int]]:
    """The running command, the lines up to its last, its port."""
    folder = make_adapter(tiny_model, seed=1)
    command = [*CLI, "serve", str(tiny_model), "--adapter", str(folder), "--port", str(port)]
    command += ["--load-from", str(folder.parent.parent), "--load-slots", "1"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "SERVER_KEY": "s3cret"}
    process = subprocess.Popen(
        [*command, "--api-key-env", "SERVER_KEY"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=2,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "/FOLDER" in line:
            break
    yield process, lines, port
    if process.poll() is None:
        process.terminate()
        process.wait(60)
    process.stdout.close()


def _loads_what_fits(root: str, model: Path, make_adapter: Callable[..., Path]) -> None:
    """One adapter more, which answers as in this process; none that is too wide; none by another
    page.
    """
    from valueagents.policies.engines.openai.engine import OpenAIEngine
    from valueagents.policies.engines.transformers.engine import TransformersEngine

    later = make_adapter(model, seed=2)
    here = TransformersEngine(str(model), TransformersEngine.Options(device="cpu"), [str(later)])
    chat = (
        Message("system", "Decide what you do."),
        Message("user", "You find a coat. Whose is it?"),
    )
    requests = [
        ScoreRequest((chat,), ("A", "Give it back."), name)
        for name in (None, here.adapters[0].name)
    ]

    def serving(folder: Path) -> OpenAIEngine:
        options = OpenAIEngine.Options(model="base", api_key_env="SERVER_KEY")
        return OpenAIEngine(root, options, adapters=[str(folder)])

    async def ask(engine: OpenAIEngine | TransformersEngine) -> list[tuple[float, ...]]:
        async with engine:
            return [
                reply.logprobs[0] for reply in await asyncio.gather(*map(engine.score, requests))
            ]

    answers = asyncio.run(ask(serving(later)))
    for row, wanted in zip(answers, asyncio.run(ask(here)), strict=True):
        assert row == pytest.approx(wanted, abs=1e-3)
    assert answers[0] != pytest.approx(answers[1], abs=1e-2)
    with pytest.raises(ConfigError, match="all 1 slots are taken"):
        asyncio.run(ask(serving(make_adapter(model, seed=3))))
    for page in ("/adapters", "/v1/load_lora_adapter"):
        asked = urllib.request.Request(
            root + page,
            b'{"name": "x", "src": "/"}',
            {"Content-Type": "application/json", "Authorization": "Bearer s3cret"},
        )
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(asked, timeout=30)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed here: make vllm-test")
def test_a_real_server_answers_under_content_names_and_leaves_no_process(
    served: tuple[subprocess.Popen[str], list[str], int],
    make_adapter: Callable[..., Path],
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    process, lines, port = served
    said = "".join(lines)
    assert f"openai:http://127.0.0.1:{port}/v1?model=tiny@" in said, said
    adapter = said.split("adapter=")[1].partition("'")[0]
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/models", headers={"Authorization": "Bearer s3cret"}
    )
    with urllib.request.urlopen(asked, timeout=30) as reply:
        names = {model["id"] for model in json.load(reply)["data"]}
    assert {"base", adapter} < names
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=30)
    monkeypatch.setenv("SERVER_KEY", "s3cret")
    _loads_what_fits(f"http://127.0.0.1:{port}", tiny_model, make_adapter)
    family = _children(process.pid)
    assert family
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    time.sleep(0.5)
    assert not {pid for pid in family if Path(f"/proc/{pid}").exists()}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed here: make vllm-test")
def test_a_real_server_ends_with_a_command_that_is_killed(
    served: tuple[subprocess.Popen[str], list[str], int],
):
    process, _, _ = served
    family = _children(process.pid)
    assert len(family) >= 2
    process.kill()
    deadline = time.monotonic() + 60
    while any(map(lives, family)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(map(lives, family))
