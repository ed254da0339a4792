"""Base class of networks with pre-activation blocks, with the methods that timm's models have in common."""

from typing import Any

import torch.nn.functional as F
from timm.layers import ClassifierHead
from torch import Tensor, nn


class PreActivationNet(nn.Module):
    """Abstract: a stem, stages, a last batch norm and ReLU, and a linear head after global pooling.

    A subclass creates its stem, calls `add_stage` for each stage and then `finish`. `timm.create_model` can build and
    load it.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.stages = nn.ModuleList()
        self.feature_info: list[dict[str, Any]] = []

    def forward_stem(self, x: Tensor) -> Tensor:
        """Images [batch, 3, height, width] -> input of the first stage."""
        raise NotImplementedError

    def add_stage(self, blocks: list[nn.Module], channels: int, reduction: int) -> None:
        """Add a stage. Its last block returns ``channels`` channels and divides the image's sides by ``reduction``."""
        self.feature_info.append({"num_chs": channels, "reduction": reduction, "module": f"stages.{len(self.stages)}"})
        self.stages.append(nn.Sequential(*blocks))

    def finish(self, drop_rate: float) -> None:
        """Add the last batch norm and the head, and initialise the convolutions."""
        self.num_features = self.head_hidden_size = self.feature_info[-1]["num_chs"]
        self.norm = nn.BatchNorm2d(self.num_features)
        self.head = ClassifierHead(self.num_features, self.num_classes, drop_rate=drop_rate)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def get_classifier(self) -> nn.Module:
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        self.num_classes = num_classes
        self.head.reset(num_classes, global_pool)

    def forward_intermediates(self, x: Tensor, indices: list[int], **_: Any) -> tuple[Tensor, list[Tensor]]:
        """The final feature map, and the outputs of the stages ``indices``."""
        x = self.forward_stem(x)
        intermediates = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in indices:
                intermediates.append(x)
        return F.relu(self.norm(x)), intermediates

    def forward_features(self, x: Tensor) -> Tensor:
        return self.forward_intermediates(x, [])[0]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        return self.head(x, pre_logits=pre_logits)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images [batch, 3, height, width] -> logits [batch, classes]."""
        return self.forward_head(self.forward_features(x))
