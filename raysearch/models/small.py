"""Variants of timm's networks for small images, registered under new names. The stem keeps the image's resolution.

They use timm's classes, so timm's methods and checkpoint layouts apply.
"""

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, get_pretrained_cfg, register_model
from timm.models.efficientnet import EfficientNet, efficientnet_b0
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import nn

from raysearch.models.facts import small_image_cfg

NAMES = ("resnet10_small", "resnet18_small", "seresnet18_small", "resnext50_32x4d_small", "efficientnet_b0_small")

default_cfgs = generate_default_cfgs(
    {
        "resnet10_small": small_image_cfg("conv1", "fc"),
        "resnet18_small": small_image_cfg("conv1", "fc"),
        "seresnet18_small": small_image_cfg("conv1", "fc"),
        "resnext50_32x4d_small": small_image_cfg("conv1", "fc"),
        "efficientnet_b0_small": small_image_cfg("conv_stem", "classifier"),
    }
)


class SmallStemResNet(ResNet):
    """A ResNet whose stem is one 3x3 convolution with stride 1, without pooling."""

    conv1: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conv1 = nn.Conv2d(self.conv1.in_channels, self.conv1.out_channels, 3, 1, 1, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.maxpool = nn.Identity()
        for stage in self.feature_info:
            stage["reduction"] //= 4 if stage["module"] != "act1" else 2


def _resnet(variant: str, pretrained: bool, **kwargs: Any) -> SmallStemResNet:
    return build_model_with_cfg(SmallStemResNet, variant, pretrained, **({"block": BasicBlock} | kwargs))


@register_model
def resnet10_small(pretrained: bool = False, **kwargs: Any) -> SmallStemResNet:
    """One block per stage, 16 to 128 channels: 0.3 M parameters."""
    args = {"layers": (1, 1, 1, 1), "channels": (16, 32, 64, 128)}
    return _resnet("resnet10_small", pretrained, **(args | kwargs))


@register_model
def resnet18_small(pretrained: bool = False, **kwargs: Any) -> SmallStemResNet:
    """The common ResNet-18 variant for 32 px: 11.2 M parameters."""
    return _resnet("resnet18_small", pretrained, **({"layers": (2, 2, 2, 2)} | kwargs))


@register_model
def seresnet18_small(pretrained: bool = False, **kwargs: Any) -> SmallStemResNet:
    """ResNet-18 with squeeze-excitation: 11.3 M parameters."""
    args = {"layers": (2, 2, 2, 2), "block_args": {"attn_layer": "se"}}
    return _resnet("seresnet18_small", pretrained, **(args | kwargs))


@register_model
def resnext50_32x4d_small(pretrained: bool = False, **kwargs: Any) -> SmallStemResNet:
    """ResNeXt-50 32x4d: 23.0 M parameters."""
    args = {"block": Bottleneck, "layers": (3, 4, 6, 3), "cardinality": 32, "base_width": 4}
    return _resnet("resnext50_32x4d_small", pretrained, **(args | kwargs))


@register_model
def efficientnet_b0_small(pretrained: bool = False, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B0 with stride 1 in its stem."""
    kwargs["pretrained_cfg"] = kwargs.get("pretrained_cfg") or get_pretrained_cfg("efficientnet_b0_small")
    model = efficientnet_b0(pretrained, **kwargs)
    model.conv_stem.stride = (1, 1)
    for stage in model.feature_info:
        stage["reduction"] //= 2
    return model
