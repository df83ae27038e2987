"""One peer, one turn: from JPEG files in a folder to an array of features. Run by embedding.py and photos.py.

    python benchmarks/peers/embed.py PEER SPEC.json

Needs only the peer's own packages. Every peer gets the same tensors, size, filter, crop, mean and std, and
runs at its own default precision, on the device that the spec names. The last line printed is JSON with the
seconds of three stages: `import`; `load`, from a weights file to a network that is ready; `embed`, from the
folder to the array, listing files included.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BATCH_SIZE = 32


class Clock:
    """Seconds of the stages, one after the other."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    def end(self, stage: str) -> None:
        """End the stage that ran since the last one ended."""
        now = time.perf_counter()
        self.seconds[stage], self._start = now - self._start, now


class Pictures:
    """A data set for torch's DataLoader, as one writes it."""

    def __init__(self, files: Sequence[Path], transform: Any) -> None:
        self.files = files
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        from PIL import Image

        with Image.open(self.files[index]) as picture:
            return self.transform(picture.convert("RGB"))


def list_files(spec: dict[str, Any]) -> list[Path]:
    """Return the pictures in the order of their names."""
    return sorted(Path(spec["folder"]).rglob("*.jpg"))


def timm_network(spec: dict[str, Any]) -> Any:
    """Return timm's network without a head, with the tensors of the spec."""
    import timm
    from safetensors.torch import load_file

    network = timm.create_model(spec["timm"], num_classes=0)
    lacking = network.load_state_dict(load_file(spec["weights"]), strict=False).missing_keys
    if lacking:
        sys.exit(f"the weights lack {lacking}")
    return network.eval().to(spec["device"])


def through_loader(
    network: Any, transform: Any, spec: dict[str, Any], num_workers: int
) -> tuple[Any, list[Path]]:
    """Return features and files by way of torch's DataLoader."""
    import torch

    files = list_files(spec)
    loader = torch.utils.data.DataLoader(
        Pictures(files, transform), batch_size=BATCH_SIZE, num_workers=num_workers
    )
    with torch.inference_mode():
        return torch.cat([network(batch.to(spec["device"])).cpu() for batch in loader]).numpy(), files


def run_timm(spec: dict[str, Any], clock: Clock, num_workers: int) -> tuple[Any, list[Path]]:
    """timm's network and transform."""
    import timm.data

    clock.end("import")
    network = timm_network(spec)
    transform = timm.data.create_transform(
        input_size=(3, spec["side"], spec["side"]),
        interpolation=spec["interpolation"],
        crop_pct=spec["crop_fraction"],
        mean=spec["mean"],
        std=spec["std"],
    )
    clock.end("load")
    return through_loader(network, transform, spec, num_workers)


def run_torchvision(spec: dict[str, Any], clock: Clock, num_workers: int) -> tuple[Any, list[Path]]:
    """torchvision's network, and the transform that its weights bring with them."""
    import torch
    import torchvision
    from safetensors.torch import load_file
    from torchvision.transforms._presets import ImageClassification

    clock.end("import")
    network = torchvision.models.get_model(spec["torchvision"], weights=None)
    network.load_state_dict(load_file(spec["weights"]))
    network.fc = torch.nn.Identity()
    transform = ImageClassification(
        crop_size=spec["side"],
        resize_size=spec["resize"],
        mean=spec["mean"],
        std=spec["std"],
        interpolation=torchvision.transforms.InterpolationMode(spec["interpolation"]),
    )
    clock.end("load")
    return through_loader(network.eval().to(spec["device"]), transform, spec, num_workers)


def prepare_transformers(spec: dict[str, Any]) -> None:
    """Write the folder that run_transformers reads: the configuration, and the same tensors."""
    from safetensors.torch import load_file
    from transformers import TimmWrapperConfig, TimmWrapperModel

    preprocessing = {
        "input_size": [3, spec["side"], spec["side"]],
        "interpolation": spec["interpolation"],
        "crop_pct": spec["crop_fraction"],
        "mean": spec["mean"],
        "std": spec["std"],
    }
    model = TimmWrapperModel(TimmWrapperConfig(architecture=spec["timm"], pretrained_cfg=preprocessing))
    lacking = model.timm_model.load_state_dict(load_file(spec["weights"]), strict=False).missing_keys
    if lacking:
        sys.exit(f"the weights lack {lacking}")
    model.save_pretrained(spec["transformers"])


def run_transformers(spec: dict[str, Any], clock: Clock, batch_size: int) -> tuple[Any, list[Path]]:
    """Hugging Face's pipeline for features."""
    import torch
    from transformers import pipeline

    clock.end("import")
    extract = pipeline(
        "image-feature-extraction", model=spec["transformers"], pool=True, device=spec["device"]
    )
    clock.end("load")
    files = list_files(spec)
    found = extract([str(file) for file in files], batch_size=batch_size, return_tensors=True)
    return torch.cat(found).float().numpy(), files


def run_fastai(spec: dict[str, Any], clock: Clock) -> tuple[Any, list[Path]]:
    """fastai's Learner.get_preds on body and pooling, with its own batch size and number of workers."""
    from fastai.vision.all import (
        CropPad,
        CrossEntropyLossFlat,
        Image,
        ImageDataLoaders,
        Learner,
        Normalize,
        Resize,
        ResizeMethod,
        noop,
    )

    clock.end("import")
    filters = getattr(Image.Resampling, spec["interpolation"].upper()), Image.Resampling.NEAREST
    loaders = ImageDataLoaders.from_path_func(
        Path(spec["folder"]),
        list_files(spec)[:4],  # to set them up; those to be embedded follow
        label_func=lambda path: path.parent.name,
        item_tfms=[
            Resize(spec["resize"], method=ResizeMethod.Crop, resamples=filters),
            CropPad(spec["side"], order=2),  # its own order, 0, is before resizing
        ],
        batch_tfms=Normalize.from_stats(spec["mean"], spec["std"], cuda=spec["device"] == "cuda"),
        valid_pct=0.5,
        device=spec["device"],
    )
    learner = Learner(loaders, timm_network(spec), loss_func=CrossEntropyLossFlat())
    clock.end("load")
    files = list_files(spec)
    with learner.no_bar(), learner.no_logging():
        features, _ = learner.get_preds(dl=loaders.test_dl(files), act=noop)
    return features.cpu().numpy(), files


def run_headstart(spec: dict[str, Any], clock: Clock, extra: dict[str, Any]) -> tuple[Any, list[Path]]:
    """`hs.embed`, and after it the rate of its network alone in the same plan."""
    import timm  # noqa: F401  # headstart imports it when the first network is built
    import torch  # noqa: F401

    import headstart as hs
    from headstart.embed import PlanOptions

    embed, load, open_dataset = hs.embed, hs.load, hs.open_dataset
    options = PlanOptions(precision=spec["precision"])
    clock.end("import")
    classifier = load(spec["headstart"])
    clock.end("load")
    embeddings = embed(classifier, open_dataset(spec["folder"]), options=options)
    clock.end("embed")
    if embeddings.num_computed != len(embeddings.ids):
        sys.exit("some features came from a cache; the home of this turn was not empty")
    extra["plan"] = str(embeddings.plan)
    extra["forward_rate"] = forward_rate(classifier, embeddings.plan)
    return embeddings.features, [Path(spec["folder"]) / each for each in embeddings.ids]


def forward_rate(classifier: Any, plan: Any) -> float:
    """Return how many pictures a second go through headstart's network alone, a fixed batch over and over."""
    import numpy as np
    import torch

    from headstart.embed import Engine

    torch.set_num_threads(plan.num_threads)
    engine = Engine(classifier, plan)
    if plan.compiled:
        engine.use_compiled(True)
    shape = (plan.batch_size, *classifier.preprocessing.input_size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for _ in range(2):
        engine.features(pixels)
    passes, start, before = 0, time.perf_counter(), engine.launch(pixels)
    while passes < 3 or time.perf_counter() - start < 3:  # a GPU has the next batch before it ends one
        launched = engine.launch(pixels)
        before.result()
        passes, before = passes + 1, launched
    before.result()
    return (passes + 1) * len(pixels) / (time.perf_counter() - start)


def main() -> None:
    """Run the peer that the command line names, and print what it took."""
    peer, spec = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    if peer == "prepare-transformers":
        prepare_transformers(spec)
        print("{}")
        return
    extra: dict[str, Any] = {}
    clock = Clock()
    runs = {
        "headstart": lambda: run_headstart(spec, clock, extra),
        "timm, 0 workers": lambda: run_timm(spec, clock, 0),
        "timm, 2 workers": lambda: run_timm(spec, clock, 2),
        "timm, a worker a core": lambda: run_timm(spec, clock, len(os.sched_getaffinity(0))),
        "torchvision, 0 workers": lambda: run_torchvision(spec, clock, 0),
        "torchvision, 2 workers": lambda: run_torchvision(spec, clock, 2),
        "transformers, batch 1": lambda: run_transformers(spec, clock, 1),
        "transformers, batch 32": lambda: run_transformers(spec, clock, BATCH_SIZE),
        "fastai": lambda: run_fastai(spec, clock),
    }
    features, files = runs[peer]()
    if "embed" not in clock.seconds:
        clock.end("embed")
    import numpy as np

    names = [file.relative_to(spec["folder"]).as_posix() for file in files]
    np.savez(spec["features"], features=features, names=np.array(names))
    print(json.dumps({"seconds": clock.seconds, **extra}))


if __name__ == "__main__":
    main()
