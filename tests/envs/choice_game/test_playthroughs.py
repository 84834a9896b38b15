"""Small scripts with the playthroughs that the language's reference interpreter made of them: words,
menus, variables and places of errors are the same here.

Ours are in fixtures/choice_scripts.json. `VALUEAGENTS_CHOICESCRIPT_CASES` may name a file of more,
in the same form: a list of {"name", "scenes": {name: text}, "playthroughs": [[event, …], …]}, where
an event is a line's printed `text` (markup left in), a `menu` and the index that it `takes`, a
`rand`, an `input_text` or `input_number`, the `end`, an `error_at`, or the `variables` at the end.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from valueagents.envs.choice_game.game import assemble
from valueagents.envs.choice_game.interpreter import Interpreter
from valueagents.envs.choice_game.lines import lines_of_text
from valueagents.envs.choice_game.values import printed
from valueagents.errors import DataError

OURS = Path(__file__).parents[1] / "fixtures" / "choice_scripts.json"
THEIRS = os.environ.get("VALUEAGENTS_CHOICESCRIPT_CASES", "")
MARKUP = re.compile(r"\[/?(?:b|i|c|n|url)\b[^\]]*\]")
SEEDS = 40  # enough for a die to show the face that it showed the reference
Event = dict[str, Any]


def read(file: str | Path) -> list[Any]:
    path = Path(file)
    return json.loads(path.read_text(encoding="utf-8")) if file and path.is_file() else []


def words(text: str) -> str:
    """The words without white space, which is ours to choose, and without what a player is told of
    options that cannot be taken.
    """
    return "".join(MARKUP.sub("", re.sub(r"\(Not possible now: .*\)", "", text)).split())


def played(scenes: dict[str, str], events: list[Event], seed: int) -> dict[str, Any]:
    """What comes of the same choices here: words, menus, where it went wrong, variables, the end."""
    seen: dict[str, Any] = {"words": "", "menus": [], "error": None, "variables": {}, "end": False}
    picks = [event for event in events if set(event) & {"menu", "input_text", "input_number"}]
    interpreter = None
    try:
        game = assemble({name: lines_of_text(name, text) for name, text in scenes.items()})
        interpreter = Interpreter(game)
        seen["words"] += words(interpreter.start(seed))
        while not interpreter.state.over:
            menu = interpreter.state.menu
            pick = picks.pop(0) if picks else {"menu": []}
            if "menu" in pick:
                seen["menus"].append([offer.text for offer in menu])
            if pick.get("takes", 0) >= len(menu) or pick == {"menu": []}:
                break  # the reference met no such menu, or no such option
            seen["words"] += words(interpreter.take(menu[pick.get("takes", 0)].id))
        seen["end"] = interpreter.state.over
    except DataError as error:
        match = re.match(r"scene '(.+)', line (\d+): ", str(error))
        seen["error"] = f"{match[1]} line {match[2]}:" if match else str(error)
        if interpreter is not None:
            seen["words"] += words("".join(interpreter._text))
    if interpreter is not None:
        held = interpreter.state.variables
        seen["variables"] = {
            name: printed(value) for name, value in held.items() if not name.startswith("choice_")
        }
    return seen


def expected(events: list[Event]) -> dict[str, Any]:
    """The same of the reference's playthrough."""
    told = {key: value for event in events for key, value in event.items()}
    return {
        "words": "".join(words(event.get("text", "")) for event in events),
        "menus": [
            [MARKUP.sub("", option).strip() for option in event["menu"]]
            for event in events
            if "menu" in event
        ],
        "error": told.get("error_at"),
        "variables": {name: printed(value) for name, value in told["variables"].items()},
        "end": told.get("end", False),
    }


def differences(case: dict[str, Any]) -> list[str]:
    """What differs, one text for each thing; nothing where the reference refuses and ours plays."""
    found = []
    for events in case["playthroughs"]:
        right = expected(events)
        tries = [
            played(case["scenes"], events, seed)
            for seed in range(SEEDS if any("rand" in e for e in events) else 1)
        ]
        if right["error"] is not None and tries[0]["error"] is None:
            continue
        if right["error"] == "load" and tries[0]["error"] is not None:
            right["error"] = tries[0]["error"]  # the reference names no line
        if right not in tries:
            found += [
                f"{key}: {tries[0][key]!r}, not {value!r}"
                for key, value in right.items()
                if tries[0][key] != value
            ]
    return found


@pytest.mark.parametrize("case", read(OURS) + read(THEIRS), ids=lambda case: case["name"])
def test_a_script_plays_as_the_reference_played_it(case: dict[str, Any]) -> None:
    assert differences(case) == []
