"""Wide residual networks for small images (Zagoruyko and Komodakis 2016): wrn_<depth>_<width>.

Pre-activation blocks BN-ReLU-conv-BN-ReLU-conv, no down-sampling in the stem, depth = 6 n + 4. `block_dropout` is the
probability of dropout before the second convolution of every block (section 2.4).
"""

from typing import Any

import torch.nn.functional as F
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from raysearch.models.facts import small_image_cfg
from raysearch.models.preactivation import PreActivationNet


class WideBlock(nn.Module):
    """Two 3x3 convolutions, each after batch norm and ReLU, and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        changes = stride > 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inputs, h, w] -> [batch, outputs, h / stride, w / stride]."""
        active = F.relu(self.norm1(x))
        # If the shape changes, the shortcut starts after the activation, as in the authors' code.
        shortcut = x if self.shortcut is None else self.shortcut(active)
        return self.conv2(self.dropout(F.relu(self.norm2(self.conv1(active))))) + shortcut


class WideResNet(PreActivationNet):
    """A stem and three stages with 16, 32 and 64 times ``width`` channels."""

    def __init__(
        self,
        depth: int = 16,
        width: int = 4,
        num_classes: int = 10,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        block_dropout: float = 0.0,
    ) -> None:
        super().__init__(num_classes)
        assert (depth - 4) % 6 == 0, f"depth = 6 n + 4 must hold, got {depth}"
        self.conv_stem = nn.Conv2d(in_chans, 16, 3, 1, 1, bias=False)
        inputs, reduction = 16, 1
        for outputs, stride in ((16 * width, 1), (32 * width, 2), (64 * width, 2)):
            blocks: list[nn.Module] = [WideBlock(inputs, outputs, stride, block_dropout)]
            blocks += [WideBlock(outputs, outputs, 1, block_dropout) for _ in range((depth - 4) // 6 - 1)]
            inputs, reduction = outputs, reduction * stride
            self.add_stage(blocks, outputs, reduction)
        self.finish(drop_rate)

    def forward_stem(self, x: Tensor) -> Tensor:
        return self.conv_stem(x)


def _create(variant: str, depth: int, width: int, pretrained: bool, **kwargs: Any) -> WideResNet:
    return build_model_with_cfg(WideResNet, variant, pretrained, depth=depth, width=width, **kwargs)


NAMES = ("wrn_10_1", "wrn_16_1", "wrn_16_2", "wrn_16_4", "wrn_16_8", "wrn_28_2")

default_cfgs = generate_default_cfgs({name: small_image_cfg("conv_stem", "head.fc") for name in NAMES})


@register_model
def wrn_10_1(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    return _create("wrn_10_1", 10, 1, pretrained, **kwargs)


@register_model
def wrn_16_1(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    return _create("wrn_16_1", 16, 1, pretrained, **kwargs)


@register_model
def wrn_16_2(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    return _create("wrn_16_2", 16, 2, pretrained, **kwargs)


@register_model
def wrn_16_4(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    return _create("wrn_16_4", 16, 4, pretrained, **kwargs)


@register_model
def wrn_16_8(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    return _create("wrn_16_8", 16, 8, pretrained, **kwargs)


@register_model
def wrn_28_2(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    return _create("wrn_28_2", 28, 2, pretrained, **kwargs)
