"""`valueagents serve`: refusals before anything is loaded; a real server that starts, answers and leaves nothing."""

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

import pytest

from valueagents.errors import ConfigError, PolicyError
from valueagents.policies.serving import Serving, check_address, serve, server_command

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
    with pytest.raises(ConfigError, match="others could reach" if key else "others could reach|--public|key"):
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
    command = server_command(serving, {"model": "/m", "enable_lora": True, "max_loras": 2}, {"hash-a": "/runs/a"})
    assert command[1:3] == ["-m", "vllm.entrypoints.openai.api_server"]
    joined = " ".join(command)
    assert "--served-model-name tiny@0123456789ab base" in joined
    assert "--lora-modules hash-a=/runs/a" in joined
    assert "--api-key" not in joined  # it would stand in everybody's list of processes
    assert "'openai:http://127.0.0.1:8123/v1?model=tiny@0123456789ab&api_key_env=SERVER_KEY&adapter=hash-a'" in (
        serving.usage()
    )


def _dying(port: int, tmp_path: Path, code: str, wait_s: float = 30.0) -> None:
    serving = Serving("m", {}, "127.0.0.1", port)
    serve([sys.executable, "-c", code], dict(os.environ), tmp_path / "log", serving, wait_s=wait_s)


def test_a_server_that_dies_is_told_with_the_end_of_its_log(port: int, tmp_path: Path):
    with pytest.raises(PolicyError, match=r"exit code 3.*\n(.*\n)*.*out of luck"):
        _dying(port, tmp_path, "print('out of luck'); raise SystemExit(3)")


def test_a_server_that_never_answers_is_given_up_and_ended(port: int, tmp_path: Path):
    code = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(PolicyError, match=r"does not answer after 2 s"):
        _dying(port, tmp_path, code, wait_s=2.0)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def _children(pid: int) -> set[int]:
    """The living descendants of a process."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = [tuple(map(int, line.split())) for line in listed.splitlines()]
    found = {pid}
    while more := {child for child, parent in parents if parent in found} - found:
        found |= more
    return found - {pid}


@pytest.fixture
def served(
    make_adapter: Callable[..., Path], tiny_model: Path, port: int
) -> Iterator[tuple[subprocess.Popen[str], list[str], int]]:
    """The running command, the lines up to where it answers, its port."""
    folder = make_adapter(tiny_model, seed=1)
    command = [*CLI, "serve", str(tiny_model), "--adapter", str(folder), "--port", str(port)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "SERVER_KEY": "s3cret"}
    process = subprocess.Popen(
        [*command, "--api-key-env", "SERVER_KEY"], env=environment, stdout=subprocess.PIPE, stderr=2, text=True
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "adapter=" in line:
            break
    yield process, lines, port
    if process.poll() is None:
        process.terminate()
        process.wait(60)
    process.stdout.close()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed here: make vllm-test")
def test_a_real_server_answers_under_content_names_and_leaves_no_process(
    served: tuple[subprocess.Popen[str], list[str], int],
):
    process, lines, port = served
    said = "".join(lines)
    assert f"openai:http://127.0.0.1:{port}/v1?model=tiny@" in said, said
    adapter = said.rsplit("adapter=", 1)[1].rstrip("'\n")
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/v1/models", headers={"Authorization": "Bearer s3cret"})
    with urllib.request.urlopen(asked, timeout=30) as reply:
        names = {model["id"] for model in json.load(reply)["data"]}
    assert {"base", adapter} < names
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=30)
    family = _children(process.pid)
    assert family
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    time.sleep(0.5)
    assert not {pid for pid in family if Path(f"/proc/{pid}").exists()}
