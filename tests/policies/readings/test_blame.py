"""Blame: whose fault a reply says it is."""

import pytest

from valueagents.policies.readings.blame import by_blame, is_of_blame
from valueagents.policies.readings.menu_words import NamedMenu

MENU = NamedMenu.of(
    [
        "The author is in the wrong",
        "The night manager is in the wrong",
        "Both are in the wrong",
        "Nobody is in the wrong",
    ]
)


def test_a_menu_is_of_blame_if_every_option_says_whose_fault_it_is():
    assert is_of_blame(MENU)
    assert is_of_blame(NamedMenu.of(["L'auteur a tort", "Personne n'a tort"]))
    assert not is_of_blame(NamedMenu.of(["She is in the wrong", "She is not in the wrong"]))
    assert not is_of_blame(NamedMenu.of(["She is in the wrong", "Pass"]))


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("On balance I'd put the fault with the manager.", 1),
        ("The blame lies with your night manager.", 1),
        ("It's your fault.", 0),
        ("You're both at fault.", 2),
        ("Neither of them is to blame.", 3),
        ("Both, honestly.", 2),
        ("The manager was right about the fault.", None),
        ("The manager is not at fault.", None),
        ("Maybe the manager is at fault.", None),
        ("The manager thinks you are at fault.", None),
        ("If he knew, the manager is at fault.", None),
        ("Is the manager at fault?", None),
        ("Both have a point.", None),
        ("The manager is at fault, and you are at fault.", None),
    ],
)
def test_a_clause_that_says_nothing_else_blames_one_party(text: str, option: int | None):
    assert by_blame(text, MENU) == option
