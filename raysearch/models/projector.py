"""What stands between features and their contrast (Chen et al. 2020, SimCLR; AR Fig. 4b's ablation)."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Projector(nn.Module):
    """Linear, ReLU, linear; the output's rows have length 1. Only training has use for it."""

    def __init__(self, num_features: int, size: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(num_features, num_features)
        self.out = nn.Linear(num_features, size)

    def forward(self, features: Tensor) -> Tensor:
        """[batch, num_features] -> [batch, size], L2-normalised, in float32 at least."""
        projected = self.out(functional.relu(self.hidden(features)))
        return functional.normalize(projected.to(torch.promote_types(projected.dtype, torch.float32)), dim=1)
