"""One peer, one turn: a whole network trained on pictures in class folders. Run by fine_tuning.py.

    python benchmarks/peers/fine_tune.py PEER SPEC.json

Needs only the peer's own packages. Every peer begins with the same tensors and gets the same pictures, side,
batches, number of epochs, mean and std, crops of the same share and flips; all layers are trained, at the
peer's own default precision, on the device that the spec names. What else there is to choose is each peer's
own, and stands at its function. All validate after every epoch, as is usual.

The last line printed is JSON: seconds of the stages `import`, `load` (from a weights file to a network that
is ready) and `tune` (from the folder to the trained network, validation included); seconds and pictures of
each epoch in which all layers were trained, validation apart; and the accuracy after the last one.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from embed import Clock

NUM_WORKERS = 2


class Epochs:
    """Seconds and pictures of each pass over the training pictures."""

    def __init__(self, device: str) -> None:
        self.seconds: list[float] = []
        self.num_pictures: list[int] = []
        self._device = device
        self._start = 0.0

    def begin(self) -> None:
        """Begin a pass."""
        self._start = time.perf_counter()

    def end(self, num_pictures: int) -> None:
        """End the pass that went over so many pictures."""
        if self._device == "cuda":
            import torch

            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self._start)
        self.num_pictures.append(num_pictures)


def timm_network(spec: dict[str, Any]) -> Any:
    """Return timm's network with the tensors of the spec and a new head, drawn with its seed."""
    import timm
    import torch

    torch.manual_seed(spec["seed"])
    return timm.create_model(
        spec["timm"],
        pretrained=True,
        pretrained_cfg_overlay={"file": spec["weights"]},
        num_classes=spec["num_classes"],
    )


def image_folders(spec: dict[str, Any]) -> tuple[Any, Any]:
    """Return torchvision's ImageFolder of the training and of the validation pictures."""
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    end = [transforms.ToTensor(), transforms.Normalize(spec["mean"], spec["std"])]
    varied = [
        transforms.RandomResizedCrop(spec["side"], scale=(spec["smallest_crop"], 1.0)),
        transforms.RandomHorizontalFlip(),
    ]
    plain = [
        transforms.Resize(spec["resize"], transforms.InterpolationMode(spec["interpolation"])),
        transforms.CenterCrop(spec["side"]),
    ]
    folder = Path(spec["folder"])
    return (
        ImageFolder(str(folder / "train"), transforms.Compose([*varied, *end])),
        ImageFolder(str(folder / "val"), transforms.Compose([*plain, *end])),
    )


def hold_norms(network: Any) -> None:
    """Put a network's batch norms in eval mode, for good: its own `train` then passes them by."""
    import torch

    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
            module.train = lambda mode=True, own=module: own


def train_epoch(network: Any, loader: Iterable[Any], loss_of: Any, optimizer: Any, device: str) -> int:
    """Train on every batch of a loader, and return how many pictures that were."""
    network.train()
    num_pictures = 0
    for batch, labels in loader:
        pictures, targets = batch.to(device), labels.to(device)
        loss = loss_of(network(pictures), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        num_pictures += len(labels)
    return num_pictures


def score(network: Any, loader: Iterable[Any], device: str) -> float:
    """Return the share of a loader's pictures that a network is right on."""
    import torch

    network.eval()
    right = total = 0
    with torch.inference_mode():
        for batch, labels in loader:
            found = network(batch.to(device)).argmax(1)
            right += int((found == labels.to(device)).sum())
            total += len(labels)
    return right / total


def run_torch(spec: dict[str, Any], clock: Clock, epochs: Epochs, *, frozen: bool) -> float:
    """The loop of tutorials: torchvision's ImageFolder and transforms, DataLoader, AdamW, cross-entropy.

    Its learning rate is that of headstart's recipe, without a schedule. `frozen` leaves batch norms in eval
    mode, as headstart's recipe does.
    """
    import timm  # noqa: F401  # imported here to be timed apart
    import torch
    from torch.utils.data import DataLoader

    clock.end("import")
    device = spec["device"]
    network = timm_network(spec).to(device)
    if frozen:
        hold_norms(network)
    clock.end("load")
    train, val = image_folders(spec)
    train_loader = DataLoader(train, spec["batch_size"], shuffle=True, num_workers=NUM_WORKERS)
    val_loader = DataLoader(val, spec["batch_size"], num_workers=NUM_WORKERS)
    optimizer = torch.optim.AdamW(network.parameters(), lr=spec["rate"])
    accuracy = 0.0
    for _ in range(spec["epochs"]):
        epochs.begin()
        epochs.end(train_epoch(network, train_loader, torch.nn.CrossEntropyLoss(), optimizer, device))
        accuracy = score(network, val_loader, device)
    return accuracy


def run_timm(spec: dict[str, Any], clock: Clock, epochs: Epochs) -> float:
    """timm's data sets, loaders, optimiser and schedule with the defaults of its training script, train.py.

    The script is in timm's repository and not in its package; its defaults, written down here: SGD with
    momentum 0.9, weight decay 2e-5 and a rate of 0.1 a 256 pictures of a batch; the cosine schedule, stepped
    every epoch; colour jitter of 0.4, a random filter of resizing, label smoothing of 0.1; the prefetcher.
    Not as there: two workers instead of four, no warm-up, whose five epochs are more than are trained here,
    and crops of the share that all have here instead of 0.08.
    """
    from timm.data import create_dataset, create_loader
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2

    clock.end("import")
    device = spec["device"]
    network = timm_network(spec).to(device)
    clock.end("load")
    common = {
        "input_size": (3, spec["side"], spec["side"]),
        "batch_size": spec["batch_size"],
        "mean": spec["mean"],
        "std": spec["std"],
        "num_workers": NUM_WORKERS,
        "device": _device(device),
    }
    train = create_loader(
        create_dataset("", spec["folder"], split="train", is_training=True),
        is_training=True,
        scale=(spec["smallest_crop"], 1.0),
        color_jitter=0.4,
        interpolation="random",
        **common,
    )
    val = create_loader(
        create_dataset("", spec["folder"], split="val"),
        interpolation=spec["interpolation"],
        crop_pct=spec["crop_fraction"],
        **common,
    )
    rate = 0.1 * spec["batch_size"] / 256
    optimizer = create_optimizer_v2(network, opt="sgd", lr=rate, momentum=0.9, weight_decay=2e-5)
    schedule, _ = create_scheduler_v2(optimizer, sched="cosine", num_epochs=spec["epochs"])
    accuracy = 0.0
    for epoch in range(spec["epochs"]):
        epochs.begin()
        epochs.end(train_epoch(network, train, LabelSmoothingCrossEntropy(0.1), optimizer, device))
        accuracy = score(network, val, device)
        schedule.step(epoch + 1)
    return accuracy


def run_fastai(spec: dict[str, Any], clock: Clock, epochs: Epochs) -> float:
    """fastai's `vision_learner(...).fine_tune(epochs)` with its own head, rates and one-cycle schedule.

    It trains the head alone for an epoch first; that epoch counts in `tune`, not among the epochs. Its
    crops and flips are made on the pictures, as the others' are.
    """
    from fastai.vision.all import (
        Callback,
        FlipItem,
        ImageDataLoaders,
        Normalize,
        RandomResizedCrop,
        accuracy,
        set_seed,
        vision_learner,
    )

    class Times(Callback):
        def before_train(self) -> None:
            epochs.begin()

        def after_train(self) -> None:
            epochs.end(len(self.dls.train) * self.dls.bs)

    clock.end("import")
    set_seed(spec["seed"])
    loaders = ImageDataLoaders.from_folder(
        Path(spec["folder"]),
        train="train",
        valid="val",
        item_tfms=[RandomResizedCrop(spec["side"], min_scale=spec["smallest_crop"]), FlipItem()],
        batch_tfms=Normalize.from_stats(spec["mean"], spec["std"], cuda=spec["device"] == "cuda"),
        bs=spec["batch_size"],
        num_workers=NUM_WORKERS,
        seed=spec["seed"],
        device=_device(spec["device"]),
    )
    learner = vision_learner(
        loaders,
        spec["timm"],
        normalize=False,  # it is among the transforms
        metrics=accuracy,
        cbs=Times(),
        pretrained_cfg_overlay={"file": spec["weights"]},
    )
    clock.end("load")
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(spec["epochs"])
    return float(learner.recorder.values[-1][-1])


def run_transformers(spec: dict[str, Any], clock: Clock, epochs: Epochs) -> float:
    """Hugging Face's Trainer with TimmWrapperForImageClassification; torchvision reads and varies.

    AdamW, its linear schedule and clipping are the Trainer's defaults; the rate is that of headstart's
    recipe instead of 5e-5, which after few steps would leave nothing to compare.
    """
    import torch
    from transformers import (
        TimmWrapperConfig,
        TimmWrapperForImageClassification,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    class Times(TrainerCallback):
        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            epochs.begin()

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            epochs.end(len(train))

    def collate(rows: list[tuple[Any, int]]) -> dict[str, Any]:
        pictures, labels = zip(*rows, strict=True)
        return {"pixel_values": torch.stack(pictures), "labels": torch.tensor(labels)}

    def measure(found: Any) -> dict[str, float]:
        return {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())}

    clock.end("import")
    config = TimmWrapperConfig(architecture=spec["timm"], num_labels=spec["num_classes"])
    model = TimmWrapperForImageClassification(config)
    model.timm_model.load_state_dict(timm_network(spec).state_dict())
    clock.end("load")
    train, val = image_folders(spec)
    settings = TrainingArguments(
        output_dir="trainer",
        per_device_train_batch_size=spec["batch_size"],
        per_device_eval_batch_size=spec["batch_size"],
        num_train_epochs=spec["epochs"],
        learning_rate=spec["rate"],
        dataloader_num_workers=NUM_WORKERS,
        remove_unused_columns=False,
        eval_strategy="epoch",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=spec["device"] == "cpu",
        seed=spec["seed"],
    )
    trainer = Trainer(
        model=model,
        args=settings,
        data_collator=collate,
        train_dataset=train,
        eval_dataset=val,
        compute_metrics=measure,
        callbacks=[Times()],
    )
    trainer.train()
    found = [each["eval_accuracy"] for each in trainer.state.log_history if "eval_accuracy" in each]
    return float(found[-1])


def run_headstart(spec: dict[str, Any], clock: Clock, epochs: Epochs, extra: dict[str, Any]) -> float:
    """`hs.fine_tune` with its default recipe, for so many epochs of batches so large.

    Reading all pictures, the probe that the recipe begins with and the looks at the validation pictures
    count in `tune`. The accuracy is that of the last epoch, chosen or not.
    """
    import timm  # noqa: F401  # headstart imports it when the first network is built
    import torch  # noqa: F401  # likewise

    import headstart as hs
    from headstart.train import TuneOptions, choose_recipe

    fine_tune, load, open_dataset = hs.fine_tune, hs.load, hs.open_dataset
    clock.end("import")
    classifier = load(spec["headstart"])
    clock.end("load")
    pictures = open_dataset(spec["folder"]).split(test=0)
    recipe = dataclasses.replace(
        choose_recipe("default", pictures.train.class_counts()),
        epochs=spec["epochs"],
        patience=0,
        batch_size=spec["batch_size"],
        resolution=spec["side"],
    )
    tuned = fine_tune(classifier, pictures, recipe=recipe, options=TuneOptions(seed=spec["seed"]))
    clock.end("tune")
    if tuned.history is None or len(tuned.history.epochs) != spec["epochs"]:
        sys.exit("headstart did not train for all epochs")
    for epoch in tuned.history.epochs:
        epochs.seconds.append(len(pictures.train) / epoch.pictures_per_second)
        epochs.num_pictures.append(len(pictures.train))
    extra["recipe"] = tuned.history.recipe
    extra["chosen_epoch"] = tuned.history.chosen
    extra["notes"] = tuned.history.notes
    return tuned.history.epochs[-1].accuracy


def _device(name: str) -> Any:
    import torch

    return torch.device(name)


def main() -> None:
    """Run the peer that the command line names, and print what it took."""
    peer, spec = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    extra: dict[str, Any] = {}
    clock, epochs = Clock(), Epochs(spec["device"])
    runs = {
        "headstart": lambda: run_headstart(spec, clock, epochs, extra),
        "torch": lambda: run_torch(spec, clock, epochs, frozen=False),
        "torch, norms frozen": lambda: run_torch(spec, clock, epochs, frozen=True),
        "timm": lambda: run_timm(spec, clock, epochs),
        "fastai": lambda: run_fastai(spec, clock, epochs),
        "transformers": lambda: run_transformers(spec, clock, epochs),
    }
    accuracy = runs[peer]()
    if "tune" not in clock.seconds:
        clock.end("tune")
    if spec["device"] == "cuda":
        import torch

        extra["gpu_peak_bytes"] = torch.cuda.max_memory_allocated()
    last = slice(-spec["epochs"], None)
    found = {
        "seconds": clock.seconds,
        "epoch_seconds": epochs.seconds[last],
        "epoch_pictures": epochs.num_pictures[last],
        "accuracy": accuracy,
    }
    print(json.dumps(found | extra))


if __name__ == "__main__":
    main()
