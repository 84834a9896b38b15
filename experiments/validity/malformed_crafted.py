"""What can be wrong with files that a program wrote: their bytes change, or somebody who knows the
checksums writes what no program would.
"""

import gzip
import math
import random
import sqlite3
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from valueagents.experiments.validity.malformed_damages import JSON, SEALED, FileDamage
from valueagents.running.sealed import seal, unseal

BINARY = (".gz", ".sqlite", ".safetensors", ".parquet")
_HUGE = 1 << 40


def crafted_damages_of(suffix: str) -> Sequence[FileDamage]:
    """The damages for files that end so, by their content."""
    if suffix == ".gz":
        return _LINES
    if suffix == ".sqlite":
        return [*_BYTES, *_REPLIES]
    return _PARQUET if suffix == ".parquet" else _BYTES


def _in_line(damage: FileDamage) -> Callable[[bytes, random.Random], bytes | None]:
    """The damage of one line of a segment, whose checksum is right again."""

    def make(content: bytes, rng: random.Random) -> bytes | None:
        lines = gzip.decompress(content).splitlines()
        at = rng.randrange(len(lines))
        made = damage.make(unseal(lines[at]) or b"", rng)
        if made is None or b"\n" in made:
            return None
        lines[at] = seal(made)
        return gzip.compress(b"".join(line + b"\n" for line in lines), mtime=0)

    return make


def _crafted(
    change: Callable[[dict[str, Any], random.Random], None],
) -> Callable[[bytes, random.Random], bytes | None]:
    """A reply of a cache is changed, and has its checksum again."""

    def make(content: bytes, rng: random.Random) -> bytes | None:
        with tempfile.TemporaryDirectory() as name:
            file = Path(name) / "replies.sqlite"
            file.write_bytes(content)
            with sqlite3.connect(file, isolation_level=None) as store:
                store.execute("PRAGMA journal_mode=DELETE")
                rows = store.execute("SELECT request, reply FROM replies ORDER BY request")
                key, packed = rng.choice(rows.fetchall())
                reply = msgspec.msgpack.decode(packed)
                change(reply, rng)
                packed = msgspec.msgpack.encode(reply)
                crc = zlib.crc32(packed, zlib.crc32(key.encode()))
                update = "UPDATE replies SET reply = ?, sum = ? WHERE request = ?"
                store.execute(update, (packed, crc, key))
            store.close()
            return file.read_bytes()

    return make


def _one_logprob(reply: dict[str, Any], rng: random.Random) -> None:
    for row in reply.get("logprobs", ()):
        row[rng.randrange(len(row))] = rng.choice([math.nan, math.inf, 0.5, 1e308, "-1", None])


def _too_few(reply: dict[str, Any], rng: random.Random) -> None:
    if "logprobs" in reply:
        rng.choice([reply["logprobs"], reply["logprobs"][0], reply["tokens"]]).pop()


def _one_count(reply: dict[str, Any], rng: random.Random) -> None:
    name = rng.choice(["prompt_tokens", "cached_tokens", "attempts", "queue_s"])
    reply[name] = rng.choice([-1, math.nan, math.inf, _HUGE, "many", None])


def _other_kind(reply: dict[str, Any], rng: random.Random) -> None:
    name = rng.choice(sorted(reply))
    reply[name] = rng.choice([{}, [], [[]], b"\xff", True])


def _gone(reply: dict[str, Any], rng: random.Random) -> None:
    del reply[rng.choice(["prompt_tokens", "cached_tokens"])]


_REPLIES = [
    FileDamage("no log-probability", "none", _crafted(_one_logprob)),
    FileDamage("too few log-probabilities", "none", _crafted(_too_few)),
    FileDamage("a count that is none", "none", _crafted(_one_count)),
    FileDamage("a part of another kind", "none", _crafted(_other_kind)),
    FileDamage("a part is gone", "none", _crafted(_gone)),
]
_BYTES = [FileDamage(each.name, "none", each.make) for each in SEALED]
_LINES = [FileDamage(f"{each.name}, sealed", "any", _in_line(each)) for each in JSON]
_PARQUET = [FileDamage(each.name, "any", each.make) for each in SEALED]  # no checksum of the whole
