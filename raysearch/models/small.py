"""Small-image forms of timm's networks, under names of their own: the stem keeps the image's resolution.

They are timm's classes, so timm's own calls and checkpoints' layouts hold.
"""

from typing import Any

from timm.models import build_model_with_cfg, create_model, generate_default_cfgs, register_model
from timm.models.efficientnet import EfficientNet
from timm.models.resnet import BasicBlock, ResNet
from torch import nn

from raysearch.config import IMAGE_MEAN, IMAGE_STD

NAMES = ("resnet10_small", "resnet18_small", "efficientnet_b0_small")

_CLASSIFIER = {"resnet10_small": "fc", "resnet18_small": "fc", "efficientnet_b0_small": "classifier"}
_FIRST_CONV = {"resnet10_small": "conv1", "resnet18_small": "conv1", "efficientnet_b0_small": "conv_stem"}

default_cfgs = generate_default_cfgs(
    {
        name: {
            "num_classes": 10,
            "input_size": (3, 32, 32),
            "mean": IMAGE_MEAN,
            "std": IMAGE_STD,
            "first_conv": _FIRST_CONV[name],
            "classifier": _CLASSIFIER[name],
        }
        for name in NAMES
    }
)


def _resnet(variant: str, pretrained: bool, **kwargs: Any) -> ResNet:
    """A ResNet of basic blocks whose stem is one 3x3 convolution of stride 1, without pooling."""
    model = build_model_with_cfg(ResNet, variant, pretrained, block=BasicBlock, **kwargs)
    inputs, outputs = model.conv1.in_channels, model.conv1.out_channels
    model.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
    for stage in model.feature_info:
        stage["reduction"] //= 4 if stage["module"] != "act1" else 2
    return model


@register_model
def resnet10_small(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """One block a stage, 16 to 128 channels: 0.3 M parameters."""
    args = {"layers": (1, 1, 1, 1), "channels": (16, 32, 64, 128), "stem_width": 16}
    return _resnet("resnet10_small", pretrained, **(args | kwargs))


@register_model
def resnet18_small(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-18 as it is commonly used at 32 px: 11.2 M parameters."""
    return _resnet("resnet18_small", pretrained, **({"layers": (2, 2, 2, 2)} | kwargs))


@register_model
def efficientnet_b0_small(pretrained: bool = False, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B0 with stride 1 in its stem."""
    kwargs.pop("pretrained_cfg", None)
    model = create_model("efficientnet_b0", pretrained=False, **kwargs)
    model.conv_stem.stride = (1, 1)
    return model
