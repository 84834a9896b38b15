"""One writer in a folder: a lock on a file that is there for nothing else and is never replaced.

A lock belongs to the file that was opened, not to its name. Where another process may replace the
file, both hold one.
"""

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valueagents.errors import StoreError

LOCK_FILE = ".lock"
BUSY = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}
"""What `lock_descriptor` raises an OSError of where another holds the lock."""

log = logging.getLogger("valueagents")


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """No other process, and no other block of this one, is the writer of the folder.

    A kill ends the lock, too.

    Raises StoreError if there is a writer already. A file system without locks is warned about.
    """
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            lock_descriptor(descriptor)
        except OSError as error:
            if error.errno in BUSY:
                raise StoreError(
                    f"another process is writing to {str(folder)!r}; wait for it or give another"
                    " --out"
                ) from None
            log.warning(
                "%s cannot be locked (%s): let no second process write there",
                folder,
                error.strerror,
            )
        yield
    finally:
        os.close(descriptor)  # which ends the lock


if sys.platform == "win32":
    import msvcrt

    def lock_descriptor(descriptor: int) -> None:
        """The lock of the open file is held until the descriptor is closed. Raises OSError."""
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def lock_descriptor(descriptor: int) -> None:
        """The lock of the open file is held until the descriptor is closed. Raises OSError."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
