"""The process of a vLLM server: started, waited for, and ended with everything that it started
itself, also if this process is killed (`server_guard.py`).
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import IO, Any

from valueagents.errors import PolicyError
from valueagents.policies.engines.vllm import server_guard

_POLL_S, _LINE_EVERY_S, _STOP_S = 0.5, 10.0, 15.0
_LOG_LINES, _LOG_BYTES = 20, 1 << 14


def run_server(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    url: str,
    usage: str,
    wait_s: float,
) -> None:
    """The server has run until Ctrl-C or SIGTERM; nothing of it is left.

    `usage` was printed when `url` answered.

    Raises PolicyError with the end of its log if it dies or does not answer in time.
    """
    with _stopped_by_signals(), tempfile.TemporaryFile(buffering=0) as log:  # it has no name
        process = subprocess.Popen(  # noqa: S603 – our own command; a session of its own: signals are ours to pass on
            [sys.executable, "-I", "-S", server_guard.__file__, str(os.getpid()), *command],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_it_answers(process, f"{url}/health", log, wait_s)
            print(usage, flush=True)
            process.wait()
            raise PolicyError(f"the server ended (exit code {process.returncode}):\n{_tail(log)}")
        except KeyboardInterrupt:
            print("stopping …", flush=True)
        finally:
            _stop(process)
    print("stopped", flush=True)


def _wait_until_it_answers(
    process: "subprocess.Popen[bytes]", url: str, log: IO[bytes], wait_s: float
) -> None:
    started = told = time.monotonic()
    while not _answers(url):
        if process.poll() is not None:
            raise PolicyError(
                "the server ended before it answered (exit code"
                f" {process.returncode}):\n{_tail(log)}"
            )
        now = time.monotonic()
        if now - started > wait_s:
            raise PolicyError(
                f"the server does not answer after {wait_s:g} s (--wait-s):\n{_tail(log)}"
            )
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

    before = {
        number: signal.signal(number, stop)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tail(log: IO[bytes]) -> str:
    """The end of the log, read where it is: the server writes on at the place where the file is."""
    start = max(0, os.fstat(log.fileno()).st_size - _LOG_BYTES)
    lines = os.pread(log.fileno(), _LOG_BYTES, start).decode(errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-_LOG_LINES:]) or "  (its log is empty)"
