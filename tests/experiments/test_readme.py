"""What the README promises: its examples run, plugged in as a stranger's package would be."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from valueagents.measuring.estimators.registry import markdown_table

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE, GARDEN, LONGEST = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def valueagents(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-c", "from valueagents.cli import main; main()", *words], folder)


@pytest.fixture
def village(tmp_path: Path) -> Path:
    """A folder on the path that looks like an installed package with the README's env and
    policy.
    """
    (tmp_path / "garden.py").write_text(GARDEN, encoding="utf-8")
    (tmp_path / "policies.py").write_text(LONGEST, encoding="utf-8")
    info = tmp_path / "village-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: village\nVersion: 0.1\n", encoding="utf-8"
    )
    points = re.findall(
        r"```toml\n\[project\.entry-points\.\"valueagents\.envs\"\]\n\"(.*?)\" = \"(.*?)\"\n```",
        README,
    )
    assert points
    lines = ["[valueagents.envs]", *(f"{name} = {value}" for name, value in points)]
    lines += ["[valueagents.policies]", "longest = policies:Longest"]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_the_python_example_runs_and_has_ten_lines_or_so(tmp_path: Path) -> None:
    assert len(EXAMPLE.strip().splitlines()) <= 12
    done = run([sys.executable, "-W", "error", "-c", EXAMPLE], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Benevolence: caring" in done.stdout
    assert (tmp_path / "report.html").is_file()


def test_the_envs_example_is_short_and_keeps_every_promise(village: Path) -> None:
    assert len(GARDEN.strip().splitlines()) <= 45
    done = valueagents(village, "check", "village/Garden-v0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout


@pytest.mark.slow
def test_the_plugged_in_policy_plays_the_plugged_in_env(village: Path) -> None:
    words = [
        "--env",
        "village/Garden-v0",
        "--policy",
        "longest",
        "--episodes",
        "30",
        "--out",
        "run",
    ]
    done = valueagents(village, "run", *words)
    assert done.returncode == 0, done.stderr
    assert "60 decisions" in done.stdout
    assert "Face" in valueagents(village, "score", "run").stdout


def test_every_command_that_the_readme_shows_exists() -> None:
    listed = subprocess.run(
        [sys.executable, "-c", "from valueagents.cli import main; main()", "--help"],
        capture_output=True, text=True, timeout=60, check=False,
    ).stdout  # fmt: skip
    for command in set(re.findall(r"^    valueagents (\w+)", README, flags=re.MULTILINE)):
        assert f"  {command} " in listed


@pytest.mark.slow
def test_the_readmes_examples_run_from_one_notebook_cell_each(tmp_path: Path) -> None:
    play = "run = va.run(Garden, Longest, episodes=20, seed=1)"
    show = "print(run.decisions().num_rows, va.score(run).counts.unread)"
    cells = [EXAMPLE, "\n\n".join([GARDEN, LONGEST, play, show])]
    printed = executed(cells, tmp_path)
    assert "Benevolence: caring" in printed[0]
    assert printed[1].strip() == "40 0"


def executed(cells: list[str], folder: Path) -> list[str]:
    """What each cell prints in a real kernel, where an event loop runs already."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return ["".join(out.get("text", "") for out in cell.outputs) for cell in notebook.cells]


def without_code(markdown: str) -> str:
    return re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)


def links(markdown: str) -> list[str]:
    return re.findall(r"(?<!!)\[[^\]]*\]\(([^)#]+)\)", without_code(markdown))


def test_the_readmes_links_work_wherever_it_is_shown() -> None:
    assert [link for link in links(README) if not link.startswith("https://")] == []


def test_the_table_of_estimators_is_what_the_registry_says() -> None:
    assert markdown_table() in README


def test_every_link_of_the_folders_readmes_leads_somewhere() -> None:
    for readme in [
        *ROOT.glob("[a-z]*/*.md"),
        *ROOT.glob("[a-z]*/*/*.md"),
        *ROOT.glob("[a-z]*/*/*/*.md"),
    ]:
        for target in links(readme.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (readme.parent / target).exists(), (
                f"{readme}: {target}"
            )


def test_every_path_that_the_readme_names_exists() -> None:
    named = re.findall(r"`((?:valueagents|envs|policies|experiments|tests)/[\w./-]*)`", README)
    assert [
        path
        for path in named
        if not (ROOT / path).exists() and not re.match(r"valueagents/[A-Z]", path)
    ] == []
