"""Plays a game: from the start, or from an option that is taken, to the next menu or the end.

What a script does wrong while it runs is a DataError with scene and line. A run of lines that comes
to no menu is bounded, and so is the depth of *gosub, so a script that loops or recurses for ever is
such an error too.
"""

from collections.abc import Callable
from typing import NoReturn

from valueagents.envs.choice_game import statements as s
from valueagents.envs.choice_game.game import STARTUP, Game
from valueagents.envs.choice_game.lines import place
from valueagents.envs.choice_game.menus import choice_menu, number_range, question_menu
from valueagents.envs.choice_game.state import Call, Frame, Offer, ScriptState, decode, encode
from valueagents.envs.choice_game.values import ScriptError, Value, printed, truth
from valueagents.errors import DataError, unknown_name

MAX_LINES = 20_000
"""Instructions between two menus: beyond, the script is in a loop."""
MAX_CALLS = 200

_RANDOM_STEPS = 1 << 53


class Interpreter:
    """A game in play.

    `executed` lists (scene, line) of all lines that the last start or step ran, in order; `left` is
    the line of the menu at which that step was taken (None after a start).
    """

    def __init__(self, game: Game) -> None:
        self.game = game
        self.state = ScriptState(STARTUP, 0)
        self.executed: list[tuple[str, int]] = []
        self.left: tuple[str, int] | None = None
        self._text: list[str] = []
        self._waiting = False
        self._line = 0
        self._acts: dict[type[s.Instruction], Callable[..., None]] = {
            s.Instruction: lambda _: None, s.Say: self._say, s.Break: self._break,
            s.Assign: self._assign, s.Jump: self._jump, s.JumpUnless: self._jump_unless,
            s.Fall: self._fall, s.Go: self._go, s.Return: self._return, s.Choose: self._choose,
            s.Finish: self._finish, s.Ending: self._end, s.PageBreak: self._page_break,
            s.AskInput: self._ask, s.Roll: self._roll, s.Achieve: self._achieve,
            s.CheckAchievements: self._check_achievements, s.Params: self._params,
            s.SetReuse: self._set_reuse, s.Bug: self._bug,
        }  # fmt: skip

    def start(self, seed: int) -> str:
        """Begin anew with these random numbers: the text up to the first menu."""
        self.state = ScriptState(STARTUP, seed)
        self.executed, self.left = [], None
        self._run()
        return self._shown()

    def take(self, offer_id: str) -> str:
        """Take an option of `state.menu`: the text up to the next.

        Raises DataError if the script goes wrong.
        """
        self.follow(offer_id)
        return self._shown()

    def follow(self, offer_id: str) -> None:
        """Take an option without laying out its text, as tries do, which nobody reads."""
        state = self.state
        offer = next((offer for offer in state.menu if offer.id == offer_id), None)
        if offer is None:
            raise ScriptError(unknown_name("option", offer_id, [offer.id for offer in state.menu]))
        waiting = self.game.scenes[state.scene].statements[state.at]
        self.executed = [(state.scene, line) for line in offer.lines]
        self.left = (state.scene, waiting.line)
        state.menu = ()
        self._line = waiting.line
        if isinstance(waiting, s.Choose):
            state.frame.used += [line for line in offer.lines if line not in state.frame.used]
            state.at = offer.target
        elif isinstance(waiting, s.Finish):
            self._enter_next_scene()
        else:
            if isinstance(waiting, s.AskInput) and offer.answer is not None:
                self._write(self._name(waiting.name), offer.answer)
            state.at += 1
        self._run()

    def save(self) -> bytes:
        """Everything that decides what comes next."""
        return encode(self.state)

    def load(self, saved: bytes) -> None:
        """Go back to what was saved, also in another process."""
        self.go_back(decode(saved))

    def go_back(self, state: ScriptState) -> None:
        """Go on from this state, which is the interpreter's from now on."""
        self.state = state
        self.executed, self.left = [], None

    def place(self) -> tuple[object, ...]:
        """Where the game stands, random numbers aside: equal if a menu has come back with nothing
        changed.
        """
        state = self.state
        return (
            state.scene,
            state.at,
            state.variables,
            state.frame,
            state.calls,
            state.achieved,
            state.menu,
        )

    def read(self, name: str) -> Value:
        """The value of a variable, *temp before *create. Raises ScriptError if it has none."""
        temps, variables = self.state.frame.temps, self.state.variables
        held = temps if name in temps else variables
        value = held.get(name)
        if value is None:
            if name in held:
                raise ScriptError(f"the variable {name!r} has no value yet; *set it first")
            if (name := name.lower()) in temps or name in variables:
                return self.read(name)
            raise ScriptError(
                unknown_name("variable", name, {*temps, *variables}, remedy="*create or *temp it.")
            )
        return value

    # The loop

    def _run(self) -> None:
        """Run to the next menu or the end."""
        state, acts, executed = self.state, self._acts, self.executed
        self._waiting, self._text = False, []
        left = MAX_LINES
        statements = self.game.scenes[state.scene].statements
        scene = state.scene
        try:
            while not self._waiting:
                statement = statements[state.at]
                if statement.line >= 0:
                    self._line = statement.line
                    executed.append((scene, statement.line))
                state.at += 1
                acts[type(statement)](statement)
                left -= 1
                if not left:
                    self._loops()
                if state.scene is not scene:
                    scene, statements = state.scene, self.game.scenes[state.scene].statements
        except ScriptError as error:
            raise DataError(f"{place(scene, self._line)}: {error}") from error

    def _shown(self) -> str:
        return _laid_out("".join(self._text))

    def _loops(self) -> NoReturn:
        raise ScriptError(
            f"{MAX_LINES} lines ran without coming to a menu; the script is in a loop"
        )

    def _wait(self, statement: s.Instruction, *offers: Offer) -> None:
        self.state.at -= 1
        self.state.menu = offers
        self._waiting = True
        if not offers:
            self._line = statement.line
            raise ScriptError("no option of this choice can be taken; one must always be left")

    # What each instruction does

    def _say(self, statement: s.Say) -> None:
        self._text += (statement.text(self.read), " ")

    def _break(self, statement: s.Break) -> None:
        self._text.append(statement.mark)

    def _assign(self, statement: s.Assign) -> None:
        name = self._name(statement.name)
        value = None if statement.value is None else statement.value(self.read)
        if statement.kind == "temp":
            self.state.frame.temps[name] = value
        elif statement.kind == "create":
            self.state.variables[name] = value
        elif value is not None:
            self._write(name, value)

    def _jump(self, statement: s.Jump) -> None:
        self.state.at = statement.target

    def _jump_unless(self, statement: s.JumpUnless) -> None:
        if not truth(statement.condition(self.read)):
            self.state.at = statement.target

    def _fall(self, statement: s.Fall) -> None:
        if not statement.fake and self.state.variables.get("implicit_control_flow") is not True:
            self._line = statement.option_line
            raise ScriptError(
                "the lines of this option end without leading anywhere; end them with *goto or"
                " *finish"
            )
        self.state.at = statement.target

    def _go(self, statement: s.Go) -> None:
        state = self.state
        state.arguments = [argument(self.read) for argument in statement.arguments]
        scene = state.scene if statement.scene is None else self._name(statement.scene)
        label = None if statement.label is None else self._name(statement.label)
        if scene not in self.game.scenes:
            raise ScriptError(unknown_name("scene", scene, self.game.scenes))
        labels = self.game.scenes[scene].labels
        if label is not None and label not in labels:
            raise ScriptError(unknown_name(f"label of {scene!r}", label, labels))
        if statement.returns:
            if len(state.calls) >= MAX_CALLS:
                raise ScriptError(
                    f"{MAX_CALLS} *gosub inside one another; the script recurses without a *return"
                )
            state.calls.append(
                Call(state.scene, state.at, None if statement.scene is None else state.frame)
            )
        if statement.scene is not None:
            state.frame = Frame()
        state.scene, state.at = scene, 0 if label is None else labels[label]

    def _return(self, statement: s.Return) -> None:
        if not self.state.calls:
            raise ScriptError("*return, but no *gosub came here")
        call = self.state.calls.pop()
        self.state.scene, self.state.at = call.scene, call.at
        if call.frame is not None:
            self.state.frame = call.frame

    def _choose(self, statement: s.Choose) -> None:
        offers, barred = choice_menu(statement, self.state, self.read)
        self._text += [f"\n\n(Not possible now: {text})" for text in barred]
        self._wait(statement, *offers)

    def _page_break(self, statement: s.PageBreak) -> None:
        name = f"{self.state.scene}:{statement.line}"
        self._wait(statement, Offer(name, statement.text(self.read).strip() or "Next", 0, ()))

    def _finish(self, statement: s.Finish) -> None:
        state, order = self.state, self.game.order
        state.calls.clear()
        if state.scene not in order or state.scene == order[-1]:
            self._end(statement)
            return
        self._wait(statement, Offer(f"{state.scene}:finish", statement.text(self.read), 0, ()))

    def _enter_next_scene(self) -> None:
        state, order = self.state, self.game.order
        state.scene, state.at, state.frame = order[order.index(state.scene) + 1], 0, Frame()

    def _end(self, statement: s.Instruction) -> None:
        self.state.over = True
        self._waiting = True

    def _ask(self, statement: s.AskInput) -> None:
        self._wait(statement, *question_menu(statement, self.state.scene, self.read))

    def _roll(self, statement: s.Roll) -> None:
        low, high = number_range(statement.low, statement.high, self.read)
        if isinstance(low, int) and isinstance(high, int):
            self._write(self._name(statement.name), low + self.state.roll(high - low + 1))
        else:
            self._write(
                self._name(statement.name),
                low + (high - low) * self.state.roll(_RANDOM_STEPS) / _RANDOM_STEPS,
            )

    def _achieve(self, statement: s.Achieve) -> None:
        if statement.name not in self.game.achievements:
            raise ScriptError(unknown_name("achievement", statement.name, self.game.achievements))
        if statement.name not in self.state.achieved:
            self.state.achieved.append(statement.name)

    def _check_achievements(self, statement: s.CheckAchievements) -> None:
        for name in self.game.achievements:
            self.state.frame.temps[f"choice_achieved_{name}"] = name in self.state.achieved

    def _params(self, statement: s.Params) -> None:
        given = self.state.arguments
        if len(given) < len(statement.names):
            raise ScriptError(
                f"*params names {len(statement.names)} arguments, and {len(given)} were given"
            )
        temps = self.state.frame.temps
        temps["param_count"] = len(given)
        temps.update({f"param_{k}": value for k, value in enumerate(given, 1)})
        temps.update(zip(statement.names, given, strict=False))

    def _set_reuse(self, statement: s.SetReuse) -> None:
        self.state.frame.reuse = statement.reuse

    def _bug(self, statement: s.Bug) -> None:
        raise ScriptError(
            f"the script says that this must not happen: *bug {statement.text(self.read)}"
        )

    # Variables

    def _name(self, name: Callable[[Callable[[str], Value]], Value]) -> str:
        return printed(name(self.read)).lower()

    def _write(self, name: str, value: Value) -> None:
        """Give a variable that exists another value."""
        for held in (self.state.frame.temps, self.state.variables):
            if name in held:
                held[name] = value
                return
        known = {*self.state.frame.temps, *self.state.variables}
        raise ScriptError(
            unknown_name("variable", name, known, remedy="*create or *temp it first.")
        )


def _laid_out(text: str) -> str:
    """Lines joined, paragraphs set apart by one empty line, no space at either end of a line."""
    lines = [" ".join(line.split()) for line in text.split("\n")]
    kept = [line for k, line in enumerate(lines) if line or (k and lines[k - 1])]
    return "\n".join(kept).strip()
