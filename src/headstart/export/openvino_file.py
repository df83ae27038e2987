"""OpenVINO: Intel's runtime. Two files: the graph (.xml), and the weights beside it (.bin)."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.core.errors import StorageError
from headstart.export.graph import Arrays, Floats, Run
from headstart.export.onnx_file import convert as convert_to_onnx
from headstart.export.onnx_file import require
from headstart.models import Classifier

PLACE = "headstart"
"""Where in the graph's runtime information (`rt_info`) the texts stand."""


class OpenVinoFile:
    """A classifier in OpenVINO's form, in memory."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def save(self, path: Path, metadata: Mapping[str, str]) -> None:
        """Write both files, with these texts in the graph.

        Raises:
            StorageError: the files cannot be written.
        """
        openvino = _openvino()
        for name, text in metadata.items():
            self._model.set_rt_info(text, [PLACE, name])
        try:
            openvino.save_model(self._model, path, compress_to_fp16=False)
        except RuntimeError as error:  # "iostream error" is all that it says of a full disk
            raise StorageError(
                f"cannot write {path.name}: openvino says {str(error).strip()!r}",
                hint="most likely the disk is full: free some space, then run the same command again",
            ) from error


def convert(classifier: Classifier, *, include_preprocessing: bool) -> OpenVinoFile:
    """Return a classifier in OpenVINO's form, by way of ONNX.

    Raises:
        MissingExtraError: openvino, or what ONNX needs, is not installed.
        ModelError: torch cannot say this network in ONNX.
    """
    require("openvino")
    file = convert_to_onnx(classifier, include_preprocessing=include_preprocessing)
    return OpenVinoFile(_openvino().Core().read_model(file.model.SerializeToString()))


def load(path: Path) -> Run:
    """Return a function that runs a file on the processor, in float32 and as many threads as torch uses."""
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = _openvino().Core().compile_model(path, "CPU", settings)

    def run(x: Arrays) -> Floats:
        return np.array(compiled(x)[0])

    return run


def _openvino() -> Any:
    """Return the module openvino, which reports its import to its makers where it finds what does that."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as if not installed
    import openvino

    return openvino
