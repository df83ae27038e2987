"""A fitted probe as a layer of a network."""

import numpy as np
import torch
from torch import nn

from headstart.train.probe import LinearProbe


def fold_probe(probe: LinearProbe) -> nn.Linear:
    """Return a fitted probe as one affine layer on raw features."""
    coef, intercept = np.asarray(probe.coef_, np.float32), np.asarray(probe.intercept_, np.float32)
    head = nn.Linear(coef.shape[1], coef.shape[0])
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(coef))
        head.bias.copy_(torch.from_numpy(intercept))
    return head
