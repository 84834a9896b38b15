"""Content hashes and the seeds that derive from them.

Nothing here knows a path, a URL, a clock or the process: equal content gives the equal hash on
every machine, so runs made in different places can be merged and a repeated command can tell what
it still owes.
"""

import hashlib
from pathlib import Path

import msgspec

_ENCODER = msgspec.json.Encoder(order="deterministic")
_CHUNK_BYTES = 1 << 20


def content_hash(*parts: object) -> str:
    """The hash of JSON-like parts: 32 hex digits (BLAKE2b-128 over their canonical JSON, keys
    sorted).
    """
    return hashlib.blake2b(_ENCODER.encode(parts), digest_size=16).hexdigest()


def file_hash(path: Path) -> str:
    """The SHA-256 of a file's bytes, 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def seed_from(*parts: object) -> int:
    """A seed in [0, 2**63) that depends on every part; use it for whatever must be random but
    repeatable.
    """
    return int(content_hash(*parts)[:16], 16) >> 1
