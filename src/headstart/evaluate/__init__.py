"""How good predictions are, and whether one model is better than another.

Metrics with their intervals, models compared on the same pictures, cost as measured. Nothing here is fitted.
"""

from typing import TYPE_CHECKING

from headstart.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from headstart.evaluate.cost import measure_latency
    from headstart.evaluate.evaluation import evaluate, mean_evaluation
    from headstart.evaluate.intervals import BootstrapEstimates, bootstrap, wilson
    from headstart.evaluate.paired import Ranking, paired_difference, rank
    from headstart.evaluate.records import Estimate, Evaluation, KeptShare, PairedDifference, Rejection
    from headstart.evaluate.rejection import choose_rejection, kept_share
    from headstart.evaluate.repeated import repeated_accuracy, repeated_difference
    from headstart.evaluate.selected import corrected_best

__all__ = [
    "BootstrapEstimates",
    "Estimate",
    "Evaluation",
    "KeptShare",
    "PairedDifference",
    "Ranking",
    "Rejection",
    "bootstrap",
    "choose_rejection",
    "corrected_best",
    "evaluate",
    "kept_share",
    "mean_evaluation",
    "measure_latency",
    "paired_difference",
    "rank",
    "repeated_accuracy",
    "repeated_difference",
    "wilson",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "BootstrapEstimates": "intervals",
        "Estimate": "records",
        "Evaluation": "records",
        "KeptShare": "records",
        "PairedDifference": "records",
        "Ranking": "paired",
        "Rejection": "records",
        "bootstrap": "intervals",
        "choose_rejection": "rejection",
        "corrected_best": "selected",
        "evaluate": "evaluation",
        "mean_evaluation": "evaluation",
        "kept_share": "rejection",
        "measure_latency": "cost",
        "paired_difference": "paired",
        "rank": "paired",
        "repeated_accuracy": "repeated",
        "repeated_difference": "repeated",
        "wilson": "intervals",
    },
)
