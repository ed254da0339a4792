"""Pyramidal residual networks (Han, Kim and Kim, CVPR 2017): pyramidnet<depth>_a<alpha>; se_ with squeeze-excitation.

Every block is wider than the previous one by alpha / (number of blocks), not only the first block of a stage. Blocks
are BN-conv-BN-ReLU-conv-BN (the paper's Fig. 6d: no ReLU before the first convolution, batch norm after the last). The
shortcut is the identity, padded with zero channels, and average-pooled if the block has a stride. In the se_ variants
(JZ's SEPyramidNet), a squeeze-excitation (Hu, Shen and Sun, CVPR 2018) weights the block's output before the shortcut
is added.
"""

from typing import Any

import torch.nn.functional as F
from timm.layers import DropPath, SEModule, calculate_drop_path_rates
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from raysearch.models.facts import imagenet_cfg, small_image_cfg
from raysearch.models.preactivation import PreActivationNet


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)


def _basic(inputs: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(inputs),
        _conv3x3(inputs, width, stride),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        _conv3x3(width, width),
        nn.BatchNorm2d(width),
    )


def _bottleneck(inputs: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(inputs),
        nn.Conv2d(inputs, width, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        _conv3x3(width, width, stride),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, 4 * width, 1, bias=False),
        nn.BatchNorm2d(4 * width),
    )


class PyramidBlock(nn.Module):
    """A residual function of ``width``, plus the identity."""

    def __init__(self, inputs: int, width: int, stride: int, is_bottleneck: bool, has_se: bool, drop_path: float):
        super().__init__()
        self.outputs = (4 if is_bottleneck else 1) * width
        self.added_channels = self.outputs - inputs
        self.residual = (_bottleneck if is_bottleneck else _basic)(inputs, width, stride)
        self.se = SEModule(self.outputs) if has_se else nn.Identity()
        self.drop_path = DropPath(drop_path)
        # `ceil_mode`: for odd sides, a convolution with stride 2 rounds the output side up.
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if stride == 2 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inputs, h, w] -> [batch, outputs, h / stride, w / stride], rounded up."""
        shortcut = F.pad(self.pool(x), (0, 0, 0, 0, 0, self.added_channels))
        return self.drop_path(self.se(self.residual(x))) + shortcut


class PyramidNet(PreActivationNet):
    """A PyramidNet with ``blocks`` per stage.

    The ImageNet variant uses bottlenecks and starts with a 7x7 convolution and pooling, which reduce the sides to a
    quarter. The CIFAR variant uses basic blocks and starts with a 3x3 convolution.
    """

    def __init__(
        self,
        blocks: tuple[int, ...],
        alpha: int,
        is_imagenet: bool = False,
        has_se: bool = False,
        num_classes: int = 10,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__(num_classes)
        channels = start = 64 if is_imagenet else 16
        self.conv_stem = nn.Conv2d(in_chans, start, 7, 2, 3, bias=False) if is_imagenet else _conv3x3(in_chans, start)
        self.norm_stem = nn.BatchNorm2d(start)
        self.pool_stem = nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, 2, 1)) if is_imagenet else nn.Identity()
        drop_paths = calculate_drop_path_rates(drop_path_rate, sum(blocks))
        reduction, done = (4 if is_imagenet else 1), 0
        for stage, count in enumerate(blocks):
            stage_blocks: list[nn.Module] = []
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                width = round(start + alpha * (done + 1) / sum(blocks))
                block = PyramidBlock(channels, width, stride, is_imagenet, has_se, drop_paths[done])
                stage_blocks.append(block)
                channels, reduction, done = block.outputs, reduction * stride, done + 1
            self.add_stage(stage_blocks, channels, reduction)
        self.finish(drop_rate)

    def forward_stem(self, x: Tensor) -> Tensor:
        return self.pool_stem(self.norm_stem(self.conv_stem(x)))


FORMS: dict[str, dict[str, Any]] = {
    "pyramidnet101_a360": {"blocks": (3, 4, 23, 3), "alpha": 360, "is_imagenet": True},
    "pyramidnet200_a300": {"blocks": (3, 24, 36, 3), "alpha": 300, "is_imagenet": True},
    "pyramidnet110_a48": {"blocks": (18, 18, 18), "alpha": 48},
}

NAMES = (*FORMS, *(f"se_{name}" for name in FORMS))

default_cfgs = generate_default_cfgs(
    {
        name: (imagenet_cfg if FORMS[name.removeprefix("se_")].get("is_imagenet") else small_image_cfg)(
            "conv_stem", "head.fc"
        )
        for name in NAMES
    }
)


def _create(variant: str, pretrained: bool, **kwargs: Any) -> PyramidNet:
    form = FORMS[variant.removeprefix("se_")] | {"has_se": variant.startswith("se_")}
    return build_model_with_cfg(PyramidNet, variant, pretrained, **(form | kwargs))


@register_model
def pyramidnet101_a360(pretrained: bool = False, **kwargs: Any) -> PyramidNet:
    """42.5 M parameters (Han et al. 2017, Table 5)."""
    return _create("pyramidnet101_a360", pretrained, **kwargs)


@register_model
def pyramidnet200_a300(pretrained: bool = False, **kwargs: Any) -> PyramidNet:
    """62.1 M parameters (Han et al. 2017, Table 5)."""
    return _create("pyramidnet200_a300", pretrained, **kwargs)


@register_model
def pyramidnet110_a48(pretrained: bool = False, **kwargs: Any) -> PyramidNet:
    """For 32 px; 1.7 M parameters (Han et al. 2017, Table 4)."""
    return _create("pyramidnet110_a48", pretrained, **kwargs)


@register_model
def se_pyramidnet101_a360(pretrained: bool = False, **kwargs: Any) -> PyramidNet:
    return _create("se_pyramidnet101_a360", pretrained, **kwargs)


@register_model
def se_pyramidnet200_a300(pretrained: bool = False, **kwargs: Any) -> PyramidNet:
    return _create("se_pyramidnet200_a300", pretrained, **kwargs)


@register_model
def se_pyramidnet110_a48(pretrained: bool = False, **kwargs: Any) -> PyramidNet:
    return _create("se_pyramidnet110_a48", pretrained, **kwargs)
