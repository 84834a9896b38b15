"""Plays a game: from the start, or from an option that is taken, to the next menu or the end.

What a script does wrong while it runs is a DataError with scene and line, and a mistake in a line
that is not reached is none. A run of lines that comes to no menu is bounded, and so is the depth of
*gosub, so a script that loops or recurses for ever is such an error too.

The end of a page or of a scene is not a menu: the script goes on, at most `MAX_FOLDED` times in a
row.
"""

from typing import NoReturn

from valueagents.envs.choice_game.game import Game
from valueagents.envs.choice_game.lines import place
from valueagents.envs.choice_game.parser import STARTUP, instruction
from valueagents.envs.choice_game.scene import Scene
from valueagents.envs.choice_game.state import (
    NEXT_SCENE,
    Call,
    Frame,
    Offer,
    ScriptState,
    decode,
    encode,
)
from valueagents.envs.choice_game.system import system_value
from valueagents.envs.choice_game.templates import label, shown
from valueagents.envs.choice_game.values import ScriptError, Value
from valueagents.errors import DataError, unknown_name

MAX_LINES = 20_000
"""Instructions between two menus: beyond, the script is in a loop."""
MAX_CALLS = 200
MAX_FOLDED = 50
"""Ends of pages and scenes between two menus; the next one is a menu of one option."""


class Interpreter:
    """A game in play.

    `executed` lists (scene, line) of all lines that the last start or step ran, in order; `left` is
    the line of the menu at which that step was taken (None after a start); `folded` are the ends of
    pages and scenes that it passed, `scene:line` each.
    """

    def __init__(self, game: Game) -> None:
        self.game = game
        self.state = ScriptState(STARTUP, 0)
        self.executed: list[tuple[str, int]] = []
        self.left: tuple[str, int] | None = None
        self.folded: list[str] = []
        self._text: list[str] = []
        self._waiting = False

    def start(self, seed: int) -> str:
        """Begin anew with these random numbers: the text up to the first menu."""
        self.state = ScriptState(STARTUP, seed)
        self.executed, self.left = [], None
        self._scene(STARTUP)
        self._run()
        return self.text()

    def take(self, offer_id: str) -> str:
        """Take an option of `state.menu`: the text up to the next.

        Raises DataError if the script goes wrong.
        """
        self.follow(offer_id)
        return self.text()

    def follow(self, offer_id: str) -> None:
        """Take an option without laying out its text, as tries do, which nobody reads."""
        state = self.state
        offer = next((offer for offer in state.menu if offer.id == offer_id), None)
        if offer is None:
            raise ScriptError(unknown_name("option", offer_id, [offer.id for offer in state.menu]))
        scene = self.game.scenes[state.scene]
        self.executed = [(state.scene, line) for line in offer.lines]
        self.left = (state.scene, scene.number(state.at))
        state.menu = ()
        if offer.spent is not None and offer.spent not in state.frame.used:
            state.frame.used.append(offer.spent)
        if offer.variable is not None and offer.answer is not None:
            self.write(offer.variable, offer.answer)
        if offer.target == NEXT_SCENE:
            self._enter_next_scene()
        else:
            state.at = offer.target
        self._run()

    def text(self) -> str:
        """What the last start or step told, laid out."""
        return _laid_out(shown("".join(self._text)))

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

    # The loop

    def _run(self) -> None:
        """Run to the next menu or the end."""
        state, executed = self.state, self.executed
        self._waiting, self._text, self.folded = False, [], []
        left = MAX_LINES
        scene = self.game.scenes[state.scene]
        code, name, at = scene.code, state.scene, state.at
        try:
            while not self._waiting:
                at = state.at
                made = code[at] or instruction(scene, at)
                if made.place is not None:
                    executed.append(made.place)
                state.at = at + 1
                made.act(self)
                left -= 1
                if not left:
                    self._loops()
                if state.scene is not name:
                    scene, name = self.game.scenes[state.scene], state.scene
                    code = scene.code
        except ScriptError as error:
            raise DataError(f"{place(name, error.line or scene.number(at))}: {error}") from error

    def _loops(self) -> NoReturn:
        raise ScriptError(
            f"{MAX_LINES} lines ran without coming to a menu; the script is in a loop"
        )

    # What an instruction can do (`statements.GameInPlay`)

    def read(self, name: str) -> Value:
        """The value of a variable, *temp before *create. Raises ScriptError if it has none."""
        value = self.state.frame.temps.get(name)
        if value is None:
            value = self.state.variables.get(name)
            if value is None or name in self.state.frame.temps:
                return self._read_rare(name)
        return value

    def _read_rare(self, name: str) -> Value:
        temps, variables = self.state.frame.temps, self.state.variables
        if name in temps or name in variables:
            raise ScriptError(f"the variable {name!r} has no value yet; *set it first")
        if (lower := name.lower()) != name:
            return self.read(lower)
        value = system_value(name, self.state, self.game.scenes[self.state.scene])
        if value is None:
            raise ScriptError(
                unknown_name("variable", name, {*temps, *variables}, remedy="*create or *temp it.")
            )
        return value

    def require(self, name: str) -> None:
        """Raise ScriptError unless there is such a variable, with or without a value."""
        temps, variables = self.state.frame.temps, self.state.variables
        if name not in temps and name not in variables:
            known = {*temps, *variables}
            raise ScriptError(
                unknown_name("variable", name, known, remedy="*create or *temp it first.")
            )

    def write(self, name: str, value: Value) -> None:
        """Give a variable that exists another value."""
        temps = self.state.frame.temps
        if name not in temps:
            self.require(name)
        (temps if name in temps else self.state.variables)[name] = value

    def say(self, text: str) -> None:
        """Add to the text of the step."""
        self._text.append(text)

    def go(self, label: str) -> None:
        """Go on at a label of this scene; its line is run."""
        state = self.state
        self._go_to(self.game.scenes[state.scene], label)

    def _go_to(self, scene: Scene, label: str) -> None:
        at = scene.labels.get(label)
        if at is None:
            raise ScriptError(unknown_name(f"label of {scene.name!r}", label, scene.labels))
        self.executed.append((scene.name, scene.lines[at].number))
        self.state.at = at + 1

    def enter(self, scene: str, label: str | None, arguments: list[Value]) -> None:
        """Go on in a scene, at its start or at a label, with no *temp variables."""
        state, entered = self.state, self._scene(scene)
        if label is None:
            state.at = 0
        else:
            self._go_to(entered, label)
        state.frame = Frame(arguments=arguments)
        state.scene = entered.name

    def _scene(self, name: str) -> Scene:
        """The scene. Raises ScriptError if there is none, DataError if it cannot be entered."""
        scene = self.game.scenes.get(name)
        if scene is None:
            raise ScriptError(unknown_name("scene", name, self.game.scenes))
        if scene.problem is not None:
            line, problem = scene.problem
            raise DataError(f"{place(name, line)}: {problem}")
        return scene

    def call(self) -> None:
        """A *return comes back to the next line of this visit."""
        self._deeper()
        self.state.frame.returns.append(self.state.at)

    def call_scene(self) -> None:
        """A *return out of another scene comes back to the next line, with this visit's
        variables.
        """
        self._deeper()
        self.state.calls.append(Call(self.state.scene, self.state.at, self.state.frame))

    def _deeper(self) -> None:
        if len(self.state.calls) + len(self.state.frame.returns) >= MAX_CALLS:
            raise ScriptError(
                f"{MAX_CALLS} *gosub inside one another; the script recurses without a *return"
            )

    def come_back(self) -> None:
        """Go back to the last call."""
        state = self.state
        if state.frame.returns:
            state.at = state.frame.returns.pop()
        elif state.calls:
            call = state.calls.pop()
            state.scene, state.at, state.frame = call.scene, call.at, call.frame
        else:
            raise ScriptError("*return, but no *gosub came here")

    def turn_page(self, words: str, line: int) -> None:
        """The end of a page: the script goes on."""
        if not self._fold(line):
            text = label(words) or "Next"
            self.wait([Offer(f"{self.state.scene}:{line}", text, self.state.at)])

    def finish(self, words: str, line: int) -> None:
        """The end of the scene: the next one of the list begins, or the game is over."""
        if self.state.scene not in self.game.following:
            self.end()
        elif self._fold(line):
            self._enter_next_scene()
        else:
            text = label(words) or "Next Chapter"
            self.wait([Offer(f"{self.state.scene}:finish", text, NEXT_SCENE)])

    def _fold(self, line: int) -> bool:
        """True if the end of a page or scene is passed over, and noted."""
        if len(self.folded) >= MAX_FOLDED:
            return False
        self.folded.append(f"{self.state.scene}:{line}")
        self._text.append("\n\n")
        return True

    def _enter_next_scene(self) -> None:
        self.enter(self.game.following[self.state.scene], None, [])

    def end(self) -> None:
        """The end of the game."""
        self.state.over = True
        self._waiting = True

    def wait(self, offers: list[Offer]) -> None:
        """Ask the player."""
        self.state.at -= 1
        self.state.menu = tuple(offers)
        self._waiting = True

    def achieve(self, name: str) -> None:
        """Earn an achievement."""
        if name not in self.game.achievements:
            raise ScriptError(unknown_name("achievement", name, self.game.achievements))
        if name not in self.state.achieved:
            self.state.achieved.append(name)

    def check_achievements(self) -> None:
        """Set `choice_achieved_NAME` for each."""
        for name in self.game.achievements:
            self.state.frame.temps[f"choice_achieved_{name}"] = name in self.state.achieved

    def reset(self) -> None:
        """All variables are as the game created them."""
        self.state.variables.clear()
        startup = self.game.scenes[STARTUP]
        for at in range(startup.top):
            if startup.lines[at].command[0] in ("create", "create_array", "title"):
                instruction(startup, at).act(self)


def created_variables(game: Game) -> dict[str, Value | None]:
    """The variables of the whole game with their first values, in the order of the script.

    Raises DataError for a declaration that is wrong.
    """
    interpreter = Interpreter(game)
    try:
        interpreter.reset()
    except ScriptError as error:
        raise DataError(f"scene {STARTUP!r}: {error}") from error
    held = interpreter.state.variables
    return {name: value for name, value in held.items() if not name.startswith("choice_")}


def _laid_out(text: str) -> str:
    """Lines joined, paragraphs set apart by one empty line, no space at either end of a line."""
    lines = [" ".join(line.split()) for line in text.split("\n")]
    kept = [line for k, line in enumerate(lines) if line or (k and lines[k - 1])]
    return "\n".join(kept).strip()
