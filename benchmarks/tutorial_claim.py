"""The tutorial's comparison taken apart: its protocol, each repair alone, all together, on the same pictures.

    python benchmarks/tutorial_claim.py CIFAR10.zip --json benchmarks/results/tutorial_claim.json
    python benchmarks/tutorial_claim.py CIFAR10.zip --models pretrainedmodels/se_resnet50 torchvision/resnet50

CIFAR10.zip holds <...>/train/<class>/ and <...>/test/<class>/. A model whose weights cannot be had is left
out, and the record says so.

Protocol: pictures as they are (32 px), mean and std 0.5, the frozen network in train mode in the train phase,
a new Linear and LogSoftmax, NLLLoss, Adam with torch's defaults, StepLR of 4, batches of 16, ten epochs, no
augmentation; the figure is that of the epoch that is best on the test pictures. Not to the letter: there are
fewer pictures (--num-train, --num-test), as many of each class; they are decoded once, and evaluated in
larger batches. Repairs, each alone:

- validation chooses: the same run; --num-validation further training pictures choose the epoch.
- LinearProbe: the same run; headstart's head is fitted to the features that the network gave in the last
  train phase, and sees the test pictures through the network as it was then. No epoch is chosen.
- batch norms frozen: eval mode throughout. Features then never change, and as nothing is augmented the epochs
  on features that were computed once are those on pictures but for rounding. In train mode that would not be
  exact: there every epoch goes through the network.
- own normalisation: where a network's mean and std are the tutorial's, as with EfficientNet-Lite, there is
  nothing to repair; instead "foreign normalisation" runs it with ImageNet's mean and std, which it was not
  trained with, as ResNets were not with 0.5.
- larger pictures: bicubic to --side, for --costly-epochs epochs, against the protocol's same first epochs.

All together: LinearProbe on features in eval mode with the own normalisation. Then three suspects for the two
figures: all layers trained (--tuning-train pictures), networks that were never trained, and the pooling of
the original se_resnet50, which is tried on pictures of growing size.

Printed: accuracy on the test pictures with Wilson's interval, and the paired difference to the protocol; with
several seeds (of the head's start, the order of the pictures and the probe's folds) both are of each
picture's mean over them. --costly says for how many models, from the first, the parts that take minutes are
run.
"""

import argparse
import copy
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn
from turns import begin, note, save

import headstart as hs
import pretrainedmodels
from headstart.core.errors import HeadstartError
from headstart.embed.fuse import fuse
from headstart.embed.memory import keep_freed_memory
from headstart.evaluate.intervals import wilson
from headstart.evaluate.paired import paired_difference
from headstart.train import LinearProbe

BATCH_SIZE = 16
STEP = 4  # of StepLR
TUTORIAL = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PARTS = ("train", "validation", "test")
CIFAR_SIDE = 32

Correct = npt.NDArray[np.bool_]
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be learnt from: inputs and labels of each part.

    Attributes:
        inputs: gives the inputs of some rows of a part: pictures (B, 3, H, W), or features (B, D).
        labels: int64 of shape (N,), of each part.
    """

    inputs: Callable[[str, torch.Tensor], torch.Tensor]
    labels: dict[str, torch.Tensor]

    def batches(self, part: str, size: int) -> Iterator[torch.Tensor]:
        """Give the inputs of a part in their order."""
        for rows in torch.arange(len(self.labels[part])).split(size):
            yield self.inputs(part, rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A network that gives features, and how its weights' own pictures were normalised."""

    network: nn.Module
    feature_dim: int
    own: Normalisation


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """What the epochs came to.

    Attributes:
        right: of the validation and the test part: of shape (epochs, N), which pictures were right.
        features: those of the last epoch: of the train part as the head saw them, in the order of `order`,
            and of the test part.
        order: the rows of the train part, as they came in the last epoch.
    """

    right: dict[str, Correct]
    features: dict[str, npt.NDArray[np.float32]]
    order: torch.Tensor

    def chosen_on(self, part: str, num_epochs: int | None = None) -> Correct:
        """Return which test pictures were right in the epoch best on a part, the first of equal ones."""
        best = self.right[part][:num_epochs].mean(axis=1).argmax()
        return self.right["test"][best]


def read_pictures(path: Path, counts: dict[str, int]) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the pictures and labels of each part, as many of each class.

    Args:
        path: the zip.
        counts: how many pictures each part has; validation takes from the train folder what train leaves.
    """
    rng = np.random.default_rng(0)
    pictures, labels = {}, {}
    with ZipFile(path) as archive:
        files = [PurePosixPath(name) for name in sorted(archive.namelist()) if not name.endswith("/")]
        classes = sorted({file.parts[-2] for file in files})
        taken: dict[str, int] = {}
        for part, count in counts.items():
            folder, share = "test" if part == "test" else "train", count // len(classes)
            chosen = []
            for label, name in enumerate(classes):
                own = [file for file in files if file.parts[-3:-1] == (folder, name)]
                order = np.random.default_rng(label).permutation(len(own))
                begun = taken.get(folder, 0)
                chosen += [(own[row], label) for row in order[begun : begun + share]]
            taken[folder] = taken.get(folder, 0) + share
            chosen = [chosen[row] for row in rng.permutation(len(chosen))]
            pictures[part] = [
                Image.open(io.BytesIO(archive.read(str(file)))).convert("RGB") for file, _ in chosen
            ]
            labels[part] = torch.tensor([label for _, label in chosen])
    return pictures, labels


def picture_task(
    pictures: dict[str, Any], labels: dict[str, torch.Tensor], *, side: int, normalisation: Normalisation
) -> Task:
    """Return the task of pictures of a size, normalised."""
    arrays = {}
    for part in labels:
        resized = pictures[part]
        if side != CIFAR_SIDE:
            resized = [each.resize((side, side), Image.Resampling.BICUBIC) for each in resized]
        # Channels last in memory, as PIL gives them: the same results, and twice as fast on a processor.
        arrays[part] = torch.from_numpy(np.stack([np.asarray(each) for each in resized])).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in normalisation)
    return Task(inputs=lambda part, rows: (arrays[part][rows] / 255 - mean) / std, labels=labels)


def load_backbone(name: str) -> Backbone:
    """Return a model of headstart's without its classifier."""
    classifier = hs.load(name)
    settings = classifier.preprocessing
    if settings.input_space != "RGB" or tuple(settings.input_range) != (0, 1):
        raise SystemExit(f"{name} wants {settings.input_space} in {settings.input_range}, not RGB in 0 to 1")
    return Backbone(
        network=classifier.backbone,
        feature_dim=classifier.feature_dim,
        own=(tuple(settings.mean), tuple(settings.std)),
    )


def build_untrained(name: str, seed: int) -> Backbone:
    """Return a network with random weights: timm's where the name begins so, else one of pretrainedmodels."""
    torch.manual_seed(seed)
    if name.startswith("timm/"):
        import timm

        network = timm.create_model(name.removeprefix("timm/"), pretrained=False, num_classes=0)
        return Backbone(network=network, feature_dim=network.num_features, own=TUTORIAL)
    network = pretrainedmodels.__dict__[name](num_classes=1000, pretrained=None)
    feature_dim = network.last_linear.in_features
    network.last_linear = nn.Identity()
    return Backbone(network=network, feature_dim=feature_dim, own=IMAGENET)


def run_loop(backbone: Backbone, task: Task, *, seed: int, num_epochs: int, train_all: bool = False) -> Loop:
    """Train a new layer as the tutorial does, with the network in train mode in the train phase.

    Args:
        backbone: frozen unless `train_all`; it is copied.
        task: of pictures, or of features for a backbone that changes nothing.
        seed: of the layer's start and the order of the pictures.
        num_epochs: how often the train part is gone through.
        train_all: give the optimizer the network's parameters too.
    """
    torch.manual_seed(seed)
    network = copy.deepcopy(backbone.network).to(memory_format=torch.channels_last)
    head = nn.Sequential(nn.Linear(backbone.feature_dim, 10), nn.LogSoftmax(dim=1))
    trained = [*head.parameters(), *(network.parameters() if train_all else ())]
    optimizer, loss_function = torch.optim.Adam(trained), nn.NLLLoss()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=STEP)
    right: dict[str, list[Any]] = {"validation": [], "test": []}
    for epoch in range(num_epochs):
        network.train()
        order = torch.randperm(len(task.labels["train"]))
        order = order[: len(order) - (len(order) % BATCH_SIZE == 1)]  # batch norm needs two pictures
        seen = []
        for rows in order.split(BATCH_SIZE):
            with torch.set_grad_enabled(train_all):
                features = network(task.inputs("train", rows))
            loss = loss_function(head(features), task.labels["train"][rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen.append(features.detach())
        scheduler.step()
        for part, found in right.items():
            features = compute_features(network, task, part)
            with torch.no_grad():
                found.append((head(features).argmax(1) == task.labels[part]).numpy())
        shares = ", ".join(f"{part} {found[-1].mean():.3f}" for part, found in right.items())
        note(f"  epoch {epoch + 1} of {num_epochs}: {shares}")
    return Loop(
        right={part: np.stack(found) for part, found in right.items()},
        features={"train": torch.cat(seen).numpy(), "test": features.numpy()},
        order=order,
    )


@torch.no_grad()
def compute_features(network: nn.Module, task: Task, part: str) -> torch.Tensor:
    """Return the features of a part, of shape (N, D), in eval mode."""
    network.eval()
    return torch.cat([network(batch) for batch in task.batches(part, 64)])


def feature_task(backbone: Backbone, task: Task) -> Task:
    """Return the task of a frozen network's features in eval mode, each computed once.

    The network is fused as headstart's plans do it: the same features but for rounding, in less time.
    """
    side = task.inputs("test", torch.arange(1)).shape[-1]
    network = fuse(copy.deepcopy(backbone.network).eval(), side=side).to(memory_format=torch.channels_last)
    features = {part: compute_features(network, task, part) for part in PARTS}
    return Task(inputs=lambda part, rows: features[part][rows], labels=task.labels)


def fit_probe(
    train: tuple[npt.NDArray[Any], torch.Tensor], test: tuple[npt.NDArray[Any], torch.Tensor], seed: int
) -> Correct:
    """Return which test pictures headstart's head gets right."""
    fitted = LinearProbe(seed=seed).fit(train[0], train[1].numpy())
    return np.asarray(fitted.predict(test[0]) == test[1].numpy())


class Report:
    """Prints each result as it comes, and keeps the record: a list of runs, each with its options.

    Args:
        run: the beginning of this one; written again after each result.
        path: where the record goes, or None; the runs that it holds already stay.
    """

    def __init__(self, run: dict[str, Any], path: Path | None) -> None:
        runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path and path.exists() else []
        self.run = run | {"results": []}
        self.record = {"benchmark": run["benchmark"], "runs": [*runs, self.run]}
        self.path = path
        self.began = time.perf_counter()

    def add(
        self,
        model: str,
        variant: str,
        right: Sequence[Correct],
        *,
        against: Sequence[Correct] = (),
        **more: Any,
    ) -> None:
        """Print and keep one result.

        Args:
            model: its name.
            variant: what was done.
            right: which test pictures were right, for each seed.
            against: the same of what it is compared with.
            more: kept as well.
        """
        mean = np.mean(right, axis=0)
        found = wilson(float(mean.sum()), len(mean))
        words = f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
        result: dict[str, Any] = {
            "model": model,
            "variant": variant,
            "accuracy": {"value": found.value, "low": found.low, "high": found.high, "n": found.n},
            "of_seeds": [float(each.mean()) for each in right],
            **more,
        }
        if len(against):
            gap = paired_difference(mean, np.mean(against, axis=0))
            result["difference"] = {"value": gap.value, "low": gap.low, "high": gap.high}
            words += f"   {gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"
        result["seconds_since_start"] = time.perf_counter() - self.began
        print(f"{model:<22} {variant:<42} {words}", flush=True)
        self.run["results"].append(result)
        save(self.record, self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What one model is measured with.

    Attributes:
        name: of the model.
        backbone: the model.
        data: pictures and labels of each part.
        args: the options.
        report: told about every result.
    """

    name: str
    backbone: Backbone
    data: tuple[Any, Any]
    args: argparse.Namespace
    report: Report

    def task(self, side: int, normalisation: Normalisation) -> Task:
        """Return the task of the pictures."""
        return picture_task(*self.data, side=side, normalisation=normalisation)

    def run_head(self, task: Task) -> list[Loop]:
        """Run the tutorial's epochs on features, once for each seed."""
        last = Backbone(network=nn.Identity(), feature_dim=self.backbone.feature_dim, own=self.backbone.own)
        return [
            run_loop(last, task, seed=seed, num_epochs=self.args.epochs) for seed in range(self.args.seeds)
        ]

    def probe(self, task: Task) -> list[Correct]:
        """Fit headstart's head to features, once for each seed."""
        train, test = (
            (task.inputs(part, torch.arange(len(task.labels[part]))).numpy(), task.labels[part])
            for part in ("train", "test")
        )
        return [fit_probe(train, test, seed) for seed in range(self.args.seeds)]

    def add(
        self,
        variant: str,
        right: Sequence[Correct],
        against: Sequence[Correct] = (),
        *,
        loops: Sequence[Loop] = (),
    ) -> None:
        """Report which test pictures were right, for each seed, and the epochs behind it."""
        epochs = {
            f"{part}_epochs": [loop.right[part].mean(axis=1).tolist() for loop in loops]
            for part in PARTS[1:]
            if loops
        }
        self.report.add(self.name, variant, right, against=against, **epochs)


def measure_loop(bench: Bench) -> list[Loop]:
    """Measure the protocol and what repairs it without another run; return the protocol's runs."""
    args, task = bench.args, bench.task(CIFAR_SIDE, TUTORIAL)
    loops = [run_loop(bench.backbone, task, seed=seed, num_epochs=args.epochs) for seed in range(args.seeds)]
    protocol = [loop.chosen_on("test") for loop in loops]
    bench.add("protocol", protocol, loops=loops)
    bench.add("validation chooses", [loop.chosen_on("validation") for loop in loops], protocol)
    solved = [
        fit_probe(
            (loop.features["train"], task.labels["train"][loop.order]),
            (loop.features["test"], task.labels["test"]),
            seed,
        )
        for seed, loop in enumerate(loops)
    ]
    bench.add("LinearProbe", solved, protocol)
    return loops


def measure_repairs(bench: Bench, protocol: list[Correct]) -> None:
    """Measure frozen batch norms alone, the normalisation alone, and all repairs at 32 px and at --side."""
    args, backbone = bench.args, bench.backbone
    frozen = feature_task(backbone, bench.task(CIFAR_SIDE, TUTORIAL))
    still = bench.run_head(frozen)
    bench.add("batch norms frozen", best_on_test(still), protocol, loops=still)
    has_own = backbone.own != TUTORIAL
    other = bench.task(CIFAR_SIDE, backbone.own if has_own else IMAGENET)
    once = feature_task(backbone, other)
    bench.add("all but larger pictures", bench.probe(once if has_own else frozen), protocol)
    if not has_own:
        bench.add("all but larger pictures, foreign norm.", bench.probe(once), protocol)
    strange = [run_loop(backbone, other, seed=0, num_epochs=args.epochs)]
    name = "own normalisation" if has_own else "foreign normalisation"
    bench.add(name, best_on_test(strange), protocol[:1], loops=strange)
    larger = feature_task(backbone, bench.task(args.side, backbone.own))
    bench.add(f"all, {args.side} px", bench.probe(larger), protocol)
    still = bench.run_head(larger)
    bench.add(f"frozen, own norm., {args.side} px; Adam", best_on_test(still), protocol, loops=still)


def measure_costly(bench: Bench, loops: list[Loop]) -> None:
    """Measure what takes minutes: larger pictures alone, all layers trained, all repairs at the full size."""
    args, backbone = bench.args, bench.backbone
    epochs, protocol = args.costly_epochs, best_on_test(loops)
    larger = [run_loop(backbone, bench.task(args.side, TUTORIAL), seed=0, num_epochs=epochs)]
    begun = [loops[0].chosen_on("test", epochs)]
    bench.add(f"{args.side} px, first {epochs} epochs", best_on_test(larger), begun, loops=larger)
    counts = {"train": args.tuning_train, "validation": args.num_validation, "test": args.num_test}
    pictures, labels = read_pictures(args.data, counts)
    pictures["test"], labels["test"] = bench.data[0]["test"], bench.data[1]["test"]
    task = picture_task(pictures, labels, side=CIFAR_SIDE, normalisation=TUTORIAL)
    tuned = [run_loop(backbone, task, seed=0, num_epochs=args.tuning_epochs, train_all=True)]
    variant = f"all layers trained, {args.tuning_train:,} pictures, {args.tuning_epochs} epochs"
    bench.add(variant, best_on_test(tuned), protocol[:1], loops=tuned)
    if args.full_side:  # 0 leaves it out
        features = feature_task(backbone, bench.task(args.full_side, backbone.own))
        bench.add(f"all, {args.full_side} px", bench.probe(features), protocol)


def best_on_test(loops: Sequence[Loop]) -> list[Correct]:
    """Return which test pictures were right in the epochs that the tutorial would have chosen."""
    return [loop.chosen_on("test") for loop in loops]


def measure_untrained(data: tuple[Any, Any], *, args: argparse.Namespace, report: Report) -> None:
    """Measure the protocol on networks with the random weights that they begin with."""
    for name in args.untrained:
        bench = Bench(name=name, backbone=build_untrained(name, 0), data=data, args=args, report=report)
        task = bench.task(CIFAR_SIDE, TUTORIAL)
        loops = [run_loop(bench.backbone, task, seed=0, num_epochs=args.costly_epochs)]
        bench.add(f"never trained, first {args.costly_epochs} epochs", best_on_test(loops), loops=loops)


def try_pooling() -> dict[str, str]:
    """Return what se_resnet50 with the original's last pooling says to pictures of some sizes.

    Source of the pooling: `pretrainedmodels/models/senet.py` of Cadene/pretrained-models.pytorch,
        `self.avg_pool = nn.AvgPool2d(7, stride=1)`; then the map is flattened for a layer of 2,048 inputs.
    """
    network = pretrainedmodels.__dict__["se_resnet50"](num_classes=1000, pretrained=None).eval()
    network.avg_pool = nn.AvgPool2d(7, stride=1)
    found = {}
    for side in (32, 64, 96, 128, 160, 192, 224):
        try:
            with torch.no_grad():
                network(torch.zeros(1, 3, side, side))
            found[str(side)] = "runs"
        except RuntimeError as error:
            found[str(side)] = str(error).splitlines()[0]
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The tutorial's comparison taken apart: see the docstring.")
    parser.add_argument("data", type=Path, help="zip of CIFAR-10")
    parser.add_argument("--models", nargs="*", default=["efficientnet_lite0", "efficientnet_lite1"])
    parser.add_argument("--num-train", type=int, default=2000)
    parser.add_argument("--num-validation", type=int, default=500)
    parser.add_argument("--num-test", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--side", type=int, default=128, help="of the larger pictures")
    parser.add_argument("--full-side", type=int, default=224, help="for all repairs together; 0: not")
    parser.add_argument(
        "--costly", type=int, default=1, help="so many models with the parts that take minutes"
    )
    parser.add_argument("--costly-epochs", type=int, default=3, help="epochs of larger and untrained ones")
    parser.add_argument("--tuning-train", type=int, default=6000, help="pictures for training all layers")
    parser.add_argument("--tuning-epochs", type=int, default=2)
    parser.add_argument(
        "--untrained", nargs="*", default=["timm/tf_efficientnet_lite0", "resnet50", "se_resnet50"]
    )
    parser.add_argument(
        "--json", type=Path, help="file for the record; a run is added to those that it holds"
    )
    args = parser.parse_args()
    keep_freed_memory()
    report = Report(begin("tutorial_claim", args), args.json)
    counts = {"train": args.num_train, "validation": args.num_validation, "test": args.num_test}
    data = read_pictures(args.data, counts)
    report.run["original_se_resnet50_pooling"] = try_pooling()
    print(f"se_resnet50 with the original's pooling: {report.run['original_se_resnet50_pooling']}")
    report.run["left_out"] = {}
    for place, name in enumerate(args.models):
        try:
            backbone = load_backbone(name)
        except HeadstartError as error:
            report.run["left_out"][name] = type(error).__name__
            print(f"{name}: left out: {error}")
            continue
        bench = Bench(name=name, backbone=backbone, data=data, args=args, report=report)
        loops = measure_loop(bench)
        measure_repairs(bench, best_on_test(loops))
        if place < args.costly:
            measure_costly(bench, loops)
    measure_untrained(data, args=args, report=report)
    report.run["seconds"] = time.perf_counter() - report.began
    save(report.record, args.json)


if __name__ == "__main__":
    main()
