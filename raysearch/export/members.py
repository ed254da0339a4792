"""A member's folder: weights and config in the layout of timm's local folders, and the auxiliary head."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from raysearch.config import IMAGE_MEAN, IMAGE_STD, TrainingConfig
from raysearch.ensemble.library import is_dropped
from raysearch.ensemble.results import Member
from raysearch.errors import SetError
from raysearch.export.dropped import explain_dropped
from raysearch.export.selected import SelectedEnsemble, get_trial_number
from raysearch.export.trainings import Training
from raysearch.io import display_path, sha256, write_json
from raysearch.models.build import backbone_args
from raysearch.paths import MEMBER_AUX_HEAD, MEMBER_CONFIG, MEMBER_WEIGHTS, view_parts
from raysearch.predict.member_entry import get_image_size
from raysearch.predict.training import load_weights
from raysearch.predictions import joint_sha256


@dataclass(frozen=True)
class Weights:
    """The student or the teacher of one training. All of its views share one folder of the set."""

    name: str
    """Name of the folder in the set"""
    path: Path
    """Checkpoint of the training"""
    config: TrainingConfig
    image_size: int
    """Side of the network's square input in pixels, as used by the member with the largest weight"""
    has_aux_head: bool
    """Whether a member needs the auxiliary head"""


def folder_name(member: Member, training: Training) -> str:
    """Name of the folder in the set for the weights that ``training`` contributes to ``member``."""
    return f"{get_trial_number(member):04d}-{view_parts(member.view).role}{training.suffix}"


def read_weights(selected: SelectedEnsemble) -> dict[str, Weights]:
    """The weights of all members, by name of their folder.

    Raises `SetError` that names every member whose checkpoint is missing or is not the one that made its stored
    predictions. For weights that the search dropped, the message gives the commands that restore them.
    """
    weights: dict[str, Weights] = {}
    dropped: dict[int, list[Member]] = {}
    faults = []
    for member, trainings in selected.members:
        view = view_parts(member.view)
        if selected.refit is None and is_dropped(selected.paths.trial(get_trial_number(member)), view.role):
            dropped.setdefault(get_trial_number(member), []).append(member)
            continue
        if member_faults := list(_check_weights(member, trainings)):
            faults += member_faults
            continue
        for training in trainings:
            name, path = folder_name(member, training), training.paths.weights(view.role)
            new = Weights(name, path, training.config, get_image_size(member.view, training.config), view.is_fused)
            known = weights.setdefault(name, new)
            weights[name] = replace(known, has_aux_head=known.has_aux_head or view.is_fused)
    faults += [explain_dropped(selected, members) for members in dropped.values()]
    if faults:
        raise SetError(faults)
    return weights


def _check_weights(member: Member, trainings: Sequence[Training]) -> Iterator[str]:
    """Faults of weights that are missing or did not make the stored predictions (in a refit, the refit's own)."""
    role = view_parts(member.view).role
    paths = [training.paths.weights(role) for training in trainings]
    if missing := [path for path in paths if not path.is_file()]:
        yield from (f"{display_path(p)}: no such file, but member {member.name} needs these weights" for p in missing)
        return
    hashes = [sha256(path) for path in paths]
    if trainings[0].refit is None:
        checks = [(paths, joint_sha256(hashes), member.weights_sha256)]
    else:
        stored = [training.read_stored(member.view).weights_sha256 for training in trainings]
        checks = [([path], actual, expected) for path, actual, expected in zip(paths, hashes, stored, strict=True)]
    yield from (
        f"{' and '.join(map(display_path, files))}: not the weights that made the predictions of member {member.name} "
        "(the SHA-256 differs); restore the file, or train the trial again and run `raysearch ensemble`"
        for files, actual, expected in checks
        if actual != expected
    )


def write_model(folder: Path, weights: Weights, classes: tuple[str, ...]) -> None:
    """Write `config.json`, `model.safetensors` and, if a member needs it, `aux_head.safetensors`.

    Raises `SetError` if the checkpoint does not fit the trial's config, and `OSError` if the disk is full.
    """
    backbone = weights.config.trial.backbone
    classifier = load_weights(weights.path, weights.config, len(classes), weights.image_size)
    state = classifier.state_dict()
    folder.mkdir(parents=True)
    write_json(folder / MEMBER_CONFIG, timm_config(classifier.backbone, backbone, weights.image_size, classes))
    _save(state, "backbone.", folder / MEMBER_WEIGHTS)
    if weights.has_aux_head:
        _save(state, "aux_head.", folder / MEMBER_AUX_HEAD)


def timm_config(backbone: nn.Module, name: str, image_size: int, classes: tuple[str, ...]) -> dict[str, Any]:
    """`config.json` for `timm.create_model("local-dir:...", pretrained=True)`, with the keys of timm's `save_for_hf`.

    `save_for_hf` itself would copy the licence and the tag of timm's own weights, and arguments that our backbones do
    not accept.
    """
    cfg: Mapping[str, Any] = getattr(backbone, "pretrained_cfg", {})
    args = backbone_args(name, len(classes), image_size)
    args.pop("drop_rate")  # acts in training only
    return {
        "architecture": name,
        "num_classes": len(classes),
        "num_features": backbone.num_features,
        "label_names": list(classes),
        "model_args": args,
        "pretrained_cfg": {
            "input_size": [3, image_size, image_size],
            "fixed_input_size": "img_size" in args,
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "crop_mode": "center",
            "mean": list(IMAGE_MEAN),
            "std": list(IMAGE_STD),
            "num_classes": len(classes),
            "pool_size": None,
            "first_conv": cfg.get("first_conv"),
            "classifier": cfg.get("classifier"),
        },
    }


def _save(state: Mapping[str, Tensor], prefix: str, path: Path) -> None:
    part = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    content = save(part, metadata={"format": "pt"})
    path.write_bytes(content)  # `save_file` would raise a SafetensorError, not an OSError, when the disk is full
