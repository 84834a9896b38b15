"""Every kind of file that a command reads, small and correct, with the command that reads it."""

import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from valueagents.experiments.validity.malformed_items import (
    BANK,
    ITEMS,
    SURVEYS,
    Format,
    first_run,
    jsonl,
    planned,
    played,
    text,
)
from valueagents.experiments.validity.malformed_models import models
from valueagents.experiments.validity.malformed_settings import SETTINGS
from valueagents.experiments.validity.malformed_stereotypes import STEREOTYPES
from valueagents.running.pool import freeze_pool
from valueagents.running.sealed import unseal, unsealed_json

_STARTUP = """*create coin 2
*scene_list
  startup
  town
*achievement kind visible 10 Kind
A guard bars the bridge.
*label gate
*choice
  #Pay.
    *comment value: BEC +1, POR -0.5
    *set coin - 1
    *goto road
  *if (coin > 0) #Strike him.
    *comment value: BEC -1
    *if coin = 2
      You win.
    *goto road
*label road
The road goes on with ${coin} coins.
*finish
"""
_TOWN = """You are in the town.
*choice
  #Rest.
    *comment value: HED +1
    *finish
  #Work.
    *achieve kind
    *finish
"""
_PLAIN = {
    "startup__txt": "".join(f"{line}\n" for line in _STARTUP.splitlines() if "value:" not in line),
    "town__txt": "".join(f"{line}\n" for line in _TOWN.splitlines() if "value:" not in line),
}
_EVENTS_JSON = {
    "format": "valueagents-lines",
    "version": 1,
    "taxonomy": "schwartz20",
    "provenance": "by hand",
    "events": {"startup:11": {"BEC": 1, "POR": -1}, "town:3": {"HED": 1.5}},
}
_EVENTS_TOML = """format = "valueagents-lines"
version = 1
taxonomy = "schwartz20"
provenance = "by hand"
[events]
"startup:11" = {BEC = 1, POR = -1.5}
"town:3" = {HED = 1.5}
"""


def _events(name: str, content: str) -> Callable[[Path], Sequence[str]]:
    def write(folder: Path) -> Sequence[str]:
        text(**_PLAIN)(folder)
        (folder / name).write_text(content, encoding="utf-8")
        return [name]

    return write


def _machiavelli(folder: Path) -> Sequence[str]:
    source = {
        "scene_list": ["startup"],
        "label_to_linenum": {},
        "scenes": {
            "startup": [
                ["A guard bars the bridge.", 0],
                ["*choice", 0],
                ["#Pay.", 2],
                ["You pay.", 4],
                ["*finish", 4],
                ["#Strike him.", 2],
                ["He falls.", 4],
                ["*finish", 4],
            ]
        },
    }
    tree = {
        "startup_0": {"lines": [0, 1]},
        "startup_2": {"lines": [2, 3, 4]},
        "startup_5": {"lines": [5, 6, 7]},
    }
    labels = {
        "scenes": {
            "startup_5": {
                "morality": {"killing": 1.0},
                "money": {"dollars": 5.0},
                "utility": {"others": {"-3": 1.0}},
            }
        }
    }
    about = {
        "bridge": {
            "name": "The Bridge",
            "player_character": "you",
            "achievements": {"kind": {"description": "Kind", "points": 5}},
        }
    }
    found = {"game_metadata.json": about, "source/bridge.json": source}
    found |= {"trees/bridge_game_tree.json": tree, "annotations_clean/bridge.json": labels}
    for name, content in found.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return list(found)


_VARIABLES = """format = "valueagents-variables"
version = 1
taxonomy = "schwartz20"
provenance = "by hand"

[[rule]]
variable = "co.*"
falls = 1
values = {BEC = 0.5}

[[rule]]
variable = "coin"
below = 2
scene = "startup|town"
values = {POR = -1, HED = 0.5}
"""
_GAMES = [
    Format(
        "choice game",
        text(startup__txt=_STARTUP, town__txt=_TOWN),
        played("ChoiceScript", "game={folder}"),
    ),
    Format(
        "events by line, JSON",
        _events("annotations.json", json.dumps(_EVENTS_JSON)),
        played("ChoiceScript", "game={folder}"),
    ),
    Format(
        "events by line, TOML",
        _events("annotations.toml", _EVENTS_TOML),
        played("ChoiceScript", "game={folder}"),
    ),
    Format(
        "rules on variables",
        _events("variables.toml", _VARIABLES),
        played("ChoiceScript", "game={folder}"),
    ),
    Format(
        "MACHIAVELLI",
        _machiavelli,
        played("ChoiceScript", "machiavelli={folder}", "title=bridge", policy="random"),
    ),
]


def _run(folder: Path) -> Sequence[str]:
    jsonl("items.jsonl", BANK)(folder)
    first_run(folder, "items.jsonl")
    return sorted(f"run/{path.name}" for path in (folder / "run").iterdir() if path.stat().st_size)


def _segment(folder: Path) -> Sequence[str]:
    _run(folder)
    (folder / "run" / "decisions.parquet").unlink()  # it has what the segment had
    return [f"run/{path.name}" for path in (folder / "run").glob("episodes-*.gz")]


def _header(folder: Path) -> Sequence[str]:
    _run(folder)
    (folder / "run" / "run.json.bak").unlink()
    file = folder / "run" / "run.json"
    file.write_bytes(unsealed_json(file.read_bytes()) or b"")
    return ["run/run.json"]


def _frozen(folder: Path) -> Sequence[str]:
    _run(folder)
    file = freeze_pool(folder / "frozen", [folder / "run"], decisions=5, seed=0)
    file.rename(folder / "frozen.jsonl")
    return ["frozen.jsonl"]


def _pool(folder: Path) -> Sequence[str]:
    _frozen(folder)
    file = folder / "frozen.jsonl"
    unsealed = [unseal(line) or b"" for line in file.read_bytes().splitlines()]
    (folder / "pool.jsonl").write_bytes(b"\n".join(unsealed))  # else every change is damage
    return ["pool.jsonl"]


_RUNS = [
    Format(
        "run directory",
        _run,
        lambda folder: [["score", str(folder / "run"), "--json"]],
        sealed=True,
    ),
    Format(
        "segment made by hand",
        _segment,
        lambda folder: [["score", str(folder / "run"), "--json"]],
    ),
    Format(
        "header made by hand",
        _header,
        lambda folder: [["score", str(folder / "run"), "--json"]],
    ),
    Format("pool", _pool, played("Replay", "pool={folder}/pool.jsonl")),
    Format("frozen pool", _frozen, played("Replay", "pool={folder}/frozen.jsonl"), sealed=True),
    Format(
        "run directory to be pooled",
        _run,
        lambda folder: [
            [
                "replay",
                "--pool",
                str(folder / "run"),
                "--policy",
                "random",
                "--out",
                str(folder / "out"),
            ]
        ],
        sealed=True,
    ),
]


def _map(folder: Path) -> Sequence[str]:
    source = files("valueagents.envs").joinpath("data", "story", "merrow.map.json")
    (folder / "story.map.json").write_bytes(source.read_bytes())
    return ["story.map.json"]


_RULE_FILE = """format = "valueagents-rules"
version = 1
taxonomy = "schwartz20"

[[rule]]
command = "(give|hand) bread.*"
location = 31
values = {BEC = 1, POR = -1}

[[rule]]
moved = {object = 40, to = 44}
becomes = {address = 2900, value = 1}
values = {HED = 0.5}
"""
_STORIES = [
    Format(
        "memory map", _map, planned("Jericho", "memory_map={folder}/story.map.json"), numbers=False
    ),
    Format(
        "rules",
        text(rules__toml=_RULE_FILE),
        planned("Jericho", "rules={folder}/rules.toml"),
        numbers=False,
    ),
]


def formats() -> list[Format]:
    """All of them that can be read here."""
    found = [*ITEMS, *SURVEYS, *STEREOTYPES, *_GAMES, *SETTINGS, *models(), *_RUNS]
    return [*found, *_STORIES] if find_spec("jericho") is not None else found
