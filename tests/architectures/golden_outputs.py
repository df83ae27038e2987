"""What `pretrainedmodels` 0.7.4 computed, and the rule that filled its tensors.

`golden.json.gz` holds names and shapes of the tensors and the outputs of all 45 networks. The numbers are
data that were measured with the original library; a tensor's values follow from its name, so no weights are
needed.
"""

import gzip
import json
from binascii import crc32
from pathlib import Path
from typing import Any

import numpy as np
import torch

GOLDEN: dict[str, Any] = json.loads(gzip.decompress((Path(__file__).parent / "golden.json.gz").read_bytes()))
NAMES = tuple(GOLDEN["models"])

REPRESENTATIVES = (
    "alexnet",
    "bninception",
    "cafferesnet101",
    "densenet121",
    "dpn68",
    "fbresnet152",
    "inceptionresnetv2",
    "inceptionv3",
    "inceptionv4",
    "nasnetamobile",
    "pnasnet5large",
    "polynet",
    "resnet18",
    "resnext101_32x4d",
    "se_resnet50",
    "squeezenet1_1",
    "vgg11",
    "xception",
)
"""At least one network of every family; the others run in the longer tier."""


def generator(text: str, salt: str) -> np.random.Generator:
    return np.random.default_rng(crc32((salt + text).encode()))


def fill(name: str, shape: tuple[int, ...], salt: str = GOLDEN["salt"]) -> torch.Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.long)
    rng = generator(name, salt)
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
        values = rng.uniform(0.5, 1.5, shape)
    elif len(shape) == 1:
        values = rng.normal(0, 0.1, shape)
    else:
        values = rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)
    return torch.from_numpy(values.astype(np.float32))


def picture(name: str, salt: str = GOLDEN["salt"], batch: int = 1) -> torch.Tensor:
    size = (batch, *GOLDEN["models"][name]["input_size"])
    return torch.from_numpy(generator(name, salt).normal(0, 1, size).astype(np.float32))
