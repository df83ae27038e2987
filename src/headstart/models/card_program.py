"""The program of a card: how a saved folder is used with timm alone."""

from math import floor

from headstart.models.classifier import Classifier

_PROGRAM = """import json
from pathlib import Path

import timm
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file
from torchvision import transforms

record = json.loads(Path("THIS-FOLDER/headstart.json").read_text("utf-8"))
tensors = load_file("THIS-FOLDER/model.safetensors")
weight, bias = tensors.pop("head.weight"), tensors.pop("head.bias")
network = timm.create_model("{architecture}", num_classes=0).eval()
network.load_state_dict({{name.removeprefix("backbone."): tensors[name] for name in tensors}})
prepare = transforms.Compose([
    transforms.Resize({size}, transforms.InterpolationMode.{interpolation}),
    transforms.CenterCrop({crop}),
    transforms.ToTensor(),
    transforms.Normalize({mean}, {std}),
])

picture = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("RGB")
with torch.inference_mode():
    logits = network(prepare(picture)[None])[0] @ weight.T + bias
probabilities = (logits / record["calibration"]["temperature"]).softmax(0)
best = int(probabilities.argmax())
print(record["class_names"][best], float(probabilities[best]))
"""


def standalone_program(classifier: Classifier) -> str:
    """Return a program that runs a saved model without headstart; "" where timm alone cannot.

    It can where the network is timm's own, with a linear head on its pooled features, and where torchvision's
    transforms do the same to a picture.
    """
    library, _, architecture = classifier.network.partition("/")
    preprocessing = classifier.preprocessing
    can = (
        library == "timm"
        and "+" not in architecture
        and classifier.feature_point == "pooled"
        and not classifier.entry.fixed_input_size
        and preprocessing.fit in ("crop", "squash")
        and preprocessing.input_space == "RGB"
        and preprocessing.input_range == (0.0, 1.0)
        and preprocessing.input_size[0] == preprocessing.input_size[1]
    )
    if not can:
        return ""
    side = preprocessing.input_size[0]
    return _PROGRAM.format(
        architecture=architecture,
        size=(side, side) if preprocessing.fit == "squash" else floor(side / preprocessing.crop_fraction),
        crop=side,
        interpolation=preprocessing.interpolation.upper(),
        mean=preprocessing.mean,
        std=preprocessing.std,
    )
