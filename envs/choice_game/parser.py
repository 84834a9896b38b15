"""From a line of a scene to its instruction, when the line is first reached.

Nothing is raised here for what is wrong with a line: its instruction says so when it is run, and
`Scene.mistakes` holds it.
"""

from valueagents.envs.choice_game.commands import COMMANDS, REFUSED
from valueagents.envs.choice_game.expressions import Expression, Lookup, constant
from valueagents.envs.choice_game.menu_parser import branch_test, parse_menu
from valueagents.envs.choice_game.menus import offer_choice
from valueagents.envs.choice_game.rows import ROWS
from valueagents.envs.choice_game.scene import (
    CONDITIONS,
    DECLARING,
    MENUS,
    WITH_ROWS,
    Scene,
)
from valueagents.envs.choice_game.statements import (
    Act,
    GameInPlay,
    Instruction,
    located,
    nothing,
    raising,
)
from valueagents.envs.choice_game.templates import is_constant, template
from valueagents.envs.choice_game.values import ScriptError, Value, truth
from valueagents.errors import unknown_name

STARTUP = "startup"
_DASHES = ("-", "\u2011", "\u2012", "\u2013", "\u2014", "[c/]")
"""A line that ends so is joined to the next without a space."""


def instruction(scene: Scene, at: int) -> Instruction:
    """The instruction of the line at a place, kept in the scene."""
    made = scene.code[at]
    if made is None:
        made = scene.code[at] = _read(scene, at)
    return made


def _read(scene: Scene, at: int) -> Instruction:
    if at == len(scene.lines):
        last = scene.number(at - 1) if at else 1
        return Instruction(None, lambda machine: machine.finish("", last))
    line = scene.lines[at]
    if not line.text:
        return Instruction(None, _paragraph)
    command, rest = line.command
    if command == "comment" and line.values is None:
        return Instruction(None, nothing)
    try:
        act = _act(scene, at, command, rest)
    except ScriptError as error:
        scene.mistakes[error.line or line.number] = str(error)
        act = raising(str(error), error.line)
    return Instruction((scene.name, line.number), act)


def _paragraph(machine: GameInPlay) -> None:
    machine.say("\n\n")


def _act(scene: Scene, at: int, command: str, rest: str) -> Act:
    """What a line does. Raises ScriptError for one that is wrong."""
    line = scene.lines[at]
    if line.fault:
        raise ScriptError(line.fault)
    if at in scene.rows:
        return _row(scene, at)
    if at in scene.too_deep:
        raise ScriptError(
            f"indented by {line.indent}, more than the line before it, which opens no block"
        )
    if line.text.startswith("#"):
        raise ScriptError("an option stands outside a *choice")
    if not command:
        return _prose(line.text)
    if command in DECLARING and command not in ("comment", "bug"):
        _check_top(scene, at, command, rest)
    if command == "if":
        return _conditional(scene, at)
    if command in CONDITIONS:
        return _after_branch(scene, at)
    if command in MENUS:
        return offer_choice(parse_menu(scene, at), scene.name, line.number)
    if command in ROWS:
        act = ROWS[command](scene, at, rest)
        return _past(act, scene.block_end(at))
    if command in REFUSED:
        raise ScriptError(f"*{command} {REFUSED[command]}")
    if command not in COMMANDS:
        known = [f"*{name}" for name in (*COMMANDS, *CONDITIONS, *MENUS, *WITH_ROWS)]
        remedy = "If the line is prose, do not begin it with a star; italics are [i]…[/i]."
        raise ScriptError(unknown_name("command", f"*{command}", known, remedy=remedy))
    act, target = COMMANDS[command](line.number, rest)
    if target is not None:
        scene.targets[line.number] = target
    return act


def _prose(text: str) -> Act:
    if is_constant(text):
        line = _joinable(text)
        return lambda machine: machine.say(line)
    said = template(text)
    return lambda machine: machine.say(_joinable(said(machine.read)))


def _joinable(line: str) -> str:
    return line if line.endswith(_DASHES) else line + " "


def _past(act: Act, end: int) -> Act:
    """The act of a command with rows, which are passed over."""

    def passing(machine: GameInPlay) -> None:
        machine.state.at = end
        act(machine)

    return passing


def _check_top(scene: Scene, at: int, command: str, rest: str) -> None:
    if scene.name != STARTUP or at >= scene.top:
        raise ScriptError(f"*{command} stands at the top of the scene {STARTUP!r} only")
    name = rest.split()[0].lower() if rest else ""
    for earlier in range(at) if command == "create" else ():
        before, words = scene.lines[earlier].command
        if before == "create" and words.split()[:1] and words.split()[0].lower() == name:
            first = scene.lines[earlier].number
            raise ScriptError(f"the variable {name!r} was created before, on line {first}")


# Conditions


def _conditional(scene: Scene, at: int) -> Act:
    """*if with its *elseif and *else: the first branch whose condition is true, or none."""
    branches: list[tuple[tuple[str, int], Expression, int]] = []
    otherwise: Act = nothing
    branch: int | None = at
    while branch is not None:
        line = scene.lines[branch]
        condition = _condition(scene, branch)
        branches.append(((scene.name, line.number), condition, branch + 1))
        try:
            end = scene.branch_end(branch)
        except ScriptError as error:
            otherwise = _noted(scene, error, line.number)
            break
        follows = _follows(scene, end, line.indent)
        branch = end if follows else None
        if not follows:
            otherwise = _going(end)
    first = branches[0][0]

    def choose_branch(machine: GameInPlay) -> None:
        for place, condition, inner in branches:
            if place is not first:
                machine.executed.append(place)
            if condition(machine.read) is True:
                machine.state.at = inner
                return
        otherwise(machine)

    return choose_branch


def _condition(scene: Scene, at: int) -> Expression:
    """The condition of a branch, always true of an *else; its errors name its line."""
    line = scene.lines[at]
    command, words = line.command
    inner = scene.filled(at + 1)
    try:
        test = branch_test(command, words)
    except ScriptError as error:
        _noted(scene, error, line.number)
        return located(_failing(str(error)), line.number)
    if test is None:
        return constant(True)
    if inner is not None and inner.fault:
        return located(_failing(inner.fault, after=test), line.number)
    return located(lambda lookup: truth(test(lookup)), line.number)


def _failing(message: str, *, after: Expression | None = None) -> Expression:
    """The condition that cannot be computed, or whose block cannot be entered if it is true."""

    def test(lookup: Lookup) -> Value:
        if after is None or truth(after(lookup)):
            raise ScriptError(message)
        return False

    return test


def _follows(scene: Scene, at: int, indent: int) -> bool:
    """True if the line at a place goes on with the *if of this indent."""
    line = scene.filled(at)
    return line is not None and line.indent == indent and line.command[0] in CONDITIONS[1:]


def _after_branch(scene: Scene, at: int) -> Act:
    """*elseif or *else, reached from the branch above: the lines after its block.

    The reference interpreter goes on there with `implicit_control_flow` only.
    """
    line = scene.lines[at]
    try:
        skip = _going(scene.branch_end(at, in_else=True))
    except ScriptError as error:
        skip = _noted(scene, error, line.number)
    above = next(
        (
            each
            for each in reversed(scene.lines[:at])
            if each.text and each.indent <= line.indent and each.command[0] != "comment"
        ),
        None,
    )
    if above is not None and above.indent == line.indent and above.command[0] in CONDITIONS:
        return skip
    message = f"*{line.command[0]} has no *if above it at its indent"
    scene.mistakes[line.number] = message

    def act(machine: GameInPlay) -> None:
        if machine.read("implicit_control_flow") is not True:
            raise ScriptError(message)
        skip(machine)

    return act


def _noted(scene: Scene, error: ScriptError, line: int) -> Act:
    scene.mistakes[error.line or line] = str(error)
    return raising(str(error), error.line)


def _going(at: int) -> Act:
    def go(machine: GameInPlay) -> None:
        machine.state.at = at

    return go


def _row(scene: Scene, at: int) -> Act:
    """An option reached from the lines of the option above: the way out of the menu, if any."""
    end, fake = scene.rows[at]

    def leave(machine: GameInPlay) -> None:
        if not fake and machine.read("implicit_control_flow") is not True:
            raise ScriptError(
                "the lines of the option above end without leading anywhere; end them with *goto"
                " or *finish"
            )
        machine.state.at = end

    return leave
