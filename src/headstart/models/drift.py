"""How far batch norms are from what they were trained with: on pictures, and against the weights' own.

A batch norm keeps the mean and the variance that each channel had during training. Pictures that reach the
network in another way than those of the training make other means and variances; the channels are then
normalised by statistics of something else.
"""

import torch

from headstart.models.batch_norm import BatchNorm, batch_norms
from headstart.models.classifier import Classifier


@torch.no_grad()
def batch_norm_drift(classifier: Classifier, inputs: torch.Tensor) -> float | None:
    """Return how far what the batch norms see of some pictures is from what they were trained with.

    Of each channel: the distance between the mean over pictures and places and the running mean, in running
    standard deviations. Of each layer: the median over its channels, which a few channels that hardly ever
    answer do not move. Of the network: the largest layer, for a mistake shows in some layers only: the
    first where the range is wrong, the last where the map has become too small.

    Variances are not part of it: those of drawings and of enlarged small pictures, rightly used, are
    further from a network's own than those of many mistakes.

    Args:
        classifier: float32 on the CPU, as it was loaded. It stays as it is.
        inputs: preprocessed pictures (N, 3, H, W), 16 or more, evenly spread over the classes.

    Returns:
        The distance, 0 or more; infinite where something is not finite; None for a network without
        batch norms that keep statistics.
    """
    seen: list[torch.Tensor] = []

    def look(norm: BatchNorm, given: tuple[torch.Tensor, ...]) -> None:
        axes = [0, *range(2, given[0].ndim)]
        seen.append(_distance(given[0].mean(axes, dtype=torch.float64), norm))

    handles = [norm.register_forward_pre_hook(look) for norm in batch_norms(classifier.backbone)]
    modes = [(module, module.training) for module in classifier.backbone.modules()]
    try:
        classifier.backbone.eval()  # in training mode a look would move what it looks at
        if handles:
            classifier.features(inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    return _largest(seen)


def statistics_moved(classifier: Classifier, original: Classifier) -> float | None:
    """Return how far the statistics in a network's batch norms are from those it was loaded with.

    In the units of `batch_norm_drift`. Statistics that drifted while a network was trained with fit the new
    pictures, so pictures do not show it; the weights do.

    Args:
        classifier: the network in question.
        original: the same network, freshly loaded.

    Returns:
        The distance, 0 where nothing moved; None for a network without batch norms that keep statistics.
    """
    pairs = zip(batch_norms(classifier.backbone), batch_norms(original.backbone), strict=True)
    return _largest([_distance(_running_mean(now), kept) for now, kept in pairs])


def is_training(classifier: Classifier) -> bool:
    """Say whether a part of a network is in training mode: features then depend on the batch or on chance."""
    return any(module.training for module in classifier.backbone.modules())


def _distance(mean: torch.Tensor, norm: BatchNorm) -> torch.Tensor:
    """Return the median over channels of how far `mean`, of shape (C,), is from a batch norm's own."""
    deviation = (norm.get_buffer("running_var").double() + norm.eps).sqrt()
    distance = (mean - _running_mean(norm)).abs() / deviation
    return torch.nan_to_num(distance, nan=torch.inf).median()


def _running_mean(norm: BatchNorm) -> torch.Tensor:
    return norm.get_buffer("running_mean").double()


def _largest(distances: list[torch.Tensor]) -> float | None:
    return float(torch.stack(distances).max()) if distances else None
