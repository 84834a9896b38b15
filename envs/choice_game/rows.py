"""What each command does whose indented lines are data: a function from scene, place and words."""

import re
from collections.abc import Callable

from valueagents.envs.choice_game.expressions import Expression, compiled
from valueagents.envs.choice_game.lines import Line
from valueagents.envs.choice_game.scene import Achievement, Scene
from valueagents.envs.choice_game.statements import Act, GameInPlay, located, nothing
from valueagents.envs.choice_game.templates import template
from valueagents.envs.choice_game.values import ScriptError, truth

RowsMaker = Callable[[Scene, int, str], Act]

_ACHIEVEMENT = re.compile(r"([a-zA-Z]\w*)\s+(visible|hidden)\s+(\d{1,9})\s+(.+)")
_PAID = re.compile(r"\$\w*\s+(.*)")
_CHART_ROW = re.compile(r"(text|percent|opposed_pair)\s+(.+)")
_SCENE_ROW = re.compile(r"(?:\*if\s+(?P<condition>\(.*\))\s+)?(?P<scene>[^*\s].*)")
_MET = "choice_grs"
"""The variable in which *goto_random_scene keeps the scenes that it has chosen, a line each."""


def rows_of(scene: Scene, at: int) -> list[Line]:
    """The lines that are indented under a line, blank ones left out."""
    return [line for line in scene.lines[at + 1 : scene.block_end(at)] if line.text]


def listed_scenes(scene: Scene) -> list[tuple[int, str]]:
    """Line and name, in lower case, of each row of the *scene_list of the scene startup."""
    for at in range(scene.top):
        if scene.lines[at].command[0] == "scene_list":
            return [(row.number, _scene_name(row)) for row in rows_of(scene, at)]
    return []


def scene_list(scene: Scene) -> list[str]:
    """The names in it, `startup` first; empty if there is none."""
    names = [name for _, name in listed_scenes(scene)]
    return names if names[:1] in ([], [scene.name]) else [scene.name, *names]


def _scene_name(row: Line) -> str:
    words = row.text.strip()
    paid = _PAID.fullmatch(words)
    return (paid[1] if paid else words).lower()


def achievements(scene: Scene) -> dict[str, Achievement]:
    """What the *achievement lines at the top of the scene startup declare, by name."""
    found = {}
    for at in range(scene.top):
        command, words = scene.lines[at].command
        match = _ACHIEVEMENT.fullmatch(words) if command == "achievement" else None
        if match is not None:
            found[match[1].lower()] = Achievement(int(match[3]), match[4], match[2] == "visible")
    return found


def _scene_list(scene: Scene, at: int, words: str) -> Act:
    if not rows_of(scene, at):
        raise ScriptError("*scene_list has no scenes: nothing is indented under it")
    return nothing


def _achievement(scene: Scene, at: int, words: str) -> Act:
    if _ACHIEVEMENT.fullmatch(words) is None:
        raise ScriptError(
            f"*achievement wants a name, visible or hidden, points and a title, not {words[:80]!r}"
        )
    return nothing


def _stat_chart(scene: Scene, at: int, words: str) -> Act:
    """The chart is not shown, but its variables must be there."""
    rows = rows_of(scene, at)
    if not rows:
        after = scene.number(scene.filled_at(at + 1))
        raise ScriptError("*stat_chart has no rows: nothing is indented under it", after)
    read: list[Expression] = []
    for row in rows:
        if row.indent > rows[0].indent:
            read.append(located(template(row.text), row.number))
            continue
        match = _CHART_ROW.fullmatch(row.text.strip())
        if match is None:
            raise ScriptError(
                f"a row of a chart begins with text, percent or opposed_pair, not {row.text!r}",
                row.number,
            )
        variable = _chart_variable(match[2])
        read.append(located(compiled(variable), row.number))

    def act(machine: GameInPlay) -> None:
        for each in read:
            each(machine.read)

    return act


def _chart_variable(words: str) -> str:
    """The variable of a row, or the expression in parentheses; its label follows."""
    if not words.startswith("("):
        return words.split()[0]
    depth = 0
    for place, character in enumerate(words):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return words[: place + 1]
    raise ScriptError(f"a parenthesis is not closed in {words!r}")


def _restore_game(scene: Scene, at: int, words: str) -> Act:
    """Nothing was saved: the script goes on as after "Cancel"."""
    for row in rows_of(scene, at):
        if len(row.text.split()) < 2:
            raise ScriptError("a row wants the name of a scene and a message", row.number)
    label = words.removeprefix("cancel=").lower()
    if words and (label == words.lower() or not label):
        raise ScriptError(f"*restore_game knows cancel=LABEL, not {words[:60]!r}")
    return (lambda machine: machine.go(label)) if label else nothing


def _goto_random_scene(scene: Scene, at: int, words: str) -> Act:
    """One of the scenes that were not chosen before, all alike likely."""
    again, none_is_fine = "allow_reuse" in words.split(), "allow_no_selection" in words.split()
    choices = [_random_row(row, again) for row in rows_of(scene, at)]
    if not choices:
        raise ScriptError("*goto_random_scene has no scenes: nothing is indented under it")

    def act(machine: GameInPlay) -> None:
        variables = machine.state.variables
        met = str(variables.get(_MET, "")).splitlines()
        left = [
            (name, reused)
            for name, reused, condition in choices
            if (reused or name not in met) and (condition is None or truth(condition(machine.read)))
        ]
        if not left:
            if none_is_fine:
                return
            raise ScriptError("*goto_random_scene has no scene left to choose")
        name, reused = left[machine.state.roll(len(left))]
        if not reused:
            variables[_MET] = "\n".join([*met, name])
        machine.state.calls.clear()
        machine.enter(name.lower(), None, [])

    return act


def _random_row(row: Line, again: bool) -> tuple[str, bool, Expression | None]:
    words = row.text.strip()
    while words.startswith("*allow_reuse"):
        words, again = words.removeprefix("*allow_reuse").strip(), True
    match = _SCENE_ROW.fullmatch(words)
    if match is None:
        raise ScriptError(f"{words!r} stands where a scene should", row.number)
    condition = match["condition"]
    return match["scene"], again, located(compiled(condition), row.number) if condition else None


ROWS: dict[str, RowsMaker] = {
    "scene_list": _scene_list,
    "achievement": _achievement,
    "stat_chart": _stat_chart,
    "restore_game": _restore_game,
    "goto_random_scene": _goto_random_scene,
}
