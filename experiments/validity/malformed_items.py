"""Files of items, surveys and posts, small and correct, with the commands that read them."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Words = list[str]
ItemRows = Sequence[Mapping[str, Any]]
TASK = {"version": 1, "task": "Choose.", "provenance": "by hand"}


@dataclass(frozen=True)
class Format:
    """Files of one kind.

    `write` puts correct ones into a folder and names those to be damaged, relative to it;
    `commands` are given the folder. `numbers`: the last command prints what was read, so that a
    change would show; else whatever is refusable must be refused. `sealed`: a program wrote them.
    """

    name: str
    write: Callable[[Path], Sequence[str]]
    commands: Callable[[Path], list[Words]]
    numbers: bool = True
    sealed: bool = False


def played(env: str, *options: str, policy: str = "known:BEC=1") -> Callable[[Path], list[Words]]:
    """Play what is in the folder, then print the scores."""

    def commands(folder: Path) -> list[Words]:
        given = [word for each in options for word in ("--env-option", each.format(folder=folder))]
        out = str(folder / "out")
        run = ["run", "--env", f"valueagents/{env}-v0", *given, "--policy", policy]
        return [[*run, "--episodes", "6", "--out", out], ["score", out, "--json"]]

    return commands


def planned(env: str, *options: str) -> Callable[[Path], list[Words]]:
    """Read what is in the folder, and print the plan."""

    def commands(folder: Path) -> list[Words]:
        given = [word for each in options for word in ("--env-option", each.format(folder=folder))]
        run = ["run", "--env", f"valueagents/{env}-v0", *given, "--policy", "random"]
        return [[*run, "--episodes", "1", "--dry-run"]]

    return commands


def jsonl(name: str, rows: ItemRows) -> Callable[[Path], Sequence[str]]:
    """Writes a file of JSON lines."""

    def write(folder: Path) -> Sequence[str]:
        text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        (folder / name).write_text(text, encoding="utf-8")
        return [name]

    return write


def table(name: str, rows: Sequence[Mapping[str, str]]) -> Callable[[Path], Sequence[str]]:
    """Writes a CSV file."""

    def write(folder: Path) -> Sequence[str]:
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return [name]

    return write


def text(**texts: str) -> Callable[[Path], Sequence[str]]:
    """Files by name, a dot written as two underscores."""

    def write(folder: Path) -> Sequence[str]:
        names = []
        for name, text in texts.items():
            names.append(name.replace("__", "."))
            (folder / names[-1]).write_text(text, encoding="utf-8")
        return names

    return write


def together(*writers: Callable[[Path], Sequence[str]]) -> Callable[[Path], Sequence[str]]:
    """Writes what all of them write."""
    return lambda folder: [name for write in writers for name in write(folder)]


_OPTIONS = [
    {"id": "a", "text": "Lift it.", "values": {"BEC": 1, "HED": -0.5}},
    {"id": "b", "text": "Walk by.", "values": {"BEC": -1, "POD": None}},
]
BANK: ItemRows = [
    {"format": "valueagents-items", "taxonomy": "schwartz20", "scaling": "by hand", **TASK},
    *(
        {"id": f"i{n}", "text": f"A bicycle lies there, {n}.", "options": _OPTIONS}
        for n in range(6)
    ),
]
_RULES = (
    "death",
    "pain",
    "disable",
    "freedom",
    "pleasure",
    "deceive",
    "cheat",
    "break_promise",
    "break_law",
    "duty",
)
_MORALCHOICE = [
    {"scenario_id": f"s{n}", "context": f"It is {n} o'clock.", "action1": "Wait.", "action2": "Go."}
    | {
        f"a{k}_{rule}": ("Yes" if (n + k + m) % 3 else "No")
        for k in (1, 2)
        for m, rule in enumerate(_RULES)
    }
    for n in range(4)
]
_DAILY = [
    {
        "idx": str(n),
        "dilemma_situation": f"A friend asks, {n}.",
        "action_type": kind,
        "action": text,
    }
    | {"values_names": str([word]), "topic_group": "friends"}
    for n in range(4)
    for kind, text, word in (("to_do", "Refuse", "honesty"), ("not_to_do", "Lie", "kindness"))
]
_WORDS = [{"value": "honesty", "MFT": "Fairness"}, {"value": "kindness", "MFT": "Care"}]


def _run_and_items(folder: Path) -> Sequence[str]:
    names = jsonl("items.jsonl", BANK)(folder)
    first_run(folder, "items.jsonl")
    return names


def first_run(folder: Path, items: str) -> None:
    """The folder holds a run of the random policy, `run`."""
    from valueagents.running.execution import RunConfig, execute

    options = {"data": str(folder / items)}
    config = RunConfig(env="valueagents/Dilemma-v0", policy="random", env_options=options, seed=1)
    execute(config, folder / "run")


ITEMS = [
    Format("items", jsonl("items.jsonl", BANK), played("Dilemma", "data={folder}/items.jsonl")),
    Format(
        "annotations of a run",
        _run_and_items,
        lambda folder: [
            ["score", str(folder / "run"), "--annotations", str(folder / "items.jsonl"), "--json"]
        ],
    ),
    Format(
        "MoralChoice",
        table("moral.csv", _MORALCHOICE),
        played("Dilemma", "data={folder}/moral.csv", policy="known:deceive=1?taxonomy=gert10"),
    ),
    Format(
        "DailyDilemmas",
        together(table("daily.csv", _DAILY), table("words.csv", _WORDS)),
        played(
            "Dilemma",
            "data={folder}/daily.csv",
            "values={folder}/words.csv",
            policy="known:care=1?taxonomy=mft5",
        ),
    ),
]
_STATEMENTS: ItemRows = [
    {"format": "valueagents-survey", "taxonomy": "schwartz20", **TASK},
    *(
        {"id": f"s{n}", "value": "BEC", "affirms": f"I help, {n}.", "opposes": f"I leave, {n}."}
        for n in range(3)
    ),
]
_NUMBERED = [{"number": n, "text": f"Statement {n} about them."} for n in range(1, 22)]
_LAB_SURVEY = {
    "tasks": ["Rate it from 1 to 6."],
    "response_template": ["My rating is {rating}."],
    "train": [],
    "eval": [],
    "test": [
        {
            "sentence": f"I help, {n}.",
            "negative_sentence": f"I leave, {n}.",
            "category": "BEC",
            "level1": ["Be kind"],
        }
        for n in range(3)
    ],
}
_POSTS: ItemRows = [
    {"format": "valueagents-judgements", "taxonomy": "schwartz20", **TASK},
    *(
        {"id": f"p{n}", "value": "BEC", "high": "YTA", "low": "NTA", "text": f"I left him, {n}."}
        for n in range(4)
    ),
]
_LAB_POSTS = {
    "BEC": [
        {"post": f"I left him, {n}.", "high_standard_stance": "YTA", "low_standard_stance": "NTA"}
        for n in range(4)
    ]
}
SURVEYS = [
    Format(
        "survey",
        jsonl("survey.jsonl", _STATEMENTS),
        played("Survey", "items={folder}/survey.jsonl"),
    ),
    Format(
        "questionnaire, lines",
        jsonl("numbered.jsonl", _NUMBERED),
        played("Survey", "items={folder}/numbered.jsonl", "key=pvq-21", policy="random"),
    ),
    Format(
        "questionnaire, table",
        table("numbered.csv", [{k: str(v) for k, v in row.items()} for row in _NUMBERED]),
        played("Survey", "items={folder}/numbered.csv", "key=pvq-21", policy="random"),
    ),
    Format(
        "lab's survey",
        text(lab__json=json.dumps(_LAB_SURVEY)),
        played("Survey", "items={folder}/lab.json"),
    ),
    Format(
        "judgements",
        jsonl("posts.jsonl", _POSTS),
        played("Judgement", "posts={folder}/posts.jsonl"),
    ),
    Format(
        "lab's posts",
        text(posts__json=json.dumps(_LAB_POSTS)),
        played("Judgement", "posts={folder}/posts.json"),
    ),
]
