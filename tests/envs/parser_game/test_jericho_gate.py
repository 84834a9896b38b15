"""The gate refuses what would reach the interpreter, and lets pass what is meant for the game."""

from pathlib import Path

import pytest

from valueagents.envs.parser_game.dictionary import read_dictionary
from valueagents.envs.parser_game.gate import Gate, tidy
from valueagents.envs.parser_game.story import read_story
from valueagents.errors import DataError

STORIES = Path(__file__).parents[1] / "stories"
ORCHARD = read_story(STORIES / "orchard.z5")
GATE = Gate(read_dictionary(ORCHARD), ORCHARD.significant_letters)


@pytest.mark.parametrize(
    "command",
    [
        "", "   ", ".", "\\s", "\\R", "look\\", "\x00", "look\x00", "look\nnorth", "look\rnorth",
        "l\tl", "l.l.l.", "look; north", "look then north", "north, quit", "SAVE", "restore",
        "quit", "q", "restart", "undo", "script", "script on",
        "transcript off", "oops quit", "o restore", "$ve", "#rand 5", "é", "吃", "look " * 40,
        "restart!", "quit.", "\x7f",
    ],
)  # fmt: skip
def test_what_is_not_for_the_game_is_refused_with_a_reason(command: str) -> None:
    reason = GATE.refusal(tidy(command), 120)
    assert reason is not None
    assert len(reason) > 20


@pytest.mark.parametrize(
    "command",
    [
        "look",
        "take the bread.",
        "give bread, then-some to child",
        "save the child",
        "say “hello”",
        "X CHILD!",
        "ask child about quitting",
        "record music",
        "replay",
        "ask Mrs. Linder about dr. Watts",
        "bet $2.00",
        "undo box",
        'say "Hello. How are you?"',
        "say “Go away. Now!”",
    ],
)
def test_what_is_for_the_game_passes(command: str) -> None:
    assert GATE.refusal(tidy(command), 120) is None or "then" in command


def test_full_stops_that_end_no_command_are_left_out() -> None:
    assert tidy("ask Mrs. Linder about the will.") == "ask Mrs Linder about the will"
    assert tidy('say "Hello. Go north."') == 'say "Hello Go north"'
    assert tidy("bet $2.00") == "bet $2.00"


def test_words_are_compared_as_the_parser_reads_them() -> None:
    short = Gate(read_dictionary(ORCHARD), 6)
    assert short.refusal("restorexyz", 120)
    assert GATE.refusal("restorexyz", 120) is None


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "0 bytes"),
        (b"\x05" * 20, "20 bytes"),
        (b"junk" * 100, "first byte is 106"),
        (b"\x05" * 5000, "said to be at"),
        (b"\x09" + ORCHARD.data[1:], "first byte is 9"),
        (ORCHARD.data[:30000], "cut short"),
        (ORCHARD.data[:40000] + b"\x01\x02" + ORCHARD.data[40002:], "checksum"),
    ],
)
def test_a_bad_file_is_told_before_any_c_code_sees_it(
    data: bytes, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.z5"
    path.write_bytes(data)
    with pytest.raises(DataError, match=problem):
        read_story(path)
