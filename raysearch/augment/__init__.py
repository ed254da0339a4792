"""Image augmentation and mixing. Every function takes its randomness from a `torch.Generator` argument.

An operation is first drawn as an object with its parameters and then applied. So it can be replayed, and applied in the
same way to several views.
"""

from raysearch.augment.cutout import random_cutout
from raysearch.augment.erasing import random_erasing
from raysearch.augment.mixing import Mix, draw_mix
from raysearch.augment.stubborn import stubborn_classes
from raysearch.augment.views import augment_view, finish_view

__all__ = [
    "Mix",
    "augment_view",
    "draw_mix",
    "finish_view",
    "random_cutout",
    "random_erasing",
    "stubborn_classes",
]
