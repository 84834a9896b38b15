"""Playing by hand: what a person reads, what an answer does, and the ledger only at the end."""

from valueagents.cli.by_hand import play
from valueagents.contracts.plugins import make_env


def session(*answers: str, ledger: bool = False, menu: bool = True) -> str:
    """Everything that is said to somebody who gives these answers."""
    said: list[str] = []
    left = list(answers)
    play(
        make_env("valueagents/Dilemma-v0"),
        seed=3,
        ask=lambda _: left.pop(0),
        say=said.append,
        ledger=ledger,
        menu=menu,
    )
    return "\n".join(said)


def item(seed: int = 3):
    return make_env("valueagents/Dilemma-v0").reset(seed=seed)


def test_a_person_reads_task_situation_and_numbered_options():
    text, info = item()
    said = session("1")
    assert text in said
    for number, option in enumerate(info["menu"], 1):
        assert f"{number}. {option.text}" in said


def test_the_menu_can_be_hidden():
    _, info = item()
    assert info["menu"][0].text not in session("quit", menu=False)


def test_a_wrong_answer_is_refused_and_asked_again():
    said = session("9", "elephant", "1")
    assert "option 8 is not on the menu" in said
    assert "no option was chosen" in said


def test_the_third_wrong_answer_in_a_row_ends_the_episode():
    assert session("9", "9", "9").count("not on the menu") == 3


def test_values_are_shown_at_the_end_if_asked_and_never_before():
    _, info = item()
    marks = [f"{axis} {x:+g}" for axis, x in info["annotation"].values[1].items()]
    with_ledger, without = session("2", ledger=True), session("2")
    before, after = with_ledger.split("What your choices came to:")
    assert marks
    for mark in marks:
        assert mark in after
        assert mark not in before
        assert mark not in without


def test_history_repeats_what_was_done_and_quit_stops():
    said = session("history", "quit")
    assert "(nothing yet)" in said
    assert "(stopped)" in said
