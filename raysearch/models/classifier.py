"""A backbone with an optional auxiliary head on one of its stages (AR, "Auxiliary Classifier")."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Outputs:
    """``logits`` and ``aux_logits`` (or None) [batch, classes]; ``features`` [batch, num_features]."""

    logits: Tensor
    aux_logits: Tensor | None
    features: Tensor


class AuxiliaryHead(nn.Module):
    """Global average pooling, then one linear layer."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(num_features, num_classes)

    def forward(self, feature_map: Tensor) -> Tensor:
        """[batch, num_features, height, width] -> [batch, classes]."""
        return self.fc(feature_map.mean((2, 3)))


class Classifier(nn.Module):
    """A timm backbone and its auxiliary head.

    ``aux_head``: None without an auxiliary head; ``aux_stage``: index of its stage in the backbone's `feature_info`,
    from 0.
    """

    backbone: Any
    """A timm model. Typed `Any` because timm has no base class with the common methods."""

    def __init__(self, backbone: nn.Module, aux_head: AuxiliaryHead | None, aux_stage: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.aux_head = aux_head
        self.aux_stage = aux_stage

    @property
    def num_features(self) -> int:
        """Width of `Outputs.features`."""
        return getattr(self.backbone, "head_hidden_size", self.backbone.num_features)

    def forward(self, images: Tensor) -> Outputs:
        """One pass through the backbone for normalised images, float [batch, 3, height, width]."""
        aux_logits = None
        if self.aux_head is None:
            feature_map = self.backbone.forward_features(images)
        else:
            feature_map, (stage,) = self.backbone.forward_intermediates(
                images, indices=[self.aux_stage], output_fmt="NCHW"
            )
            aux_logits = self.aux_head(stage)
        features = self.backbone.forward_head(feature_map, pre_logits=True)
        return Outputs(self.backbone.get_classifier()(features), aux_logits, features)
