"""The built wheel, used from another folder: nothing is missing from it and nothing bare is
installed.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(folder),
            str(ROOT),
        ],
        check=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_one_top_level_package_with_all_its_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"valueagents"}
    data = [
        "taxonomies/schwartz20.toml",
        "envs/data/dilemmas-1.jsonl",
        "envs/data/stereotype_probes/en.jsonl",
        "policies/prompts/choose/choose-2.toml",
        "policies/readings/words/zh.toml",
    ]
    for wanted in ["py.typed", "report/page.html.j2", "report/page.css", *data]:
        assert f"valueagents/{wanted}" in names
    assert not [name for name in names if any(part.startswith("test") for part in name.split("/"))]


@pytest.mark.slow
def test_an_installed_wheel_runs_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(pip, check=True)
    code = (
        "import valueagents, valueagents.envs; from valueagents.cli import main; "
        "assert 'site' in valueagents.__file__ and 'site' in valueagents.envs.__file__; main()"
    )
    words = [
        "run",
        "--env",
        "valueagents/Dilemma-v0",
        "--policy",
        "random",
        "--episodes",
        "30",
        "--out",
        "run",
    ]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    for line in (words, ["score", "run"], ["report", "run"], ["check", "valueagents/Dilemma-v0"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.slow
def test_an_editable_clone_is_found_from_the_folder_above_it(tmp_path: Path) -> None:
    clone = (
        tmp_path / "valueagents"
    )  # named like the package, and without an __init__.py of its own
    shutil.copytree(
        ROOT, clone, ignore=shutil.ignore_patterns(".git", ".venv*", "build", "runs", "*.egg-info")
    )
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--editable", clone]
    subprocess.run(pip, check=True)
    code = "import valueagents; print(valueagents.__file__)"
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(clone / "valueagents" / "__init__.py")
