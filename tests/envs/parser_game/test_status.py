"""Score, moves and place of a story without a memory map: right, or None."""

from dataclasses import replace
from pathlib import Path

import pytest

from valueagents.envs.parser_game.memory import read_status
from valueagents.envs.parser_game.story import Story, read_story

SPIN = read_story(Path(__file__).parents[1] / "stories" / "spin.z3")


def changed(story: Story, address: int, value: int) -> Story:
    data = bytearray(story.data)
    data[address] = value
    return replace(story, data=bytes(data))


@pytest.mark.parametrize(
    ("story", "moves", "score"),
    [
        (SPIN, 0, 0),
        (changed(SPIN, SPIN.globals_address + 5, 30), None, 0),  # begins at half past, a clock
        (changed(SPIN, 1, SPIN.data[1] | 0x02), None, None),  # says in its header that it is one
    ],
)
def test_moves_are_none_where_a_clock_may_stand_in_their_place(
    story: Story, moves: int | None, score: int | None
) -> None:
    status = read_status(story.data[: story.dynamic_bytes], story, None)
    assert (status.moves, status.score) == (moves, score)
