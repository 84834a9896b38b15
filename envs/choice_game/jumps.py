"""What the commands do that go on elsewhere, and come back."""

import re

from valueagents.envs.choice_game.expressions import Expression, ExpressionReader, compiled
from valueagents.envs.choice_game.statements import CommandMaker, GameInPlay, JumpTarget, Made
from valueagents.envs.choice_game.values import ScriptError, printed
from valueagents.envs.choice_game.variable_commands import variable_name


def _goto(line: int, words: str) -> Made:
    label, _ = _name(words)
    return lambda machine: machine.go(_spelled(label, machine)), _target(None, label)


def _gotoref(line: int, words: str) -> Made:
    value = compiled(words)
    return lambda machine: machine.go(printed(value(machine.read)).lower()), None


def _gosub(line: int, words: str) -> Made:
    label, rest = _name(words)
    given = _arguments(rest)

    def act(machine: GameInPlay) -> None:
        arguments = [each(machine.read) for each in given]
        machine.call()
        machine.state.frame.arguments = arguments
        machine.go(_spelled(label, machine))

    return act, _target(None, label)


def _scene_jump(*, returns: bool) -> CommandMaker:
    def make(line: int, words: str) -> Made:
        scene, rest = _name(words)
        label, rest = _name(rest) if rest else (None, "")
        given = _arguments(rest)

        def act(machine: GameInPlay) -> None:
            arguments = [each(machine.read) for each in given]
            to_scene = _spelled(scene, machine)
            to_label = None if label is None else _spelled(label, machine)
            if returns:
                machine.call_scene()
            else:
                machine.state.calls.clear()
            machine.enter(to_scene, to_label, arguments)

        return act, _target(scene, label)

    return make


_Name = str | Expression


def _name(words: str) -> tuple[_Name, str]:
    """The name of a scene or label, written out or to be computed (`{…}`, `name[…]`), and what
    follows it.
    """
    first, _, rest = words.partition(" ")
    if not first:
        raise ScriptError("it does not say where to go")
    if first.startswith("{") or "[" in first:
        reader = ExpressionReader(words)
        return reader.reference(), reader.rest()
    return first.lower(), rest.strip()


def _arguments(words: str) -> list[Expression]:
    reader = ExpressionReader(words)
    given = []
    while not reader.at_end:
        given.append(reader.value())
    return given


def _spelled(name: _Name, machine: GameInPlay) -> str:
    return name if isinstance(name, str) else printed(name(machine.read)).lower()


def _target(scene: _Name | None, label: _Name | None) -> JumpTarget | None:
    known = JumpTarget(
        scene if isinstance(scene, str) else None, label if isinstance(label, str) else None
    )
    computed = not (scene is None or isinstance(scene, str))
    return None if computed or known == JumpTarget(None, None) else known


def _params(line: int, words: str) -> Made:
    names = [variable_name(word)[0] for word in re.findall(r"\w+", words)]

    def act(machine: GameInPlay) -> None:
        frame = machine.state.frame
        given, frame.arguments = frame.arguments, []
        if len(given) < len(names):
            raise ScriptError(f"*params names {len(names)} arguments, and {len(given)} were given")
        frame.temps["param_count"] = len(given)
        frame.temps.update({f"param_{k}": value for k, value in enumerate(given, 1)})
        frame.temps.update(zip(names, given, strict=False))

    return act, None


JUMPS: dict[str, CommandMaker] = {
    "goto": _goto,
    "gotoref": _gotoref,
    "gosub": _gosub,
    "goto_scene": _scene_jump(returns=False),
    "gosub_scene": _scene_jump(returns=True),
    "return": lambda line, words: (lambda machine: machine.come_back(), None),
    "params": _params,
}
