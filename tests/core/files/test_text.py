"""Text files of the user: parsed once for each version of a file, refused with the line, with or
without a BOM.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from valueagents.errors import ConfigError, DataError
from valueagents.files.text import (
    decode_json,
    decode_toml,
    once_per_file,
    read_lines,
    read_text,
    reads_too,
    require_file,
)


@dataclass
class Bank:
    """What a reader gives: a text, and what it found odd."""

    text: str
    notes: tuple[str, ...] = ()


class Reader:
    """Counts how often a file is parsed."""

    def __init__(self) -> None:
        self.parsed = 0
        self.read = once_per_file(self.parse)

    def parse(
        self, path: Path, other: Path | tuple[Path, ...] | None = None, *, key: str | None = None
    ) -> Bank:
        self.parsed += 1
        others = () if other is None else other if isinstance(other, tuple) else (other,)
        text = "".join(read_text(file) for file in (path, *others)) + (key or "")
        if not text:
            raise DataError(f"{path.name} is empty")
        return Bank(text, (f"{path.name} is odd",))


def written(path: Path, text: str, *, time_ns: int = 1) -> Path:
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(time_ns, time_ns))
    return path


@pytest.fixture
def file(tmp_path) -> Path:
    return written(tmp_path / "a.txt", "one")


def test_a_file_is_parsed_once_however_often_it_is_asked_for(file):
    reader = Reader()
    assert reader.read(file) is reader.read(file)
    assert reader.parsed == 1


@pytest.mark.parametrize(
    ("text", "time_ns"), [("two", 2), ("three", 1), ("one", 2)], ids=["both", "size", "time"]
)
def test_a_file_of_another_time_or_size_is_parsed_again(file, text, time_ns):
    reader = Reader()
    reader.read(file)
    written(file, text, time_ns=time_ns)
    assert (reader.read(file).text, reader.parsed) == (text, 2)


def test_a_file_of_another_name_or_in_another_folder_is_another_file(file, tmp_path, monkeypatch):
    reader = Reader()
    (tmp_path / "sub").mkdir()
    written(tmp_path / "sub" / "a.txt", "two")
    monkeypatch.chdir(tmp_path)
    here = reader.read(Path("a.txt")).text
    monkeypatch.chdir(tmp_path / "sub")
    assert (here, reader.read(Path("a.txt")).text) == ("one", "two")


def test_further_arguments_are_part_of_what_is_asked(file):
    reader = Reader()
    assert [reader.read(file, key=key).text for key in ("x", "y", "x", None)] == [
        "onex",
        "oney",
        "onex",
        "one",
    ]
    assert reader.parsed == 3


@pytest.mark.parametrize("together", [False, True])
def test_a_second_file_counts_as_the_first_does_alone_or_in_a_tuple(file, tmp_path, together):
    reader = Reader()
    second = written(tmp_path / "b.txt", "two")
    other = (second,) if together else second
    assert reader.read(file, other).text == reader.read(file, other).text == "onetwo"
    written(second, "three")
    assert (reader.read(file, other).text, reader.parsed) == ("onethree", 2)


def test_what_was_odd_is_logged_when_the_file_is_parsed_and_only_then(file, caplog):
    reader = Reader()
    with caplog.at_level(logging.WARNING, "valueagents"):
        reader.read(file)
        reader.read(file)
    assert [record.getMessage() for record in caplog.records] == ["a.txt is odd"]


def test_a_file_that_was_refused_is_read_again_the_next_time(tmp_path):
    reader, empty = Reader(), written(tmp_path / "empty.txt", "")
    for _ in range(2):
        with pytest.raises(DataError, match="empty"):
            reader.read(empty)
    assert reader.parsed == 2


def test_the_last_eight_results_are_kept_and_no_more(file):
    reader = Reader()
    for key in "abcdefghi":
        reader.read(file, key=key)
    reader.read(file, key="b")
    assert reader.parsed == 9
    reader.read(file, key="a")
    assert reader.parsed == 10


def test_a_file_of_another_kind_or_that_is_not_there_is_named_with_the_nearest(tmp_path):
    (tmp_path / "items.jsonl").write_text("{}")
    with pytest.raises(ConfigError, match=r"items\.toml' is not \.jsonl"):
        require_file(tmp_path / "items.toml", (".jsonl",), "not .jsonl")
    with pytest.raises(
        ConfigError, match=r"Did you mean '.*/items\.jsonl'\? Give the path of a file"
    ):
        require_file(tmp_path / "item.jsonl", (".jsonl",), "not .jsonl")
    require_file(tmp_path / "items.jsonl", (".jsonl",), "not .jsonl")


def test_a_byte_order_mark_is_no_part_of_the_text_and_a_last_newline_no_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbfone\ntwo\n")
    assert (read_text(path), read_lines(path)) == ("one\ntwo\n", ["one", "two"])
    path.write_bytes(b"")
    assert read_lines(path) == [""]


def test_bytes_that_are_no_text_are_named_with_their_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one\ntwo\nth\xffree\n")
    with pytest.raises(DataError, match=r"a\.jsonl, line 3: not UTF-8 text"):
        read_text(path)


@pytest.mark.parametrize("text", ["", "{", '{"a": "x"}', "[" * 50_000])
def test_what_does_not_decode_is_an_error_that_begins_with_its_place(text):
    with pytest.raises(DataError, match=r"^here: "):
        decode_json("here", text, dict[str, int])
    assert decode_json("here", '{"a": 1}', dict[str, int]) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' is there twice in one object"),
        ('{"a": 1e999}', "the number 1e999 is too large"),
        ('{"a": NaN}', "invalid character"),
        ('{"a": ' + "9" * 5000 + "}", "out of range"),
        ('{"a": ' + "[" * 5000 + "]" * 5000 + "}", "it nests too deeply"),
        ('{"a": "\udcff"}', "not UTF-8 text"),
        ("", "truncated"),
    ],
)
def test_json_that_readers_do_not_agree_about_is_refused_with_its_place(
    text: str, said: str
) -> None:
    with pytest.raises(DataError, match=r"^file, line 3: ") as raised:
        decode_json("file, line 3", text, dict[str, object])
    assert said in str(raised.value)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\nb = {c = [1, nan]}", "b.c.1 = nan is not a finite number"),
        ("a = -inf", "a = -inf is not a finite number"),
        ("a = 1\na = 2", "is not TOML"),
        ("a = " + "9" * 5000, "Exceeds the limit"),
        ("a = " + "[" * 5000 + "]" * 5000, "nests too deeply"),
        (".".join("a" * 3000) + " = 1", "nests too deeply"),
    ],
)
def test_toml_with_what_is_no_number_or_nests_deeply_is_refused_with_its_place(
    text: str, said: str
) -> None:
    with pytest.raises(DataError, match=r"^file\.toml") as raised:
        decode_toml("file.toml", text)
    assert said in str(raised.value)
    assert len(str(raised.value)) < 300


def test_a_file_is_parsed_again_when_one_that_it_names_has_changed(tmp_path):
    file, named = written(tmp_path / "a.txt", "b.txt"), written(tmp_path / "b.txt", "one")
    parsed = []

    @once_per_file
    def read(path: Path) -> Bank:
        other = path.parent / read_text(path)
        reads_too(other)
        parsed.append(path)
        return Bank(read_text(other))

    assert [read(file).text, read(file).text] == ["one", "one"]
    assert len(parsed) == 1
    written(named, "two", time_ns=2)
    assert [read(file).text, read(file).text] == ["two", "two"]
    assert len(parsed) == 2
    named.unlink()
    with pytest.raises(FileNotFoundError):
        read(file)


def test_a_file_that_nobody_is_parsing_may_be_named_without_effect(tmp_path):
    reads_too(tmp_path / "nothing")
