"""ONNX: a graph that onnxruntime and many others run."""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.core.errors import MissingExtraError, ModelError
from headstart.export.graph import (
    INPUT,
    PIXELS,
    PROBABILITIES,
    Arrays,
    Floats,
    Probabilities,
    Run,
    example_input,
    example_pixels,
    trace,
)
from headstart.export.picture_input import PictureInput
from headstart.models import Classifier

# onnxruntime reads it when it is imported, and reports its use to its makers where it is not set.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

MAX_BYTES = 2 * 10**9
"""A larger network does not fit into one ONNX file. Source: protobuf's limit of 2 GiB a message."""


class OnnxFile:
    """A classifier in ONNX, in memory.

    Attributes:
        network: the model from a network's input to probabilities.
        pictures: the model from pixels to a network's input, or None.
    """

    def __init__(self, network: Any, pictures: Any | None) -> None:
        self.network = network
        self.pictures = pictures

    @property
    def model(self) -> Any:
        """Both models as one."""
        from onnx import compose

        if self.pictures is None:
            return self.network
        # Nodes of the same name may be in both.
        first, second = (
            compose.add_prefix(model, prefix, rename_inputs=False, rename_outputs=False)
            for model, prefix in ((self.pictures, "pictures/"), (self.network, "network/"))
        )
        return compose.merge_models(first, second, io_map=[(INPUT, INPUT)])

    def save(self, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the file with these texts in it."""
        from onnx import helper

        model = self.model
        helper.set_model_props(model, dict(metadata))
        path.write_bytes(model.SerializeToString())


def convert(classifier: Classifier, *, include_preprocessing: bool) -> OnnxFile:
    """Return a classifier in ONNX.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        ModelError: torch cannot say this network in ONNX, or it is too large.
    """
    require("onnx", "onnxscript", "onnxruntime")
    size_bytes = sum(each.numel() * each.element_size() for each in classifier.state_dict().values())
    if size_bytes > MAX_BYTES:
        raise ModelError(
            f"{classifier.name} has {size_bytes / 1e9:.1f} GB of weights; ONNX holds 2 GB in one file",
            hint="--format torch or safetensors has no such limit",
        )
    network = _convert(Probabilities(classifier), example_input(classifier), INPUT, PROBABILITIES)
    pictures = None
    if include_preprocessing:
        pictures = _convert(PictureInput(classifier.preprocessing), example_pixels(), PIXELS, INPUT)
    return OnnxFile(network, pictures)


def load(path: Path) -> Run:
    """Return a function that runs a file in onnxruntime, in as many threads as torch uses."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors; what it says of graphs it could make faster is not for users
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    [given] = session.get_inputs()

    def run(x: Arrays) -> Floats:
        [probabilities] = session.run(None, {given.name: x})
        return np.asarray(probabilities)

    return run


def require(*packages: str) -> None:
    """Refuse to go on where a package of the extra is missing.

    Raises:
        MissingExtraError: it is.
    """
    from importlib.util import find_spec

    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(
                f"exporting to this format needs {package}, which is not installed",
                hint="pip install 'headstart[export]'",
            )


def _convert(module: nn.Module, example: torch.Tensor, given: str, gives: str) -> Any:
    with warnings.catch_warnings(), _attention_in_parts(module):
        warnings.simplefilter("ignore")  # what torch deprecates in itself
        try:
            program: Any = torch.onnx.export(
                trace(module, example),
                dynamo=True,
                input_names=[given],
                output_names=[gives],
                verbose=False,
            )
        except Exception as error:  # whatever torch's exporter cannot do, it says by many kinds of errors
            raise ModelError(
                f"torch cannot say this network in ONNX: {_first_line(error)}",
                hint="--format torch needs less of it",
            ) from error
    model = program.model_proto
    _tidy(model)
    return model


@contextmanager
def _attention_in_parts(module: nn.Module) -> Iterator[None]:
    """Have timm's attention computed as two products and a softmax.

    torch has one operator for it, and puts that into ONNX only where tensors have four axes: Hiera's and
    NesT's have five.
    """
    fused: list[Any] = [each for each in module.modules() if getattr(each, "fused_attn", False)]
    for each in fused:
        each.fused_attn = False
    try:
        yield
    finally:
        for each in fused:
            each.fused_attn = True


def _tidy(model: Any) -> None:
    """Take out where on this machine the code lay, and name the axes that are free."""
    del model.graph.value_info[:]  # it names the free axes otherwise
    del model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
    names = ("N", "H", "W", "C") if model.graph.input[0].name == PIXELS else ("N", "C", "h", "w")
    for value in (*model.graph.input, *model.graph.output):
        del value.metadata_props[:]
        for axis, name in zip(value.type.tensor_type.shape.dim, names, strict=False):
            if axis.HasField("dim_param"):
                axis.dim_param = name
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300]
