"""Writing that a full disk, a kill or a power cut leaves whole: all of a write is there, or nothing
of it is.

An unbuffered write may take only a part of what it is given and says so by its count alone; whoever
ignores the count loses the rest without an error.
"""

import os
import re
import secrets
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from io import FileIO
from pathlib import Path
from socket import gethostname

from valueagents.errors import StoreError


class DiskError(OSError):
    """The disk did not take what was to be written; `filename` says where, `strerror` why."""


_LOOK_EVERY_S = 0.02
"""A file that goes away is noticed that late: to look takes 1 % of an instant episode."""
_DRAFT = re.compile(r"\..+?\.(?:(?P<host>[0-9a-f]{8})\.)?(?P<pid>\d+)\.[0-9a-f]{8}")
"""Earlier versions named no host."""
_HOST = sha256(gethostname().encode()).hexdigest()[:8]
_FOREIGN_S = 86_400
"""A draft of another machine, of whose processes nothing can be known here, is dead after a day."""


def write_atomically(path: Path, content: bytes) -> None:
    """The file holds all of the content, on the disk, or is as it was before. Raises DiskError."""
    made = draft(path)
    try:
        with made.open("xb", buffering=0) as file:
            _write_all(file, content)
            os.fsync(file.fileno())
        made.replace(path)
    except OSError as error:
        made.unlink(missing_ok=True)
        raise _named(error, path) from error
    except BaseException:
        made.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def draft(path: Path) -> Path:
    """A name beside the file for what is to replace it: no two writers use the same, and it tells
    whose it is.
    """
    return path.with_name(f".{path.name}.{_HOST}.{os.getpid()}.{secrets.token_hex(4)}")


def is_draft(path: Path) -> bool:
    """True for the name of a draft."""
    return _DRAFT.fullmatch(path.name) is not None


def remove_dead_drafts(folder: Path) -> None:
    """No draft is in the folder whose process was killed before it could replace the file."""
    for path in folder.iterdir():
        match = _DRAFT.fullmatch(path.name)
        # another process may be at it, too; on Windows its owner may hold it open
        with suppress(OSError):
            if match is not None and _is_dead(path, match):
                path.unlink()


def _is_dead(path: Path, match: "re.Match[str]") -> bool:
    if match["host"] in (None, _HOST):
        return not _lives(int(match["pid"]))
    return time.time() - path.stat().st_mtime > _FOREIGN_S


def _lives(pid: int) -> bool:
    """True if a process of this number may run here."""
    if (
        os.name == "nt"
    ):  # signal 0 would end it there; but there a file that is open cannot be removed
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs and is not ours
        return True
    return True


def sync_folder(folder: Path) -> None:
    """The names in the folder are on the disk, where the system can say so of a folder."""
    with suppress(OSError):  # Windows and some network file systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class AppendOnlyFile:
    """A file that grows by whole pieces: each is there when `append` returns, or the file is as it
    was before.

    What is appended is with the operating system at once, so a kill loses nothing; it is on the
    disk, safe from a power cut, `sync_every_s` seconds later at most, when `sync` returns, and when
    the file is closed.

    Args:
        path: where; with `new` no file is there yet.
        sync_every_s: the syncing is done aside, because a slow disk may take a tenth of a second
            for it.
    """

    def __init__(self, path: Path, *, new: bool, sync_every_s: float = 5.0) -> None:
        self.path, self._name = path, str(path)
        self._file = FileIO(self._name, "xb" if new else "ab")
        found = os.fstat(self._file.fileno())
        self._size, self._inode = found.st_size, found.st_ino
        self._sync_every_s, self._synced_s = sync_every_s, time.monotonic()
        self._seen_s = self._synced_s
        self._aside: ThreadPoolExecutor | None = None
        self._syncing: Future[None] | None = None
        if new:
            sync_folder(path.parent)

    def append(self, content: bytes) -> None:
        """Append all of the content.

        Raises DiskError if the disk does not take it: then the file is cut back to what it was.
        Raises StoreError if the file was removed or moved away, with its folder or alone (looked at
        now and then).
        """
        now = time.monotonic()
        if now - self._seen_s >= _LOOK_EVERY_S:
            self._require_there()
            self._seen_s = now
        try:
            _write_all(self._file, content)
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._size)
            raise _named(error, self.path) from error
        self._size += len(content)
        self._sync_aside(now)

    def sync(self) -> None:
        """All that was appended is on the disk. Raises DiskError."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _named(error, self.path) from error

    def close(self) -> None:
        """All is on the disk and the file closed. Raises DiskError."""
        if self._aside is not None:
            self._aside.shutdown()
        try:
            self.sync()
        finally:
            self._file.close()

    def _sync_aside(self, now: float) -> None:
        """Begin to sync if it is time. Raises DiskError if the disk refused the last time."""
        if now - self._synced_s < self._sync_every_s or (
            self._syncing is not None and not self._syncing.done()
        ):
            return
        if self._syncing is not None:
            self._syncing.result()
        self._aside = self._aside or ThreadPoolExecutor(1, "sync")
        self._syncing, self._synced_s = self._aside.submit(self.sync), now

    def _require_there(self) -> None:
        try:
            there = os.stat(self._name).st_ino == self._inode  # Path.stat takes thrice as long
        except OSError:
            there = False
        if not there:
            raise StoreError(
                f"{str(self.path)!r} was removed or moved while it was being written; what was"
                " finished is where the folder went; put it back and give the same command again,"
                " without it everything is owed"
            )


def _write_all(file: FileIO, content: bytes) -> None:
    written = file.write(content) or 0
    while written < len(content):
        written += file.write(content[written:]) or 0


def _named(error: OSError, path: Path) -> DiskError:
    """The error with the name of the file: a failed write does not know it."""
    return DiskError(error.errno, error.strerror, str(path))
