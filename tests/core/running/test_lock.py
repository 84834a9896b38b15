"""One writer in a folder, by either system's locks; Windows' are played by a stand-in module."""

import errno
import fcntl
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from valueagents.errors import StoreError
from valueagents.running import lock as as_it_is


class Msvcrt(ModuleType):
    """Locks as `msvcrt.locking` does: LK_NBLCK refuses what another descriptor holds with EACCES.

    (https://docs.python.org/3/library/msvcrt.html#file-operations)
    """

    LK_NBLCK = 2

    def __init__(self) -> None:
        super().__init__("msvcrt")
        self.calls: list[tuple[int, int]] = []
        self.refuses = 0

    def locking(self, descriptor: int, mode: int, count: int) -> None:
        self.calls.append((mode, count))
        if self.refuses:
            raise OSError(self.refuses, os.strerror(self.refuses))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None


@pytest.fixture
def msvcrt(monkeypatch: pytest.MonkeyPatch) -> Msvcrt:
    stand_in = Msvcrt()
    monkeypatch.setitem(sys.modules, "msvcrt", stand_in)
    return stand_in


@pytest.fixture(params=["as it is", "windows"])
def lock(request: pytest.FixtureRequest, msvcrt: Msvcrt) -> Iterator[ModuleType]:
    """The module, as this system and as Windows would import it."""
    if request.param == "as it is":
        yield as_it_is
        return
    assert as_it_is.__file__ is not None
    spec = importlib.util.spec_from_file_location("lock_on_windows", as_it_is.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        spec.loader.exec_module(module)
    yield module


def test_a_second_writer_is_refused_until_the_first_has_ended(
    lock: ModuleType, tmp_path: Path
) -> None:
    with (
        lock.only_writer(tmp_path),
        pytest.raises(StoreError, match="another process is writing to"),
        lock.only_writer(tmp_path),
    ):
        pass
    with lock.only_writer(tmp_path):
        pass


def test_a_writer_that_fails_ends_its_lock(lock: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock.only_writer(tmp_path):
        raise ZeroDivisionError
    with lock.only_writer(tmp_path):
        pass


@pytest.mark.parametrize("lock", ["windows"], indirect=True)
def test_on_windows_one_byte_is_locked_without_waiting(
    lock: ModuleType, msvcrt: Msvcrt, tmp_path: Path
) -> None:
    with lock.only_writer(tmp_path):
        assert msvcrt.calls == [(msvcrt.LK_NBLCK, 1)]


@pytest.mark.parametrize("lock", ["windows"], indirect=True)
def test_on_windows_a_file_system_without_locks_is_warned_of(
    lock: ModuleType, msvcrt: Msvcrt, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    msvcrt.refuses = errno.EINVAL
    with lock.only_writer(tmp_path):
        assert "cannot be locked" in caplog.text
