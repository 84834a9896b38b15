"""What the commands do that declare, change and forget variables, roll dice and ask the player."""

import re
from collections.abc import Callable

from valueagents.envs.choice_game.expressions import (
    Expression,
    ExpressionReader,
    compiled,
    constant,
    join,
)
from valueagents.envs.choice_game.menus import answers, number_range
from valueagents.envs.choice_game.state import Offer
from valueagents.envs.choice_game.statements import Act, CommandMaker, GameInPlay, Made
from valueagents.envs.choice_game.values import (
    OPERATORS,
    ScriptError,
    Value,
    literal,
    number,
    printed,
    unescaped,
)

_COMPARING = frozenset(("=", "!=", "<", ">", "<=", ">="))
_RESERVED = re.compile(r"(and|or|true|false|scene|scenename)|choice_.*", re.IGNORECASE)
_RANDOM_STEPS = 1 << 53


def variable_name(words: str) -> tuple[str, str]:
    """The name that a declaration begins with, in lower case, and what follows it.

    Raises ScriptError for a name that a variable cannot have.
    """
    match = re.match(r"\w*", words)
    name = match[0] if match else ""
    if not name or not name[0].isalpha():
        raise ScriptError(f"the name of a variable begins with a letter, not {words[:60]!r}")
    if _RESERVED.fullmatch(name):
        raise ScriptError(f"{name!r} is a word of the language; give the variable another name")
    return name.lower(), words[len(name) :].strip()


def _create(line: int, words: str) -> Made:
    name, rest = variable_name(words)
    value = constant_value(rest, f"*create {name}")

    def act(machine: GameInPlay) -> None:
        machine.state.variables[name] = value

    return act, None


def constant_value(words: str, command: str) -> Value:
    """A number, a truth value or a text that is written out.

    Raises ScriptError for anything else.
    """
    if re.fullmatch(r"-?\d+(\.\d+)?", words):
        return literal(words)
    if words.lower() in ("true", "false"):
        return words.lower() == "true"
    text = re.fullmatch(r'"((?:\\.|[^"\\])*)"', words, re.DOTALL)
    if text is None or re.search(r"[$@]!?!?\{", text[1]):
        raise ScriptError(
            f"{command} wants a number, true, false or a text in quotation marks as its value, not"
            f" {words[:60]!r}"
        )
    return unescaped(text[1])


def _temp(line: int, words: str) -> Made:
    name, rest = variable_name(words)
    value = compiled(rest) if rest else None

    def act(machine: GameInPlay) -> None:
        machine.state.frame.temps[name] = None if value is None else value(machine.read)

    return act, None


def _array(*, temporary: bool) -> CommandMaker:
    """*create_array, *temp_array: NAME_1 to NAME_count, of one value or a value each."""

    def make(line: int, words: str) -> Made:
        name, rest = variable_name(words)
        reader = ExpressionReader(rest)
        spelled = reader.take().spelling
        if not spelled.isdecimal() or not 1 <= len(spelled) <= 4 or int(spelled) == 0:
            raise ScriptError(f"an array wants its length first, a whole number, not {rest[:60]!r}")
        count = int(spelled)
        values: list[Expression] = []
        while not reader.at_end:
            start = reader.token.start
            value = reader.value()
            if not temporary:
                value = constant(constant_value(reader.read_since(start), f"*create_array {name}"))
            values.append(value)
        if len(values) not in (0, 1, count) or not (values or temporary):
            raise ScriptError(
                f"the array {name!r} of {count} wants one value or {count}, not {len(values)}"
            )

        def act(machine: GameInPlay) -> None:
            state = machine.state
            held = state.frame.temps if temporary else state.variables
            known: list[Value | None] = [value(machine.read) for value in values] or [None]
            for place in range(count):
                held[f"{name}_{place + 1}"] = known[place % len(known)]
            held[f"{name}_count"] = count

        return act, None

    return make


def _delete(line: int, words: str) -> Made:
    name = words.lower()

    def act(machine: GameInPlay) -> None:
        _forget(machine, name)

    return act, None


def _delete_array(line: int, words: str) -> Made:
    name = words.lower()

    def act(machine: GameInPlay) -> None:
        count = number(machine.read(f"{name}_count"))
        _forget(machine, f"{name}_count")
        for place in range(1, int(count) + 1):
            _forget(machine, f"{name}_{place}")

    return act, None


def _forget(machine: GameInPlay, name: str) -> None:
    machine.require(name)
    temps = machine.state.frame.temps
    del (temps if name in temps else machine.state.variables)[name]


def _set(line: int, words: str) -> Made:
    reader = ExpressionReader(words)
    name = reader.reference()
    known = reader.known_name
    value = _assigned(reader, lambda lookup: known or printed(name(lookup)))
    return _assign(name if known is None else known, value), None


def _setref(line: int, words: str) -> Made:
    reader = ExpressionReader(words)
    named = reader.value()
    return _assign(named, _assigned(reader, lambda lookup: printed(named(lookup)).lower())), None


def _assigned(
    reader: ExpressionReader, name: Callable[[Callable[[str], Value]], str]
) -> Expression:
    """What follows the name: a value, or an operator that is applied to the variable."""
    spelling = reader.token.spelling.lower()
    if reader.token.kind != "text" and spelling in OPERATORS and spelling not in _COMPARING:
        reader.take()
        value = reader.continued(
            join(spelling, lambda lookup: lookup(name(lookup)), reader.value())
        )
    else:
        value = reader.expression()
    reader.end()
    return value


def _assign(name: str | Expression, value: Expression) -> Act:
    if isinstance(name, str):
        return lambda machine: machine.write(name, value(machine.read))
    return lambda machine: machine.write(printed(name(machine.read)).lower(), value(machine.read))


def _config(line: int, words: str) -> Made:
    reader = ExpressionReader(words)
    name, value = reader.reference(), reader.expression()
    reader.end()
    return _assign(name, value), None


def _between(words: str, command: str) -> tuple[Expression, Expression, Expression]:
    """A variable and the two ends of a range."""
    reader = ExpressionReader(words)
    if reader.at_end:
        raise ScriptError(f"*{command} wants a variable, the lowest and the highest number")
    parts = reader.reference(), reader.value(), reader.value()
    reader.end()
    return parts


def _rand(line: int, words: str) -> Made:
    name, lowest, highest = _between(words, "rand")

    def act(machine: GameInPlay) -> None:
        variable = printed(name(machine.read)).lower()
        ends = lowest(machine.read), highest(machine.read)
        low, high = number_range(*ends)
        if low == high:
            machine.write(variable, ends[0])
        elif all(isinstance(each, int) or printed(each).isdecimal() for each in ends):
            machine.write(variable, int(low) + machine.state.roll(int(high) - int(low) + 1))
        else:
            part = machine.state.roll(_RANDOM_STEPS) / _RANDOM_STEPS
            machine.write(variable, low + (high - low) * part)

    return act, None


def _input_number(line: int, words: str) -> Made:
    name, low, high = _between(words, "input_number")

    def act(machine: GameInPlay) -> None:
        _ask(machine, name, line, answers(low(machine.read), high(machine.read)))

    return act, None


def _input_text(line: int, words: str) -> Made:
    reader = ExpressionReader(words)
    name = reader.reference()
    while not reader.at_end:
        option = reader.take().spelling
        if option not in ("long", "allow_blank"):
            raise ScriptError(f"*input_text knows 'long' and 'allow_blank', not {option!r}")
    return lambda machine: _ask(machine, name, line, answers(None, None)), None


def _ask(machine: GameInPlay, name: Expression, line: int, given: tuple[Value, ...]) -> None:
    variable, state = printed(name(machine.read)).lower(), machine.state
    machine.require(variable)
    machine.wait(
        [
            Offer(
                f"{state.scene}:{line}:{printed(each)}",
                printed(each),
                state.at,
                variable=variable,
                answer=each,
            )
            for each in given
        ]
    )


VARIABLE_COMMANDS: dict[str, CommandMaker] = {
    "create": _create,
    "create_array": _array(temporary=False),
    "temp": _temp,
    "temp_array": _array(temporary=True),
    "delete": _delete,
    "delete_array": _delete_array,
    "set": _set,
    "setref": _setref,
    "config": _config,
    "rand": _rand,
    "input_text": _input_text,
    "input_number": _input_number,
}
