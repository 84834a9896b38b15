"""Scripts that nobody wrote: whatever they hold, they play and replay alike, or stop with one error
naming a place.
"""

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valueagents.envs.choice_game.game import assemble
from valueagents.envs.choice_game.interpreter import Interpreter
from valueagents.envs.choice_game.lines import lines_of_text
from valueagents.errors import DataError

Play = Callable[..., list[str]]

LEAVES = [
    "Prose ${x}", "Prose @{(x > 2) a|b}", "*set x +1", "*set x x*x", "*set y y&y", "*temp z x",
    "*goto top", "*goto {y}", "*gosub sub x", "*rand x 1 6", "*page_break", "*finish", "*ending",
    "*input_number x 1 9", "*hide_reuse", "*comment value: BEC +1", "*comment no",
    "*goto_scene startup", "*print x + 1", "*return", "*line_break", "*set z 2",
    "*check_achievements",
]  # fmt: skip
OPENERS = ["*if (x > 2)", "*if (x = 1) and (y = 2)", "*choice", "*fake_choice"]
OPTIONS = [
    "#Go",
    "#Stay ${y}",
    "*hide_reuse #Once",
    "*if (x = 1) #Maybe",
    "*selectable_if (x > 1) #Strong",
    "*disable_reuse #Twice",
]
Item = str | tuple[str, list["Item"]]


def blocks(inner: st.SearchStrategy[list[Item]]) -> st.SearchStrategy[list[Item]]:
    options = st.lists(st.tuples(st.sampled_from(OPTIONS), inner), min_size=1, max_size=3)
    opened = st.tuples(st.sampled_from(OPENERS[:2]), inner) | st.tuples(
        st.sampled_from(OPENERS[2:]), options
    )
    return st.lists(st.sampled_from(LEAVES) | opened, min_size=1, max_size=4)


WELL_FORMED = st.recursive(
    st.lists(st.sampled_from(LEAVES), min_size=1, max_size=3), blocks, max_leaves=15
)
JUMBLED = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from([*LEAVES, *OPENERS, *OPTIONS, "*else", "${", "@{x}", "*dance", ""]),
    ),
    max_size=14,
)


def rendered(items: list[Item], indent: int = 0) -> list[str]:
    lines = []
    for item in items:
        if isinstance(item, str):
            lines.append(" " * indent + item)
        else:
            lines += [" " * indent + item[0], *rendered(item[1], indent + 2)]
    return lines


def play_and_replay(script: str, picks: list[int]) -> None:
    """Play a script; every step taken again from what was saved before it gives the same text and
    state.
    """
    interpreter = Interpreter(assemble({"startup": lines_of_text("startup", script)}))
    interpreter.start(1)
    for pick in picks:
        menu = interpreter.state.menu
        if interpreter.state.over:
            return
        assert (
            len({offer.id for offer in menu})
            == len({offer.text for offer in menu})
            == len(menu)
            > 0
        )
        assert len(menu) <= interpreter.game.widest_menu
        chosen, saved = menu[pick % len(menu)].id, interpreter.save()
        text, after = interpreter.take(chosen), interpreter.save()
        interpreter.load(saved)
        assert (interpreter.take(chosen), interpreter.save()) == (text, after)


PICKS = st.lists(st.integers(0, 5), max_size=6)
HEAD, TAIL = (
    '*create x 1\n*create y "top"\n*label top\n',
    "\n*ending\n*label sub\n*params p\nSub ${p}.\n*return",
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(WELL_FORMED, PICKS)
def test_any_well_formed_script_plays_and_replays_or_stops_with_its_place(
    items: list[Item], picks: list[int]
) -> None:
    try:
        play_and_replay(HEAD + "\n".join(rendered(items)) + TAIL, picks)
    except DataError as error:
        assert re.match(r"scene 'startup', line \d+: \S", str(error))  # noqa: PT017 – most scripts are expected to play


@settings(max_examples=300, deadline=None)
@given(JUMBLED, PICKS)
def test_any_jumble_of_lines_is_one_clear_error_or_plays(
    rows: list[tuple[int, str]], picks: list[int]
) -> None:
    try:
        play_and_replay(
            HEAD + "\n".join("  " * indent + words for indent, words in rows) + TAIL, picks
        )
    except DataError as error:
        assert re.match(r"scene 'startup', line \d+: \S", str(error))  # noqa: PT017


@pytest.mark.parametrize(
    "line",
    [
        "${" + " + ".join(["1"] * 5000) + "}",
        "@{(true) " * 3000 + "a|b}" + "|b}" * 2999,
        "${" + "(" * 5000 + "1" + ")" * 5000 + "}",
        '*set y "' + "${x}" * 20000 + '"',
    ],
    ids=["sum", "multireplace", "parentheses", "substitutions"],
)
def test_a_line_of_monstrous_length_is_played_or_refused(play: Play, line: str) -> None:
    try:
        play(f"*create x 1\n*create y 1\n{line}")
    except DataError as error:
        assert str(error).startswith("scene 'startup', line 3: ")  # noqa: PT017
