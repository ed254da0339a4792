"""The whole weighted vote as one ONNX file: pixels in, probabilities out, normalisation and crops included.

It is traced by torch's older exporter: for a set of several networks the newer one takes minutes and needs one package
more. What it makes is compared with the set in onnxruntime on batches of other sizes than the traced one.
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
from raysearch.predict.checkpoint_set import CheckpointSet
from raysearch.predict.manifest import OnnxEntry, OnnxInput

PACKAGES = ("onnx", "onnxruntime")
OPSET = 17
LIMIT_BYTES = 2_000_000_000
"""A file of ONNX's format cannot hold 2 GiB."""
OUTPUTS = ["probs", "calibrated"]
TRACED_BATCH = 2


class Vote(nn.Module):
    """Float32 [batch, 3, side, side] from 0 to 255, one tensor a side in ascending order -> `OUTPUTS`."""

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
        at = {side: (pixels - self.mean) / self.std for side, pixels in zip(self.sides, images, strict=True)}
        shares = []
        for (folder, image_size, side), indices in self.runs.items():
            network = self.networks[self.folders.index(folder)]
            final, aux = _probs(network, at[side or image_size], image_size, is_tencrop=side is not None)
            shares += [self._share(index, final, aux) for index in indices]
        probs = torch.stack(shares).sum(0)
        powers = (probs / probs.amax(1, keepdim=True)) ** self.power
        return probs, powers / powers.sum(1, keepdim=True)

    def _share(self, index: int, final: Tensor, aux: Tensor | None) -> Tensor:
        """Of one model in the vote."""
        member = self.members[index]
        if member.aux_fusion is not None:
            assert aux is not None, "fusion needs an auxiliary head"
            final = (1 - member.aux_fusion) * final + member.aux_fusion * aux
        return member.weight / len(member.models) * final


def require_onnx() -> None:
    """Raises `SetError` when the packages of the extra are missing."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise SetError(
            f"--format onnx: needs {' and '.join(missing)}, which is not installed: pip install 'raysearch[onnx]'"
        )


def require_room(weights: Sequence[Path]) -> None:
    """Raises `SetError` when the weights in these files are more than one ONNX file holds."""
    size_bytes = sum(path.stat().st_size for path in weights)
    if size_bytes > LIMIT_BYTES:
        raise SetError(
            f"--format onnx: one ONNX file holds at most {LIMIT_BYTES / 1e9:g} GB, but the members' weights are "
            f"{size_bytes / 1e9:.1f} GB; export without it, or select fewer members (members, parameters: see "
            "raysearch.ensemble)"
        )


def write_onnx(path: Path, checkpoint_set: CheckpointSet) -> OnnxEntry:
    """Write the set's vote to ``path``; its networks are on the CPU afterwards.

    Raises `SetError` for a network that ONNX cannot express.
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
            f"{display_path(path)}: a member cannot be expressed in ONNX ({reason}); export without --format onnx"
        ) from error
    return OnnxEntry(file=path.name, inputs=inputs, outputs=OUTPUTS, opset=OPSET)


def onnx_difference(checkpoint_set: CheckpointSet, images: Mapping[int, np.ndarray]) -> float:
    """The largest difference of a probability between the set and its ONNX file, run by onnxruntime.

    ``images``: as for `CheckpointSet.predict`; the first is also run alone, a batch of another
    size.
    """
    import onnxruntime  # of an extra

    entry = checkpoint_set.manifest.onnx
    assert entry is not None, "the set has no ONNX file"
    session = onnxruntime.InferenceSession(
        str(checkpoint_set.paths.root / entry.file), providers=["CPUExecutionProvider"]
    )
    probs = checkpoint_set.predict(images)
    expected = {"probs": probs, "calibrated": checkpoint_set.calibrated(probs)}
    largest = 0.0
    for samples in {1, len(probs)}:
        pixels = {e.name: _pixels(images[e.side][:samples]) for e in entry.inputs}
        found = dict(zip(OUTPUTS, session.run(OUTPUTS, pixels), strict=True))
        largest = max(largest, *(float(np.abs(found[name] - expected[name][:samples]).max()) for name in OUTPUTS))
    return largest


def _pixels(images: np.ndarray) -> np.ndarray:
    """uint8 [samples, side, side, 3] -> float32 [samples, 3, side, side]"""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)


def _probs(network: nn.Module, images: Tensor, image_size: int, *, is_tencrop: bool) -> tuple[Tensor, Tensor | None]:
    """[batch, classes] by the final and the auxiliary head; of ten crops the means."""
    crops = _ten_crops(images, image_size) if is_tencrop else [images]
    outputs: Outputs = network(torch.cat(crops))
    heads = (outputs.logits, outputs.aux_logits)
    final, aux = (
        None if logits is None else logits.softmax(1).unflatten(0, (len(crops), -1)).mean(0) for logits in heads
    )
    assert final is not None
    return final, aux


def _ten_crops(images: Tensor, size: int) -> list[Tensor]:
    """Those of `raysearch.models.infer_tencrop`; torchvision's own function cannot be traced."""
    far = int(images.shape[-1]) - size
    middle = round(far / 2)
    places = ((0, 0), (0, far), (far, 0), (far, far), (middle, middle))
    return [
        whole[:, :, top : top + size, left : left + size] for whole in (images, images.flip(-1)) for top, left in places
    ]
