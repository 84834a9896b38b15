"""Replies in many styles and languages: what is clear is read, what names two options or none is
not.

`own_examples.jsonl` and `replies_development.jsonl` were written while the rules were mended, the
others by language models that had not seen them. All of it is AI-written. All but the fifth is
development material by now: each set was read once, then mended on; the fifth was read once.

| set | at first sight: right, wrong | then read by say/3 | by say/4 |
|---|---|---|---|
| `replies_open.jsonl` | 173 of 185, 0 | 183, 0 | 185, 0 |
| `replies_second.jsonl` (sealed) | 173 of 185, 2 | 185, 0 | 185, 0 |
| `replies_third.jsonl` (sealed) | 144 of 190, 3 | 144, 3 | 174, 0 |
| `replies_development.jsonl` | – | 362 of 518, 3 | 496, 0 |
| `replies_fourth.jsonl` | 87 of 123, 2 (0.707 right) | – | 103, 0 |
| `replies_fifth.jsonl` (sealed; same writer) | 83 of 117, 1 (0.709 right) | – | 83, 1 |

`replies_development.jsonl` names options in words of its own, as most of what
`replies_third.jsonl` misses: of its four parts say/4 read 80, 79, 84 and 90 % before it was mended
on them, and 1, 1, 3 and 0 replies as an option that they do not name. The writer of the fourth and
fifth set chose styles and languages freely; what is unread of them mostly paraphrases or tells a
story, in words that no option has. The goal, 0.97 right and none wrong on replies that nobody has
mended on, is not met: expect 0.7 to 0.9 right, by how much is paraphrased, and one in a hundred
wrong. Ten of those that are unread in `replies_third.jsonl` name an option of a menu in another
language than their own, which no rule here can know. What is not read right is printed by

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
FREE = ("replies_fourth.jsonl", "replies_fifth.jsonl")
"""Of a writer who was given neither styles nor languages."""
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
        ("replies_third.jsonl", 0.915, 0),
        ("replies_development.jsonl", 0.955, 0),
        ("replies_fourth.jsonl", 0.83, 0),
        ("replies_fifth.jsonl", 0.709, 1),
    ],
)
def test_each_set_of_replies_is_read_as_well_as_it_was(
    name: str, least_right: float, most_wrong: int
):
    every = replies(name)
    styles, languages = STYLES, LANGUAGES
    if name in FREE:
        styles, languages = {each.style for each in every}, LANGUAGES - {"zh", "ru"}
    assert len(every) >= 117
    assert {each.style for each in every} == styles
    assert {each.language for each in every} == languages
    assert min(Counter(each.language for each in every).values()) >= 9
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
