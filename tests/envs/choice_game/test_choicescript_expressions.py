"""The expression language: what it computes, what it refuses, and that nothing else ever comes out
of it.
"""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valueagents.envs.choice_game.expressions import MAX_DEPTH, compiled
from valueagents.envs.choice_game.templates import shown, template
from valueagents.envs.choice_game.values import ScriptError, printed

VARIABLES = {
    "x": 7,
    "y": 2,
    "name": "Ada",
    "yes": True,
    "half": 0.5,
    "item_2": "rope",
    "which": "name",
    "digit": "5",
}


def lookup(name: str) -> object:
    if name.lower() not in VARIABLES:
        raise ScriptError(f"no variable {name}")
    return VARIABLES[name.lower()]


def value(text: str) -> object:
    return compiled(text)(lookup)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 + 3", 5),
        ("7 - 9", -2),
        ("2 * 3.5", 7),
        ("7 / 2", 3.5),
        ("6 / 3", 2),
        ("2 ^ 10", 1024),
        ("7 % 4", 3),
        ("x modulo 2", 1),
        ("(0 - 7) modulo 4", -3),
        ("-3 + x", 4),
        ("digit + 1", 6),
        ("50 %+ 20", 60),
        ("50 %- 20", 40),
        ("99 %+ 99", 99),
        ("1 %- 99", 1),
        ("33 %+ 10", 39),
        ("33 %- 10", 30),
        ('"a" & "b"', "ab"),
        ("name & x", "Ada7"),
        ('"cat" # 2', "a"),
        ("name#1", "A"),
        ("x = 7", True),
        ('x = "7"', True),
        ("x != 7", False),
        ("x >= y", True),
        ("x < y", False),
        ("half <= 0.5", True),
        ("yes and (x > 5)", True),
        ("not(yes)", False),
        ("not(x = 7) or (y = 2)", True),
        ("(yes) and (yes) and (yes)", True),
        ("1 + 2 + 3", 6),
        ("(1 + 2) * 3", 9),
        ("round(2.5)", 3),
        ("round(0 - 2.5)", -2),
        ("length(name)", 3),
        ("log(1000)", 2.9999999999999996),
        ("log(100)", 2),
        ("80 %+ (0 - 20)", 64),
        ("10 %+ (0 - 20)", 8),
        ("10 %+ 0", 10),
        ("10 %- (0 - 20)", 28),
        ("0 %+ 0", 1),
        ("100 %+ 0", 100),
        ('"12 apples" + 1', 13),
        ("1.50", "1.50"),
        ("1.50 + 0", 1.5),
        ('true = "true"', True),
        ('true != "true"', True),
        ('timestamp("2020-12-25T09:30:00Z")', 1608888600),
        ('length("[b]x[/b]")', 8),
        ("7 > auto(50, brave)", False),
        ("{which}", "Ada"),
        ('{"na" & "me"}', "Ada"),
        ("item[y]", "rope"),
        ("X", 7),
        ("true", True),
        ("FALSE", False),
        ('"he said \\"${name}\\" ${x+1}"', 'he said "Ada" 8'),
        ("((((x))))", 7),
    ],
)
def test_an_expression_has_its_value(text: str, expected: object) -> None:
    assert value(text) == expected
    assert type(value(text)) is type(expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "missing"),
        ("2 +", "value should stand"),
        ("2 + 3 * 4", "parentheses"),
        ("a b", "nothing should follow"),
        ("(2 + 3", r"'\)' should stand"),
        ('"open', "quotation mark is not closed"),
        ("2 $ 3", "cannot read"),
        ("{x", "'}' should stand"),
        ("yes and yes or yes", "parentheses"),
        ("and", "value should stand"),
        ("round(", "value should stand"),
        ("(" * (MAX_DEPTH + 1), "deeper"),
        ('"${x"', "brace is not closed"),
    ],
)
def test_what_is_no_expression_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ScriptError, match=said):
        compiled(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", "divided by 0"),
        ("(x modulo 0) + 1", "NaN is not a finite"),
        ("name + 1", "not a number"),
        ("x and yes", "neither true"),
        ("nobody", "no variable"),
        ("name # 4", "no character 4"),
        ("name # 0", "no character 0"),
        ("(9 ^ 999) - 1", "Infinity is not a finite"),
        ("log(0) > 1", "-Infinity is not a finite"),
        ("yes or (nobody)", "no variable"),
        ("120 %+ 5", "percentage"),
        ("yes > 1", "not a number"),
        ("1 + ((0-2) ^ half)", "finite"),
        ("1" + "0" * 400 + " + 1", "finite"),
    ],
)
def test_what_cannot_be_computed_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ScriptError, match=said):
        value(text)


@given(st.text(alphabet='xy0123456789.+-*/%^&#=<>!(){}[]" $@|andornotlgh_é\\', max_size=40))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    for read in (compiled, template):
        with contextlib.suppress(ScriptError):
            assert read(text)(lookup) is not None


NUMBERS = st.integers(min_value=-1000, max_value=1000)
REFERENCE = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}
TREES = st.recursive(
    NUMBERS,
    lambda inner: st.tuples(st.sampled_from(sorted(REFERENCE)), inner, inner),
    max_leaves=12,
)


def spelled(tree: object) -> str:
    if isinstance(tree, tuple):
        return f"({spelled(tree[1])} {tree[0]} {spelled(tree[2])})"
    return str(tree)


def reckoned(tree: object) -> int:
    return (
        REFERENCE[tree[0]](reckoned(tree[1]), reckoned(tree[2]))
        if isinstance(tree, tuple)
        else tree
    )


@given(TREES)
def test_arithmetic_agrees_with_pythons(tree: object) -> None:
    expected = reckoned(tree)
    if abs(expected) < 2**53:
        assert math.isclose(float(value(spelled(tree))), expected, rel_tol=1e-12, abs_tol=0)


@given(st.booleans(), st.booleans(), st.booleans())
def test_logic_agrees_with_pythons(a: bool, b: bool, c: bool) -> None:
    text = f"(({printed(a)} and {printed(b)}) or not({printed(c)})) = {printed((a and b) or not c)}"
    assert value(text) is True


@given(st.integers(0, 100), st.integers(1, 100))
def test_fairmath_stays_a_percentage_and_goes_the_right_way(x: int, y: int) -> None:
    assert min(x, 99) <= value(f"{x} %+ {y}") <= 99
    assert 1 <= value(f"{x} %- {y}") <= max(x, 1)


@given(
    st.text(
        alphabet=st.characters(exclude_characters='"\\{}[]', exclude_categories=["Cs"]),
        min_size=1,
        max_size=20,
    )
)
def test_a_text_comes_back_as_it_was_character_by_character(text: str) -> None:
    assert value(f'"{text}"') == text
    assert "".join(str(value(f'"{text}" # {k}')) for k in range(1, len(text) + 1)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${x}", "7"),
        ("a ${name} b", "a Ada b"),
        ("$!{item[2]}!", "Rope!"),
        ("$!!{name}", "ADA"),
        ("${half}", "0.5"),
        ("@{y one|two|three}", "two"),
        ("@{yes up|down}", "up"),
        ("@{(x < 3) up|down}", "down"),
        ("$5 and @home", "$5 and @home"),
        ("@{y |s}", "s"),
        ("@!{y one|${which}}", "Name"),
        ("@{y a|@{y b|c}}", "c"),
        ("@{x>6 up|down}", "up"),
        ("${{which}}", "Ada"),
        ("${yes}", "true"),
    ],
)
def test_a_text_is_filled_in(text: str, expected: str) -> None:
    assert template(text)(lookup) == expected


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("[b]bold[/b] [i]i[/i]", "bold i"),
        ("line[n/]next", "line\nnext"),
        ("on[c/]", "on"),
        ("[url=http://example.org/a?b]a page[/url]", "a page"),
        ("[sic] [1]", "[sic] [1]"),
    ],
)
def test_markup_is_not_shown(text: str, read: str) -> None:
    assert shown(text) == read


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (1e21, "1e+21"),
        (1.5e22, "1.5e+22"),
        (2.0**53, "9007199254740992"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.25e-9, "1.25e-9"),
        (0.1 + 0.2, "0.30000000000000004"),
        (-math.inf, "-Infinity"),
        (math.nan, "NaN"),
    ],
)
def test_a_number_is_printed_as_the_language_prints_it(x: float, text: str) -> None:
    assert printed(x) == text


@pytest.mark.parametrize("text", ["${x", "@{y one|two", "@{y one}", "@{y}", "@{}", "${}"])
def test_a_broken_substitution_is_refused_when_it_is_read(text: str) -> None:
    with pytest.raises(ScriptError):
        template(text)


@pytest.mark.parametrize("text", ["@{x one|two}", "@{half one|two}", "@{name one|two}"])
def test_a_multireplace_that_picks_nothing_is_refused(text: str) -> None:
    with pytest.raises(ScriptError):
        template(text)(lookup)
