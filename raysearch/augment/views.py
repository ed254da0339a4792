"""One augmented view of a batch: crop, flip, colours of stubborn images, policy; then erasing and cutout."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image
from torch import Generator, Tensor
from torchvision.transforms import v2

from raysearch.augment.cutout import random_cutout
from raysearch.augment.draws import seeded_globally
from raysearch.augment.erasing import random_erasing
from raysearch.augment.fast_policy import AutoAugment, PendingImage, RandAugment, TrivialAugmentWide, apply_policy
from raysearch.augment.geometry import draw_crop_flip
from raysearch.augment.resized import random_resized_crops
from raysearch.augment.stubborn import stubborn_augmentation
from raysearch.config import IMAGE_MEAN, AugmentConfig, Policy

BASIC = v2.Compose(
    [
        v2.RandomAffine(
            degrees=15,
            scale=(0.8, 1.25),
            interpolation=v2.InterpolationMode.BILINEAR,
            fill=[round(255 * mean) for mean in IMAGE_MEAN],
        ),
        v2.RandomApply([v2.GaussianBlur(kernel_size=3, sigma=(0.1, 2.0))], p=0.5),
    ]
)
"""JZ's standard set without the flip: rotation, scale change, blur. The magnitudes are our choice."""

POLICIES: dict[Policy, Callable[[Image.Image], Image.Image | PendingImage] | None] = {
    "none": None,
    "basic": BASIC,
    "autoaugment": AutoAugment(v2.AutoAugmentPolicy.IMAGENET),
    "autoaugment_cifar10": AutoAugment(v2.AutoAugmentPolicy.CIFAR10),
    "randaugment": RandAugment(),
    "trivialaugment": TrivialAugmentWide(),
}


def augment_view(
    images: Tensor | Sequence[np.ndarray],
    config: AugmentConfig,
    image_size: int,
    generator: Generator,
    is_stubborn: Tensor | None = None,
) -> Tensor:
    """A random view of every image, determined by ``generator``: uint8 [batch, 3, image_size, image_size].

    ``images``: uint8 [batch, 3, image_size, image_size]; for `crop: resized`, uint8 arrays [height, width, 3] of any
    size or a tensor of any image size. ``is_stubborn``: bool [batch], which images are of stubborn classes; None if
    the classes are not known yet.
    """
    view = _crop_and_flip(images, config, image_size, generator)
    if is_stubborn is not None and config.stubborn.probability > 0:
        view = stubborn_augmentation(view, is_stubborn, config.stubborn, generator)
    policy = POLICIES[config.policy]
    if policy is None:
        return view
    with seeded_globally(generator):
        return apply_policy(view, policy)


def finish_view(normalised: Tensor, config: AugmentConfig, generator: Generator) -> Tensor:
    """Random erasing, then cutout: normalised float [batch, 3, height, width] in and out, on the same device."""
    erased = random_erasing(normalised, config.erasing, generator)
    return random_cutout(erased, config.cutout, config.cutout_size, generator)


def _crop_and_flip(
    images: Tensor | Sequence[np.ndarray], config: AugmentConfig, image_size: int, generator: Generator
) -> Tensor:
    if config.crop == "resized":
        arrays = images.permute(0, 2, 3, 1).numpy() if isinstance(images, Tensor) else images
        return random_resized_crops(list(arrays), image_size, config.crop_scale, generator, config.hflip)
    assert isinstance(images, Tensor), f"a list of images needs crop: resized, got {config.crop}"
    assert images.shape[1:] == (3, image_size, image_size), (
        f"expected images of {image_size} pixels, got {images.shape}"
    )
    padding = config.crop_padding if config.crop == "pad" else 0
    return draw_crop_flip(len(images), padding, config.hflip, generator).images(images)
