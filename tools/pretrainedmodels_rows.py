"""The catalogue's rows of the 45 models of `pretrainedmodels` with all their weight sets.

What the original library says of a weight set (its address, what pictures must look like) comes from its
settings table. The same tensors live on in files of torchvision and timm; what is known of them there is
taken from there: other addresses, the licence, the crop and the filter that timm evaluates with.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torchvision
from papers import arxiv
from published_results import share
from timm.models import get_pretrained_cfg
from timm_rows import license_of, sources_of
from timm_rows import preprocessing_of as timm_preprocessing

from headstart.catalog.entry import Preprocessing

Row = dict[str, Any]

ORIGINAL_HOST = "http://data.lip6.fr/"
BACKGROUND = "imagenet+background"  # TensorFlow's 1,000 classes and, before them, one for everything else
PRETRAINED_ON = {"imagenet+5k": "imagenet-5k, imagenet-1k"}

# Families, as `headstart.architectures` and torchvision name them, by the beginning of a model's name.
FAMILIES = {
    "alexnet": ("alexnet", "1404.5997"),
    "bninception": ("bninception", "1502.03167"),
    "cafferesnet": ("cafferesnet", "1512.03385"),
    "densenet": ("densenet", "1608.06993"),
    "dpn": ("dpn", "1707.01629"),
    "fbresnet": ("fbresnet", "1512.03385"),
    "inceptionresnetv2": ("inceptionresnetv2", "1602.07261"),
    "inceptionv3": ("inceptionv3", "1512.00567"),
    "inceptionv4": ("inceptionv4", "1602.07261"),
    "nasneta": ("nasnet", "1707.07012"),
    "pnasnet": ("pnasnet", "1712.00559"),
    "polynet": ("polynet", "1611.05725"),
    "resnet": ("resnet", "1512.03385"),
    "resnext": ("resnext", "1611.05431"),
    "se_": ("senet", "1709.01507"),
    "senet": ("senet", "1709.01507"),
    "squeezenet": ("squeezenet", "1602.07360"),
    "vgg": ("vgg", "1409.1556"),
    "xception": ("xception", "1610.02357"),
}

# The same network and weights in torchvision, as IMAGENET1K_V1: the original library took its classes and,
# for all but the DenseNets, its files. Its files of today are those, saved in torch's newer format
# (pytorch/vision, issue 2068 and pull request 3851). That the DenseNets' files on data.lip6.fr hold
# torchvision's tensors is what pull request 231 to the original library says; the files were not compared.
IN_TORCHVISION = {
    "alexnet": "alexnet",
    "densenet121": "densenet121",
    "densenet169": "densenet169",
    "densenet201": "densenet201",
    "densenet161": "densenet161",
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "resnet152": "resnet152",
    "inceptionv3": "inception_v3",
    "squeezenet1_0": "squeezenet1_0",
    "squeezenet1_1": "squeezenet1_1",
    "vgg11": "vgg11",
    "vgg11_bn": "vgg11_bn",
    "vgg13": "vgg13",
    "vgg13_bn": "vgg13_bn",
    "vgg16": "vgg16",
    "vgg16_bn": "vgg16_bn",
    "vgg19": "vgg19",
    "vgg19_bn": "vgg19_bn",
}

# The same weights in timm: ported from the original library's files or, as those were, from the authors'.
IN_TIMM = {
    "inceptionv4": "inception_v4.tf_in1k",
    "inceptionresnetv2": "inception_resnet_v2.tf_in1k",
    "nasnetalarge": "nasnetalarge.tf_in1k",
    "dpn68": "dpn68.mx_in1k",
    "dpn68b": "dpn68b.mx_in1k",
    "dpn92": "dpn92.mx_in1k",
    "dpn98": "dpn98.mx_in1k",
    "dpn131": "dpn131.mx_in1k",
    "dpn107": "dpn107.mx_in1k",
    "xception": "legacy_xception.tf_in1k",
    "senet154": "legacy_senet154.in1k",
    "se_resnet50": "legacy_seresnet50.in1k",
    "se_resnet101": "legacy_seresnet101.in1k",
    "se_resnet152": "legacy_seresnet152.in1k",
    "se_resnext50_32x4d": "legacy_seresnext50_32x4d.in1k",
    "se_resnext101_32x4d": "legacy_seresnext101_32x4d.in1k",
    "pnasnet5large": "pnasnet5large.tf_in1k",
}

# Release files that earlier versions of timm (0.4 to 0.6) loaded, which the installed one no longer names.
_TIMM_FILES = "https://github.com/rwightman/pytorch-image-models/releases/download/"
_DPN_FILES = "https://github.com/rwightman/pytorch-dpn-pretrained/releases/download/v0.1/"
EARLIER_FILES = {
    "inceptionv4": _TIMM_FILES + "v0.1-cadene/inceptionv4-8e4777a0.pth",
    "inceptionresnetv2": _TIMM_FILES + "v0.1-weights/inception_resnet_v2-940b1cd6.pth",
    "pnasnet5large": _TIMM_FILES + "v0.1-cadene/pnasnet5large-bf079911.pth",
    "dpn68": _DPN_FILES + "dpn68-66bebafa7.pth",
    "dpn68b": _DPN_FILES + "dpn68b_extra-84854c156.pth",
    "dpn92": _DPN_FILES + "dpn92_extra-b040e4a9b.pth",
    "dpn98": _DPN_FILES + "dpn98-5b90dec4d.pth",
    "dpn131": _DPN_FILES + "dpn131-71dfe43e0.pth",
    "dpn107": _DPN_FILES + "dpn107_extra-1ac7121e2.pth",
}
# Those of them, and the originals, whose head has the background class (timm said "label_offset": 1).
WITH_BACKGROUND = (
    "inceptionv4-8e4777a0.pth",
    "inceptionresnetv2-520b38e4.pth",
    "inception_resnet_v2-940b1cd6.pth",
    "nasnetalarge-a1897284.pth",
    "pnasnet5large-bf079911.pth",
)

# ImageNet top-1 and top-5 in percent from the table in the README of the package pretrainedmodels 0.7.4
# ("Accuracy on validation set", its own ports where it names several).
README_ACCURACIES = {
    "fbresnet152": (77.386, 93.594), "bninception": (73.524, 91.562), "resnext101_32x4d": (78.188, 93.886),
    "resnext101_64x4d": (78.956, 94.252), "inceptionv4": (80.062, 94.926),
    "inceptionresnetv2": (80.170, 95.234), "alexnet": (56.432, 79.194), "densenet121": (74.646, 92.136),
    "densenet169": (76.026, 92.992), "densenet201": (77.152, 93.548), "densenet161": (77.560, 93.798),
    "resnet18": (70.142, 89.274), "resnet34": (73.554, 91.456), "resnet50": (76.002, 92.980),
    "resnet101": (77.438, 93.672), "resnet152": (78.428, 94.110), "inceptionv3": (77.294, 93.454),
    "squeezenet1_0": (58.108, 80.428), "squeezenet1_1": (58.250, 80.800), "vgg11": (68.970, 88.746),
    "vgg11_bn": (70.452, 89.818), "vgg13": (69.662, 89.264), "vgg13_bn": (71.508, 90.494),
    "vgg16": (71.636, 90.354), "vgg16_bn": (73.518, 91.608), "vgg19": (72.080, 90.822),
    "vgg19_bn": (74.266, 92.066), "nasnetamobile": (74.080, 91.740), "nasnetalarge": (82.566, 96.086),
    "dpn68": (75.868, 92.774), "dpn68b": (77.034, 93.590), "dpn92": (79.400, 94.620),
    "dpn98": (79.224, 94.488), "dpn131": (79.432, 94.574), "dpn107": (79.746, 94.684),
    "xception": (78.888, 94.292), "senet154": (81.304, 95.498), "se_resnet50": (77.636, 93.752),
    "se_resnet101": (78.396, 94.258), "se_resnet152": (78.658, 94.374),
    "se_resnext50_32x4d": (79.076, 94.434), "se_resnext101_32x4d": (80.236, 95.028),
    "cafferesnet101": (76.200, 92.766), "pnasnet5large": (82.736, 95.992), "polynet": (81.002, 95.624),
}  # fmt: skip


def pretrainedmodels_rows(facts: Path | None, committed: list[Row]) -> list[Row]:
    """Return the rows in the order of the original's settings, the default weight set of a model first.

    Args:
        facts: folder with pretrained_settings.json; None takes the settings from the committed rows.
        committed: the rows in the repository.
    """
    if facts is None:
        settings = settings_of_rows(committed)
    else:
        settings = json.loads((facts / "pretrained_settings.json").read_text(encoding="utf-8"))
    return [make_row(name, tag, values) for name, tags in settings.items() for tag, values in tags.items()]


def settings_of_rows(rows: list[Row]) -> dict[str, dict[str, Row]]:
    """Return the original's settings, as far as rows are made from them, from rows that were."""
    settings: dict[str, dict[str, Row]] = {}
    for row in rows:
        record = row["preprocessing"]
        settings.setdefault(row["architecture"], {})[row["tag"]] = {
            "url": original_address(row),
            "input_space": record.input_space,
            "input_size": [3, *record.input_size],
            "input_range": record.input_range,
            "mean": record.mean,
            "std": record.std,
            "num_classes": row.get("num_classes", 1000),
        }
    return settings


def original_address(row: Row) -> str:
    """Return the address in the original's settings: the host's own, else the first, a torchvision file."""
    addresses: list[str] = [source[1] for source in row["sources"]]
    return addresses[-1] if addresses[-1].startswith(ORIGINAL_HOST) else addresses[0]


def make_row(name: str, tag: str, settings: Row) -> Row:
    """Return the row of one weight set."""
    family, paper = next(facts for start, facts in FAMILIES.items() if name.startswith(start))
    row: Row = {
        "architecture": name,
        "tag": tag,
        "family": family,
        "sources": [["url", settings["url"]]],
        "num_classes": settings["num_classes"],
        "pretrained_on": PRETRAINED_ON.get(tag, "imagenet-1k"),
        "preprocessing": preprocessing_of(name, settings),
        "paper": arxiv(paper),
        "same_tensors_as": [],
    }
    if tag != BACKGROUND:  # the README's figures are those of 1,000 classes
        top1, top5 = README_ACCURACIES[name]
        row |= {"top1": share(top1), "top5": share(top5), "accuracy_source": "pretrainedmodels"}
    if name in IN_TORCHVISION:
        live_on_in_torchvision(row)
    elif name in IN_TIMM:
        live_on_in_timm(row)
    if tag == BACKGROUND:
        row["sources"] = [each for each in row["sources"] if each[-1].rpartition("/")[2] in WITH_BACKGROUND]
        row["same_tensors_as"].append(f"pretrainedmodels/{name}.imagenet")
    return row


def preprocessing_of(name: str, settings: Row) -> Preprocessing:
    """Return what the original's settings say; how to get a picture there, for which it had one way for all.

    The tensors that timm has are evaluated with timm's crop and filter, which give up to 0.6 percent more.
    """
    record = Preprocessing(
        input_size=tuple(settings["input_size"][1:]),
        input_space=settings["input_space"],
        input_range=tuple(map(float, settings["input_range"])),
        mean=tuple(map(float, settings["mean"])),
        std=tuple(map(float, settings["std"])),
    )
    if name not in IN_TIMM:
        return record
    timms = timm_preprocessing(get_pretrained_cfg(IN_TIMM[name]))
    better = replace(record, crop_fraction=timms.crop_fraction, interpolation=timms.interpolation)
    assert better == timms, f"timm feeds {name} other pictures than the original"
    return better


def live_on_in_torchvision(row: Row) -> None:
    """Add torchvision's file of today and timm's copy; what comes from the original's host goes last."""
    name = IN_TORCHVISION[row["architecture"]]
    weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    row["same_tensors_as"].append(f"torchvision/{name}.IMAGENET1K_V1")
    living = [["url", weights.url]]
    twin = f"{name}.tv_in1k"
    if timm.is_model_pretrained(twin):
        row["same_tensors_as"].append(f"timm/{twin}")
        living += sources_of(get_pretrained_cfg(twin))
    original = row["sources"][0]
    from_lip6 = original[1].startswith(ORIGINAL_HOST)
    in_order = [*living, original] if from_lip6 else [original, *living]
    row["sources"] = [each for place, each in enumerate(in_order) if each not in in_order[:place]]


def live_on_in_timm(row: Row) -> None:
    """Add timm's release files and hub repository before the original's address, and its licence."""
    name = row["architecture"]
    cfg = get_pretrained_cfg(IN_TIMM[name])
    now = sources_of(cfg)
    earlier = [["url", EARLIER_FILES[name]]] if name in EARLIER_FILES else []
    files = [each for each in now if each[0] == "url"] + earlier
    row["sources"] = [*files, *(each for each in now if each[0] == "hub"), *row["sources"]]
    row["license"] = license_of(cfg)
    row["same_tensors_as"].append(f"timm/{IN_TIMM[name]}")
