"""The records of an export: what is wanted, and what was written and proven."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headstart.evaluate import Estimate, PairedDifference

Format = Literal["onnx", "torch", "openvino", "safetensors"]

SUFFIXES: dict[str, Format] = {
    ".onnx": "onnx",
    ".pt2": "torch",
    ".xml": "openvino",
    ".safetensors": "safetensors",
}
"""The suffix that each format's own programs expect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """How a classifier is exported.

    Attributes:
        format: None for that of the file's suffix.
        quantize: "int8" for weights and activations of 8 bits, which is for ONNX only; None for float32.
        include_preprocessing: whether the file takes uint8 pictures (N, H, W, 3) of any size, and not the
            network's input, float32 (N, 3, h, w).
        tolerance: largest difference of a probability from the classifier's, above which a float32 file is
            refused. A float's rounding is some 1e-6; a pixel of another level than Pillow's some 1e-4.
        max_loss: int8 alone: accuracy that may be lost, in [0, 1], above which the file is refused; where no
            labels are known, share of the pictures that may get another class.
        max_pictures: how many pictures the proof is made on at most.
        device: where the classifier itself is run for the proof.
        seed: of the draw of pictures.
    """

    format: Format | None = None
    quantize: Literal["int8"] | None = None
    include_preprocessing: bool = False
    tolerance: float = 1e-3
    max_loss: float = 0.01
    max_pictures: int = 500
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far a file's answers are from the classifier's own, on the same pictures.

    Attributes:
        pictures: what they are, in words.
        num_pictures: how many.
        largest_difference: of any probability of any picture, in [0, 1].
        agreement: share of the pictures that get the same class, in [0, 1].
        accuracy: of the file; None where no labels are known.
        own_accuracy: of the classifier, likewise.
        loss: accuracy of the classifier minus that of the file, paired, likewise.
    """

    pictures: str
    num_pictures: int
    largest_difference: float
    agreement: Estimate
    accuracy: Estimate | None = None
    own_accuracy: Estimate | None = None
    loss: PairedDifference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Gain:
    """What 8 bits brought.

    Attributes:
        latency_ms: time for one picture in float32, on this machine, in milliseconds.
        int8_latency_ms: the same of the int8 file, measured turn by turn with it.
        size_bytes: of the float32 file.
        num_calibration: number of pictures that the ranges of the activations were taken from.
        weight_bits: 7, or 8 where those lost too much: then the file is right only on processors that
            multiply 8 bits without overflow, such as those with VNNI.
    """

    latency_ms: float
    int8_latency_ms: float
    size_bytes: int
    num_calibration: int
    weight_bits: int

    @property
    def speedup(self) -> float:
        """How many times as fast as float32 it is."""
        return self.latency_ms / self.int8_latency_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A file that was kept.

    Attributes:
        path: the file; OpenVINO's weights lie in a second one, of the same name with the suffix .bin.
        program: a short Python program that uses it without headstart.
        format: what it is.
        quantize: "int8" or None.
        include_preprocessing: whether it takes pictures of any size.
        size_bytes: of the file, or of both.
        parity: the proof.
        gain: int8 alone: what it brought.
    """

    path: Path
    program: Path
    format: Format
    quantize: str | None
    include_preprocessing: bool
    size_bytes: int
    parity: Parity
    gain: Int8Gain | None = None
