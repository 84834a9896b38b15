"""What can be wrong with a file: damages, each made from a file's bytes and a generator.

What a damage `leaves` is no correct file, which must be refused or change nothing; the same file
in other bytes; or any file (a byte is another letter or digit, a line is gone), perhaps another
correct one: then it may cost an error, never a crash.
"""

import csv
import io
import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

_HOLE = '"__hole__"'
_DIGITS = "9" * 5000
_DEEP = "[" * 3000 + "]" * 3000
NOT_NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999", _DIGITS, _DIGITS + ".5", _DEEP)
ODD_VALUES = (
    "1e308",
    "-1",
    "-0.0",
    "null",
    "true",
    '""',
    "[]",
    "{}",
    '"\\u0000\\u202e"',
    "1" + "0" * 23,
)
_NUMBER = re.compile(r"(?<=[=\[,:] )-?\d+(\.\d+)?(?=\s*[,\]}\n#])")


@dataclass(frozen=True)
class FileDamage:
    """A way to damage a file; `make` gives None where it does not apply."""

    name: str
    leaves: Literal["none", "same", "any"]
    make: Callable[[bytes, random.Random], bytes | None]


def damages_of(suffix: str) -> Sequence[FileDamage]:
    """The damages for texts that end so."""
    special = {".jsonl": _LINES, ".json": JSON, ".csv": _CSV, ".toml": _TOML, ".txt": _SCRIPT}
    return [*_ANY_TEXT, *special.get(suffix, ())]


def _insert(content: bytes, rng: random.Random, part: bytes) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + part + content[at:]


def _flipped(content: bytes, rng: random.Random) -> bytes | None:
    if not content:
        return None
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ rng.randrange(1, 256)]) + content[at + 1 :]


def _cut(content: bytes, rng: random.Random) -> bytes | None:
    return content[: rng.randrange(len(content))] if content else None


def _lines(change: Callable[[list[bytes], random.Random], None]) -> Callable[..., bytes | None]:
    def make(content: bytes, rng: random.Random) -> bytes | None:
        lines = content.splitlines(keepends=True)
        if len(lines) < 2:
            return None
        change(lines, rng)
        return b"".join(lines)

    return make


def _drop_line(lines: list[bytes], rng: random.Random) -> None:
    del lines[rng.randrange(len(lines))]


def _double_line(lines: list[bytes], rng: random.Random) -> None:
    at = rng.randrange(1, len(lines))
    lines.insert(at, lines[at])


def _swap_lines(lines: list[bytes], rng: random.Random) -> None:
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[at], lines[other] = lines[other], lines[at]


_FLIP = FileDamage("a byte is another", "any", _flipped)
_CUT = FileDamage("cut off", "any", _cut)
_EMPTY = FileDamage("empty", "none", lambda content, rng: b"")
_GARBAGE = FileDamage("random bytes", "none", lambda content, rng: rng.randbytes(200))
SEALED = (_FLIP, _CUT, _EMPTY, _GARBAGE)
_ANY_TEXT = (
    _FLIP,
    _CUT,
    _EMPTY,
    _GARBAGE,
    FileDamage(
        "a byte that is not UTF-8", "none", lambda content, rng: _insert(content, rng, b"\xff")
    ),
    FileDamage("a NUL byte", "any", lambda content, rng: _insert(content, rng, b"\0")),
    FileDamage("UTF-16", "none", lambda content, rng: content.decode().encode("utf-16")),
    FileDamage("a byte order mark", "same", lambda content, rng: b"\xef\xbb\xbf" + content),
    FileDamage("CRLF", "same", lambda content, rng: content.replace(b"\n", b"\r\n")),
    FileDamage("a line is gone", "any", _lines(_drop_line)),
    FileDamage("two lines change places", "any", _lines(_swap_lines)),
)


def _in_json(change: Callable[[Any, random.Random], str | None]) -> Callable[..., bytes | None]:
    """A damage of one JSON value: a whole file, or a line of it.

    `change` alters the value in place and gives the text for its hole.
    """

    def make(content: bytes, rng: random.Random) -> bytes | None:
        try:
            value, before, after = json.loads(content), b"", b""
        except ValueError:
            lines = content.splitlines(keepends=True)
            at = rng.randrange(len(lines))
            before, after = b"".join(lines[:at]), b"\n" + b"".join(lines[at + 1 :])
            value = json.loads(lines[at])
        filling = change(value, rng)
        if filling is None:
            return None
        text = json.dumps(value, ensure_ascii=False).replace(_HOLE, filling)
        return before + text.encode() + after

    return make


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index) in a JSON value."""
    found = []
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, each in list(inner):
        found += [(value, key), *_places(each)]
    return found


def _put(texts: Sequence[str], *, numbers: bool) -> Callable[[Any, random.Random], str | None]:
    def change(value: Any, rng: random.Random) -> str | None:
        places = [
            (each, key)
            for each, key in _places(value)
            if not numbers
            or (isinstance(each[key], int | float) and not isinstance(each[key], bool))
        ]
        if not places:
            return None
        container, key = rng.choice(places)
        container[key] = "__hole__"
        return rng.choice(texts)

    return change


def _doubled_key(value: Any, rng: random.Random) -> str | None:
    objects = [
        each
        for each in [value, *(c[k] for c, k in _places(value))]
        if isinstance(each, dict) and each
    ]
    if not objects:
        return None
    chosen = rng.choice(objects)
    key = rng.choice(list(chosen))
    other = rng.choice(["0", "1", "null", json.dumps(chosen[key])])
    chosen["__key__"] = "__hole__"
    return f'"x"__{json.dumps([key, other])}__'


def _double_key(content: bytes, rng: random.Random) -> bytes | None:
    made = _in_json(_doubled_key)(content, rng)
    if made is None:
        return None
    found = re.search(r'"__key__": "x"__(\[.*?\])__(?=[,}])', made.decode())
    if found is None:
        return None
    key, other = json.loads(found[1])
    text = made.decode()
    return (text[: found.start()] + f"{json.dumps(key)}: {other}" + text[found.end() :]).encode()


def _dropped_key(value: Any, rng: random.Random) -> str | None:
    places = [(each, key) for each, key in _places(value) if isinstance(each, dict)]
    if not places:
        return None
    container, key = rng.choice(places)
    del container[key]
    return ""


JSON = (
    FileDamage("a key twice", "none", _double_key),
    FileDamage("no number where one was", "none", _in_json(_put(NOT_NUMBERS, numbers=True))),
    FileDamage("no JSON value", "none", _in_json(_put(NOT_NUMBERS[:-1], numbers=False))),
    FileDamage("deep nesting", "none", _in_json(_put([_DEEP], numbers=False))),
    FileDamage("an odd value", "any", _in_json(_put(ODD_VALUES, numbers=False))),
    FileDamage("an odd number", "any", _in_json(_put(ODD_VALUES, numbers=True))),
    FileDamage("a key is gone", "any", _in_json(_dropped_key)),
)
_LINES = (*JSON, FileDamage("a line twice", "none", _lines(_double_line)))


def _cells(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode())))


def _csv(change: Callable[[list[list[str]], random.Random], None]) -> Callable[..., bytes | None]:
    def make(content: bytes, rng: random.Random) -> bytes | None:
        rows = _cells(content)
        change(rows, rng)
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        return out.getvalue().encode()

    return make


def _double_column(rows: list[list[str]], rng: random.Random) -> None:
    at = rng.randrange(len(rows[0]))
    for number, row in enumerate(rows):
        row.append(row[at] if number == 0 else rng.choice(["Yes", "No", "1", "2", "Care"]))


def _ragged(rows: list[list[str]], rng: random.Random) -> None:
    row = rows[rng.randrange(1, len(rows))]
    row.append("more") if rng.random() < 0.5 else row.pop()


def _cell(texts: Sequence[str]) -> Callable[[list[list[str]], random.Random], None]:
    def change(rows: list[list[str]], rng: random.Random) -> None:
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = rng.choice(texts)

    return change


_CSV = (
    FileDamage("a column twice", "none", _csv(_double_column)),
    FileDamage("a ragged row", "none", _csv(_ragged)),
    FileDamage("an open quote", "none", lambda content, rng: content + b'"'),
    FileDamage(
        "an odd cell",
        "any",
        _csv(_cell(["", "nan", "inf", "-1", "1e308", _DIGITS, "x" * 200_000, "[" * 5000, "\0"])),
    ),
)


def _toml(texts: Sequence[str]) -> Callable[[bytes, random.Random], bytes | None]:
    def make(content: bytes, rng: random.Random) -> bytes | None:
        text = content.decode()
        found = list(_NUMBER.finditer(text))
        if not found:
            return None
        one = rng.choice(found)
        return (text[: one.start()] + rng.choice(texts) + text[one.end() :]).encode()

    return make


def _doubled_setting(content: bytes, rng: random.Random) -> bytes | None:
    lines = content.decode().splitlines(keepends=True)
    settings = [at for at, line in enumerate(lines) if re.match(r"[a-z_]+ = [^\[{]*$", line)]
    if not settings:
        return None
    at = rng.choice(settings)
    return "".join([*lines[: at + 1], lines[at], *lines[at + 1 :]]).encode()


_TOML = (
    FileDamage(
        "no number where one was", "none", _toml(["nan", "inf", "-inf", "1e999", _DIGITS, _DEEP])
    ),
    FileDamage(
        "another type",
        "any",
        _toml(['"text"', "true", "1979-05-27", "[1]", "{a = 1}", "-1", "1e308", "1" + "0" * 23]),
    ),
    FileDamage("a setting twice", "none", _doubled_setting),
    FileDamage("deep nesting", "none", lambda content, rng: f"deep = {_DEEP}\n".encode() + content),
    FileDamage(
        "deep keys",
        "none",
        lambda content, rng: (".".join(["a"] * 3000) + " = 1\n").encode() + content,
    ),
    FileDamage("a setting that is none", "none", lambda content, rng: b"zzz = 1\n" + content),
)


def _script(texts: Sequence[str]) -> Callable[[bytes, random.Random], bytes | None]:
    def make(content: bytes, rng: random.Random) -> bytes | None:
        lines = content.decode().split("\n")
        at = rng.randrange(len(lines))
        margin = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        lines.insert(at, margin + rng.choice(texts))
        return "\n".join(lines).encode()

    return make


_SCRIPT = (
    FileDamage(
        "an amount that is none",
        "none",
        _script(
            [
                f"*comment value: BEC +{_DIGITS}",
                "*comment value: BEC +nan",
                "*comment value: BEC +1, BEC -1",
                "*comment value: BEC +1e308",
            ]
        ),
    ),
    FileDamage(
        "an odd command",
        "any",
        _script(
            [
                f"*set coin {_DIGITS}",
                "*set coin 1e308*1e308",
                "*nonsense",
                "\t*set coin 1",
                "*goto nowhere",
                f"*achievement x visible {_DIGITS} y",
                f"*if {'(' * 3000}true{')' * 3000}",
                "*create",
                "*temp nan nan",
                "*rand coin 1 0",
                "*label a b",
                "*scene_list",
                "#",
                "*choice",
                "{" * 3000,
                "${" * 500,
                f"*line_break {_DIGITS}",
                f"*input_number coin 0 {_DIGITS}",
                f"*page_break {_DIGITS}",
                f"*rand coin 1 {_DIGITS}",
                "*set coin (1",
                "*setref",
                "*gosub",
                "*return",
            ]
        ),
    ),
)
