"""Files of settings, small and correct: runs, studies, prompts, taxonomies, maps, forms."""

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from valueagents.experiments.studies.design import read_study
from valueagents.experiments.studies.given_design import read_given
from valueagents.experiments.validity.malformed_items import (
    BANK,
    Format,
    ItemRows,
    Words,
    jsonl,
    played,
    table,
    text,
    together,
)
from valueagents.policies.elicitation import read_elicitation
from valueagents.policies.prompts import load_prompt

_RUN_TOML = """env = "valueagents/Dilemma-v0"
policy = "random"
episodes = 6
seed = 3
live = 2
timeout_s = 60.5
[env_options]
setting = "home"
"""
_GIVEN_TOML = """base = "random"
seed = 3

[[policies]]
name = "caring"
policy = "known:BEC=1"
target = "BEC"
direction = "up"

[[policies]]
name = "first"
policy = "first"

[[envs]]
name = "dilemmas"
role = "behaviour"
env = "valueagents/Dilemma-v0"
env_options = { setting = "home" }
episodes = 8

[[envs]]
name = "game"
role = "behaviour"
env = "valueagents/ChoiceScript-v0"
episodes = 4
replay = 20
"""
_TAXONOMY = """id = "needs"
version = 1
source = "by hand"
off_circle = ["CAR"]
main_grouping = "kinds"
oppositions = [["inward", "outward"]]

[[axes]]
id = "AUT"
name = "Autonomy"
wants = "to decide alone"
facets = ["thought", "action"]
angle = 0.0

[[axes]]
id = "REL"
name = "Relatedness"
wants = "to be with others"
angle = 180.0

[[axes]]
id = "CAR"
name = "Care"
wants = "that others are well"

[groupings.kinds]
inward = ["AUT"]
outward = ["REL", "CAR"]

[people]
source = "a sample"
people = 120
places = 2
by_distance = [0.2, -0.3]
r_cos = [0.5, 0.3, 0.7]
oppositions = [-0.4]
"""
_FORM = """source = "by hand"
taxonomy = "schwartz10"
question = "How far do you agree?"
points = [1, 5]
labels = {1 = "disagree", 3 = "neither", 5 = "agree"}
reversed = false
unscored = [5]

[scales]
SD = [1, -2, 3]
BE = [-3, 4]

[texts]
1 = "I decide for myself."
2 = "Others decide for me."
3 = "I leave when I like."
4 = "I call my friends."
"""
_MAP = """taxonomy = "gert10"
provenance = "rated by two people"
scaling = "breaks the rule -1"
task = "Decide."
divide = 2.0

[columns]
id = "qid"
text = "prompt"
option.a.text = "answer_1"
option.a.cheat = "cheat_1"
option.b.text = "answer_2"
option.b.cheat = "cheat_2"

[constants]
setting = "work"

[numbers]
"Yes" = -1
"No Agreement" = "not annotated"
"""
_ANSWERS = [
    {
        "qid": f"q{n}",
        "prompt": f"The shop is busy, {n}.",
        "answer_1": "Jump the queue.",
        "cheat_1": ("Yes", "-2", "No Agreement")[n % 3],
        "answer_2": "Wait.",
        "cheat_2": "0",
    }
    for n in range(5)
]
_CHOICES = [
    {"id": "a", "text": "Lift it.", "values": {"AUT": -0.5, "CAR": 1}},
    {"id": "b", "text": "Walk by.", "values": {"AUT": 1, "REL": None}},
]
_NEEDS: ItemRows = [
    {**BANK[0], "taxonomy": "needs.toml"},
    *({**row, "options": _CHOICES} for row in BANK[1:]),
]


def _copied(name: str, package: str, *place: str) -> Callable[[Path], Sequence[str]]:
    """Writes a file that comes along."""

    def write(folder: Path) -> Sequence[str]:
        (folder / name).write_bytes(files(package).joinpath(*place).read_bytes())
        return [name]

    return write


def _parquet(folder: Path) -> Sequence[str]:
    text(map__toml=_MAP)(folder)
    columns = {name: [row[name] for row in _ANSWERS] for name in _ANSWERS[0]}
    pq.write_table(pa.table(columns), folder / "answers.parquet", write_page_checksum=True)
    return ["answers.parquet"]


def _imported(kind: str, name: str) -> Callable[[Path], list[Words]]:
    def commands(folder: Path) -> list[Words]:
        return [
            ["import", kind, str(folder / name), "--map", str(folder / "map.toml"), "--json"],
        ]

    return commands


def _read(reader: str, name: str) -> Callable[[Path], list[Words]]:
    return lambda folder: [[reader, str(folder / name)]]


SETTINGS = [
    Format(
        "run.toml",
        text(run__toml=_RUN_TOML),
        lambda folder: [["run", "--config", str(folder / "run.toml"), "--dry-run"]],
        numbers=False,
    ),
    Format(
        "prompt",
        _copied("prompt.toml", "valueagents.policies", "prompts", "choose", "choose-1.toml"),
        _read("read-prompt", "prompt.toml"),
    ),
    Format(
        "system text",
        text(system__md="You are a gardener.\n"),
        _read("read-system", "system.md"),
    ),
    Format(
        "study",
        _copied("study.toml", "valueagents.experiments.studies", "designs", "quick.toml"),
        _read("read-study", "study.toml"),
    ),
    Format(
        "study of given policies",
        text(given__toml=_GIVEN_TOML),
        _read("read-given", "given.toml"),
    ),
    Format(
        "taxonomy",
        lambda folder: [text(needs__toml=_TAXONOMY)(folder), jsonl("items.jsonl", _NEEDS)(folder)][
            0
        ],
        played("Dilemma", "data={folder}/items.jsonl", policy="random"),
    ),
    Format(
        "questionnaire's form",
        text(form__toml=_FORM),
        played("Survey", "key={folder}/form.toml", policy="random"),
    ),
    Format(
        "map of columns",
        together(text(map__toml=_MAP), table("answers.csv", _ANSWERS)),
        _imported("dilemmas", "answers.csv"),
    ),
    Format("Parquet to import", _parquet, _imported("dilemmas", "answers.parquet")),
]


def _system(path: str) -> object:
    asked = read_elicitation({"system": path}, default_reading="label", name="policy")
    return asked.preamble


READERS: Mapping[str, Callable[[str], object]] = {
    "read-study": read_study,
    "read-given": read_given,
    "read-prompt": load_prompt,
    "read-system": _system,
}
"""Of files whose commands would load a model next."""
