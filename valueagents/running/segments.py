"""A segment of episodes: a gzip file of sealed lines that can be read around a damage.

It consists of gzip members (RFC 1952, 2.2), a new one every quarter of a megabyte of text, which
`zcat` reads as one. A reader that meets a damage keeps the lines before it, whose checksums tell
that they are right, and goes on with the next member. Within a member each line is flushed
(Z_SYNC_FLUSH), so a kill loses no finished line.

Segments that were written before lines were sealed are one member without checksums but that of its
end: where it is wrong, no line of them is known to be right.
"""

import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from valueagents.running.durable import AppendOnlyFile
from valueagents.running.sealed import seal, unseal
from valueagents.running.shards import is_shard_folder

_GZIP = 31  # zlib's window-bits code for the gzip container
_LEVEL = 3  # at 6 packing was the largest cost of an instant episode
_MEMBER_BYTES = 1 << 18
_READ_BYTES = 1 << 16  # what lies behind the end of a member is copied, so a small part
_MEMBER_START = b"\x1f\x8b\x08" + bytes(
    5
)  # gzip, deflate, no flags, no time: how zlib begins a member

_FLUSHED = b"\0\0\xff\xff"  # how Z_SYNC_FLUSH ends: an empty stored block


class Damage(msgspec.Struct, frozen=True):
    """A place of a file that cannot be read: `where` it is and `why`."""

    file: Path
    where: str
    why: str

    def __str__(self) -> str:
        folder = self.file.parent
        name = f"{folder.name}/{self.file.name}" if is_shard_folder(folder) else self.file.name
        return f"{name} is damaged {self.where} ({self.why})"


class SegmentWriter:
    """Appends lines to a segment that it makes; each is whole and can be read when `append`
    returns.
    """

    def __init__(self, path: Path) -> None:
        self._file = AppendOnlyFile(path, new=True)
        self._pack = _packer()
        self._member_bytes = 0
        self._failed: BaseException | None = None

    def append(self, line: bytes) -> None:
        """Append a line of JSON, sealed.

        Raises DiskError or StoreError as `AppendOnlyFile.append`, and from then on always.
        """
        if self._failed is not None:  # the packer has seen a line that is not in the file
            raise self._failed
        text = seal(line) + b"\n"
        ends = self._member_bytes + len(text) >= _MEMBER_BYTES
        packed = self._pack.compress(text) + self._pack.flush(
            zlib.Z_FINISH if ends else zlib.Z_SYNC_FLUSH
        )
        try:
            self._file.append(packed)
        except BaseException as error:
            self._failed = error
            raise
        if ends:
            self._pack, self._member_bytes = _packer(), 0
        else:
            self._member_bytes += len(text)

    def close(self) -> None:
        """Finish the segment; after a failed `append` it stays as a kill would leave it."""
        try:
            if self._member_bytes and self._failed is None:
                self._file.append(self._pack.flush(zlib.Z_FINISH))
        finally:
            self._file.close()


def _packer() -> "zlib._Compress":
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)


def read_lines(segment: Path, damages: list[Damage]) -> Iterator[bytes]:
    """The lines of a segment that are known to be right, unsealed, in their order; damages are
    added to the list.

    A torn last line is an episode that did not finish, no damage, and is left out.
    """
    return (line for _, line in read_placed_lines(segment, damages))


def read_placed_lines(
    segment: Path, damages: list[Damage], begin: int = 0
) -> Iterator[tuple[int, bytes]]:
    """As `read_lines`, each line with the byte at which its member begins; from the member that
    begins at `begin` on.
    """
    with segment.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start: int | None = begin if begin < size else None
        while start is not None:
            member = _Member(file, start)
            for line in _right_lines(member, segment, damages):
                yield member.start, line
            if member.end is not None:
                start = member.end if member.end < size else None
                continue
            start = _find_member(file, start + 1)
            if member.error is None and (
                start is not None or member.count < _count_flushes(file, member.start)
            ):
                damages.append(
                    Damage(segment, member.place, "it has no end")
                )  # a torn one is the last, and says less


@dataclass(slots=True)
class _Member:
    """A gzip member that is being read: where it begins and, once that is known, where it ends or
    why it is damaged.

    `count` is the number of its whole lines that were read until now.
    """

    file: BinaryIO
    start: int
    end: int | None = None
    error: str | None = None
    count: int = 0

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return f"in the part from byte {self.start} on"

    def texts(self) -> Iterator[bytes]:
        """What it holds, in pieces, up to its end, to the end of the file or to the byte that
        cannot be unpacked.
        """
        self.file.seek(self.start)
        unpack = zlib.decompressobj(_GZIP)
        while chunk := self.file.read(_READ_BYTES):
            before = unpack.copy()
            try:
                text = unpack.decompress(chunk)
            except zlib.error as error:
                yield from _until_error(before, chunk)
                self.error = str(error).removeprefix("Error -3 while decompressing data: ")
                return
            yield text
            if unpack.eof:
                self.end = self.file.tell() - len(unpack.unused_data)
                return

    def lines(self) -> Iterator[bytes]:
        """Its whole lines, as they are in the file; a torn last one is left out."""
        rest = b""
        for text in self.texts():
            *lines, rest = (rest + text).split(b"\n")
            self.count += len(lines)
            yield from lines


def _until_error(unpack: "zlib._Decompress", chunk: bytes) -> Iterator[bytes]:
    """What comes before the byte that cannot be unpacked: a failing call gives nothing of its
    chunk.
    """
    with suppress(zlib.error):
        for place in range(len(chunk)):
            yield unpack.decompress(chunk[place : place + 1])


def _right_lines(member: _Member, segment: Path, damages: list[Damage]) -> Iterator[bytes]:
    """The lines of a member that are known to be right, unsealed; the first that is not is added to
    the damages.

    Either all lines of a member are sealed or none is: only damage can mix them.
    """
    unsealed_are_right: bool | None = None
    first_wrong: int | None = None
    for number, line in enumerate(member.lines(), 1):
        record = unseal(line)
        if record is not line:
            unsealed_are_right = False
        else:
            if unsealed_are_right is None:
                unsealed_are_right = _is_undamaged(segment, member.start)
            record = line if unsealed_are_right else None
        if record is not None:
            yield record
        elif first_wrong is None:
            first_wrong = number
    if member.error is not None:
        damages.append(Damage(segment, member.place, member.error))
    elif first_wrong is not None:
        damages.append(Damage(segment, f"{member.place}, line {first_wrong}", "a wrong checksum"))


def _is_undamaged(segment: Path, start: int) -> bool:
    """True if the member is unpacked to its end, where its checksum is, or to the end of the
    file.
    """
    with segment.open("rb") as file:
        member = _Member(file, start)
        for _ in member.texts():
            pass
    return member.error is None


def _count_flushes(file: BinaryIO, start: int) -> int:
    """How often the rest of the file was flushed: once after each whole line, but where a member
    ends.
    """
    file.seek(start)
    found, seen = 0, b""
    while chunk := file.read(_READ_BYTES):
        seen += chunk
        found += seen.count(_FLUSHED)
        seen = seen[1 - len(_FLUSHED) :]
    return found


def _find_member(file: BinaryIO, start: int) -> int | None:
    """Where the first member begins at a byte or after it; None if there is none."""
    file.seek(start)
    seen = b""
    while chunk := file.read(_READ_BYTES):
        seen += chunk
        place = seen.find(_MEMBER_START)
        if place >= 0:
            return file.tell() - len(seen) + place
        seen = seen[1 - len(_MEMBER_START) :]
    return None
