"""`pretrainedmodels.datasets.utils`: average precision, class names, the square resize."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score

from headstart.core.errors import InputError
from pretrainedmodels.datasets import utils


def random_examples(num_examples: int = 40, num_classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(num_examples, num_classes, generator=generator)
    labels = torch.randint(-1, 2, (num_examples, num_classes), generator=generator)
    return scores, labels


@pytest.mark.parametrize("difficult", [False, True])
def test_average_precision_is_that_of_scikit_learn(difficult: bool) -> None:
    """Labels of 0 are left out or taken for negatives, as was asked."""
    scores, labels = random_examples()
    meter = utils.AveragePrecisionMeter(difficult_examples=difficult)
    meter.add(scores[:7], labels[:7])
    meter.add(scores[7:].numpy(), labels[7:].numpy())
    kept = [labels[:, k] != 0 if difficult else labels[:, k] < 2 for k in range(labels.shape[1])]
    expected = [
        average_precision_score(labels[kept[k], k] == 1, scores[kept[k], k]) for k in range(labels.shape[1])
    ]
    value = meter.value()
    assert isinstance(value, torch.Tensor)
    assert value.dtype == torch.float32
    np.testing.assert_allclose(value.numpy(), expected, rtol=1e-6)


def test_values_that_the_original_gave() -> None:
    scores, labels = torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([1, 0, -1, 1])
    average_precision = utils.AveragePrecisionMeter.average_precision
    assert average_precision(scores, labels) == pytest.approx(5 / 6)
    assert average_precision(scores, labels, False) == pytest.approx(0.75)
    assert utils.AveragePrecisionMeter().value() == 0


def test_a_class_without_positives_has_no_average_precision() -> None:
    """The original divided by zero, so that one such class took all values away."""
    meter = utils.AveragePrecisionMeter()
    meter.add(torch.tensor([[0.9, 0.1], [0.2, 0.3]]), torch.tensor([[1, 0], [0, 0]]))
    value = meter.value()
    assert isinstance(value, torch.Tensor)
    assert value[0] == 1
    assert math.isnan(value[1])


def test_a_meter_keeps_what_was_added_and_forgets_when_told() -> None:
    meter = utils.AveragePrecisionMeter()
    scores = torch.tensor([0.5, 0.25])
    meter.add(scores, torch.tensor([1, 0]))
    scores.zero_()  # a loop may use one buffer again and again
    assert meter.scores.tolist() == [[0.5], [0.25]]
    assert meter.targets.tolist() == [[1], [0]]
    meter.reset()
    assert meter.value() == 0
    meter.add(torch.rand(2, 3), torch.ones(2, 3))
    with pytest.raises(InputError, match="4 classes; the examples before had 3"):
        meter.add(torch.rand(2, 4), torch.ones(2, 4))
    with pytest.raises(InputError, match=r"shape \(2, 3\) and labels of shape \(3, 2\)"):
        meter.add(torch.rand(2, 3), torch.ones(3, 2))


def test_class_names_are_in_the_order_of_the_outputs(tmp_path: Path) -> None:
    synsets, classes = tmp_path / "synsets.txt", tmp_path / "classes.txt"
    synsets.write_text("n02119247 black fox\nn02123045 tabby, tabby cat\n")
    classes.write_text("n02123045\nn02119247\n")
    assert utils.load_imagenet_classes(synsets, classes) == ["tabby, tabby cat", "black fox"]


def test_warp_makes_a_square() -> None:
    warp = utils.Warp(5)
    assert warp(Image.new("RGB", (9, 3))).size == (5, 5)
    assert str(warp) == "Warp (size=5, interpolation=2)"
    assert utils.Warp(4, Image.Resampling.NEAREST)(Image.new("L", (2, 2), 7)).getpixel((3, 3)) == 7
