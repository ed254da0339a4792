"""Checks that plain timm, without our loader, gives the same probabilities for a model's folder."""

from collections.abc import Mapping

import numpy as np
import timm
import torch

from raysearch.data.dataset import Dataset
from raysearch.errors import SetError
from raysearch.models import normalise
from raysearch.predict.checkpoint_set import CheckpointSet

TIMM_TOLERANCE = 1e-4
"""Largest accepted difference of a probability."""
TIMM_SAMPLES = 16
"""Number of images that are compared."""


@torch.inference_mode()
def check_timm_layout(checkpoint_set: CheckpointSet, held_out: Mapping[int, Dataset]) -> None:
    """Raises `SetError` if plain timm gives other probabilities for the first folder of a member.

    ``held_out``: images to compare on, by side in pixels.
    """
    faults = []
    for folder, member in {member.folders[0]: member for member in checkpoint_set.members}.items():
        classifier = checkpoint_set.classifiers[folder]
        device = next(classifier.parameters()).device
        size = member.image_size  # a TenCrop member has larger squares; one crop of them is enough here
        images = held_out[member.input_side].splits["held_out"].images[:TIMM_SAMPLES, :size, :size]
        pixels = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).to(device)
        try:
            path = checkpoint_set.paths.root / folder
            plain = timm.create_model(f"local-dir:{path}", pretrained=True).to(device).eval()
        except (RuntimeError, TypeError, ValueError) as error:
            faults.append(f"{folder}: timm cannot load a {member.backbone} ({' '.join(str(error).split())[:200]})")
            continue
        ours, timms = classifier(normalise(pixels)).logits.softmax(1), plain(normalise(pixels)).softmax(1)
        if not (difference := float((ours - timms).abs().max())) < TIMM_TOLERANCE:  # `not <`: catches NaN
            faults.append(f"{folder}: plain timm gives other probabilities, which differ by up to {difference:.2g}")
    if faults:
        raise SetError(faults)
