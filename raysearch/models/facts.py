"""What timm's registry is told of our small-image backbones."""

from typing import Any

from raysearch.config import IMAGE_MEAN, IMAGE_STD


def small_image_cfg(first_conv: str, classifier: str) -> dict[str, Any]:
    """timm's facts of a network for 32 px images without published weights; the arguments are module names."""
    return {
        "num_classes": 10,
        "input_size": (3, 32, 32),
        "mean": IMAGE_MEAN,
        "std": IMAGE_STD,
        "first_conv": first_conv,
        "classifier": classifier,
    }
