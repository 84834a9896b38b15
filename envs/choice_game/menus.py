"""What a menu offers now: the options of a *choice that can be taken, and the answers to a
question.
"""

from valueagents.envs.choice_game.expressions import Expression, Lookup
from valueagents.envs.choice_game.state import Offer, ScriptState
from valueagents.envs.choice_game.statements import AskInput, Choose, Entry
from valueagents.envs.choice_game.values import ScriptError, Value, number, printed, truth

TEXT_ANSWERS = ("Alex", "Robin", "Sam")
"""What *input_text can be answered with; *input_number with the lowest, the middle and the highest
number.
"""


def choice_menu(choose: Choose, state: ScriptState, read: Lookup) -> tuple[list[Offer], list[str]]:
    """The options that can be taken, and the texts of those that can be seen but not taken."""
    offers: list[Offer] = []
    barred: list[str] = []
    for entry in choose.entries:
        _offer(entry, (), "", state, read, offers, barred)
    return _told_apart(offers), barred


def _offer(
    entry: Entry,
    lines: tuple[int, ...],
    before: str,
    state: ScriptState,
    read: Lookup,
    offers: list[Offer],
    barred: list[str],
) -> None:
    """Add an entry, or what it leads to in the next group; `lines` and `before` are those of the
    groups before it.
    """
    if not all(truth(guard(read)) for guard in entry.guards):
        return
    lines = (*lines, entry.line)
    reuse = entry.reuse or state.frame.reuse
    used = entry.line in state.frame.used and not entry.children
    if used and reuse == "hide":
        return
    text = before + entry.text(read).strip()
    if not text.strip(" –"):
        raise ScriptError(f"the option on line {entry.line} has no text")
    possible = entry.selectable is None or truth(entry.selectable(read))
    if not possible or (used and reuse == "disable"):
        barred.append(text)
    elif entry.children:
        for child in entry.children:
            _offer(child, lines, f"{text} – ", state, read, offers, barred)
    else:
        offers.append(
            Offer(f"{state.scene}:{'+'.join(map(str, lines))}", text, entry.target, lines)
        )


def _told_apart(offers: list[Offer]) -> list[Offer]:
    """The offers; where two read alike, the later ones are numbered, because an agent answers with
    a text.
    """
    seen: dict[str, int] = {}
    apart = []
    for offer in offers:
        count = seen[offer.text] = seen.get(offer.text, 0) + 1
        text = f"{offer.text} ({count})"
        apart.append(offer if count == 1 else Offer(offer.id, text, offer.target, offer.lines))
    return apart


def question_menu(ask: AskInput, scene: str, read: Lookup) -> list[Offer]:
    """The answers to *input_text or *input_number."""
    answers: tuple[Value, ...] = TEXT_ANSWERS
    if ask.low is not None and ask.high is not None:
        low, high = number_range(ask.low, ask.high, read)
        answers = tuple(sorted({low, max(low, (low + high) // 2), high}))
    return [Offer(f"{scene}:{ask.line}:{printed(a)}", printed(a), 0, (), a) for a in answers]


def number_range(
    low: Expression, high: Expression, read: Lookup
) -> tuple[int | float, int | float]:
    """The two ends. Raises ScriptError if the lowest is above the highest."""
    ends = number(low(read)), number(high(read))
    if ends[0] > ends[1]:
        raise ScriptError(
            f"the lowest number {printed(ends[0])} is above the highest {printed(ends[1])}"
        )
    return ends
