"""One rectangle per image of a batch."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Boxes:
    """Rectangles in pixels, int64 [batch] each: rows ``tops`` to ``bottoms`` - 1, columns ``lefts`` to ``rights`` - 1.

    Parts outside the image are ignored. An image without a rectangle has an empty one.
    """

    tops: Tensor
    bottoms: Tensor
    lefts: Tensor
    rights: Tensor

    def mask(self, height: int, width: int) -> Tensor:
        """The pixels inside, bool [batch, 1, height, width]."""
        rows = _is_between(self.tops, self.bottoms, height)
        columns = _is_between(self.lefts, self.rights, width)
        return (rows[:, :, None] & columns[:, None, :])[:, None]


def _is_between(starts: Tensor, ends: Tensor, size: int) -> Tensor:
    places = torch.arange(size)
    return (places >= starts[:, None]) & (places < ends[:, None])
