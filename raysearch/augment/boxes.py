"""A rectangle for each image of a batch."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Boxes:
    """int64 [batch] each: pixels from ``tops`` to before ``bottoms``, and ``lefts`` to before ``rights``.

    What lies outside the image does not count; an image without a box has an empty one.
    """

    tops: Tensor
    bottoms: Tensor
    lefts: Tensor
    rights: Tensor

    def mask(self, height: int, width: int) -> Tensor:
        """bool [batch, 1, height, width]: the pixels inside."""
        rows = _is_between(self.tops, self.bottoms, height)
        columns = _is_between(self.lefts, self.rights, width)
        return (rows[:, :, None] & columns[:, None, :])[:, None]


def _is_between(starts: Tensor, ends: Tensor, size: int) -> Tensor:
    places = torch.arange(size)
    return (places >= starts[:, None]) & (places < ends[:, None])
