"""Replies in many styles and languages: what is clear is read, what names two options or none is
not.

`own_examples.jsonl` was written while the rules were; the others by language models that had not
seen them. All of it is AI-written.
When `replies_open.jsonl` was first read, 173 of its 185 replies were read right (93.5 %) and none
as an option that it does not name; then it was used to mend what was missing. `replies_second.jsonl`
was read once as a sealed one (173 of 185 right, 93.5 %; 2 as an option that they do not name), then
mended on. `replies_third.jsonl`, whose replies name options in words of their own more often, was
sealed while that was done and has been read once: 144 of 190 right (75.8 %), 3 as an option that
they do not name. So the goal, 0.97 right and none wrong on replies that the rules were not mended
on, is not met. What is not read right is printed by

    python tests/policies/readings/test_replies.py replies_open.jsonl
"""

import sys
from collections import Counter
from pathlib import Path
from string import ascii_uppercase

import msgspec
import pytest

from valueagents.policies.readings.parsing import parse

FOLDER = Path(__file__).parent
LEAST_RIGHT = 0.97
PARTS = 16  # of our own examples, so that no test takes over a second
STYLES = {"terse", "chatty", "reasons-first", "reasons-last", "markup", "restated", "hedged"}
LANGUAGES = {"en", "de", "fr", "it", "es", "zh", "ru"}


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A reply to a menu; `answer`: the letter of the option that it names, None if none or two."""

    style: str
    language: str
    kind: str
    menu: tuple[str, ...]
    reply: str
    answer: str | None

    @property
    def index(self) -> int | None:
        """The place of the option that it names."""
        return None if self.answer is None else ascii_uppercase.index(self.answer)


def replies(name: str) -> list[Reply]:
    """The replies of a file, in order."""
    lines = (FOLDER / name).read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Reply) for line in lines if line.strip()]


def misread(name: str) -> tuple[list[str], list[str]]:
    """What of a file is read as an option that it does not name, and what is not read."""
    wrong, unread = [], []
    for number, each in enumerate(replies(name), 1):
        read = parse(each.reply, each.menu)
        if read.index == each.index:
            continue
        found = "unread" if read.index is None else ascii_uppercase[read.index]
        line = f"{name}:{number} {found} ({read.rule}), not {each.answer}: {each.reply!r}"
        (unread if read.index is None else wrong).append(line)
    return wrong, unread


@pytest.mark.parametrize("part", range(PARTS))
def test_every_example_of_our_own_is_read_right(part: int):
    every = replies("own_examples.jsonl")[part::PARTS]
    wrong = [each.reply for each in every if parse(each.reply, each.menu).index != each.index]
    assert len(every) > 100
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "least_right", "most_wrong"),
    [
        ("replies_open.jsonl", LEAST_RIGHT, 0),
        ("replies_second.jsonl", LEAST_RIGHT, 0),
        ("replies_third.jsonl", 0.757, 3),  # as first read, below the goal
    ],
)
def test_replies_written_without_knowledge_of_the_rules_are_read(
    name: str, least_right: float, most_wrong: int
):
    every = replies(name)
    assert len(every) >= 150
    assert {each.style for each in every} == STYLES
    assert {each.language for each in every} == LANGUAGES
    assert min(Counter(each.language for each in every).values()) >= 12
    assert all(each.index is None or each.index < len(each.menu) for each in every)
    wrong, unread = misread(name)
    right = 1 - len(wrong + unread) / len(every)
    assert len(wrong) <= most_wrong, "\n".join(wrong)
    assert right >= least_right, "\n".join([f"{right:.3f} right", *unread])


if __name__ == "__main__":
    for file in sys.argv[1:]:
        wrong, unread = misread(file)
        total = len(replies(file))
        print(*wrong, *unread, sep="\n")
        print(f"{file}: {total} replies, {len(wrong)} wrong, {len(unread)} unread")
