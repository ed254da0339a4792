"""Varying and mixing images. Every function takes its randomness as a `torch.Generator`.

An operation is drawn first, as an object of its parameters, and applied after: so it can be replayed, and applied
alike to several views.
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
