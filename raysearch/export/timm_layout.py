"""Plain timm loads a model's folder with no code of ours that reads it; what it makes of images must be the same."""

from collections.abc import Mapping

import numpy as np
import timm
import torch

from raysearch.data.dataset import Dataset
from raysearch.errors import SetError
from raysearch.models import normalise
from raysearch.predict.checkpoint_set import CheckpointSet

TIMM_TOLERANCE = 1e-4
"""Largest difference of a probability that counts as the same."""
TIMM_SAMPLES = 16
"""Images that are compared."""


@torch.inference_mode()
def check_timm_layout(part: CheckpointSet, held_out: Mapping[int, Dataset]) -> None:
    """Raises `SetError` where plain timm makes other probabilities of the first folder of a member of ``part``.

    ``held_out``: by side, images to compare on.
    """
    faults = []
    for folder, member in {member.folders[0]: member for member in part.members}.items():
        classifier = part.classifiers[folder]
        device = next(classifier.parameters()).device
        size = member.image_size  # of a TenCrop member's larger squares, the upper left corner will do
        images = held_out[member.input_side].splits["held_out"].images[:TIMM_SAMPLES, :size, :size]
        few = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).to(device)
        try:
            path = part.paths.root / folder
            plain = timm.create_model(f"local-dir:{path}", pretrained=True).to(device).eval()
        except (RuntimeError, TypeError, ValueError) as error:
            faults.append(f"{folder}: timm cannot load a {member.backbone} ({' '.join(str(error).split())[:200]})")
            continue
        ours, timms = classifier(normalise(few)).logits.softmax(1), plain(normalise(few)).softmax(1)
        if not (difference := float((ours - timms).abs().max())) < TIMM_TOLERANCE:
            faults.append(f"{folder}: timm's loader gives other probabilities, by up to {difference:.2g}")
    if faults:
        raise SetError(faults)
