"""The whole ensemble as one ONNX file, from pixels to probabilities, with normalisation and crops.

torch's older exporter traces it (`dynamo=False`): with several networks the newer exporter takes minutes and needs one
more package. Afterwards, onnxruntime runs the file on other batch sizes, and its probabilities are compared with the
set's.
"""

import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from raysearch.config import IMAGE_MEAN, IMAGE_STD
from raysearch.errors import SetError
from raysearch.io import display_path
from raysearch.models import Outputs
from raysearch.paths import Crops
from raysearch.predict.checkpoint_set import CheckpointSet
from raysearch.predict.manifest import OnnxEntry, OnnxInput

PACKAGES = ("onnx", "onnxruntime")
OPSET = 17
LIMIT_BYTES = 2_000_000_000
"""ONNX files are protocol buffers, which must be smaller than 2 GiB."""
OUTPUTS = ["probs", "calibrated"]
TRACED_BATCH = 2
"""Number of images in the traced example; the batch axis of the file is dynamic."""


class Vote(nn.Module):
    """The ensemble as one module.

    Inputs: float32 [batch, 3, side, side] from 0 to 255, one tensor per side, in ascending order of side. Outputs:
    `OUTPUTS`, float32 [batch, classes].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, checkpoint_set: CheckpointSet) -> None:
        super().__init__()
        self.runs, self.sides = checkpoint_set.runs, checkpoint_set.image_sizes
        self.members = checkpoint_set.members
        self.power = 1 / checkpoint_set.manifest.temperature
        self.folders = list(checkpoint_set.classifiers)
        networks = (
            network.cpu().to(memory_format=torch.contiguous_format) for network in checkpoint_set.classifiers.values()
        )
        self.networks = nn.ModuleList(networks)
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(IMAGE_STD).view(1, 3, 1, 1) * 255)

    def forward(self, *images: Tensor) -> tuple[Tensor, Tensor]:
        normalised = {side: (pixels - self.mean) / self.std for side, pixels in zip(self.sides, images, strict=True)}
        weighted = []
        for run, indices in self.runs.items():
            network = self.networks[self.folders.index(run.folder)]
            final, aux = _predict(network, _make_crops(normalised[run.input_side], run.crops, run.image_size))
            weighted += [self._weigh(index, final, aux) for index in indices]
        probs = torch.stack(weighted).sum(0)
        # Dividing by the largest probability first keeps the powers from underflowing to zero.
        powers = (probs / probs.amax(1, keepdim=True)) ** self.power
        return probs, powers / powers.sum(1, keepdim=True)

    def _weigh(self, index: int, final: Tensor, aux: Tensor | None) -> Tensor:
        """The contribution of one model of member ``index`` to the ensemble's probabilities, [batch, classes]."""
        member = self.members[index]
        if member.aux_fusion is not None:
            assert aux is not None, "fusion needs an auxiliary head"
            final = (1 - member.aux_fusion) * final + member.aux_fusion * aux
        return member.weight / len(member.models) * final


def require_onnx() -> None:
    """Raises `SetError` if packages of the extra `onnx` are not installed."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise SetError(
            f"--format onnx: needs {' and '.join(missing)}, not installed; run pip install 'raysearch[onnx]'"
        )


def require_room(weights: Sequence[Path]) -> None:
    """Raises `SetError` if the weights in these files are too large for one ONNX file."""
    size_bytes = sum(path.stat().st_size for path in weights)
    if size_bytes > LIMIT_BYTES:
        raise SetError(
            f"--format onnx: one ONNX file holds at most {LIMIT_BYTES / 1e9:g} GB, but the members' weights are "
            f"{size_bytes / 1e9:.1f} GB; leave out --format onnx, or select fewer members with `raysearch ensemble` "
            "(recipe keys `max_members` and `max_parameters`)"
        )


def write_onnx(path: Path, checkpoint_set: CheckpointSet) -> OnnxEntry:
    """Write the ensemble to ``path``. Moves the set's networks to the CPU.

    Raises `SetError` if ONNX cannot express a network.
    """
    sides = checkpoint_set.image_sizes
    inputs = [OnnxInput(name=f"images_{side}", side=side) for side in sides]
    names = [entry.name for entry in inputs]
    example = tuple(torch.rand(TRACED_BATCH, 3, side, side) * 255 for side in sides)
    try:
        with warnings.catch_warnings(action="ignore"), torch.inference_mode():
            torch.onnx.export(
                Vote(checkpoint_set).eval(),
                example,
                path,
                input_names=names,
                output_names=OUTPUTS,
                dynamic_axes={name: {0: "batch"} for name in (*names, *OUTPUTS)},
                opset_version=OPSET,
                dynamo=False,
            )
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SetError(
            f"{display_path(path)}: ONNX cannot express a member ({reason}); export without --format onnx"
        ) from error
    return OnnxEntry(file=path.name, inputs=inputs, outputs=OUTPUTS, opset=OPSET)


def measure_onnx_difference(checkpoint_set: CheckpointSet, images: Mapping[int, np.ndarray]) -> float:
    """The largest difference of a probability between the set and its ONNX file, which onnxruntime runs.

    ``images``: as for `CheckpointSet.predict`. The first image is also predicted alone, to test another batch size.
    """
    import onnxruntime  # optional dependency: the extra `onnx`

    entry = checkpoint_set.manifest.onnx
    assert entry is not None, "the set has no ONNX file"
    session = onnxruntime.InferenceSession(
        str(checkpoint_set.paths.root / entry.file), providers=["CPUExecutionProvider"]
    )
    probs = checkpoint_set.predict(images)
    expected = {"probs": probs, "calibrated": checkpoint_set.calibrated(probs)}
    largest = 0.0
    for samples in {1, len(probs)}:
        pixels = {e.name: _to_pixels(images[e.side][:samples]) for e in entry.inputs}
        outputs = dict(zip(OUTPUTS, session.run(OUTPUTS, pixels), strict=True))
        largest = max(largest, *(float(np.abs(outputs[name] - expected[name][:samples]).max()) for name in OUTPUTS))
    return largest


def _to_pixels(images: np.ndarray) -> np.ndarray:
    """uint8 [samples, side, side, 3] -> float32 [samples, 3, side, side]"""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)


def _predict(network: nn.Module, crops: list[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Probabilities [batch, classes] of the final and the auxiliary head, the mean over the crops."""
    outputs: Outputs = network(torch.cat(crops))
    heads = (outputs.logits, outputs.aux_logits)
    final, aux = (
        None if logits is None else logits.softmax(1).unflatten(0, (len(crops), -1)).mean(0) for logits in heads
    )
    assert final is not None
    return final, aux


def _make_crops(images: Tensor, crops: Crops, image_size: int) -> list[Tensor]:
    """The crops of `raysearch.models.infer_crops`."""
    if crops == "tencrop":
        return _ten_crops(images, image_size)
    return [images, images.flip(-1)] if crops == "mirror" else [images]


def _ten_crops(images: Tensor, size: int) -> list[Tensor]:
    """The ten crops of `raysearch.models.infer_tencrop`. torchvision's own function cannot be traced."""
    margin = int(images.shape[-1]) - size
    middle = round(margin / 2)
    corners = ((0, 0), (0, margin), (margin, 0), (margin, margin), (middle, middle))
    return [
        whole[:, :, top : top + size, left : left + size]
        for whole in (images, images.flip(-1))
        for top, left in corners
    ]
