"""One small plug-in package with one of everything, installed in a fresh environment; then the same
package, broken.

The engine and the reading mode are the examples of policies/guide.md, the env is the README's, the
estimator that of its folder's README.
"""

import json
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def python_blocks(readme: str) -> list[str]:
    return re.findall(
        r"```python\n(.*?)```", (ROOT / readme).read_text(encoding="utf-8"), flags=re.DOTALL
    )


PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "village"
version = "0.1"

[tool.setuptools]
py-modules = ["village_engine", "village_reading", "village_env", "village_policy", "village_estimator", "village_cli"]

[project.entry-points."valueagents.engines"]
terse = "village_engine:TerseEngine"

[project.entry-points."valueagents.readings"]
yes-no = "village_reading:YesNoReading"

[project.entry-points."valueagents.envs"]
"village/Garden-v0" = "village_env:Garden"

[project.entry-points."valueagents.policies"]
longest = "village_policy:Longest"

[project.entry-points."valueagents.estimators"]
best = "village_estimator:BEST"

[project.entry-points."valueagents.commands"]
greet = "village_cli:greet"
"""
COMMAND = '''
"""A command."""


def greet() -> None:
    """Say good morning."""
    print("good morning from the village")
'''


class Environment:
    """A fresh virtual environment that holds our wheel and the plug-in; what they need comes from
    the one we run in.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.package = folder, folder / "village"
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        self.python = folder / "venv" / "bin" / "python"
        found = self.run(
            "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"
        ).stdout.strip()
        self.site = Path(found)
        # A path file in a folder that a path file names is not read: our own editable installation
        # stays outside.
        (self.site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
        self.pip(str(ROOT))
        self.package.mkdir()
        engine, reading = python_blocks("policies/guide.md")
        _, env, policy = python_blocks("README.md")
        (estimator,) = python_blocks("valueagents/measuring/estimators/README.md")
        modules = {
            "engine": engine,
            "reading": reading,
            "env": env,
            "policy": policy,
            "estimator": estimator,
        }
        for name, text in {**modules, "cli": COMMAND}.items():
            (self.package / f"village_{name}.py").write_text(text, encoding="utf-8")
        (self.package / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
        self.pip(str(self.package))

    def pip(self, *words: str) -> None:
        pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--disable-pip-version-check",
            *words,
        ]
        done = self.run(*pip)
        assert done.returncode == 0, done.stderr

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.python), *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def valueagents(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "valueagents", *words)

    def listed(self, what: str) -> set[str]:
        done = self.valueagents(what, "--json")
        assert done.returncode == 0, done.stderr
        return {
            row.get("name") if what != "estimators" else row["id"]
            for row in json.loads(done.stdout)
        }


@pytest.fixture(scope="module")
def village(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("plugin"))


def test_all_of_it_is_listed(village: Environment) -> None:
    assert "village/Garden-v0" in village.listed("envs")
    assert {"longest", "terse"} <= village.listed("policies")
    assert "best" in village.listed("estimators")
    assert "greet" in village.valueagents("--help").stdout
    assert "yes-no" in village.valueagents("policies", "terse").stdout


def test_all_of_it_works(village: Environment) -> None:
    assert village.valueagents("greet").stdout == "good morning from the village\n"
    for policy in ("longest", "terse:one", "terse:one?reading=yes-no"):
        folder = re.sub(r"\W", "-", policy)
        words = [
            "--env",
            "village/Garden-v0",
            "--policy",
            policy,
            "--episodes",
            "30",
            "--seed",
            "1",
            "--out",
            folder,
        ]
        done = village.valueagents("run", *words)
        assert done.returncode == 0, done.stderr
        assert "60 decisions" in done.stdout
        scores = json.loads(village.valueagents("score", folder, "--json").stdout)
        face = next(axis for axis in scores["axes"] if axis["axis"] == "FAC")
        assert 0 <= face["estimates"]["best"]["value"] <= 100
        assert "best served" in village.valueagents("score", folder).stdout


def test_broken_on_purpose_it_warns_and_breaks_nothing(village: Environment) -> None:
    for module in village.site.glob("village_*.py"):
        module.write_text("def broken(:\n", encoding="utf-8")
    for command in ("envs", "policies", "estimators"):
        done = village.valueagents(command)
        assert done.returncode == 0, done.stderr
        assert "village" in done.stderr
        assert "Traceback" not in done.stderr
    assert village.valueagents("--help").returncode == 0
    words = [
        "--env",
        "valueagents/Dilemma-v0",
        "--policy",
        "random",
        "--episodes",
        "30",
        "--out",
        "sound",
    ]
    assert village.valueagents("run", *words).returncode == 0
    assert village.valueagents("score", "sound").returncode == 0
    done = village.valueagents(
        "run", "--env", "village/Garden-v0", "--policy", "random", "--episodes", "1", "--out", "x"
    )
    assert done.returncode == 2
    assert "village_env" in done.stderr
    assert "Traceback" not in done.stderr
