"""The words of the languages: every role that is read is explained, and every language has it."""

import re
import tomllib
from pathlib import Path

import pytest

from valueagents.policies.readings.patterns import counted, pattern, says_nothing

FOLDER = Path(__file__).parents[3] / "policies" / "readings"
LANGUAGES = sorted((FOLDER / "words").glob("*.toml"))
NEEDED = {"answers", "chosen", "copulas", "praise", "denial", "contrast", "filler", "turn"}
NEEDED |= {"condition", "forced", "elsewhere", "numbers", "ordinals", "because", "options"}


def test_every_role_in_the_files_is_explained_and_read():
    told = set(re.findall(r"^\| `(\w+)` \|", (FOLDER / "words/README.md").read_text("utf-8"), re.M))
    code = "".join(file.read_text("utf-8") for file in FOLDER.glob("*.py"))
    for file in LANGUAGES:
        for role in tomllib.loads(file.read_text("utf-8")):
            assert role in told, (file.name, role)
            assert re.search(rf"[<,\"\[]{role}[>,\"\]]", code), role


@pytest.mark.parametrize("file", LANGUAGES, ids=lambda file: file.stem)
def test_every_language_has_the_roles_that_claims_are_read_by(file: Path):
    roles = tomllib.loads(file.read_text("utf-8"))
    assert roles.keys() >= NEEDED
    assert (len(roles["numbers"]), len(roles["ordinals"])) == (10, 6)


@pytest.mark.parametrize(
    ("text", "nothing"),
    [
        ("so, in the end, i think it is", True),
        ("alles in allem", True),
        ("所以我会", True),
        ("the dog is", False),
        ("hund", False),
        ("所以狗", False),
        ("", True),
    ],
)
def test_filler_says_nothing_of_its_own(text: str, nothing: bool):
    assert says_nothing(text) is nothing


def test_a_place_of_a_pattern_holds_whole_words_of_every_language():
    denial = pattern("<denial>")
    assert all(denial.search(text) for text in ("not b", "nicht b", "pas b", "не b", "不选 b"))
    assert not any(denial.search(text) for text in ("notice b", "knoten b", "不过 b"))
    assert counted("numbers")[3].fullmatch("vier")
    assert counted("numbers")[3].fullmatch("四")
