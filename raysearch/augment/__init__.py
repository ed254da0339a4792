"""Varying and mixing images. Every function takes its randomness as a `torch.Generator`."""

from raysearch.augment.erasing import random_erasing
from raysearch.augment.geometry import random_crop, random_flip
from raysearch.augment.mixing import Mix, draw_mix
from raysearch.augment.views import augment_view

__all__ = ["Mix", "augment_view", "draw_mix", "random_crop", "random_erasing", "random_flip"]
