"""One thing has one definition: no class, type or type variable of the package is named twice."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("valueagents", "envs", "policies", "experiments")


def defined(module: ast.Module) -> Iterator[str]:
    """The public classes, type aliases and type variables that a module defines at its top."""
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            name = node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        else:
            continue
        if name[0].isupper() and not name.isupper():  # a constant is written in capitals
            yield name


def names_of(source: str) -> list[str]:
    return list(defined(ast.parse(source)))


def test_classes_aliases_and_type_variables_are_found_and_constants_are_not() -> None:
    source = "T = 1\nclass Row: pass\nRows = list[Row]\nKey: TypeAlias = str\nclass _Own: pass"
    assert names_of(source) == ["Row", "Rows", "Key"]


def test_no_name_of_a_class_or_type_is_defined_in_two_files() -> None:
    files = defaultdict(list)
    for folder in SOURCES:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for name in names_of(file.read_text(encoding="utf-8")):
                files[name].append(str(file.relative_to(ROOT)))
    assert len(files) > 300, "the sources were not found"
    twice = {name: where for name, where in files.items() if len(where) > 1}
    assert not twice, "one thing has one definition, two things have two names"
