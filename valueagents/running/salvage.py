"""Damaged files of a run directory, set right: readable lines stay, the file as it was is kept
under another name.
"""

import filecmp
import shutil
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from valueagents.running.durable import draft, sync_folder, write_atomically
from valueagents.running.header import RunHeader
from valueagents.running.records import episode_records, failure_records, session_records
from valueagents.running.sealed import seal
from valueagents.running.segments import Damage, SegmentWriter
from valueagents.running.writer import SESSIONS_FILE, is_segment


def set_right(damages: Iterable[Damage], header: RunHeader) -> list[Path]:
    """The damaged files hold their readable lines and nothing else; where they are kept as they
    were.

    Only the one writer of the run may do that. Raises DiskError.
    """
    return [_set_right(file, header) for file in sorted({damage.file for damage in damages})]


def _set_right(file: Path, header: RunHeader) -> Path:
    kept = _name_to_keep(file)
    if not kept.exists():
        shutil.copyfile(file, kept)
    if is_segment(file):
        _replace_segment(file, header)
    else:
        records = session_records if file.name == SESSIONS_FILE else failure_records
        lines = [seal(line) + b"\n" for line, _ in records(file, [])]
        write_atomically(file, b"".join(lines))
    return kept


def _replace_segment(file: Path, header: RunHeader) -> None:
    made = draft(file)
    writer = SegmentWriter(made)
    try:
        try:
            for line, _ in episode_records(file, header, []):
                writer.append(line)
        finally:
            writer.close()
        made.replace(file)
    except BaseException:
        made.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


def _name_to_keep(file: Path) -> Path:
    """A free name for the damaged file, or that of a copy which a killed salvage made of it
    already.
    """
    names = (file.with_name(f"{file.name}.damaged-{number}") for number in count(1))
    return next(
        name for name in names if not name.exists() or filecmp.cmp(name, file, shallow=False)
    )
