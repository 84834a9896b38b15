"""The command line: one file a command, thin, each imports what it needs when it runs, so that
`--help` stays instant.

Exit codes: 0 done; 1 a check failed; 2 bad input, said in one line; 3 a run ended with failed
episodes (repeat the command to try those again); 130 stopped by the keyboard.
"""

import atexit
import os
import sys
from _thread import interrupt_main
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from socket import socket

_AGAIN_S = 0.02
STOPPED = 130
"""128 + SIGINT, as shells have it."""


def main() -> None:
    """Run the command line. Ctrl-C is one line and exit code 130, also while this imports."""
    hook, sys.unraisablehook = sys.unraisablehook, _unraisable
    atexit.register(_end_undisturbed)
    signals = _noted_signals()
    try:
        from valueagents.cli.app import run_command
        from valueagents.screen import screens

        with screens():
            run_command()
    except KeyboardInterrupt as stopped:
        _stop(stopped)
    except SystemExit as ended:
        if ended.code != STOPPED:
            raise
        _stop(ended)
    except Exception as error:
        if _came(signals):  # an import in C may turn a Ctrl-C into an error of its own
            _stop(error)
        raise
    finally:
        sys.unraisablehook = hook
        _note_no_more(signals)


def _noted_signals() -> "tuple[socket, socket]":
    """What comes out of the first are the numbers of the signals that came."""
    import signal
    from socket import socketpair

    out, into = socketpair()
    for end in (out, into):
        end.setblocking(False)
    signal.set_wakeup_fd(into.fileno(), warn_on_full_buffer=False)
    return out, into


def _note_no_more(signals: "tuple[socket, socket]") -> None:
    import signal

    signal.set_wakeup_fd(-1)
    for end in signals:
        end.close()


def _came(signals: "tuple[socket, socket]") -> bool:
    """True if the keyboard stopped this process."""
    import signal

    try:
        return bytes([signal.SIGINT]) in signals[0].recv(1024)
    except BlockingIOError:
        return False


def _end_undisturbed() -> None:
    """The interpreter's own end keeps the exit code of what was done, whatever comes now."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _stop(error: BaseException) -> NoReturn:
    """Say in one line that it was stopped, and end.

    Without the interpreter's own end: it would wait for threads that compute, and a model's thread
    that asks for the interpreter then aborts the process.
    """
    _end_undisturbed()
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, KeyboardInterrupt) and cause.args):
        cause = cause.__cause__ or cause.__context__
    print(cause.args[0] if cause is not None else "stopped", file=sys.stderr)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(STOPPED)


def _unraisable(found: "sys.UnraisableHookArgs") -> None:
    """A Ctrl-C that came in a callback, where Python drops it, comes again."""
    if issubclass(found.exc_type, KeyboardInterrupt):
        from threading import Timer

        again = Timer(_AGAIN_S, interrupt_main)  # when the callback is over
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(found)
