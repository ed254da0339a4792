"""One augmented view of a batch: crop, flip, policy."""

import torch
from torch import Generator, Tensor
from torchvision.transforms import v2

from raysearch.augment.geometry import random_crop, random_flip, random_resized_crop
from raysearch.config import AugmentConfig

POLICIES = {
    "none": None,
    "autoaugment": v2.AutoAugment(v2.AutoAugmentPolicy.IMAGENET),
    "autoaugment_cifar10": v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10),
    "randaugment": v2.RandAugment(),
    "trivialaugment": v2.TrivialAugmentWide(),
}


def augment_view(images: Tensor, config: AugmentConfig, generator: Generator) -> Tensor:
    """A new view of every image. uint8 [batch, 3, height, width] in and out; repeatable from ``generator``."""
    # torchvision draws from the global generator; it is seeded from ours here and left as it was found.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        if config.crop == "pad":
            images = random_crop(images, config.crop_padding, generator)
        elif config.crop == "resized":
            images = random_resized_crop(images, config.crop_scale)
        images = random_flip(images, config.hflip, generator)
        policy = POLICIES[config.policy]
        return images if policy is None else torch.stack([policy(image) for image in images])
