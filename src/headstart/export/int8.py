"""ONNX in 8 bits: weights by channel, activations by the range that they have on the user's pictures."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headstart.core.errors import InputError, ModelError
from headstart.core.files import storage_errors
from headstart.evaluate import measure_latency
from headstart.export.graph import INPUT, Arrays, Run
from headstart.export.onnx_file import OnnxFile
from headstart.export.parity import Proof, file_inputs
from headstart.export.records import ExportOptions, Int8Gain, Parity

# What is computed in 8 bits: layers with weights, and what stands between them, so that no tensor has to go
# back to float in between. Softmax and the division before it stay in float32.
_KINDS = (
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Conv",
    "Gemm",
    "GlobalAveragePool",
    "MatMul",
    "MaxPool",
    "Mul",
    "ReduceMean",
    "Relu",
)
WEIGHT_BITS = (7, 8)
"""Bits of the weights, in the order in which they are tried. Processors without VNNI add pairs of products in
16 bits, which overflow with weights of 8: with 7 a file says the same everywhere."""

_NUM_ROUNDS = 3  # float32 and int8 are timed turn by turn so often


def needs_pictures() -> InputError:
    """Return the error for 8 bits without pictures to calibrate with."""
    return InputError(
        "int8 takes the ranges of its numbers from your pictures, and none were given",
        hint="--pictures DATA: three or more, best a few hundred with labels",
    )


def quantize(float32: OnnxFile, proof: Proof, *, weight_bits: int) -> tuple[OnnxFile, int]:
    """Return a classifier with its network in 8 bits; the way from pixels to its input stays as it is.

    Args:
        float32: the classifier.
        proof: has the pictures that ranges are taken from.
        weight_bits: one of `WEIGHT_BITS`.

    Returns:
        The classifier, and the number of those pictures.

    Raises:
        InputError: there are no such pictures.
        ModelError: onnxruntime cannot do it.
        StorageError: the folder for temporary files is full.

    Source: Jacob et al. 2018, https://arxiv.org/abs/1712.05877, as onnxruntime.quantization does it;
        https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html for the 7 bits.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    pictures = proof.pictures.calibration
    if pictures is None:
        raise needs_pictures()
    proof.progress.start("taking ranges for int8", total=len(pictures), unit="pictures")

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self, inputs: Iterator[Arrays]) -> None:
            self.inputs = inputs
            self.num_read = 0

        def get_next(self) -> dict[str, Arrays] | None:
            for x in self.inputs:
                self.num_read += 1
                proof.progress.advance()
                return {INPUT: x}
            return None

    reader = Reader(file_inputs(proof.classifier, pictures, include_preprocessing=False))
    with TemporaryDirectory() as folder, storage_errors(Path(folder), "write"), _quiet():
        whole, prepared, quantized = (Path(folder) / f"{name}.onnx" for name in ("whole", "prepared", "int8"))
        whole.write_bytes(float32.network.SerializeToString())
        try:
            quant_pre_process(whole, prepared)
            quantize_static(
                prepared,
                quantized,
                reader,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_KINDS),
                per_channel=True,
                reduce_range=weight_bits == 7,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        except OSError:
            raise
        except Exception as error:  # onnxruntime has many kinds of errors for what it cannot quantise
            raise ModelError(
                f"onnxruntime cannot quantise this network: {str(error)[:300]}",
                hint="export it without --quantize",
            ) from error
        return OnnxFile(onnx.load(quantized), float32.pictures), reader.num_read


def lost(parity: Parity) -> float:
    """Return what a file lost at most, in [0, 1]: accuracy, or where none is known the share of pictures that
    get another class, for accuracy cannot fall by more."""
    return 1 - parity.agreement.value if parity.loss is None else parity.loss.value


def check_loss(parity: Parity, options: ExportOptions) -> None:
    """Refuse a file that lost more than is tolerated.

    Raises:
        ModelError: it did.
    """
    if lost(parity) <= options.max_loss:
        return
    what = "% get another class"
    if parity.loss is not None:
        what = "points of accuracy are lost"
        what += f" (95 % interval {100 * parity.loss.low:.1f} to {100 * parity.loss.high:.1f})"
    allowing = f"--max-loss {ceil(100 * lost(parity))}%"
    raise ModelError(
        f"the int8 file was not kept: {100 * lost(parity):.1f} {what} on {parity.pictures}; "
        f"{100 * options.max_loss:g} are tolerated",
        hint=f"{allowing} allows it; networks with depthwise convolutions lose most",
    )


def measure_gain(
    float32: Run, int8: Run, x: Arrays, *, size_bytes: int, num_calibration: int, weight_bits: int
) -> Int8Gain:
    """Return what 8 bits brought, on one picture, both timed turn by turn.

    Args:
        float32: runs the float32 file.
        int8: runs the int8 file.
        x: what both are given.
        size_bytes: of the float32 file.
        num_calibration: number of pictures that ranges were taken from.
        weight_bits: one of `WEIGHT_BITS`.
    """
    times = [
        (measure_latency(lambda: float32(x)), measure_latency(lambda: int8(x))) for _ in range(_NUM_ROUNDS)
    ]
    return Int8Gain(
        latency_ms=min(each for each, _ in times),
        int8_latency_ms=min(each for _, each in times),
        size_bytes=size_bytes,
        num_calibration=num_calibration,
        weight_bits=weight_bits,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings, and the advice that onnxruntime logs on the root logger."""
    logger: Any = logging.getLogger()
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
