"""Regular expressions that users write: what they find, in which time, and what is wrong with one."""

import time

import pytest

from valueagents.files.patterns import fits_whole, found_in, pattern_problem


@pytest.mark.parametrize(
    ("pattern", "text", "part", "whole"),
    [
        ("child smiles", "The CHILD smiles at you.", True, False),
        ("(give|hand) bread.*", "hand bread to child", True, True),
        ("(give|hand) bread", "hand bread to child", True, False),
        ("straße", "STRASSE", False, False),
        ("Über", "über", True, True),
        ("x", "half a pair: \ud800 x", True, False),
        (r"\bno\b", "a nod", False, False),
    ],
)
def test_a_pattern_is_found_in_a_text_or_is_all_of_it(
    pattern: str, text: str, part: bool, whole: bool
):
    assert (found_in(pattern, text), fits_whole(pattern, text)) == (part, whole)


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(.*a){12}b", "(a*)*(a*)*b"])
def test_no_pattern_holds_a_run(pattern: str):
    began = time.monotonic()
    assert not found_in(pattern, "a" * 8000)
    assert time.monotonic() - began < 5  # Python's own: longer than the test-suite


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(x", "missing )"),
        ("(?=x)", "invalid perl operator"),
        (r"(x)\1", "invalid escape"),
        ("x{5000}", "repetition"),
        ("\ud800", "not Unicode"),
    ],
)
def test_what_is_no_pattern_is_said_with_the_reason(pattern: str, said: str):
    problem = pattern_problem(pattern)
    assert problem is not None
    assert "is not a regular expression (RE2)" in problem
    assert said in problem
