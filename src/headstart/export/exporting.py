"""`export`: a classifier in, a proven file out."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np

from headstart.core.errors import InputError, ModelError
from headstart.core.files import storage_errors
from headstart.core.interrupts import uninterrupted
from headstart.core.progress import SILENT, Progress
from headstart.export import onnx_file, openvino_file, safetensors_file, torch_file
from headstart.export.graph import Floats, Run
from headstart.export.int8 import WEIGHT_BITS, check_loss, lost, measure_gain, needs_pictures, quantize
from headstart.export.metadata import write_metadata
from headstart.export.parity import Proof, begin_proof
from headstart.export.program import write_program
from headstart.export.proof_pictures import NUM_CALIBRATION, find_proof_pictures
from headstart.export.records import SUFFIXES, Exported, ExportOptions, Format, Parity
from headstart.models import Classifier

_LAST_LOOK = 4  # pictures that the file is run on once more, after the proof was written into it


class _File(Protocol):
    def save(self, path: Path, metadata: Mapping[str, str]) -> None: ...


def export(
    classifier: Classifier,
    path: str | Path,
    *,
    pictures: str | None = None,
    options: ExportOptions = ExportOptions(),
    progress: Progress = SILENT,
) -> Exported:
    """Write a classifier as one file for other programs, if it says what the classifier says.

    What is written is read back and run on pictures, and so is the classifier, by `predict` in its exact
    plan. Only a file that agrees is kept; the proof is written into it. A program that uses it without
    headstart is written beside it, as FILE.py. Files of those names are replaced.

    Args:
        classifier: must know classes.
        path: the file; its suffix says what it is: .onnx, .pt2 (torch), .xml (OpenVINO; the weights come into
            a .bin beside it) or .safetensors.
        pictures: what the proof is made on, best with labels: a folder, zip, CSV or name. None for the
            validation pictures of the run that the classifier's folder lies in; else for some made here.
        options: whether preprocessing is in it, 8 bits, and what is tolerated.
        progress: told about everything that takes time.

    Returns:
        What was written and proven.

    Raises:
        ModelError: the network has no classifier, cannot be said in this format, or the file differs from the
            classifier by more than is tolerated.
        InputError: options or file name do not fit together.
        DataError: `pictures` cannot be used.
        MissingExtraError: a package of the extra "export" is not installed.
        StorageError: the file cannot be written.

    Example:
        >>> import headstart as hs, tempfile
        >>> classifier = hs.load("efficientnet_lite0")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     exported = hs.export(classifier, f"{folder}/lite0.safetensors")
        >>> exported.parity.agreement.value
        1.0
    """
    path = Path(path).expanduser()
    options = _checked(options, path)
    classifier.with_logits_as_features()  # a network without classes fails here, before anything is done
    found = find_proof_pictures(
        classifier,
        pictures,
        limit=options.max_pictures,
        num_calibration=NUM_CALIBRATION if options.quantize else 0,
        seed=options.seed,
        progress=progress,
    )
    if options.quantize and found.calibration is None:
        raise needs_pictures()
    progress.start(f"converting {classifier.name}", unit="")
    file = _convert(classifier, options)
    proof = begin_proof(classifier, found, options=options, progress=progress)
    with storage_errors(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.name[:80]}.") as folder:
            draft = Path(folder) / path.name
            exported = _write_proven(file, draft, proof)
            _put_in_place(draft, path)
    return replace(exported, path=path, program=_program_path(path))


def _checked(options: ExportOptions, path: Path) -> ExportOptions:
    """Return the options with a format.

    Raises:
        InputError: they do not fit each other, or the file's name.
    """
    format_ = options.format or SUFFIXES.get(path.suffix)
    suffix = next((each for each, name in SUFFIXES.items() if name == format_), None)
    if format_ is None:
        known = ", ".join(f"{each} ({name})" for each, name in SUFFIXES.items())
        raise InputError(f"{path.name!r} says no format by its suffix; they are {known}")
    if suffix is None:
        raise InputError(f"{format_!r} is no format; they are {', '.join(SUFFIXES.values())}")
    if path.suffix != suffix:
        raise InputError(
            f"{path.name!r} does not end in {suffix}, by which {format_} is known",
            hint=f"-o {path.with_suffix(suffix)}",
        )
    if options.quantize not in (None, "int8"):
        raise InputError(f"{options.quantize!r} cannot be quantised to; int8 can")
    if options.quantize and format_ != "onnx":
        raise InputError(f"int8 is for ONNX only, not for {format_}", hint="-o NAME.onnx")
    if options.include_preprocessing and format_ == "safetensors":
        raise InputError(
            "safetensors holds tensors alone, no preprocessing",
            hint="--format onnx, torch and openvino hold it; the program beside the file does it otherwise",
        )
    if path.is_dir():
        raise InputError(f"{path} is a folder; a file's name is needed")
    if options.max_pictures < 1:
        raise InputError(f"a proof on {options.max_pictures} pictures is none", hint="give 1 or more")
    return replace(options, format=format_)


def _convert(classifier: Classifier, options: ExportOptions) -> _File:
    if options.format == "safetensors":
        return safetensors_file.convert(classifier)
    converters: dict[Format | None, Callable[..., _File]] = {
        "onnx": onnx_file.convert,
        "openvino": openvino_file.convert,
        "torch": torch_file.convert,
    }
    return converters[options.format](classifier, include_preprocessing=options.include_preprocessing)


def _load(path: Path, classifier: Classifier, format_: Format | None) -> Run:
    if format_ == "safetensors":
        return safetensors_file.load(path, classifier)
    if format_ == "torch":
        return torch_file.load(path)
    return openvino_file.load(path) if format_ == "openvino" else onnx_file.load(path)


def _write_proven(file: _File, draft: Path, proof: Proof) -> Exported:
    """Write the file that is kept to `draft`, and the program beside it.

    Raises:
        ModelError: it differs from the classifier by more than is tolerated.
    """
    classifier, options = proof.classifier, proof.options
    run, found, parity = _prove(file, draft, proof)
    if not parity.largest_difference <= options.tolerance:
        raise _too_far(parity, options)
    gain = None
    if options.quantize and isinstance(file, onnx_file.OnnxFile):
        float32, whole, size_bytes = run, file, _size(draft)
        for weight_bits in WEIGHT_BITS:
            file, num_calibration = quantize(whole, proof, weight_bits=weight_bits)
            run, found, parity = _prove(file, draft, proof)
            if lost(parity) <= options.max_loss:
                break
        check_loss(parity, options)
        gain = measure_gain(
            float32,
            run,
            next(proof.given()),
            size_bytes=size_bytes,
            num_calibration=num_calibration,
            weight_bits=weight_bits,
        )
    file.save(draft, write_metadata(classifier, options, parity, gain))
    _look_again(_load(draft, classifier, options.format), found, proof)
    format_ = options.format or "onnx"
    program = write_program(
        classifier, draft.name, format_, include_preprocessing=options.include_preprocessing
    )
    _program_path(draft).write_text(program, encoding="utf-8")
    return Exported(
        path=draft,
        program=_program_path(draft),
        format=format_,
        quantize=options.quantize,
        include_preprocessing=options.include_preprocessing,
        size_bytes=_size(draft),
        parity=parity,
        gain=gain,
    )


def _prove(file: _File, draft: Path, proof: Proof) -> tuple[Run, Floats, Parity]:
    """Write a file, read it back, and hold what it says against the classifier."""
    file.save(draft, {})
    run = _load(draft, proof.classifier, proof.options.format)
    found = proof.probabilities(run)
    return run, found, proof.parity(found)


def _too_far(parity: Parity, options: ExportOptions) -> ModelError:
    hint = "--tolerance allows more"
    if options.format == "openvino" and options.include_preprocessing:
        hint = (
            "OpenVINO resizes in 32-bit floats, and levels may be off by one: --format onnx is exact; " + hint
        )
    return ModelError(
        f"the file was not kept: a probability differs by {parity.largest_difference:.2g} from the "
        f"classifier's (tolerance {options.tolerance:g}), and {parity.agreement.value:.1%} of "
        f"{parity.pictures} get the same class",
        hint=hint,
    )


def _look_again(run: Run, found: Floats, proof: Proof) -> None:
    """Run the file as it is kept on a few pictures.

    Raises:
        ModelError: it says something else than when it was proven.
    """
    again = np.stack([run(x)[0] for x in islice(proof.given(), _LAST_LOOK)])
    if not np.allclose(again, found[: len(again)], atol=1e-5):
        raise ModelError("the file was not kept: read back, it says something else than when it was proven")


def _program_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.py")


def _parts(path: Path) -> list[Path]:
    """Return all files of an export, the one that it is known by last."""
    return [*([path.with_suffix(".bin")] if path.suffix == ".xml" else []), path]


def _size(path: Path) -> int:
    return sum(each.stat().st_size for each in _parts(path))


def _put_in_place(draft: Path, path: Path) -> None:
    """Move the files to where they are to be, the one that is known by its name last."""
    drafts = [_program_path(draft), *_parts(draft)]
    for each in drafts:
        with each.open("rb+") as file:
            os.fsync(file.fileno())
    with uninterrupted():  # OpenVINO's graph of one export with the weights of another would be worth nothing
        for each in drafts:
            os.replace(each, path.with_name(each.name))
