"""A checksum as the last field of a line of JSON: the line stays JSON, and what a disk changes in
it is noticed.

    {"identity":"…","schema":2}   →   {"identity":"…","schema":2,"crc":"1f0a99c3"}

The checksum is CRC-32 (as in gzip) of all that stands before it. A line is recognised as sealed by
its form, so lines that were written before there were seals are read as they are.
"""

import zlib

_KEY = b',"crc":"'
_DIGITS = 8
_END = b'"}'
_FROM_DIGITS = -(_DIGITS + len(_END))
_FROM_KEY = _FROM_DIGITS - len(_KEY)


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
