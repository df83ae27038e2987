"""The notebook runs from top to bottom, and is stored without what it printed."""

import json
import os
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "tutorial.ipynb"


def test_it_is_stored_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.slow  # three networks on 700 pictures, in a kernel of its own
@pytest.mark.filterwarnings("default")  # of the kernel's own libraries
def test_it_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="comes with the extra 'docs'")
    nbclient = pytest.importorskip("nbclient", reason="comes with the extra 'docs'")
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = "\n".join(
        output.get("text", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )
    assert "95 % interval" in said
    assert re.search(r"looks at the test set: [12]\n", said)  # the reference may be the chosen model
    assert (tmp_path / "tutorial.html").is_file()
    assert "Traceback" not in said
