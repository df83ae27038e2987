"""Going beyond torchvision's models: CIFAR-10 on frozen pretrained networks.

The program of a tutorial of 2019, written anew on `pretrainedmodels`, which headstart maintains. It freezes a
network, puts a new layer in the place of `last_linear`, trains that layer, and compares se_resnet50 with
torchvision's resnet50 (or any of the 45 networks with --model):

    python examples/going_beyond_torchvision.py --data DATA

DATA is a folder that torchvision downloads CIFAR-10 to, or a folder or zip with <...>/train/<class>/*.jpg and
<...>/test/<class>/*.jpg. As it stands it is the tutorial's protocol, which misleads; --repaired mends it:

- Pictures of 32 pixels with mean and std 0.5 are not what the networks were trained on. Repaired: the size,
  range, mean and std of each network's own settings.
- In training mode the frozen batch norms go on moving, so what is evaluated is not what was pretrained.
  Repaired: the frozen network stays in eval mode.
- The frozen features never change, yet every epoch computes them again. Repaired: they are computed once.
- The best epoch was chosen on the test pictures, and that figure was reported. Repaired: a fifth of the
  training pictures chooses; the test pictures are looked at once, at the end.
- Networks were compared by one figure each. Repaired: it comes with its 95 % interval.

The tutorial's last advice was to try all the networks. That is what `headstart compare` is for.
"""

import argparse
import copy
import io
import math
import pickle
import sys
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, random_split
from torchvision import transforms
from torchvision.datasets import CIFAR10, ImageFolder

import pretrainedmodels
from pretrainedmodels.utils import Identity, TransformImage

Loaders = dict[str, DataLoader[Any]]

BATCH_SIZE = 16
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TUTORIALS_TRANSFORM = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])


class Model(nn.Module):
    """A frozen network with a new `last_linear`, the only part that is trained.

    Args:
        network: one of the networks of `pretrainedmodels`.
        num_classes: K, how many classes the new layer tells apart.
    """

    def __init__(self, network: Any, num_classes: int) -> None:
        super().__init__()
        for parameter in network.parameters():
            parameter.requires_grad = False
        network.last_linear = nn.Sequential(
            nn.Linear(network.last_linear.in_features, num_classes), nn.LogSoftmax(dim=1)
        )
        self.network = network

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to log-probabilities (N, K)."""
        outputs: torch.Tensor = self.network(pictures)
        return outputs

    def fit(self, dataloaders: Loaders, num_epochs: int) -> float:
        """Train the new layer, keep the weights of the epoch with the best validation accuracy, return that.

        Args:
            dataloaders: the loaders of the two phases, "train" and "validation".
            num_epochs: how often the training pictures are gone through.
        """
        began = time.monotonic()
        optimizer = torch.optim.Adam(self.network.last_linear.parameters())
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=4)
        best_accuracy, best_weights = 0.0, copy.deepcopy(self.state_dict())
        for epoch in range(1, num_epochs + 1):
            print(f"epoch {epoch} of {num_epochs}")
            for phase in ("train", "validation"):
                loss, accuracy = self.run_epoch(dataloaders[phase], optimizer if phase == "train" else None)
                print(f"  {phase:<10}  loss {loss:.4f}  accuracy {accuracy:.4f}")
            scheduler.step()
            if accuracy > best_accuracy:
                best_accuracy, best_weights = accuracy, copy.deepcopy(self.state_dict())
        print(f"trained in {time.monotonic() - began:.0f} s; best validation accuracy {best_accuracy:.4f}")
        self.load_state_dict(best_weights)
        return best_accuracy

    def run_epoch(
        self, loader: DataLoader[Any], optimizer: torch.optim.Optimizer | None = None
    ) -> tuple[float, float]:
        """Go through a loader once, training where there is an optimizer; return mean loss and accuracy."""
        self.train(optimizer is not None)
        loss_function = nn.NLLLoss()
        num_seen, total_loss, num_correct = 0, 0.0, 0
        for inputs, labels in loader:
            inputs, labels = inputs.to(DEVICE), labels.to(DEVICE)
            with torch.set_grad_enabled(optimizer is not None):
                outputs = self(inputs)
                loss = loss_function(outputs, labels)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            num_seen += len(labels)
            total_loss += loss.item() * len(labels)
            num_correct += int((outputs.argmax(1) == labels).sum())
        return total_loss / num_seen, num_correct / num_seen


class RepairedModel(Model):
    """A `Model` that is trained on the frozen network's features instead of on pictures."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (N, D) to log-probabilities (N, K)."""
        outputs: torch.Tensor = self.network.last_linear(features)
        return outputs

    @torch.no_grad()
    def embed(self, loader: DataLoader[Any]) -> TensorDataset:
        """Return the frozen network's features (N, D), computed in eval mode, and the labels (N,)."""
        layer, self.network.last_linear = self.network.last_linear, Identity()
        self.network.eval()
        batches = [(self.network(inputs.to(DEVICE)).cpu(), labels) for inputs, labels in loader]
        self.network.last_linear = layer
        features, labels = map(torch.cat, zip(*batches, strict=True))
        return TensorDataset(features, labels)


class ZippedPictures(Dataset[tuple[Any, int]]):
    """The pictures of a zip that lie in <...>/<part>/<class>/, kept in memory as the files they are."""

    def __init__(self, path: Path, part: str, transform: Any) -> None:
        with ZipFile(path) as archive:
            names = [name for name in archive.namelist() if PurePosixPath(name).parts[-3:-2] == (part,)]
            self.files = [archive.read(name) for name in names]
        class_names = [PurePosixPath(name).parts[-2] for name in names]
        self.classes = sorted(set(class_names))
        self.labels = [self.classes.index(name) for name in class_names]
        self.transform = transform

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.open(io.BytesIO(self.files[index])).convert("RGB")), self.labels[index]

    def __len__(self) -> int:
        return len(self.files)


def open_part(data: Path, part: str, transform: Any) -> Any:
    """Return the pictures of "train" or "test"; their `classes` are the classes' names."""
    if data.suffix == ".zip":
        return ZippedPictures(data, part, transform)
    for folder in (data / part, data / "cifar10" / part):
        if folder.is_dir():
            return ImageFolder(str(folder), transform)
    return CIFAR10(str(data), train=part == "train", transform=transform, download=True)


def load_network(name: str, weights: str) -> Any:
    """Return a network with the weights that --weights names."""
    constructor: Any = pretrainedmodels.__dict__[name]
    if weights == "imagenet":
        return constructor(num_classes=1000, pretrained="imagenet")
    network = constructor(num_classes=1000, pretrained=None)
    if weights != "none":
        try:
            network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True), strict=True)
        except (RuntimeError, TypeError, EOFError, pickle.UnpicklingError) as error:
            sys.exit(f"error: {weights} holds no weights of {name}: {' '.join(str(error).split())[:300]}")
    return network


def try_network(name: str, args: argparse.Namespace) -> str:
    """Train a new layer on the network `name`; return its result in words."""
    print(f"== {name}")
    torch.manual_seed(args.seed)
    chance = torch.Generator().manual_seed(
        args.seed
    )  # of its own, so that all networks see the same pictures
    network = load_network(name, args.weights)
    # scale=1 leaves out the usual crop: the borders of CIFAR's pictures are needed.
    transform = TransformImage(network, scale=1) if args.repaired else TUTORIALS_TRANSFORM
    train, test = (open_part(args.data, part, transform) for part in ("train", "test"))
    model = (RepairedModel if args.repaired else Model)(network, len(train.classes)).to(DEVICE)
    train, test = (
        Subset(part, torch.randperm(len(part), generator=chance).tolist()[: args.limit])
        for part in (train, test)
    )

    def loader(pictures: Any, *, shuffle: bool = False) -> DataLoader[Any]:
        lonely = shuffle and len(pictures) % BATCH_SIZE == 1  # batch norm cannot train on one picture
        return DataLoader(pictures, BATCH_SIZE, shuffle, num_workers=args.workers, drop_last=lonely)

    if not isinstance(model, RepairedModel):
        try:
            model.eval()(test[0][0][None].to(DEVICE))
        except RuntimeError as error:
            sys.exit(f"error: {name} does not take pictures this small ({error}); --repaired resizes them")
        best = model.fit({"train": loader(train, shuffle=True), "validation": loader(test)}, args.epochs)
        return f"{best:.4f} on the test pictures that chose the epoch"
    for_training, for_validation = random_split(model.embed(loader(train)), [0.8, 0.2], chance)
    model.fit(
        {"train": loader(for_training, shuffle=True), "validation": loader(for_validation)}, args.epochs
    )
    _, accuracy = model.run_epoch(loader(model.embed(loader(test))))
    margin = 1.96 * math.sqrt(accuracy * (1 - accuracy) / len(test))  # of the normal approximation
    return f"{accuracy:.4f} ± {margin:.4f} on {len(test):,} test pictures"


def main(words: Sequence[str] | None = None) -> None:
    """Compare the networks that the command line names."""
    parser = argparse.ArgumentParser(description="CIFAR-10 on frozen pretrained networks: see the docstring.")
    parser.add_argument("--data", type=Path, required=True, help="a folder or zip with CIFAR-10, or to be")
    parser.add_argument(
        "--model",
        nargs="+",
        choices=pretrainedmodels.model_names,
        default=["se_resnet50", "resnet50"],
        metavar="NAME",
        help="any of the 45 networks; resnet50 is torchvision's",
    )
    parser.add_argument("--weights", default="imagenet", help="imagenet, none, or the path of a checkpoint")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--limit", type=int, help="so many pictures of each part, for a quick try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes that read pictures")
    parser.add_argument("--repaired", action="store_true", help="mend the tutorial's protocol")
    args = parser.parse_args(words)
    if args.limit is not None and args.limit < BATCH_SIZE:
        parser.error(f"--limit is {args.limit}; it must be {BATCH_SIZE} or more")
    try:
        results = {name: try_network(name, args) for name in args.model}
    except (OSError, BadZipFile) as error:  # no weights, no pictures, no network
        hint = getattr(error, "hint", "")
        sys.exit(f"error: {error}" + (f"\nhint: {hint}" if hint else ""))
    print("== accuracy")
    for name, result in results.items():
        print(f"{name:<20}  {result}")


if __name__ == "__main__":
    main()
