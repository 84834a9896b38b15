"""Processes of another process, as Linux lists them."""

from pathlib import Path


def child_processes(pid: int) -> list[int]:
    """The processes that a process has started and that still run; none where there is no /proc."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return sorted(int(child) for each in lists for child in _read(each).split())


def lives(pid: int) -> bool:
    """True if a process runs, one that has ended and is not yet waited for excluded."""
    state = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return bool(state) and state[0] != "Z"


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
