"""Imports point one way: the core knows no world and no mind, and within it each file knows only those beneath it."""

import ast
import re
from pathlib import Path

import pytest

import valueagents

ROOT = Path(__file__).parents[2]
# Low to high; a module may import only what stands before it (or its equals in a tuple's order).
CORE_ORDER = [
    "errors", "identity", "taxonomy", "decision", "environment", "policy", "threads", "plugins",
    "counterfactual", "conformance", "rollout", "store", "table", "runs", "statistics", "arrays", "same_annotations",
    "choice_model", "choice_weights", "bradley_terry", "null_test", "reannotation", "scores", "weight_comparison",
    "exposure", "comparison", "pool", "resampling", "shifts", "profiles", "circle", "metrics", "validity",
    "report", "progress", "play", "terminal", "commands", "cli", "__main__",
]  # fmt: skip
ROOMS = {"envs": "valueagents.envs", "policies": "valueagents.policies", "experiments": "valueagents.experiments"}


def imported(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("valueagents")}


def core_module(file: Path) -> str:
    return file.relative_to(ROOT / "valueagents").parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", sorted((ROOT / "valueagents").rglob("*.py")), ids=str)
def test_a_core_module_imports_only_what_is_beneath_it(file: Path) -> None:
    if file == ROOT / "valueagents" / "__init__.py":
        return  # the public names, imported lazily
    mine = core_module(file)
    for name in imported(file):
        theirs = name.split(".")[1] if "." in name else ""
        assert theirs not in ROOMS, f"{file} imports {name}"
        if theirs and theirs != mine:
            assert CORE_ORDER.index(theirs) < CORE_ORDER.index(mine), f"{mine} imports {theirs}"


@pytest.mark.parametrize(
    ("room", "forbidden"), [("envs", ("policies", "experiments")), ("policies", ("envs", "experiments"))]
)
def test_worlds_and_minds_do_not_know_each_other(room: str, forbidden: tuple[str, ...]) -> None:
    for file in (ROOT / room).rglob("*.py"):
        for name in imported(file):
            assert not name.startswith(tuple(ROOMS[other] for other in forbidden)), f"{file} imports {name}"


def test_the_public_names_are_sorted_documented_and_importable() -> None:
    assert valueagents.__all__ == sorted(valueagents.__all__)
    for name in valueagents.__all__:
        assert getattr(valueagents, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = valueagents.nothing


def test_every_source_file_says_what_it_is_for_and_stays_short() -> None:
    for room in ("valueagents", "envs", "policies", "experiments"):
        for file in (ROOT / room).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            assert ast.get_docstring(ast.parse(text)), file
            assert text.count("\n") <= 400, file


def test_nothing_unpickles_or_trusts_remote_code() -> None:
    pattern = re.compile(r"import pickle|pickle\.load|torch\.load\(|trust_remote_code=True|shell=True|yaml\.load\(")
    for room in ("valueagents", "envs", "policies", "experiments"):
        for file in (ROOT / room).rglob("*.py"):
            assert not pattern.search(file.read_text(encoding="utf-8")), file
