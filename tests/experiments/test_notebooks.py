"""The notebooks run top to bottom in a real kernel, in an empty folder, and their stored outputs
are not errors.
"""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "experiments" / "notebooks").glob("*.ipynb"))


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs_top_to_bottom_without_a_file_beside_it(file, tmp_path):
    notebook = nbformat.read(file, as_version=4)
    NotebookClient(
        notebook,
        timeout=180,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    warned = [
        out for cell in code_cells(notebook) for out in cell.outputs if out.get("name") == "stderr"
    ]
    assert warned == []


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_stored_notebook_was_executed(file):
    cells = code_cells(nbformat.read(file, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [out for cell in cells for out in cell.outputs if out.output_type == "error"]


def test_there_are_three():
    assert [file.stem for file in NOTEBOOKS] == [
        "compare_two_adapters",
        "plug_in_an_env",
        "score_a_model",
    ]
