"""The expression language: a text becomes a function that reads variables.

    expression = value [operator value]
    value      = number | "text" | name | name[expression] | {expression} | (expression) |
               function(expression)

As in ChoiceScript, one operator joins two values and anything longer needs parentheses: there is no
precedence to get wrong. What its own interpreter refuses and this one reads are chains of one
operator that may be read in either order (`a and b and c`, also or, +, *, &), `%` for modulo, and a
minus before a number. `{expression}` is the variable whose name the expression gives,
`name[i]` the variable `name_i`. Texts may hold `${…}`. Nothing is ever handed to Python's own
evaluation.
"""

import re
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from valueagents.envs.choice_game.values import (
    FUNCTIONS,
    OPERATORS,
    ScriptError,
    Value,
    literal,
    printed,
    unescaped,
)

Lookup = Callable[[str], Value]
Expression = Callable[[Lookup], Value]

CHAINS = frozenset(("and", "or", "+", "*", "&"))
MAX_DEPTH = 50
MAX_TOKENS = 400  # every operator nests a call, and calls nest to a limit
_WORDS = ("and", "or", "modulo")
_TOKEN = re.compile(
    r"""\s*(?: (?P<text>"(?:\\.|[^"\\])*") | (?P<number>\d+(?:\.\d+)?\b) | (?P<name>\w+)
        | (?P<sign>%\+|%-|!=|<=|>=|[-+*/%^&\#=<>()\[\]{},]) )""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """A token: its kind (text, number, name, sign, end), its spelling, and where it starts and
    ends.
    """

    kind: str
    spelling: str
    start: int
    end: int


def tokens(text: str) -> list[Token]:
    """The tokens of a text, one of kind `end` last.

    Raises ScriptError for a character that begins none.
    """
    found, place = [], 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            rest = text[place:].strip()
            what = "a quotation mark is not closed in" if rest.startswith('"') else "cannot read"
            raise ScriptError(f"{what} {rest!r} of the expression {text!r}")
        kind = match.lastgroup
        found.append(Token(kind, match[kind], match.start(kind), match.end(kind)))
        place = match.end()
        if len(found) > MAX_TOKENS:
            raise ScriptError(
                f"the expression {text[:60]!r}… is longer than {MAX_TOKENS} tokens; compute it in"
                " steps"
            )
    return [*found, Token("end", "the end", len(text), len(text))]


class ExpressionReader:
    """Reads expressions off the front of a text, one after another."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = tokens(text)
        self._next = 0
        self._depth = 0
        self.known_name: str | None = None  # of the last reference, if it is written out

    @property
    def token(self) -> Token:
        """The token not yet read."""
        return self._tokens[self._next]

    @property
    def at_end(self) -> bool:
        """True if all is read."""
        return self.token.kind == "end"

    def take(self) -> Token:
        """Read a token."""
        token = self.token
        if token.kind != "end":
            self._next += 1
        return token

    def expression(self) -> Expression:
        """Read a value, or values joined by an operator."""
        return self.continued(self.value())

    def continued(self, left: Expression) -> Expression:
        """Read what is joined to a value by an operator, if anything."""
        operator = self._operator()
        if operator is None:
            return left
        self.take()
        result = join(operator, left, self.value())
        while (again := self._operator()) is not None:
            if again != operator or operator not in CHAINS:
                self._fail(
                    f"put parentheses round one of the operations {operator!r} and {again!r}"
                )
            self.take()
            result = join(operator, result, self.value())
        return result

    def value(self) -> Expression:
        """Read one value."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"it nests deeper than {MAX_DEPTH}")
        try:
            return self._value()
        finally:
            self._depth -= 1

    def _value(self) -> Expression:
        token = self.take()
        if token.kind == "number":
            return constant(literal(token.spelling))
        if token.kind == "text":
            return _text(token.spelling[1:-1])
        if token.spelling == "-" and self.token.kind == "number":
            return constant(literal(f"-{self.take().spelling}"))
        if token.spelling == "(":
            return self._enclosed(")")
        if token.spelling == "{" or (token.kind == "name" and token.spelling.lower() not in _WORDS):
            self._next -= 1
            if (
                token.kind == "name"
                and token.spelling.lower() in (*FUNCTIONS, "auto")
                and self._tokens[self._next + 1][1] == "("
            ):
                return self._function()
            if token.spelling.lower() in ("true", "false"):
                self.take()
                return constant(token.spelling.lower() == "true")
            return self._variable()
        return self._fail(f"a value should stand where {token.spelling!r} stands")

    def _variable(self) -> Expression:
        name = self.reference()
        known = self.known_name
        return _read(name) if known is None else lambda lookup: lookup(known)

    def reference(self) -> Expression:
        """Read the name of a variable (`name`, `name[expression]`, `{expression}`): the expression
        gives the name.
        """
        token = self.take()
        if token.spelling == "{":
            name = _lower(self._enclosed("}"))
            self.known_name = None
            return name
        if token.kind not in ("name", "number"):  # a label may be a number
            self._fail(f"the name of a variable should stand where {token.spelling!r} stands")
        known: str | None = token.spelling.lower()
        name = constant(token.spelling.lower())
        while self.token.spelling == "[":
            self.take()
            name, known = _indexed(name, self._enclosed("]")), None
        self.known_name = known
        return name

    def end(self) -> None:
        """Raise ScriptError unless all is read."""
        if not self.at_end:
            self._fail(f"nothing should follow where {self.token.spelling!r} stands")

    def rest(self) -> str:
        """The text that is not yet read, without the space round it."""
        return self.text[self.token.start :].strip()

    def read_since(self, start: int) -> str:
        """The text that was read from this place on."""
        return self.text[start : self._tokens[self._next - 1].end]

    def _function(self) -> Expression:
        name = self.take().spelling.lower()
        self.take()
        if name == "auto":
            return self._balanced()
        function = FUNCTIONS[name]
        argument = self._enclosed(")")
        return lambda lookup: function(argument(lookup))

    def _balanced(self) -> Expression:
        """`auto(rate, id)`: what the author's tools have found to split players so, else 50."""
        self.value()
        if self.take().spelling != ",":
            self._fail("auto() wants a rate and a name: auto(50, courage)")
        name = self.take().spelling
        if self.take().spelling != ")":
            self._fail("auto() wants a rate and a name: auto(50, courage)")

        def balanced(lookup: Lookup) -> Value:
            try:
                return lookup(f"auto_{lookup('choice_scene')}_{name}".lower())
            except ScriptError:
                return 50

        return balanced

    def _enclosed(self, closing: str) -> Expression:
        inner = self.expression()
        if self.token.spelling != closing:
            self._fail(f"{closing!r} should stand where {self.token.spelling!r} stands")
        self.take()
        return inner

    def _operator(self) -> str | None:
        spelling = self.token.spelling.lower()
        known = spelling in OPERATORS if self.token.kind == "sign" else spelling in _WORDS
        return spelling if known and self.token.kind in ("sign", "name") else None

    def _fail(self, problem: str) -> NoReturn:
        raise ScriptError(f"in the expression {self.text.strip()!r}: {problem}")


def compiled(text: str) -> Expression:
    """The function of a whole text. Raises ScriptError if it is not one expression."""
    reader = ExpressionReader(text)
    if reader.at_end:
        raise ScriptError("an expression is missing")
    expression = reader.expression()
    reader.end()
    return expression


def constant(value: Value) -> Expression:
    """The function that gives a value, whatever the variables."""
    return lambda lookup: value


def join(operator: str, left: Expression, right: Expression) -> Expression:
    """The function that applies an operator to what two functions give."""
    function = OPERATORS[operator]
    return lambda lookup: function(left(lookup), right(lookup))


def _read(name: Expression) -> Expression:
    return lambda lookup: lookup(str(name(lookup)))


def _lower(name: Expression) -> Expression:
    return lambda lookup: printed(name(lookup)).lower()


def _indexed(name: Expression, index: Expression) -> Expression:
    return lambda lookup: f"{name(lookup)}_{printed(index(lookup))}".lower()


def _text(inside: str) -> Expression:
    from valueagents.envs.choice_game.templates import (
        template,
    )  # each holds the other: texts with ${}, ${} with texts

    return template(unescaped(inside))
