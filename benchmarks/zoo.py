"""Small networks for selection.py, pretrained at 32 px in ways that make them transfer differently.

    python benchmarks/zoo.py WORK [--only NAME ...]

data_sets.py must have run: the networks are trained on the classes of CIFAR-10 and Fashion-MNIST that no task
of selection.py has. For each recipe WORK/zoo/NAME.safetensors is written under timm's names, so that
headstart loads it as "timm/ARCHITECTURE@WORK/zoo/NAME.safetensors", and NAME.json beside it says what was
done. What is there is kept. One thread; a network takes one to three minutes. The same seed gives the same
network on the same machine.

The recipes differ in data, architecture, augmentation, label smoothing, wrong labels, the number of pictures
and of epochs, colour, and in what is learned: classes, or by how many quarters a picture was turned (Gidaris,
Singh and Komodakis 2018, https://arxiv.org/abs/1803.07728). Networks called "random" are not trained; their
batch norms fit the pictures, so that their features tell pictures apart.
"""

import argparse
import dataclasses
import io
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zipfile import ZipFile

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

import headstart as hs

SIDE = 32
BATCH = 128
NUM_TURNS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one network came to be.

    Attributes:
        name: of the file.
        architecture: timm's name.
        data: zips of data_sets.py; of several, the classes are put behind one another.
        epochs: passes over the pictures; 0 leaves the network random.
        learns: "classes", or "turns": by how many quarters the picture was turned.
        augmented: whether pictures are shifted by up to 4 px and mirrored.
        smoothing: share of a label that is spread over all classes.
        noise: share of the labels that are drawn anew.
        num_images: how many pictures are used; None for all.
        grey: whether the colours are taken out.
        rate: highest learning rate.
        seed: of everything random.
    """

    name: str
    architecture: str
    data: tuple[str, ...]
    epochs: int
    learns: Literal["classes", "turns"] = "classes"
    augmented: bool = True
    smoothing: float = 0.0
    noise: float = 0.0
    num_images: int | None = None
    grey: bool = False
    rate: float = 0.1
    seed: int = 0


_CIFAR10, _FASHION = ("cifar10-zoo",), ("fashion-zoo",)
RECIPES = (
    Recipe(name="c-augmented", architecture="resnet10t", data=_CIFAR10, epochs=2, num_images=15000),
    Recipe(name="random-narrow", architecture="test_resnet", data=_CIFAR10, epochs=0, seed=1),
    Recipe(name="random-wide", architecture="resnet10t", data=_CIFAR10, epochs=0, seed=2),
    Recipe(
        name="c-plain",
        architecture="test_byobnet",
        data=_CIFAR10,
        epochs=5,
        augmented=False,
        num_images=15000,
        seed=3,
    ),
    Recipe(name="f-narrow", architecture="test_byobnet", data=_FASHION, epochs=3, num_images=15000, seed=4),
    Recipe(name="c-few", architecture="lcnet_050", data=_CIFAR10, epochs=15, num_images=1500, seed=5),
    Recipe(
        name="c-turns",
        architecture="test_byobnet",
        data=_CIFAR10,
        epochs=4,
        learns="turns",
        num_images=15000,
        seed=6,
    ),
    Recipe(
        name="f-turns",
        architecture="test_byobnet",
        data=_FASHION,
        epochs=4,
        learns="turns",
        num_images=10000,
        seed=7,
    ),
    Recipe(
        name="f-plain",
        architecture="test_resnet",
        data=_FASHION,
        epochs=3,
        augmented=False,
        num_images=10000,
        seed=8,
    ),
    Recipe(
        name="both", architecture="test_resnet", data=_CIFAR10 + _FASHION, epochs=2, num_images=20000, seed=9
    ),
    Recipe(
        name="c-noise",
        architecture="test_resnet",
        data=_CIFAR10,
        epochs=2,
        noise=0.6,
        num_images=15000,
        seed=10,
    ),
    Recipe(
        name="c-grey",
        architecture="test_efficientnet",
        data=_CIFAR10,
        epochs=4,
        grey=True,
        num_images=10000,
        seed=11,
    ),
    Recipe(
        name="c-narrow",
        architecture="test_resnet",
        data=_CIFAR10,
        epochs=3,
        smoothing=0.1,
        num_images=15000,
        seed=12,
    ),
)


def read_pictures(work: Path, recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    """Return uint8 pictures (N, 3, 32, 32) and int64 labels (N,) in a seeded order."""
    pictures, classes = [], []
    for name in recipe.data:
        with ZipFile(work / "data" / f"{name}.zip") as archive:
            for member in archive.namelist():
                with Image.open(io.BytesIO(archive.read(member))) as opened:
                    sized = opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
                pictures.append(np.asarray(sized))
                classes.append(f"{name}/{member.split('/')[0]}")
    order = np.random.default_rng(recipe.seed).permutation(len(pictures))[: recipe.num_images]
    labels = np.unique(classes, return_inverse=True)[1]
    stacked = torch.from_numpy(np.stack(pictures)[order]).permute(0, 3, 1, 2).contiguous()
    if recipe.grey:
        stacked = stacked.float().mean(1, keepdim=True).round().to(torch.uint8).expand(-1, 3, -1, -1)
    return stacked, torch.from_numpy(labels[order])


def spoil(labels: torch.Tensor, share: float, *, generator: torch.Generator) -> torch.Tensor:
    """Return the labels with that share of them drawn anew."""
    drawn = torch.randint(int(labels.max()) + 1, labels.shape, generator=generator)
    return torch.where(torch.rand(labels.shape, generator=generator) < share, drawn, labels)


def augment(batch: torch.Tensor, *, generator: torch.Generator) -> torch.Tensor:
    """Return pictures (N, 3, 32, 32) that are shifted by up to 4 px, half of them mirrored."""
    mirrored = torch.rand(len(batch), generator=generator) < 0.5
    batch = torch.where(mirrored[:, None, None, None], batch.flip(3), batch)
    padded = functional.pad(batch, (4, 4, 4, 4), mode="reflect")
    shifts = torch.randint(9, (len(batch), 2), generator=generator).tolist()
    cut = [each[:, y : y + SIDE, x : x + SIDE] for each, (y, x) in zip(padded, shifts, strict=True)]
    return torch.stack(cut)


def turn(batch: torch.Tensor, *, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pictures turned by random quarters, and by how many, int64 of shape (N,)."""
    quarters = torch.randint(NUM_TURNS, (len(batch),), generator=generator)
    turned = [torch.rot90(each, int(by), (1, 2)) for each, by in zip(batch, quarters, strict=True)]
    return torch.stack(turned), quarters


def normaliser(architecture: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and scale, each (3, 1, 1), that headstart gives pictures for this architecture."""
    preprocessing = hs.load(f"timm/{architecture}", weights=None).preprocessing
    return torch.tensor(preprocessing.mean)[:, None, None], torch.tensor(preprocessing.std)[:, None, None]


def train(network: nn.Module, recipe: Recipe, pictures: torch.Tensor, labels: torch.Tensor) -> float:
    """Train in place by SGD with a one-cycle rate; return the accuracy on the last epoch's batches."""
    generator = torch.Generator().manual_seed(recipe.seed)
    mean, scale = normaliser(recipe.architecture)
    labels = spoil(labels, recipe.noise, generator=generator)
    num_batches = len(labels) // BATCH
    optimizer = torch.optim.SGD(
        network.parameters(), lr=recipe.rate, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.rate, total_steps=recipe.epochs * num_batches, pct_start=0.2
    )
    network.train()
    correct = 0
    for _ in range(recipe.epochs):
        order, correct = torch.randperm(len(labels), generator=generator), 0
        for rows in order[: num_batches * BATCH].split(BATCH):
            batch, targets = pictures[rows].float() / 255, labels[rows]
            if recipe.augmented:
                batch = augment(batch, generator=generator)
            if recipe.learns == "turns":
                batch, targets = turn(batch, generator=generator)
            logits = network((batch - mean) / scale)
            loss = functional.cross_entropy(logits, targets, label_smoothing=recipe.smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            correct += int((logits.argmax(1) == targets).sum())
    return correct / (num_batches * BATCH)


@torch.no_grad()
def settle(network: nn.Module, recipe: Recipe, pictures: torch.Tensor) -> None:
    """Draw the weights of a random network's batch norms, and fit their statistics to pictures."""
    mean, scale = normaliser(recipe.architecture)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.5, 1.0)
            module.momentum = None  # a plain mean over the batches seen
    network.train()
    for batch in pictures[:1024].split(BATCH):
        network((batch.float() / 255 - mean) / scale)


def make(work: Path, recipe: Recipe) -> None:
    """Make one network and write it."""
    started = time.perf_counter()
    torch.manual_seed(recipe.seed)
    pictures, labels = read_pictures(work, recipe)
    num_classes = NUM_TURNS if recipe.learns == "turns" else int(labels.max()) + 1
    network = timm.create_model(recipe.architecture, num_classes=num_classes)
    accuracy = None
    if recipe.epochs:
        accuracy = train(network, recipe, pictures, labels)
    else:
        settle(network, recipe, pictures)
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    target = work / "zoo" / f"{recipe.name}.safetensors"
    save_file(tensors, target)
    record = dataclasses.asdict(recipe) | {
        "num_classes": num_classes,
        "train_accuracy": accuracy,
        "seconds": round(time.perf_counter() - started, 1),
        "torch": torch.__version__,
        "timm": timm.__version__,
    }
    target.with_suffix(".json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    print(
        f"{recipe.name:<14} accuracy {accuracy or 0:.3f} in training, {record['seconds']:.0f} s", flush=True
    )


def main() -> None:
    """Make every network that is not there."""
    parser = argparse.ArgumentParser(description="Small pretrained networks: see the docstring.")
    parser.add_argument("work", type=Path, help="working folder of data_sets.py")
    parser.add_argument("--only", nargs="+", help="names of recipes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    (args.work / "zoo").mkdir(exist_ok=True)
    for recipe in RECIPES:
        wanted = args.only is None or recipe.name in args.only
        if wanted and not (args.work / "zoo" / f"{recipe.name}.json").exists():
            make(args.work, recipe)


if __name__ == "__main__":
    main()
