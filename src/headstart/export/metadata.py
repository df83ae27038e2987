"""What is written into a file beside the network: texts, some of them JSON."""

import json

from headstart.catalog.user_rows import without_folders
from headstart.compare.provenance import list_versions
from headstart.core.records import to_json
from headstart.export.records import ExportOptions, Int8Gain, Parity
from headstart.models import Classifier
from headstart.preprocess import describe


def write_metadata(
    classifier: Classifier, options: ExportOptions, parity: Parity, gain: Int8Gain | None
) -> dict[str, str]:
    """Return the texts: what goes in and comes out, the classes, the proof.

    Args:
        classifier: what the file was made of.
        options: how.
        parity: the proof.
        gain: what 8 bits brought, None for float32.
    """
    versions = list_versions()
    height, width = classifier.preprocessing.input_size
    given = f"float32 of shape (N, 3, {height}, {width}), preprocessed"
    if options.include_preprocessing:
        given = "uint8 of shape (N, H, W, 3): upright pictures of any one size, red first"
    metadata = {
        "made_by": ", ".join(f"{name} {versions[name]}" for name in ("headstart", "torch", "timm")),
        "model": without_folders(classifier.entry).name,  # the file is passed on
        "license_of_weights": classifier.license,
        "class_names": json.dumps(classifier.class_names, ensure_ascii=False),
        "input": given,
        "output": f"float32 of shape (N, {len(classifier.class_names)}): calibrated probabilities",
        "preprocessing": describe(classifier.preprocessing),
        "temperature": repr(classifier.temperature),
        # Answers of a lower probability mean "unknown"; "" where no threshold was chosen.
        "threshold": "" if classifier.threshold is None else repr(classifier.threshold),
        "parity": json.dumps(to_json(parity), ensure_ascii=False),
    }
    if gain is not None:
        metadata["int8"] = json.dumps({**to_json(gain), "speedup": gain.speedup})
    return metadata
