"""The interpreter: every command by what the player reads, a walkthrough, one clear error for each
kind of mistake.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from valueagents.envs.choice_game.game import Game, read_folder
from valueagents.envs.choice_game.interpreter import MAX_CALLS, MAX_FOLDED, MAX_LINES, Interpreter
from valueagents.envs.choice_game.mistakes import find_mistakes
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
        ("*create x 1\n*stat_chart\n  percent x X\nafter", "after"),
        ("Half-\nway, [i]well[/i]—\nknown. \nYes.", "Half-way, well—known. Yes."),
        ('*create t "[b]B[/b][n/]c"\n${t} ${length(t)}', "B\nc 13"),
        (
            "See\n*link http://example.org the page\nor [url=http://example.org]this[/url].",
            "See the page or this.",
        ),
        ("One.\n*page_break\nTwo.\n*finish\nThree.", "One.\n\nTwo."),
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
        ("  #A[n/]b [i]c[/i]\n    *ending\n  #${t}[n/]\n    *ending", ["A b c", "#1"]),
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
        [],
    ]


def test_ends_of_pages_and_scenes_are_passed_over_and_noted(make_game: MakeGame) -> None:
    game = make_game(
        "*scene_list\n  startup\n  two\nHello.\n*page_break\nWell.\n*finish On!", two="Bye."
    )
    interpreter = Interpreter(game)
    assert interpreter.start(0) == "Hello.\n\nWell.\n\nBye."
    assert interpreter.folded == ["startup:5", "startup:7"]
    assert interpreter.state.over


def test_at_most_fifty_pages_are_passed_over_in_a_row(make_game: MakeGame) -> None:
    pages = "".join(f"Page {k}.\n*page_break Turn {k}\n" for k in range(MAX_FOLDED + 2))
    interpreter = Interpreter(make_game(f"{pages}The end."))
    assert interpreter.start(0).endswith(f"Page {MAX_FOLDED}.")
    (offer,) = interpreter.state.menu
    assert offer.text == f"Turn {MAX_FOLDED}"
    assert interpreter.take(offer.id).endswith("The end.")
    interpreter = Interpreter(make_game("*label a\n*page_break\n*goto a"))
    interpreter.start(0)
    for _ in range(3):
        interpreter.take(interpreter.state.menu[0].id)
        assert len(interpreter.folded) == MAX_FOLDED


def test_a_choice_of_one_option_is_a_menu(make_game: MakeGame) -> None:
    assert menus(make_game("*choice\n  #Only\n    *ending")) == [["Only"]]


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
                   "Board the ferry.", "Bail water.", "Port – standing", "9"):  # fmt: skip
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
    assert read[5].endswith("feet. You brace with the left hand, 2 times. 2 ropes.")
    assert read[7] == "You note the port side. The island. How far do you walk?"
    assert read[8] == "All the way round. You think of the old man."
    assert interpreter.state.over
    assert interpreter.state.achieved == ["kind", "landfall"]


MISTAKES = [
    ("A\n*goto nowhere\n*label nowhen", 2, "unknown label of 'startup' 'nowhere'"),
    ("A\n  B", 2, "indented by 2, more than the line before it"),
    ("*if true\n    A\n  B", 3, "indented by 2, less than the block's first line"),
    ("*if false\nA", 2, "nothing is indented under"),
    ("A\n\nHi ${name", 3, "a brace is not closed"),
    ("*goto_scene there", 1, "unknown scene 'there'"),
    ("*scene_list\n  startup\n  two\n  tow", 4, "unknown scene 'tow'. Did you mean 'two'"),
    ("A\n*dance", 2, "unknown command '*dance'"),
    ("*chioce\n  #A", 1, "unknown command '*chioce'. Did you mean '*choice'"),
    ("*label a\n*label a", 2, "the label 'a' is there twice, first on line 1"),
    ("A\n#B", 2, "an option stands outside"),
    ("*choice\n  A", 2, "'A' stands where an option should"),
    ("*choice\n  #A\n    *ending\n    #B", 4, "an option stands outside"),
    ("*choice\n  *if (1 > ) #A\n    *ending\n  #B\n    *ending", 2, "a value should stand"),
    ("*else\n  A", 1, "*else has no *if"),
    ("*set x", 1, "in the expression 'x': a value should stand"),
    ('*set "x" 3', 1, "the name of a variable"),
    ("*set x 1", 1, "unknown variable 'x'"),
    ("*create x 1\n@{(y > 1) a|b}", 2, "unknown variable 'y'"),
    ("*create x", 1, "*create x wants a number, true, false or a text"),
    ("*create x 1\n*create X 2", 2, "the variable 'x' was created before, on line 1"),
    ("Hi.\n*create x 1", 2, "*create stands at the top of the scene 'startup' only"),
    ("*if true\n  A\n*if true\n\tB", 4, "tabs and spaces"),
    ("*if true\n\u00a0\u00a0A", 2, "white space that is neither space nor tab"),
    ("*if true\n  A\n*else if\n  B", 3, "nothing may follow *else"),
    ("*achievement a visible Title", 1, "*achievement wants"),
    (f"*achievement x visible {'9' * 5000} Title", 1, "*achievement wants"),
    ("*achieve glory", 1, "unknown achievement 'glory'"),
    ("*script alert(1)", 1, "runs JavaScript"),
    ("*restore_checkpoint", 1, "test player refuses it"),
]


@pytest.mark.parametrize(("script", "line", "said"), MISTAKES)
def test_a_mistake_is_found_without_playing(
    make_game: MakeGame, script: str, line: int, said: str
) -> None:
    found = [each for each in find_mistakes(make_game(script, two="A")) if said in each[1]]
    assert [place for place, _ in found] == [f"scene 'startup', line {line}"]
    assert "\n" not in found[0][1]


@pytest.mark.parametrize("script", [script for script, *_ in MISTAKES if "*goto" not in script])
def test_a_mistake_harms_nobody_who_does_not_come_there(make_game: MakeGame, script: str) -> None:
    game = make_game(
        "Hi.\n*choice\n  #Go\n    *ending\n  #Draft\n    *goto_scene draft", draft=script
    )
    interpreter = Interpreter(game)
    interpreter.start(0)
    interpreter.take("startup:3")
    assert interpreter.state.over


def test_deep_blocks_play(play: Play) -> None:
    depth = 200
    script = "\n".join(" " * k + "*if true" for k in range(depth)) + "\n" + " " * depth + "Deep."
    assert play(script) == ["Deep."]


def test_a_sound_game_has_no_mistakes(ferry: str) -> None:
    assert find_mistakes(read_folder(Path(ferry))) == []


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
        ("*choice\n  *if (1 = 2) #A\n    *ending\nA", "line 4: no option of the choice on line 1"),
        (
            "*gosub a 1\n*ending\n*label a\n*params b c",
            "line 4: .*names 2 arguments, and 1 were given",
        ),
        ("*achieve glory", "line 1: unknown achievement 'glory'"),
        ("*create x 0\n*rand x 6 1", "line 2: the lowest number 6 is above"),
        ("*bug odd", "line 1: the script says .*odd"),
        ("*create x 2\n*set x x ^ 9999\n*set x x - 1", "line 3: Infinity is not a finite number"),
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
        play(script, two="*return")


def test_an_option_whose_lines_lead_nowhere_is_named(play: Play) -> None:
    with pytest.raises(
        DataError,
        match="scene 'startup', line 4: the lines of the option above end without leading anywhere",
    ):
        play("*choice\n  #A\n    a\n  #B\n    *ending", "A")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (b"caf\xe9.txt", b"Text.", "'caf\\udce9.txt' has characters"),
        (b"town.txt", b"Text.\n\xff", "town.txt, line 2: not UTF-8"),
        (b"town.txt", b"", "town.txt is empty"),
    ],
)
def test_a_scene_that_cannot_be_read_cannot_be_entered(
    tmp_path: Path, name: bytes, content: bytes, said: str
) -> None:
    (tmp_path / "startup.txt").write_text("Text.\n*temp s 1\n*goto_scene town\n")
    with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
        file.write(content)
    game = read_folder(tmp_path)
    assert [problem for _, problem in find_mistakes(game) if said in problem]
    with pytest.raises(DataError, match=r"scene 'town', line 1: town\.txt|unknown scene 'town'"):
        Interpreter(game).start(0)


def test_an_empty_scene_is_an_empty_scene(play: Play) -> None:
    assert play("A.\n*goto_scene two", two="") == ["A."]


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
    with pytest.raises(DataError, match="scene 'startup', line 3: a text of 1048576 characters"):
        play('*create y "a"\n*label top\n*set y &y\n*goto top')


def test_an_option_without_text_can_be_named(play: Play) -> None:
    assert play('*create y ""\n*choice\n  #${y}\n    Yes.\n    *ending', "(no words)")[-1] == "Yes."
