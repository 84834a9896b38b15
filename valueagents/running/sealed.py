"""A checksum as the last field of a line of JSON: the line stays JSON, and what a disk changes in
it is noticed.

    {"identity":"…","schema":2}   →   {"identity":"…","schema":2,"crc":"1f0a99c3"}

The checksum is CRC-32 (as in gzip) of all that stands before it. A line is recognised as sealed by
its form, so lines that were written before there were seals are read as they are. A file of one
object, indented for people, is sealed in its compact form: a changed space is no damage.
"""

import zlib
from pathlib import Path
from typing import TypeVar

import msgspec

from valueagents.errors import NOT_JSON, StoreError
from valueagents.running.durable import write_atomically

T = TypeVar("T")

_KEY = b',"crc":"'
_DIGITS = 8
_END = b'"}'
_FROM_DIGITS = -(_DIGITS + len(_END))
_FROM_KEY = _FROM_DIGITS - len(_KEY)
_READ_BYTES = 1 << 20


def file_crc32(file: Path) -> int:
    """The CRC-32 of a whole file, read in parts. Raises OSError."""
    crc = 0
    with file.open("rb") as opened:
        while chunk := opened.read(_READ_BYTES):
            crc = zlib.crc32(chunk, crc)
    return crc


def seal(line: bytes) -> bytes:
    """The line, a JSON object with at least one field and without a newline, with its checksum."""
    content = line[:-1]
    return b"%b%b%08x%b" % (content, _KEY, zlib.crc32(content), _END)


def is_sealed(line: bytes) -> bool:
    """True if the line has the form of a sealed one, whether or not its checksum is right."""
    return line.endswith(_END) and line[_FROM_KEY:_FROM_DIGITS] == _KEY


def unseal(line: bytes) -> bytes | None:
    """What was sealed; a line without a seal as it is; None if the line was changed since."""
    if not is_sealed(line):
        return line
    content = line[:_FROM_KEY]
    digits = line[_FROM_DIGITS : -len(_END)]
    return content + b"}" if digits == b"%08x" % zlib.crc32(content) else None


def sealed_json(value: object) -> bytes:
    """The value, a JSON object with at least one field, indented, with its checksum."""
    return msgspec.json.format(seal(msgspec.json.encode(value)), indent=1) + b"\n"


def unsealed_json(content: bytes) -> bytes | None:
    """What `sealed_json` sealed, compact; None if it was changed since.

    Raises one of NOT_JSON.
    """
    return unseal(msgspec.json.encode(msgspec.json.decode(content)))


def write_sealed(file: Path, value: object) -> None:
    """The file holds the value as `sealed_json`, on the disk. Raises DiskError."""
    write_atomically(file, sealed_json(value))


def read_sealed(file: Path, kind: type[T], *, remedy: str) -> T:
    """The value of a file that may be sealed.

    Raises StoreError, which ends with the remedy, if it was changed since or is not such a value;
    OSError if it cannot be read.
    """
    content = file.read_bytes()
    try:
        whole = unsealed_json(content)
        if whole is not None:
            return msgspec.json.decode(whole, type=kind)
        why = "its checksum is wrong"
    except NOT_JSON as error:
        why = str(error)
    raise StoreError(f"{file} is damaged ({why}); {remedy}")
