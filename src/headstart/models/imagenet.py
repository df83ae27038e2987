"""ImageNet's classes: what they are called, and the wordnet ids that its folders and files bear."""

from typing import Any

from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

from headstart.models import torchvision_models

BACKGROUND = "background"
"""First of the 1,001 classes of TensorFlow's models; no picture has it as its label."""


def class_names(num_classes: int) -> tuple[str, ...]:
    """Return the names of K classes in the order of the labels.

    Args:
        num_classes: K. 1,000 are ImageNet-1k's, 1,001 the same after a background class; other counts have
            numbers for names.
    """
    if num_classes == 1000:
        return torchvision_models.class_names()
    if num_classes == 1001:
        return (BACKGROUND, *torchvision_models.class_names())
    return tuple(f"class {index}" for index in range(num_classes))


def wordnet_ids(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the wordnet id of each class, "n01440764", and "" for the background class.

    Args:
        names: K names as `class_names` gives them. K tells which of the larger sets it is: ImageNet-12k,
            -21k or -22k.

    Returns:
        K ids in the order of the labels; () where the classes are not ImageNet's.

    Source: the lists of synsets in timm, https://github.com/huggingface/pytorch-image-models.
    """
    if names != class_names(len(names)):
        return ()
    first = len(names) == 1001
    subset = infer_imagenet_subset({"num_classes": len(names) - first})
    if subset is None:
        return ()
    info: Any = ImageNetInfo(subset)  # timm does not annotate it
    ids: list[str] = info.label_names()
    return ("",) * first + tuple(ids)
