"""What each command that is one line does: a function from its line number and its words to an act.

The names are those of the language's reference interpreter. What only shows, sells, saves or
measures something does what that interpreter's test player does, which is next to nothing; what
runs JavaScript, or what that player refuses, is refused.
"""

import re

from valueagents.envs.choice_game.expressions import compiled
from valueagents.envs.choice_game.jumps import JUMPS
from valueagents.envs.choice_game.statements import (
    Act,
    CommandMaker,
    GameInPlay,
    Made,
    Reuse,
    nothing,
)
from valueagents.envs.choice_game.templates import template
from valueagents.envs.choice_game.values import ScriptError, number, printed
from valueagents.envs.choice_game.variable_commands import VARIABLE_COMMANDS

_DURATION = re.compile(r"\d*\.?\d*")


def _print(line: int, words: str) -> Made:
    value = compiled(words)
    return lambda machine: machine.say(printed(value(machine.read)) + " "), None


def _link(line: int, words: str) -> Made:
    """The words of a link; its address, which nobody can open, only where there are none."""
    address, _, text = words.partition(" ")
    if not address:
        raise ScriptError("*link wants an address, and the words that are shown for it")
    said = template(text.strip() or address)
    return lambda machine: machine.say(said(machine.read) + " "), None


def _image(line: int, words: str) -> Made:
    if not words:
        raise ScriptError("an image wants the name of its file")
    source = template(words)

    def act(machine: GameInPlay) -> None:
        source(machine.read)
        machine.say("\n\n")

    return act, None


def _page(words: str, *, ends_scene: bool) -> CommandMaker:
    def make(line: int, button: str) -> Made:
        said = template(button or words)
        if ends_scene:
            return lambda machine: machine.finish(said(machine.read), line), None
        return lambda machine: machine.turn_page(said(machine.read), line), None

    return make


def _wordless(command: str, made: CommandMaker) -> CommandMaker:
    """A command of which the language says that its button has no words of its own."""

    def make(line: int, words: str) -> Made:
        if words:
            raise ScriptError(f"*{command} shows no words of its own, and there are {words[:60]!r}")
        return made(line, words)

    return make


def _wait(line: int, words: str) -> Made:
    """*delay_break: a pause in real time, which nobody makes here."""
    if not _DURATION.fullmatch(words):
        raise ScriptError(f"*delay_break wants a number of seconds, not {words[:60]!r}")
    return _page("Next", ends_scene=False)(line, "")


def _bug(line: int, words: str) -> Made:
    said = template(words)

    def act(machine: GameInPlay) -> None:
        raise ScriptError(f"the script says that this must not happen: *bug {said(machine.read)}")

    return act, None


def _title(line: int, words: str) -> Made:
    def act(machine: GameInPlay) -> None:
        machine.state.variables["choice_title"] = words

    return act, None


def _reuse(reuse: Reuse) -> CommandMaker:
    def act(machine: GameInPlay) -> None:
        machine.state.frame.reuse = reuse

    return lambda line, words: (act, None)


def _save_checkpoint(line: int, words: str) -> Made:
    """That a checkpoint was saved is known; going back to one is refused (`REFUSED`)."""
    if not re.fullmatch(r"\w*", words, re.ASCII):
        raise ScriptError(f"the name of a checkpoint is letters, numbers and _, not {words[:60]!r}")
    name = "choice_saved_checkpoint" + (f"_{words.lower()}" if words else "")

    def act(machine: GameInPlay) -> None:
        machine.state.variables[name] = True

    return act, None


def _looplimit(line: int, words: str) -> Made:
    number(words)
    return nothing, None


def _nothing(line: int, words: str) -> Made:
    return nothing, None


def _always(act: Act) -> CommandMaker:
    return lambda line, words: (act, None)


SILENT = (
    "advertisement", "ai", "author", "check_purchase", "check_registration", "feedback", "ifid",
    "kindle_image", "kindle_product", "kindle_search", "label", "link_button", "login",
    "more_games", "print_discount", "product", "purchase", "purchase_discount",
    "restore_purchases", "save_game", "share_this_game", "show_password", "sound", "subscribe",
    "timer", "track_event", "youtube", "comment",
)  # fmt: skip
"""Commands that show, sell, save or measure something and change nothing in the story."""

REFUSED = {
    "script": "runs JavaScript, which is not run here",
    "restore_checkpoint": (
        "goes back to what a player saved, and the language's own test player refuses it; put it"
        " under *if (not(choice_randomtest))"
    ),
    "redirect_scene": "belongs to the stats screen, which nobody opens here",
}

COMMANDS: dict[str, CommandMaker] = {
    **dict.fromkeys(SILENT, _nothing),
    **VARIABLE_COMMANDS,
    **JUMPS,
    "print": _print,
    "link": _link,
    "image": _image,
    "text_image": _image,
    "line_break": _always(lambda machine: machine.say("\n")),
    "page_break": _page("Next", ends_scene=False),
    "page_break_advertisement": _wordless(
        "page_break_advertisement", _page("Next", ends_scene=False)
    ),
    "delay_break": _wait,
    "finish": _page("Next Chapter", ends_scene=True),
    "finish_advertisement": _wordless(
        "finish_advertisement", _page("Next Chapter", ends_scene=True)
    ),
    **dict.fromkeys(
        ("ending", "delay_ending", "end_trial", "abort", "restart"),
        _always(lambda machine: machine.end()),
    ),
    "title": _title,
    "achieve": lambda line, words: (lambda machine: machine.achieve(words.lower()), None),
    "check_achievements": _always(lambda machine: machine.check_achievements()),
    "hide_reuse": _reuse("hide"),
    "disable_reuse": _reuse("disable"),
    "allow_reuse": _reuse("allow"),
    "save_checkpoint": _save_checkpoint,
    "reset": _always(lambda machine: machine.reset()),
    "looplimit": _looplimit,
    "bug": _bug,
}
