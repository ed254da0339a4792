"""The projector for `contrast: features` (Chen et al. 2020, SimCLR; the ablation in AR Fig. 4b)."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Projector(nn.Module):
    """Linear, ReLU, linear, then L2 normalisation. Only training uses it."""

    def __init__(self, num_features: int, size: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(num_features, num_features)
        self.out = nn.Linear(num_features, size)

    def forward(self, features: Tensor) -> Tensor:
        """[batch, num_features] -> [batch, size], L2-normalised, float32 or float64."""
        projected = self.out(functional.relu(self.hidden(features)))
        return functional.normalize(projected.to(torch.promote_types(projected.dtype, torch.float32)), dim=1)
