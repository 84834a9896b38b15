"""What a menu offers now: the options of a *choice that can be taken, and the answers to a
question.
"""

from valueagents.envs.choice_game.expressions import Lookup
from valueagents.envs.choice_game.state import Offer, ScriptState
from valueagents.envs.choice_game.statements import Act, Choose, Entry, GameInPlay
from valueagents.envs.choice_game.templates import label
from valueagents.envs.choice_game.values import ScriptError, Value, number, printed, truth

TEXT_ANSWERS = ("Alex", "Robin", "Sam")
"""What *input_text can be answered with; *input_number with the lowest, the middle and the highest
number.
"""


def offer_choice(choose: Choose, scene: str, line: int) -> Act:
    """The act of a *choice: it asks, and tells what can be seen but not taken."""

    def act(machine: GameInPlay) -> None:
        menu = _Menu(scene, machine.state, machine.read)
        for entry in choose.entries:
            menu.add(entry, (), "")
        bodiless = choose.bodiless is not None and choose.bodiless == menu.last
        if bodiless and not choose.fake and machine.read("implicit_control_flow") is not True:
            raise ScriptError("nothing stands under the last option", choose.end_line)
        if not menu.offers:
            raise ScriptError(
                f"no option of the choice on line {line} can be taken; one must always be left",
                choose.end_line,
            )
        for text in menu.barred:
            machine.say(f"\n\n(Not possible now: {text})")
        machine.wait(_told_apart(menu.offers))

    return act


class _Menu:
    """The options met so far: `offers` can be taken, `barred` only read; `last` is the line of the
    last of both.
    """

    def __init__(self, scene: str, state: ScriptState, read: Lookup) -> None:
        self.offers: list[Offer] = []
        self.barred: list[str] = []
        self.last: int | None = None
        self._scene, self._frame, self._read = scene, state.frame, read

    def add(self, entry: Entry, lines: tuple[int, ...], before: str) -> None:
        """Add an option, or what it leads to in the next group; `lines` and `before` are those of
        the groups before it.
        """
        read, frame = self._read, self._frame
        for guard in entry.guards:
            if not truth(guard(read)):
                return
        reuse = entry.reuse or frame.reuse
        used = reuse != "allow" and entry.line in frame.used
        possible = entry.selectable is None or truth(entry.selectable(read))
        if used and reuse == "hide":
            return
        self.last = entry.line
        lines = (*lines, entry.line)
        words = entry.text
        text = words if isinstance(words, str) else label(printed(words(read)))
        text = before + text if before else text
        if not possible or used:
            self.barred.append(text)
        elif entry.children:
            for child in entry.children:
                self.add(child, lines, f"{text} – ")
        else:
            name = f"{self._scene}:{'+'.join(map(str, lines))}"
            spent = None if reuse == "allow" else entry.line
            self.offers.append(Offer(name, text or "(no words)", entry.at, lines, spent=spent))


def _told_apart(offers: list[Offer]) -> list[Offer]:
    """The offers; where two read alike, the later ones are numbered, because an agent answers with
    a text.
    """
    taken = {offer.text for offer in offers}
    if len(taken) == len(offers):
        return offers
    seen: set[str] = set()
    apart = []
    for offer in offers:
        text, count = offer.text, 1
        while text in seen or (count > 1 and text in taken):
            count += 1
            text = f"{offer.text} ({count})"
        seen.add(text)
        renamed = Offer(offer.id, text, offer.target, offer.lines, spent=offer.spent)
        apart.append(offer if count == 1 else renamed)
    return apart


def answers(low: Value | None, high: Value | None) -> tuple[Value, ...]:
    """What *input_text (no bounds) or *input_number can be answered with.

    Raises ScriptError if the lowest number is above the highest.
    """
    if low is None or high is None:
        return TEXT_ANSWERS
    ends = number_range(low, high)
    return tuple(sorted({ends[0], max(ends[0], (ends[0] + ends[1]) // 2), ends[1]}))


def number_range(low: Value, high: Value) -> tuple[int | float, int | float]:
    """The two ends. Raises ScriptError if the lowest is above the highest."""
    ends = number(low), number(high)
    if ends[0] > ends[1]:
        raise ScriptError(
            f"the lowest number {printed(ends[0])} is above the highest {printed(ends[1])}"
        )
    return ends
