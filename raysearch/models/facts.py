"""What timm's registry is told of our backbones."""

from typing import Any

from raysearch.config import IMAGE_MEAN, IMAGE_STD


def small_image_cfg(first_conv: str, classifier: str) -> dict[str, Any]:
    """timm's facts of a network for 32 px images without published weights; the arguments are module names."""
    return _cfg(first_conv, classifier, num_classes=10, image_size=32)


def imagenet_cfg(first_conv: str, classifier: str) -> dict[str, Any]:
    """The same of a network for ImageNet's 224 px."""
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
