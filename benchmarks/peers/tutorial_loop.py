"""One turn of the tutorial's loop: a new layer on a frozen network, all pictures through it in every epoch.

    python benchmarks/peers/tutorial_loop.py FOLDER --epochs 1 [--side 224 --images 500]

FOLDER holds train/<class>/ and test/<class>/. Loop and transform are those of
examples/going_beyond_torchvision.py, the network is headstart's starter EfficientNet-Lite0. The last line
printed is JSON: seconds of `fit` (no imports, no listing of files), pictures in an epoch, best accuracy.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

import headstart as hs

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from going_beyond_torchvision import BATCH_SIZE, DEVICE, TUTORIALS_TRANSFORM, Model


class Network(nn.Module):
    """The backbone with a `last_linear`, which the tutorial's model replaces."""

    def __init__(self) -> None:
        super().__init__()
        classifier = hs.load("efficientnet_lite0")
        self.backbone = classifier.backbone
        self.last_linear: nn.Module = nn.Linear(classifier.feature_dim, 1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to what the last layer gives."""
        outputs: torch.Tensor = self.last_linear(self.backbone(pictures))
        return outputs


def main() -> None:
    """Run the epochs and print what they took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument(
        "--side", type=int, help="resize to this shorter side; default: the pictures as they are"
    )
    parser.add_argument("--images", type=int, help="so many of train and test together, 5 to 1")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    resize = [transforms.Resize(args.side)] if args.side else []
    transform = transforms.Compose([*resize, TUTORIALS_TRANSFORM])
    train, test = (ImageFolder(str(args.folder / part), transform) for part in ("train", "test"))
    model = Model(Network(), len(train.classes)).to(DEVICE)
    if args.images:
        num_train = round(args.images * 5 / 6)
        train = Subset(train, torch.randperm(len(train)).tolist()[:num_train])
        test = Subset(test, torch.randperm(len(test)).tolist()[: args.images - num_train])
    loaders = {
        # Batch norm cannot train on a batch of one picture.
        "train": DataLoader(train, BATCH_SIZE, True, num_workers=2, drop_last=len(train) % BATCH_SIZE == 1),
        "validation": DataLoader(test, BATCH_SIZE, num_workers=2),
    }
    start = time.perf_counter()
    accuracy = model.fit(loaders, args.epochs)
    seconds = time.perf_counter() - start
    found = {"seconds": seconds, "num_train": len(train), "num_test": len(test), "best_accuracy": accuracy}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
