"""The error tree, and the one message that answers every unknown name."""

import pytest

from valueagents import errors
from valueagents.errors import (
    ConfigError,
    DataError,
    EnvError,
    PolicyError,
    PromptTooLong,
    StoreError,
    ValueAgentsError,
    unknown_name,
)

BRANCHES = [ConfigError, DataError, EnvError, PolicyError, StoreError]
TREE = [*BRANCHES, PromptTooLong]


@pytest.mark.parametrize("error", BRANCHES)
def test_every_error_is_caught_by_the_root_and_by_no_other_branch(error):
    assert error.__bases__ == (ValueAgentsError,)
    assert not issubclass(error, (ValueError, OSError, KeyError))


def test_a_prompt_that_is_too_long_is_an_error_of_the_policy():
    assert PromptTooLong.__bases__ == (PolicyError,)


def test_the_tree_drawn_at_the_top_of_the_file_is_the_tree():
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert defined == {error.__name__ for error in TREE} | {"ValueAgentsError"}
    assert all(error.__name__ in (errors.__doc__ or "") for error in TREE)


def test_the_nearest_name_is_suggested_and_all_known_are_listed_sorted():
    assert (
        unknown_name("policy", "randon", ["random", "first"])
        == "unknown policy 'randon'. Did you mean 'random'? Known: first, random."
    )


def test_nothing_is_suggested_where_nothing_is_near():
    assert unknown_name("policy", "xyz", ["random"]) == "unknown policy 'xyz'. Known: random."


def test_case_alone_still_finds_the_name():
    assert "Did you mean 'RANDOM'?" in unknown_name("policy", "random", ["RANDOM", "FIRST"])


def test_nothing_known_is_said_so():
    assert (
        unknown_name("option of first", "seed", [])
        == "unknown option of first 'seed'. Known: none."
    )


def test_a_remedy_stands_in_place_of_the_list():
    message = unknown_name("situation", "home-1", ["home-01"], remedy="See env.situations().")
    assert message == "unknown situation 'home-1'. Did you mean 'home-01'? See env.situations()."


@pytest.mark.parametrize("name", ["", "a\nb", "Zoë 🦊", "x" * 10_000])
def test_an_odd_name_still_makes_a_one_line_message(name):
    message = unknown_name("policy", name, ["random"])
    assert repr(name) in message
    assert "\n" not in message
