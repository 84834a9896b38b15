"""Where Inspect is not installed, its engine says which extra to install, and where."""

import sys

import pytest

from valueagents.contracts.plugins import make_policy
from valueagents.errors import ConfigError


def test_the_error_names_the_extra_and_an_environment_of_its_own(monkeypatch):
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    with pytest.raises(
        ConfigError, match=r"'valueagents\[inspect\]', in an environment of its own"
    ):
        make_policy("inspect:anthropic/x")
