"""Imports point one way: experiments to envs and policies, these to the core, and within it from
folder to folder.
"""

import ast
import re
from graphlib import TopologicalSorter as CycleCheck
from pathlib import Path

import pytest

import valueagents

ROOT = Path(__file__).parents[2]
# High to low: a folder of the core may import those that stand after it, and itself.
LAYERS = ("cli", "exporting", "viewer", "report", "measuring", "running", "contracts", "files")
GROUND = ("arrays", "errors", "identity", "screen", "taxonomy")
"""Modules at the core's top, which import no folder of it."""
ROOMS = {
    "envs": "valueagents.envs",
    "policies": "valueagents.policies",
    "experiments": "valueagents.experiments",
}


def imported(file: Path) -> set[str]:
    """Every module of ours that a file imports, lazily or under TYPE_CHECKING included."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("valueagents.")}


def folder_of(file: Path) -> str:
    return file.relative_to(ROOT / "valueagents").parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", sorted((ROOT / "valueagents").rglob("*.py")), ids=str)
def test_imports_of_the_core_point_from_folder_to_folder_one_way(file: Path) -> None:
    mine = folder_of(file)
    if mine in ("__init__", "__main__"):
        return  # the public names, imported when first used; the command
    allowed = {*GROUND, *LAYERS[LAYERS.index(mine) :]} if mine in LAYERS else set(GROUND)
    for name in imported(file):
        assert name.split(".")[1] in allowed, f"{file} imports {name}"


def test_the_core_has_no_folder_or_module_that_the_layers_do_not_name() -> None:
    core = ROOT / "valueagents"
    folders = {path.name for path in core.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders == set(LAYERS)
    assert {path.stem for path in core.glob("*.py")} == {"__init__", "__main__", *GROUND}


def test_no_two_modules_of_the_core_import_each_other_in_a_circle() -> None:
    modules = {
        ".".join(
            ("valueagents", *file.relative_to(ROOT / "valueagents").with_suffix("").parts)
        ): file
        for file in (ROOT / "valueagents").rglob("*.py")
        if file.name not in ("__init__.py", "__main__.py")
    }
    below = {
        name: {other for other in imported(file) if other in modules} - {name}
        for name, file in modules.items()
    }
    CycleCheck(below).prepare()  # raises graphlib.CycleError, naming the circle


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [("envs", ("policies", "experiments")), ("policies", ("envs", "experiments"))],
)
def test_envs_and_policies_do_not_import_each_other(room: str, forbidden: tuple[str, ...]) -> None:
    for file in (ROOT / room).rglob("*.py"):
        for name in imported(file):
            assert not name.startswith(tuple(ROOMS[other] for other in forbidden)), (
                f"{file} imports {name}"
            )


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
    pattern = re.compile(
        r"import pickle|pickle\.load|torch\.load\(|trust_remote_code=True|shell=True|yaml\.load\("
    )
    for room in ("valueagents", "envs", "policies", "experiments"):
        for file in (ROOT / room).rglob("*.py"):
            assert not pattern.search(file.read_text(encoding="utf-8")), file
