"""The statistics of batch norms from somebody's own pictures in place of those of the pretraining.

Source: Li et al. 2016, "Revisiting Batch Normalization For Practical Domain Adaptation",
https://arxiv.org/abs/1603.04779
"""

import copy
from collections import Counter
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from headstart.core.errors import InputError, ModelError
from headstart.models.classifier import Classifier

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm


def has_batch_norms(module: nn.Module) -> bool:
    """Say whether a network has batch norms that keep statistics."""
    return any(True for _ in batch_norms(module))


def reestimate_batch_norms(classifier: Classifier, inputs: Iterable[torch.Tensor]) -> Classifier:
    """Return a copy of a classifier whose batch norms have the statistics of the given pictures.

    Every batch goes through the network once. Its batch norms normalise by the batch's own mean and variance,
    as in training; all else, dropout too, is as in use. What is kept are the means, over all batches, of
    their means and of their unbiased variances, each batch counted by how many values it brings: batches may
    be of different sizes. Statistics of a small batch are poor, and a batch of one picture is joined to the
    one before it.

    Args:
        classifier: float32 on the CPU, as it was loaded. It stays as it is.
        inputs: preprocessed pictures in batches (N, 3, H, W); the result depends on how they are divided.

    Raises:
        ModelError: the network has no batch norms, or one of them is after the pooling and there is only one
            picture.
        InputError: there are no pictures.
    """
    adapted = copy.deepcopy(classifier)
    # What classifies as a whole holds the same tensors, and batch norms that the features do not go through.
    network = adapted.backbone if adapted.classify is None else adapted.classify
    norms = list(batch_norms(network))
    if not norms:
        raise ModelError(
            f"{classifier.name} has no batch norms that could be re-estimated",
            hint="leave the option out for this model",
        )
    momenta = [norm.momentum for norm in norms]
    num_values: Counter[nn.Module] = Counter()

    def weigh(norm: BatchNorm, given: tuple[torch.Tensor, ...]) -> None:
        # As a running mean moves by its momentum, this makes it the mean of all values so far.
        num_values[norm] += given[0].numel()
        norm.momentum = given[0].numel() / num_values[norm]

    handles = [norm.register_forward_pre_hook(weigh) for norm in norms]
    for norm in norms:
        norm.train()
    _run(network, inputs)
    for norm, momentum, handle in zip(norms, momenta, handles, strict=True):
        norm.momentum = momentum
        norm.eval()
        handle.remove()
    return adapted


@torch.no_grad()
def _run(network: nn.Module, inputs: Iterable[torch.Tensor]) -> None:
    """Send all batches through a network some of whose batch norms are in training mode."""
    ran = False
    for batch in _join_single(inputs):
        ran = True
        try:
            network(batch)
        except ValueError as error:  # torch's, for a batch norm that gets one value a channel
            raise ModelError(
                f"one picture is too few for the statistics of this network's batch norms: {error}",
                hint="give it two pictures or more",
            ) from error
    if not ran:
        raise InputError("there are no pictures to re-estimate batch norms on")


def _join_single(inputs: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Yield batches without empty ones, those of one picture joined to the batch before them."""
    waiting: torch.Tensor | None = None
    for batch in inputs:
        if waiting is None or not len(batch):
            waiting = batch if len(batch) else waiting
        elif len(batch) == 1 or len(waiting) == 1:
            waiting = torch.cat([waiting, batch])
        else:
            yield waiting
            waiting = batch
    if waiting is not None:
        yield waiting


def batch_norms(module: nn.Module) -> Iterator[BatchNorm]:
    """Yield the batch norms of a network that keep statistics, in the order they were registered."""
    for each in module.modules():
        if isinstance(each, BatchNorm) and each.running_mean is not None:
            yield each
