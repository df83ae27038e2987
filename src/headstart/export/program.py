"""The short program beside a file: it says what is on pictures, without headstart."""

from math import floor

from headstart.catalog.entry import Preprocessing
from headstart.export.graph import INPUT, PIXELS
from headstart.export.openvino_file import PLACE
from headstart.export.records import Format
from headstart.export.torch_file import METADATA_FILE
from headstart.models import Classifier
from headstart.models.library_form import library_form

_UPRIGHT = 'picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")'
_LOOP = """\
for path in sys.argv[1:]:
{prepare}
    probabilities = {run}[0]
    best = probabilities.argmax()
    print(path, {label}, f"{{probabilities[best]:.4f}}", sep="\\t")
"""


def write_program(
    classifier: Classifier, file_name: str, format_: Format, *, include_preprocessing: bool
) -> str:
    """Return a Python program that uses a file which lies beside it.

    Args:
        classifier: what the file was made of.
        file_name: the file's name.
        format_: what it is.
        include_preprocessing: whether it takes pictures of any size.
    """
    packages, opening, run = _runtime(classifier, format_, PIXELS if include_preprocessing else INPUT)
    label = "class_names[best]"
    if classifier.threshold is not None:
        label += f' if probabilities[best] >= {classifier.threshold!r} else "unknown"'
    prepare = [f"    {line}" for line in _preparing(classifier.preprocessing, include_preprocessing)]
    return "\n".join(
        [
            '"""Says what is on pictures, without headstart.',
            "",
            "Takes ordinary pictures: 8 bits a channel, sRGB, nothing transparent.",
            f"Needs: pip install {' '.join(sorted({*packages, 'numpy', 'pillow'}))}",
            '"""',
            "",
            "import json",
            "import sys",
            "from pathlib import Path",
            "",
            "import numpy as np",
            *(f"import {package}" for package in packages),
            "from PIL import Image, ImageOps",
            "",
            f"file = Path(__file__).with_name({file_name!r})",
            *opening,
            _LOOP.format(prepare="\n".join(prepare), run=run, label=label),
        ]
    )


def _runtime(classifier: Classifier, format_: Format, given: str) -> tuple[list[str], list[str], str]:
    """Return the packages, the lines that open a file, and the expression that runs it on x."""
    if format_ == "onnx":
        opening = [
            "session = onnxruntime.InferenceSession(file)",
            'class_names = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])',
        ]
        return ["onnxruntime"], opening, f"session.run(None, {{{given!r}: x}})[0]"
    if format_ == "openvino":
        opening = [
            "model = openvino.Core().read_model(file)",
            f'class_names = json.loads(model.get_rt_info(["{PLACE}", "class_names"]).astype(str))',
            "# Else some processors compute in half precision.",
            'run = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})',
        ]
        return ["openvino"], opening, "run(x)[0]"
    if format_ == "torch":
        opening = [
            f'texts = {{"{METADATA_FILE}": ""}}',
            "module = torch.export.load(file, extra_files=texts).module()",
            f'class_names = json.loads(json.loads(texts["{METADATA_FILE}"])["class_names"])',
        ]
        return ["torch"], opening, "module(torch.tensor(x)).detach().numpy()"
    form = library_form(classifier)
    opening = [
        'with safetensors.safe_open(file, "pt") as tensors:',
        "    texts, state = tensors.metadata(), {name: tensors.get_tensor(name) for name in tensors.keys()}",
        'class_names, temperature = json.loads(texts["class_names"]), float(texts["temperature"])',
        f"network = {form.expression}.eval()",
        "network.load_state_dict(state)",
    ]
    run = "torch.softmax(network(torch.tensor(x)) / temperature, dim=1).detach().numpy()"
    return ["safetensors", form.package, "torch"], opening, run


def _preparing(preprocessing: Preprocessing, include_preprocessing: bool) -> list[str]:
    """Return the lines from a path to x, what the file is given for one picture."""
    if include_preprocessing:
        return [_UPRIGHT, "x = np.asarray(picture)[None]"]
    low, high = preprocessing.input_range
    mean, std = list(preprocessing.mean), list(preprocessing.std)
    order = "[:, :, ::-1]" if preprocessing.input_space == "BGR" else ""
    return [
        _UPRIGHT,
        *_fitting(preprocessing),
        f"x = np.asarray(picture, np.float32){order} / 255 * {high - low!r} + {low!r}",
        f"x = ((x - np.float32({mean})) / np.float32({std})).transpose(2, 0, 1)[None]",
    ]


def _fitting(preprocessing: Preprocessing) -> list[str]:
    """Return the lines that bring a picture to the input's size."""
    height, width = preprocessing.input_size
    filter_ = f"Image.Resampling.{preprocessing.interpolation.upper()}"
    if preprocessing.fit == "squash":
        return [f"picture = picture.resize(({width}, {height}), {filter_})"]
    if preprocessing.fit == "pad":
        low, high = preprocessing.input_range
        levels = [min(255, max(0, round(255 * (mean - low) / (high - low)))) for mean in preprocessing.mean]
        colour = tuple(levels if preprocessing.input_space == "RGB" else levels[::-1])
        return [
            f"scale = min({width} / picture.width, {height} / picture.height)",
            "size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))",
            f"ground = Image.new('RGB', ({width}, {height}), {colour})",
            f"ground.paste(picture.resize(size, {filter_}), "
            f"(({width} - size[0]) // 2, ({height} - size[1]) // 2))",
            "picture = ground",
        ]
    high, wide = (floor(side / preprocessing.crop_fraction) for side in (height, width))
    return [
        "w, h = picture.size",
        f"size = max({wide}, {high} * w // h), max({high}, {wide} * h // w)",
        f"left, top = round((size[0] - {width}) / 2), round((size[1] - {height}) / 2)",
        f"picture = picture.resize(size, {filter_}).crop((left, top, left + {width}, top + {height}))",
    ]
