"""Rules on a game's variables: a finished game is annotated without a word of it being changed; and
the list of variables that they are written from.
"""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from valueagents.contracts.conformance import check_value_env
from valueagents.envs.choice_game.env import ChoiceScriptEnv
from valueagents.envs.choice_game.game import read_folder
from valueagents.envs.choice_game.variable_changes import variable_changes
from valueagents.envs.choice_game.variables_command import variables
from valueagents.errors import ConfigError, DataError
from valueagents.running.rollout import env_identity

GAME = """*create ruthless 10
*create trust_ada 50
*create trust_ben 50
*create dead false
*create mood "calm"
*label top
You sit in court.
*choice
  #Have him hanged.
    *set ruthless %+ 30
    *set trust_ada %- 40
    *set trust_ben %- 4
    *set dead true
    *set mood "grim"
    *goto_scene market
  #Smile, then frown.
    *set ruthless +5
    *set ruthless -5
    *goto_scene market
"""
MARKET = """The market.
*choice
  #Shout.
    *set ruthless +1
    *goto_scene startup top
  #Roll.
    *rand ruthless 20 60
    *goto_scene startup top
"""
HEADER = 'format = "valueagents-variables"\nversion = 1\ntaxonomy = "schwartz20"\nprovenance = "a test"\n'


@pytest.fixture
def game(tmp_path: Path) -> Path:
    (tmp_path / "startup.txt").write_text(GAME, encoding="utf-8")
    (tmp_path / "market.txt").write_text(MARKET, encoding="utf-8")
    return tmp_path


def ruled(game: Path, *rules: str) -> str:
    text = HEADER + "".join(f"[[rule]]\n{rule}\n" for rule in rules)
    (game / "variables.toml").write_text(text, encoding="utf-8")
    return str(game)


@pytest.mark.parametrize(
    ("rule", "hanged", "smiled"),
    [
        ('variable = "ruthless"\nrises = true\nvalues = {POD = 1}', {"POD": 1}, {}),
        ('variable = "ruthless"\nrises = 27\nvalues = {POD = 1}', {"POD": 1}, {}),
        ('variable = "ruthless"\nrises = 28\nvalues = {POD = 1}', {}, {}),
        ('variable = "ruthless"\nfalls = true\nvalues = {POD = -1}', {}, {}),
        ('variable = "RUTHLESS"\nabove = 30\nvalues = {POD = 0.5}', {"POD": 0.5}, {}),
        ('variable = "ruthless"\nabove = 5\nvalues = {POD = 1}', {}, {}),
        ('variable = "trust_ada"\nbelow = 50\nvalues = {BED = -1}', {"BED": -1}, {}),
        ('variable = "trust_.*"\nfalls = 10\nvalues = {BED = -0.5}', {"BED": -0.5}, {}),
        ('variable = "trust_.*"\nfalls = true\nvalues = {BED = -0.25}', {"BED": -0.5}, {}),
        ('variable = "dead"\nbecomes = true\nvalues = {UNC = -1}', {"UNC": -1}, {}),
        ('variable = "mood"\nbecomes = "grim"\nvalues = {HED = -1}', {"HED": -1}, {}),
        ('variable = "ruthless"\nbecomes = 37\nvalues = {POD = 1}', {"POD": 1}, {}),
        ('variable = "mood"\nrises = true\nvalues = {HED = -1}', {}, {}),
        ('variable = "ruthless"\nrises = true\nscene = "mark.*"\nvalues = {POD = 1}', {}, {}),
        (
            'variable = "ruthless"\nrises = true\nscene = "startup"\nvalues = {POD = 1}',
            {"POD": 1},
            {},
        ),
    ],
)
def test_a_rule_says_what_a_change_does_to_the_values(
    game: Path, rule: str, hanged: dict[str, float], smiled: dict[str, float]
) -> None:
    env = ChoiceScriptEnv(game=ruled(game, rule))
    _, info = env.reset(seed=1)
    assert info["annotation"].values == (hanged, smiled)
    *_, info = env.step(0)
    assert sum(event.amount for event in info["events"]) == sum(hanged.values())


def test_an_event_names_the_variable_and_its_two_values(game: Path) -> None:
    env = ChoiceScriptEnv(
        game=ruled(game, 'variable = "ruthless"\nrises = true\nvalues = {POD = 1}')
    )
    env.reset(seed=1)
    *_, info = env.step(0)
    assert [event.source for event in info["events"]] == ["ruthless: 10 → 37"]
    assert info["annotation"].provenance == "a test"
    assert info["annotation"].values[0] == {"POD": 1}
    assert 0 < info["annotation"].values[1]["POD"] < 1  # the mean over the rolls


def test_rules_stand_beside_comments_and_line_files(game: Path) -> None:
    folder = ruled(game, 'variable = "ruthless"\nrises = true\nvalues = {POD = 0.5}')
    (game / "market.txt").write_text(
        MARKET.replace("#Shout.\n", "#Shout.\n    *comment value: HUM -1\n"), encoding="utf-8"
    )
    env = ChoiceScriptEnv(game=folder)
    env.reset(seed=1)
    *_, info = env.step(1)
    assert info["annotation"].values[0] == {"POD": 0.5, "HUM": -1}
    assert info["annotation"].provenance == "comments in the script; a test"
    (game / "market.txt").write_text(MARKET, encoding="utf-8")
    (game / "annotations.toml").write_text(
        'format = "valueagents-lines"\nversion = 1\ntaxonomy = "jiminy"\nprovenance = "b"\n[events]\n'
    )
    with pytest.raises(DataError, match="rules on variables are on schwartz20/1"):
        ChoiceScriptEnv(game=folder)


def test_the_env_with_rules_keeps_every_promise(game: Path) -> None:
    folder = ruled(game, 'variable = "ruthless"\nrises = true\nvalues = {POD = 1}')
    checks = check_value_env(lambda: ChoiceScriptEnv(game=folder))
    assert [check for check in checks if check.problem] == []


def test_the_identity_follows_the_rules(game: Path) -> None:
    identities = {
        env_identity("x", ChoiceScriptEnv(game=ruled(game, rule)))["content"]
        for rule in (
            'variable = "ruthless"\nrises = true\nvalues = {POD = 1}',
            'variable = "ruthless"\nrises = 2\nvalues = {POD = 1}',
        )
    }
    (game / "variables.toml").unlink()
    identities.add(env_identity("x", ChoiceScriptEnv(game=str(game)))["content"])
    assert len(identities) == 3


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            'variable = "ruthles"\nrises = true\nvalues = {POD = 1}',
            "unknown variable 'ruthles'. Did you mean 'ruthless'",
        ),
        ('variable = "ruthless"\nvalues = {POD = 1}', "rule 1: it names no condition"),
        ('variable = "ruthless"\nrises = false\nvalues = {POD = 1}', "rises = false"),
        ('variable = "ruthless"\nfalls = -3\nvalues = {POD = 1}', "falls = -3"),
        ('variable = "ruthless"\nrises = true\nvalues = {PODD = 1}', "unknown axis"),
        ('variable = "(ruth"\nrises = true\nvalues = {POD = 1}', "not a regular expression"),
        (
            'variable = "ruthless"\nrises = true\nscene = "mark"\nvalues = {POD = 1}',
            "unknown scene 'mark'",
        ),
        ('variable = "ruthless"\nraises = true\nvalues = {POD = 1}', "unknown field `raises`"),
    ],
)
def test_a_rule_that_is_wrong_is_named(game: Path, rule: str, said: str) -> None:
    with pytest.raises(DataError, match=r"^variables\.toml") as error:
        ChoiceScriptEnv(game=ruled(game, rule))
    assert said in str(error.value)


def test_a_file_of_rules_that_is_not_there_is_named(game: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file of rules"):
        ChoiceScriptEnv(game=str(game), variables=str(game / "none.toml"))


def test_the_list_of_variables_tells_how_often_each_changes_and_where(game: Path) -> None:
    found = variable_changes(read_folder(game), episodes=4, seed=1, max_steps=30)
    by_name = {each.variable: each for each in found.variables}
    assert set(by_name) == {"ruthless", "trust_ada", "trust_ben", "dead", "mood"}
    ruthless = by_name["ruthless"]
    assert ruthless.first == "10"
    assert ruthless.episodes == 4
    assert ruthless.changes == sum(ruthless.places.values()) >= ruthless.rises + ruthless.falls
    assert {"startup:10", "startup:17", "startup:18", "market:4", "market:7"} == set(
        ruthless.places
    )
    assert (by_name["dead"].changes, by_name["dead"].places) == (4, {"startup:13": 4})
    assert (by_name["dead"].lowest, by_name["dead"].rises) == (None, 0)
    assert found.variables[0].variable == "ruthless"
    assert found == variable_changes(read_folder(game), episodes=4, seed=1, max_steps=30)


def test_an_episode_that_comes_to_a_mistake_is_counted(game: Path) -> None:
    (game / "market.txt").write_text("*nonsense\n")
    found = variable_changes(read_folder(game), episodes=3, seed=1, max_steps=30)
    assert [*found.stopped.values()] == [3]
    assert next(iter(found.stopped)).startswith("scene 'market', line 1: unknown command")


def test_the_command_prints_the_list(game: Path) -> None:
    app = typer.Typer()
    app.command()(variables)
    asked = ["--env-option", f"game={game}", "--episodes", "2"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert "ruthless" in done.output
    assert "market:4" in done.output
    assert '"variable": "ruthless"' in CliRunner().invoke(app, [*asked, "--json"]).output
