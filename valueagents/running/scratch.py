"""A temporary folder that does not stay: it is removed by its owner or, if that was killed, by the
next process of this package that makes one.

The owner holds a lock on the folder itself, which ends with the process, whatever ends it. So a
folder that can be locked by another has no owner any more. Where folders cannot be locked (Windows,
some network file systems) only the owner removes it.
"""

import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from valueagents.running.lock import BUSY, lock_descriptor

_PREFIX = "valueagents-scratch-"
_NAME = re.compile(re.escape(_PREFIX) + r"[a-z0-9_]{8}")
_FOLDER_ONLY = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


class ScratchFolder:
    """A new folder for temporary files, at `path`; those of killed processes are gone."""

    def __init__(self) -> None:
        remove_ownerless(Path(tempfile.gettempdir()))
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
            try:
                self._descriptor = _locked(self.path)
            except _Taken:  # by another that cleans up, before it could be locked here
                continue
            return

    def close(self) -> None:
        """The folder is gone."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def remove_ownerless(parent: Path) -> None:
    """No scratch folder is in `parent` whose owner has ended."""
    with suppress(OSError):  # a folder that may be written to, but not listed
        for path in parent.iterdir():
            if _NAME.fullmatch(path.name):
                _remove_if_ownerless(path)


def _remove_if_ownerless(path: Path) -> None:
    try:
        descriptor = _locked(path)
    except _Taken:
        return
    if descriptor is not None:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


class _Taken(Exception):
    """Another holds the folder, or removed it."""


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock of a folder; None where folders cannot be locked.

    Raises _Taken.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _FOLDER_ONLY)
    except FileNotFoundError:
        raise _Taken from None
    except OSError:  # no folder, not ours, or a system that opens none
        return None
    try:
        lock_descriptor(descriptor)
    except OSError as error:
        os.close(descriptor)
        if error.errno in BUSY:
            raise _Taken from None
        return None
    there = None
    with suppress(OSError):
        there = os.stat(path, follow_symlinks=False).st_ino
    if there != os.fstat(descriptor).st_ino:
        os.close(descriptor)
        raise _Taken
    return descriptor
