"""torch: a program of `torch.export`, which torch alone runs, also from C++ after compiling."""

import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch

from headstart.core.errors import ModelError
from headstart.export.graph import Arrays, Floats, Run, example_input, example_pixels, trace, whole_graph
from headstart.models import Classifier

METADATA_FILE = "headstart.json"
"""The name of the texts inside the file, which is a zip; `torch.export.load` gives them by `extra_files`."""


class TorchFile:
    """A classifier as a program of torch, in memory."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        self._program = program

    def save(self, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the file with these texts in it."""
        extra = {METADATA_FILE: json.dumps(dict(metadata), ensure_ascii=False)}
        content = io.BytesIO()  # torch's own writing aborts the whole process where the disk is full
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.save(self._program, content, extra_files=extra)
        path.write_bytes(content.getbuffer())


def convert(classifier: Classifier, *, include_preprocessing: bool) -> TorchFile:
    """Return a classifier as a program of torch.

    Raises:
        ModelError: torch cannot trace this network.
    """
    graph = whole_graph(classifier, include_preprocessing=include_preprocessing)
    example = example_pixels() if include_preprocessing else example_input(classifier)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = trace(graph, example)
        except Exception as error:  # torch has many kinds of errors for what it cannot trace
            raise ModelError(f"torch cannot trace this network: {str(error)[:300]}") from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # where on this machine the code lay
    return TorchFile(program)


def load(path: Path) -> Run:
    """Return a function that runs a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(path).module()

    def run(x: Arrays) -> Floats:
        with torch.inference_mode():
            probabilities: Floats = module(torch.from_numpy(x)).numpy()
        return probabilities

    return run
