"""The race: candidates in, evidence and a choice out; resumable; a failed candidate is a row with its error.

Selection and reporting are separate functions on separate data: `evidence` and `choice` see training and
validation pictures only, `final` looks at the locked test set, for what was chosen.
"""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from headstart.compare.comparison import compare
    from headstart.compare.probe import fit_one
    from headstart.compare.records import CompareOptions, Comparison, Stopped, Tuning
    from headstart.compare.run_folder import load_comparison
    from headstart.compare.tune import tune_one

__all__ = [
    "CompareOptions",
    "Comparison",
    "Stopped",
    "Tuning",
    "compare",
    "fit_one",
    "load_comparison",
    "tune_one",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "CompareOptions": "records",
        "Comparison": "records",
        "Stopped": "records",
        "Tuning": "records",
        "compare": "comparison",
        "fit_one": "probe",
        "load_comparison": "run_folder",
        "tune_one": "tune",
    },
)
