"""Entries for timm's registry (`default_cfgs`) of this package's backbones."""

from typing import Any

from raysearch.config import IMAGE_MEAN, IMAGE_STD


def small_image_cfg(first_conv: str, classifier: str) -> dict[str, Any]:
    """The entry of a backbone for 32 px images, without pre-trained weights. The arguments are module names."""
    return _cfg(first_conv, classifier, num_classes=10, image_size=32)


def imagenet_cfg(first_conv: str, classifier: str) -> dict[str, Any]:
    """The entry of a backbone for ImageNet, 224 px, without pre-trained weights. The arguments are module names."""
    return _cfg(first_conv, classifier, num_classes=1000, image_size=224)


def _cfg(first_conv: str, classifier: str, num_classes: int, image_size: int) -> dict[str, Any]:
    return {
        "num_classes": num_classes,
        "input_size": (3, image_size, image_size),
        "mean": IMAGE_MEAN,
        "std": IMAGE_STD,
        "first_conv": first_conv,
        "classifier": classifier,
    }
