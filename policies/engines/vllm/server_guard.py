"""The parent of a server: it ends the server, and all that started, when its own parent is gone.

    python server_guard.py PARENT COMMAND…

It leads the process group that `server_process.py` started, in which the server is, too. A command
that is killed outright can end nothing itself; this is what then does. It is started by its path
and needs the standard library alone, so nothing that the server needs can keep it from running.
"""

import os
import signal
import subprocess
import sys
from types import FrameType

_LOOK_EVERY_S, _STOP_S = 0.5, 15.0


def main() -> None:
    """The command has ended, and the process ends as it did, or everything in the group has."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave_it_to_the_server)
    server = subprocess.Popen(command)  # noqa: S603 – what our own command gave
    while os.getppid() == parent:
        code = _ended(server, _LOOK_EVERY_S)
        if code is not None:
            sys.exit(code if code >= 0 else 128 - code)
    os.killpg(0, signal.SIGTERM)
    _ended(server, _STOP_S)
    os.killpg(0, signal.SIGKILL)


def _leave_it_to_the_server(number: int, frame: FrameType | None) -> None:
    """Do nothing: the whole group gets the signal. (Ignoring it, the server would inherit that.)"""


def _ended(server: "subprocess.Popen[bytes]", wait_s: float) -> int | None:
    try:
        return server.wait(wait_s)
    except subprocess.TimeoutExpired:
        return None


if __name__ == "__main__":
    main()
