"""A classifier as one file for other programs: ONNX, torch, OpenVINO or safetensors, proven on pictures.

`export` converts, runs what it wrote on pictures beside the classifier itself, and keeps the file only where
both agree. A short program that uses the file without headstart is written next to it.
"""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from headstart.export.exporting import export
    from headstart.export.records import Exported, ExportOptions, Int8Gain, Parity

__all__ = ["ExportOptions", "Exported", "Int8Gain", "Parity", "export"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "ExportOptions": "records",
        "Exported": "records",
        "Int8Gain": "records",
        "Parity": "records",
        "export": "exporting",
    },
)
