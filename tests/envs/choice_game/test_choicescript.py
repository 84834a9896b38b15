"""The interpreter: every command by what the player reads, a walkthrough, one clear error for each
kind of mistake.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from valueagents.envs.choice_game.game import Game, read_folder
from valueagents.envs.choice_game.interpreter import MAX_CALLS, MAX_LINES, Interpreter
from valueagents.errors import ConfigError, DataError

Play = Callable[..., list[str]]
MakeGame = Callable[..., Game]


@pytest.mark.parametrize(
    ("script", "read"),
    [
        ("One\ntwo.\n\nThree.", "One two.\n\nThree."),
        ("One\n*line_break\ntwo", "One\ntwo"),
        ("*create x 3\n*set x +2\n*set x * 2\n${x}", "10"),
        ('*create a "b"\n*create b 1\n*set {a} 5\n${b} ${{a}}', "5 5"),
        ('*create a "x"\n*set a &"y"\n${a}', "xy"),
        ("*create x 50\n*set x %+ 20\n*set x %- 50\n${x}", "30"),
        ("*create x 1\n*temp x 2\n${x}", "2"),
        ("*temp x\n*set x 4\n${x}", "4"),
        ("*create x 5\n*if x > 6\n  A\n*elseif x > 4\n  B\n*else\n  C\nD", "B D"),
        ("*create x 1\n*if x > 6\n  A\n*elseif x > 4\n  B\n*else\n  C\nD", "C D"),
        ("*create x 9\n*if x > 6\n  A\n  *if x > 8\n    AA\n*elseif x > 4\n  B\nD", "A AA D"),
        ("*create x 9\n*if (x > 9)\n  A\nD", "D"),
        ("*goto b\nA\n*label b\nB", "B"),
        ('*create l "b"\n*goto {l}\nA\n*label b\nB', "B"),
        (
            (
                '*gosub s "hi" 2\nb\n*ending\n*label s\n*params a b\n${a}${b} ${param_1}'
                " ${param_count}\n*return"
            ),
            "hi2 hi 2 b",
        ),
        ("*gosub_scene two\nback\n*goto_scene two end", "sub back end"),
        ("*comment hidden\n    *comment wherever\nseen", "seen"),
        ("*print 2 + 3", "5"),
        ("*stat_chart\n  percent x X\nafter", "after"),
        ("***\nA *starred* word", "*** A *starred* word"),
        ("*create x 0\n*rand x 3 3\n${x}", "3"),
        (
            (
                "*achievement a visible 5 Title\n  d\n*achieve a\n*achieve"
                " a\n*check_achievements\n${choice_achieved_a}"
            ),
            "true",
        ),
    ],
)
def test_a_script_reads_as_it_should(play: Play, script: str, read: str) -> None:
    assert play(script, two="sub\n*return\n*label end\nend\n*ending") == [read]


def menus(game: Game, *choices: str) -> list[list[str]]:
    interpreter = Interpreter(game)
    interpreter.start(1)
    seen = [[offer.text for offer in interpreter.state.menu]]
    for choice in choices:
        interpreter.take(next(offer.id for offer in interpreter.state.menu if offer.text == choice))
        seen.append([offer.text for offer in interpreter.state.menu])
    return seen


@pytest.mark.parametrize(
    ("options", "offered"),
    [
        ("  #A\n    *ending\n  #B\n    *ending", ["A", "B"]),
        ("  *if (x = 1) #A\n    *ending\n  *if (x = 2) #B\n    *ending", ["A"]),
        (
            (
                "  *if x = 2\n    #A\n      *ending\n  *elseif x = 1\n    #B\n      *ending\n "
                " *else\n    #C"
            ),
            ["B"],
        ),
        ("  *if (x = 1)\n    *if (x = 2)\n      #A\n        *ending\n    #B\n      *ending", ["B"]),
        ('  *if ((t#1) = "#") #A\n    *ending\n  #B # C\n    *ending', ["A", "B # C"]),
        ("  *selectable_if (x = 2) #A\n    *ending\n  #B\n    *ending", ["B"]),
        ("  #Same\n    *ending\n  #Same\n    *ending", ["Same", "Same (2)"]),
        (
            (
                "  *hide_reuse *if (x = 1) #A\n    *ending\n  *if (x = 1) *disable_reuse #B\n   "
                " *ending"
            ),
            ["A", "B"],
        ),
        ("\n  #A ${x}\n\n    *ending\n\n  #B\n    *ending", ["A 1", "B"]),
    ],
)
def test_a_menu_offers_what_its_conditions_allow(
    make_game: MakeGame, options: str, offered: list[str]
) -> None:
    game = make_game(f'*create x 1\n*create t "#1"\n*choice\n{options}')
    assert menus(game) == [offered]
    assert game.widest_menu >= len(offered)


def test_used_options_are_hidden_or_barred_until_the_scene_is_left(make_game: MakeGame) -> None:
    script = (
        "*label top\n*choice\n  *hide_reuse #A\n    *goto top\n"
        "  *disable_reuse #B\n    *goto top\n  #C\n    *goto_scene startup"
    )
    assert menus(make_game(script), "A", "B", "C") == [
        ["A", "B", "C"],
        ["B", "C"],
        ["C"],
        ["A", "B", "C"],
    ]


def test_reuse_can_be_set_for_a_whole_scene(make_game: MakeGame) -> None:
    script = (
        "*hide_reuse\n*label top\n*choice\n  #A\n    *goto top\n  *allow_reuse #B\n    *goto top"
    )
    assert menus(make_game(script), "A", "B") == [["A", "B"], ["B"], ["B"]]


def test_what_cannot_be_taken_can_still_be_read(play: Play) -> None:
    (text,) = play(
        "Well?\n*choice\n  *selectable_if (1 = 2) #Fly\n    *ending\n  #Walk\n    *ending"
    )
    assert text == "Well?\n\n(Not possible now: Fly)"


def test_a_fake_choice_goes_on_whatever_is_taken(play: Play) -> None:
    script = "*fake_choice\n  #A\n    a.\n  #B\nThen."
    assert play(script, "A") == ["", "a. Then."]
    assert play(script, "B") == ["", "Then."]


def test_implicit_control_flow_lets_a_choice_go_on(play: Play) -> None:
    assert (
        play("*create implicit_control_flow true\n*choice\n  #A\n    a.\nThen.", "A")[-1]
        == "a. Then."
    )


def test_a_choice_of_several_groups_is_one_menu_of_their_combinations(make_game: MakeGame) -> None:
    script = (
        "*choice who how\n  #He\n    #runs\n      *ending\n    #walks\n      *ending\n  #She\n   "
        " #flies\n      *ending"
    )
    assert menus(make_game(script)) == [["He – runs", "He – walks", "She – flies"]]


def test_questions_have_a_few_fixed_answers(make_game: MakeGame) -> None:
    script = "*create n 0\n*create t 0\n*input_number n 1 10\n*input_text t\n*page_break\n${n} ${t}"
    assert menus(make_game(script), "5", "Sam") == [
        ["1", "5", "10"],
        ["Alex", "Robin", "Sam"],
        ["Next"],
    ]


def test_finish_leads_to_the_next_scene_and_the_last_one_ends(make_game: MakeGame) -> None:
    game = make_game("*scene_list\n  startup\n  two\n*temp t 1\nHello.\n*finish On!", two="Bye.")
    interpreter = Interpreter(game)
    assert interpreter.start(0) == "Hello."
    assert [offer.text for offer in interpreter.state.menu] == ["On!"]
    assert interpreter.take(interpreter.state.menu[0].id) == "Bye."
    assert interpreter.state.over


def test_temporary_variables_end_with_their_scene_and_come_back_after_a_gosub_scene(
    play: Play,
) -> None:
    sub = "*temp t 2\n${t}\n*return"
    assert play("*temp t 1\n*gosub_scene two\n${t}", two=sub) == ["2 1"]
    with pytest.raises(DataError, match="scene 'two', line 1: unknown variable 't'"):
        play("*temp t 1\n*goto_scene two", two="${t}")


def test_random_numbers_depend_on_the_seed_alone_and_fill_their_range(play: Play) -> None:
    script = "*create x 0\n*rand x 1 6\n${x}"
    rolls = [int(play(script, seed=seed)[0]) for seed in range(600)]
    assert set(rolls) == {1, 2, 3, 4, 5, 6}
    assert all(60 <= rolls.count(face) <= 140 for face in range(1, 7))
    assert rolls == [int(play(script, seed=seed)[0]) for seed in range(600)]
    parts = [float(play("*create x 0\n*rand x 0 0.5\n${x}", seed=seed)[0]) for seed in range(50)]
    assert all(0 <= part <= 0.5 for part in parts)
    assert len(set(parts)) == 50


def test_the_ferry_is_walked_from_end_to_end(ferry: str) -> None:
    interpreter = Interpreter(read_folder(Path(ferry)))
    read = [interpreter.start(3)]
    for choice in ("Robin", "Give a coin to the old man.", "Ask the old man for a word.", "Steal a coin from his hat.",
                   "Board the ferry.", "To the river", "Hold on", "Bail water.", "Port – standing", "9"):  # fmt: skip
        read.append(
            interpreter.take(
                next(offer.id for offer in interpreter.state.menu if offer.text == choice)
            )
        )
    assert (
        read[1]
        == "Good morning, Robin.\n\nYou have 3 coins, and feel shy.\n\n(Not possible now: Buy the"
        " horn.)"
    )
    assert read[3].startswith('"The salt first," he says, "then the ROPE."')
    assert "You have 3 coins, and feel bold." in read[4]
    assert read[7].endswith("feet. You brace with the left hand, 2 times. 2 ropes.")
    assert read[9] == "You note the port side. The island. How far do you walk?"
    assert read[10] == "All the way round. You think of the old man."
    assert interpreter.state.over
    assert interpreter.state.achieved == ["kind", "landfall"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "A\n*goto nowhere\n*label nowhen",
            "scene 'startup', line 2: unknown label of 'startup' 'nowhere'",
        ),
        ("A\n  B", "scene 'startup', line 2: indented by 2 where 0 is expected"),
        ("*if true\n    A\n  B", "scene 'startup', line 3: indented by 2"),
        ("*if true\nA", "scene 'startup', line 1: nothing is indented under"),
        ("A\n\nHi ${name", "scene 'startup', line 3: a brace is not closed"),
        ("*goto_scene there", "scene 'startup', line 1: unknown scene 'there'"),
        (
            "*scene_list\n  startup\n  two\n  tow",
            "scene 'startup', line 4: unknown scene 'tow'. Did you mean 'two'",
        ),
        ("A\n*dance", "scene 'startup', line 2: unknown command '*dance'"),
        (
            "*chioce\n  #A",
            "scene 'startup', line 1: unknown command '*chioce'. Did you mean '*choice'",
        ),
        (
            "*label a\n*label a",
            "scene 'startup', line 2: the label 'a' is there twice, first on line 1",
        ),
        ("A\n#B", "scene 'startup', line 2: an option stands outside"),
        ("*choice\n  A", "scene 'startup', line 2: 'A' stands where an option should"),
        (
            "*choice\n  #A\n  *comment value: BEC +1\n",
            "scene 'startup', line 3: …indent it under its option",
        ),
        ("*choice\n  #A\n    *ending\n    #B", "scene 'startup', line 4: an option stands outside"),
        (
            "*choice\n    #A\n      *ending\n  #B\n    *ending",
            "scene 'startup', line 4: indented by 2",
        ),
        ("*else\n  A", "scene 'startup', line 1: *else has no *if"),
        ("*set x", "scene 'startup', line 1: in the expression 'x': a value should stand"),
        ("*set 3 x", "scene 'startup', line 1: …the name of a variable"),
        ("*create x", "scene 'startup', line 1: *create x gives no value"),
        ("*if true\n  A\n*if false\n\tB", "scene 'startup', line 4: tabs and spaces"),
        ("*if true\n  A\n*else if\n  B", "scene 'startup', line 3: nothing may follow *else"),
        ("*achievement a visible Title", "scene 'startup', line 1: *achievement wants"),
        ("\n".join(" " * depth + "*if true" for depth in range(99)), "blocks nest deeper"),
    ],
)
def test_a_malformed_script_is_one_clear_error_before_it_is_played(
    make_game: MakeGame, script: str, said: str
) -> None:
    with pytest.raises(DataError) as error:
        make_game(script, two="A")
    for part in said.split("…"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("*label a\n*goto a", f"scene 'startup', line [12]: {MAX_LINES} lines ran without"),
        ("*label a\n*gosub a", f"scene 'startup', line 2: {MAX_CALLS} .*recurses"),
        ("*label a\nHo.\n*goto a", f"{MAX_LINES} lines ran"),
        ("*goto_scene two", "scene 'two', line 1: .*recurses"),
        ("A\n*return", "line 2: .*no \\*gosub came here"),
        ("A\n${b}", "line 2: unknown variable 'b'"),
        ("*set b 2", "line 1: unknown variable 'b'"),
        ("*temp b\n${b}", "line 2: the variable 'b' has no value yet"),
        ('*create l "x"\n*goto {l}', "line 2: unknown label"),
        ('*create l "x"\n*goto_scene {l}', "line 2: unknown scene"),
        ("*choice\n  *if (1 = 2) #A\n    *ending", "line 1: no option of this choice can be taken"),
        (
            "*gosub a 1\n*ending\n*label a\n*params b c",
            "line 4: .*names 2 arguments, and 1 were given",
        ),
        ("*achieve glory", "line 1: unknown achievement 'glory'"),
        ("*create x 0\n*rand x 6 1", "line 2: the lowest number 6 is above"),
        ("*bug odd", "line 1: the script says .*odd"),
        ("*create x 2\n*set x x ^ 9999", "line 2: .*not a finite number"),
    ],
)
def test_a_script_that_goes_wrong_in_play_is_one_clear_error(
    play: Play, script: str, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        play(script, two="*gosub_scene two")


def test_a_return_does_not_reach_back_over_the_end_of_a_scene(play: Play) -> None:
    script = "*scene_list\n  startup\n  two\n*gosub s\n*ending\n*label s\n*finish"
    with pytest.raises(DataError, match=r"scene 'two', line 1: \*return, but no \*gosub came here"):
        play(script, "Next chapter", two="*return")


def test_an_option_whose_lines_lead_nowhere_is_named(play: Play) -> None:
    with pytest.raises(
        DataError,
        match="scene 'startup', line 2: the lines of this option end without leading anywhere",
    ):
        play("*choice\n  #A\n    a\n  #B\n    *ending", "A")


def test_points_of_thousands_of_digits_are_named_with_their_line(tmp_path: Path) -> None:
    points = "9" * 5000
    (tmp_path / "startup.txt").write_text(f"Text.\n*achievement x visible {points} Title\n")
    with pytest.raises(DataError, match=r"scene 'startup', line 2: \*achievement wants"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (b"caf\xe9.txt", b"Text.", r"'caf\\udce9\.txt' has characters"),
        (b"town.txt", b" \n", r"town\.txt is empty"),
        (b"town.txt", b"Text.\n\xff", r"town\.txt, line 2: not UTF-8"),
    ],
)
def test_a_scene_that_cannot_be_read_is_named(
    tmp_path: Path, name: bytes, content: bytes, said: str
) -> None:
    (tmp_path / "startup.txt").write_text("Text.\n")
    with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
        file.write(content)
    with pytest.raises(DataError, match=said):
        read_folder(tmp_path)


def test_a_folder_that_is_no_game_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no startup\.txt"):
        read_folder(tmp_path)
    (tmp_path / "startup.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"startup\.txt, line 1: not UTF-8"):
        read_folder(tmp_path)


def test_a_scene_changed_on_disk_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "startup.txt").write_text("One.", encoding="utf-8")
    first = read_folder(tmp_path)
    (tmp_path / "startup.txt").write_text("Another.", encoding="utf-8")
    assert Interpreter(read_folder(tmp_path)).start(0) == "Another."
    assert read_folder(tmp_path).content != first.content


def test_a_text_that_doubles_in_a_loop_is_stopped(play: Play) -> None:
    with pytest.raises(DataError, match="scene 'startup', line 3: a text of 16384 characters"):
        play('*create y "a"\n*label top\n*set y &y\n*goto top')


def test_an_option_without_text_is_refused(play: Play) -> None:
    with pytest.raises(DataError, match="the option on line 3 has no text"):
        play('*create y ""\n*choice\n  #${y}\n    *ending')
