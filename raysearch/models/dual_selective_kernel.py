"""DSK-ResNeXt101: dual selective kernels (Sun et al., ECCV workshop VIPriors 2020) in a ResNeXt-101 32x4d.

A block has two parallel selective-kernel bottlenecks (Li et al., CVPR 2019) and one shortcut. In training, every
forward pass uses one of them at random; in inference, the block uses their mean. Built from timm's layers and ResNet.
"""

from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import ResNet
from timm.models.sknet import SelectiveKernelBottleneck
from torch import Tensor, nn

from raysearch.models.facts import imagenet_cfg


class Branch(SelectiveKernelBottleneck):
    """The residual function of a selective-kernel bottleneck, without the shortcut and the last ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.conv2(self.conv1(x)))


class DualBlock(nn.Module):
    """Two branches and a shortcut. Takes the arguments that timm's ResNet passes to its bottlenecks."""

    expansion = Branch.expansion

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        drop_path: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Branch(inplanes, planes, stride, **kwargs) for _ in range(2))
        self.downsample = downsample or nn.Identity()
        self.drop_path = drop_path or nn.Identity()
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inplanes, h, w] -> [batch, 4 planes, h / stride, w / stride]."""
        if self.training:
            residual = self.branches[self._pick(x.device)](x)
        else:
            residual = (self.branches[0](x) + self.branches[1](x)) / 2
        return self.act(self.drop_path(residual) + self.downsample(x))

    def _pick(self, device: torch.device) -> int:
        # Synchronised batch statistics are only correct if all workers run the same branch.
        if any(isinstance(module, nn.SyncBatchNorm) for module in self.modules()):
            return pick_together(device)
        return int(torch.randint(2, ()))


def pick_together(device: torch.device) -> int:
    """0 or 1 from torch's global generator. In a process group, all ranks get the draw of rank 0."""
    pick = torch.randint(2, ())
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        pick = pick.to(device)
        torch.distributed.broadcast(pick, src=0)
    return int(pick)


class DualSelectiveKernelResNet(ResNet):
    """A ResNet of dual blocks."""

    has_unused_parameters = True
    """Branches that a training step does not use get no gradient, which DDP must know in advance."""


NAMES = ("dsk_resnext101",)

default_cfgs = generate_default_cfgs({name: imagenet_cfg("conv1", "fc") for name in NAMES})


@register_model
def dsk_resnext101(pretrained: bool = False, **kwargs: Any) -> DualSelectiveKernelResNet:
    """Layers 3-4-23-3, 32 groups; branches of dilation 1 and 2, reduction 16 to at least 32 channels."""
    args: dict[str, Any] = {
        "block": DualBlock,
        "layers": (3, 4, 23, 3),
        "cardinality": 32,
        "base_width": 4,
        "block_args": {"sk_kwargs": {"rd_ratio": 1 / 16, "rd_divisor": 32, "split_input": False}},
        "zero_init_last": False,
    }
    return build_model_with_cfg(DualSelectiveKernelResNet, "dsk_resnext101", pretrained, **(args | kwargs))
