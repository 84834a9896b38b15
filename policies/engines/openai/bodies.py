"""Bodies: what servers send is read up to a size, and decoded although it may be a little wrong.

An answer is `NoAnswer` where it is not what was asked for, and `BrokenOff` where the server says
that it stopped.
"""

import json
import zlib
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from valueagents.errors import NOT_JSON, first_line
from valueagents.policies.engines.chats import Tokens

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

MIB = 2**20
MOST_COUNTED = 2**31 - 1
"""No count of tokens is larger: what a server says beyond it is not a count."""

_PART_BYTES = 2**16
_MESSAGE_BYTES, _MESSAGE_CHARACTERS = 2**16, 400
_MENDED_BYTES = MIB  # Python's own decoder takes many times the memory of the text


class NoAnswer(Exception):
    """It is not what was asked for. The message says why."""


class BrokenOff(Exception):
    """The server says that it did not finish the answer."""


async def read_body(response: "aiohttp.ClientResponse", most_bytes: int) -> bytes:
    """The body of an answer, unpacked if the server packed it unasked.

    Raises NoAnswer if it is larger than that.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise NoAnswer(f"it is packed as {encoding[:20]!r}, which was not asked for")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding not in ("identity", "") else None
    found = bytearray()
    async for part in response.content.iter_chunked(_PART_BYTES):
        left = most_bytes - len(found) + 1
        try:
            found += part if unpacker is None else unpacker.decompress(part, left)
        except zlib.error as error:
            raise NoAnswer(f"it cannot be unpacked ({error})") from None
        if len(found) > most_bytes:
            raise NoAnswer(f"it is larger than {most_bytes // MIB} MiB")
    return bytes(found)


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The JSON of a body. A byte order mark, NaN and halves of characters are mended where they do
    not matter.

    Raises NoAnswer if it is not JSON, nested without end, or of another shape.
    """
    try:
        return decoder.decode(body)
    except RecursionError:
        raise NoAnswer("it is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise NoAnswer(first_line(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if len(body) > _MENDED_BYTES:
            raise NoAnswer(first_line(error)) from None
        return _mended(body, decoder, first_line(error))


def _mended(body: bytes, decoder: msgspec.json.Decoder[T], why: str) -> T:
    """As `decode`, by Python's own decoder; a NaN becomes null, what is not a character U+FFFD."""
    try:
        found = json.loads(body.decode("utf-8-sig", "replace"), parse_constant=lambda _: None)
        whole = json.dumps(found, ensure_ascii=False).encode("utf-8", "replace")
        return decoder.decode(whole)
    except RecursionError:
        raise NoAnswer("it is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise NoAnswer(first_line(error)) from None
    except ValueError:  # JSON's and msgspec's own are ValueErrors
        raise NoAnswer(why) from None


class _Tokens(msgspec.Struct):
    tokens: tuple[Annotated[int, msgspec.Meta(ge=0, le=MOST_COUNTED)], ...]


_TOKENS = msgspec.json.Decoder(_Tokens)


def read_tokens(body: bytes) -> Tokens:
    """The tokens in an answer of vLLM's /tokenize.

    Raises NoAnswer if it holds none, or numbers that are none.
    """
    return decode(body, _TOKENS).tokens


class _Prompt(msgspec.Struct):
    prompt: str


_PROMPT = msgspec.json.Decoder(_Prompt)


def read_text(body: bytes) -> str:
    """The text in an answer of vLLM's /detokenize. Raises NoAnswer if it holds none."""
    return decode(body, _PROMPT).prompt


def error_message(body: bytes) -> str:
    """What a server's error says, in one line, in any of the usual shapes."""
    found = _decoded(body)
    for key in ("error", "message", "detail"):
        if isinstance(found, dict) and found.get(key):
            found = found[key]
    said = found if isinstance(found, str) else body[:_MESSAGE_BYTES].decode(errors="replace")
    return " ".join(said.split())[:_MESSAGE_CHARACTERS] or "no message"


def error_code(body: bytes) -> str:
    """The code of a server's error ("content_filter"), "" where it gives none."""
    found = _decoded(body)
    inner = found.get("error") if isinstance(found, dict) else None
    code = inner.get("code") if isinstance(inner, dict) else None
    return code[:_MESSAGE_CHARACTERS] if isinstance(code, str) else ""


def counted(value: object) -> int:
    """A count that a server gives; 0 where it is not one."""
    valid = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_COUNTED
    return int(value) if valid and isinstance(value, int) else 0


def fields_of(raw: msgspec.Raw) -> dict[str, Any]:
    """The fields of a part of an answer that may be missing, or anything."""
    found = _decoded(bytes(raw)) if len(bytes(raw)) else None
    return found if isinstance(found, dict) else {}


def _decoded(body: bytes) -> object:
    """The JSON of a short body; None where it is not."""
    if len(body) > _MESSAGE_BYTES:
        return None
    try:
        return msgspec.json.decode(body)
    except NOT_JSON:
        return None
