"""A member's folder: weights and config as timm writes a model to a local folder, the auxiliary head beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from raysearch.config import IMAGE_MEAN, IMAGE_STD, TrainingConfig
from raysearch.ensemble import Member
from raysearch.errors import SetError
from raysearch.export.dropped import fault_of_dropped, is_dropped
from raysearch.export.selected import SelectedEnsemble
from raysearch.io import display_path, read_yaml, sha256, write_json
from raysearch.models import build_classifier
from raysearch.models.build import backbone_args
from raysearch.paths import MEMBER_AUX_HEAD, MEMBER_CONFIG, MEMBER_WEIGHTS, view_parts
from raysearch.section import validate


@dataclass(frozen=True)
class Weights:
    """Student or teacher of one trial; all views of it share a folder of the set."""

    trial: int
    role: str
    path: Path
    config: TrainingConfig
    has_aux_head: bool
    """Whether a member needs the auxiliary head"""

    @property
    def name(self) -> str:
        return f"{self.trial:04d}-{self.role}"


def read_weights(selected: SelectedEnsemble) -> dict[str, Weights]:
    """The weights of all members, by name.

    Raises `SetError` naming every member whose checkpoint is missing, or not what made its stored predictions, and for
    those that the search dropped the commands that bring them back.
    """
    found: dict[str, Weights] = {}
    dropped: dict[int, list[Member]] = {}
    faults = []
    for member in selected.ensemble.members:
        trial, view = selected.paths.trial(member.trial), view_parts(member.view)
        path = trial.weights(view.role)
        if is_dropped(trial, view.role):
            dropped.setdefault(member.trial, []).append(member)
            continue
        if not path.is_file():
            faults.append(f"{display_path(path)}: no such file, but member {member.name} needs these weights")
            continue
        if sha256(path) != member.weights_sha256:
            faults.append(
                f"{display_path(path)}: not the weights that made the predictions of member {member.name} (another "
                "SHA-256); bring the file back, or train the trial again and run raysearch.ensemble"
            )
            continue
        config = validate(TrainingConfig, read_yaml(trial.config), display_path(trial.config))
        weights = Weights(member.trial, view.role, path, config, view.is_fused)
        if weights.name not in found or weights.has_aux_head:
            found[weights.name] = weights
    faults += [fault_of_dropped(selected, members) for members in dropped.values()]
    if faults:
        raise SetError(faults)
    return found


def write_member(folder: Path, weights: Weights, classes: tuple[str, ...]) -> None:
    """Write `config.json`, `model.safetensors` and, where a member needs it, `aux_head.safetensors`.

    Raises `SetError` when the checkpoint does not fit the trial's config.
    """
    trial = weights.config.trial
    classifier = build_classifier(
        trial.backbone, len(classes), trial.inference_size, has_aux_head=trial.has_aux_head, aux_stage=trial.aux_stage
    )
    try:
        state = load_file(weights.path)
        classifier.load_state_dict(state)
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SetError(f"{display_path(weights.path)}: not the weights of its trial's config ({reason})") from error
    folder.mkdir(parents=True)
    write_json(folder / MEMBER_CONFIG, timm_config(classifier.backbone, trial.backbone, trial.inference_size, classes))
    save_file(_part(state, "backbone."), folder / MEMBER_WEIGHTS, metadata={"format": "pt"})
    if weights.has_aux_head:
        save_file(_part(state, "aux_head."), folder / MEMBER_AUX_HEAD, metadata={"format": "pt"})


def timm_config(backbone: nn.Module, name: str, image_size: int, classes: tuple[str, ...]) -> dict[str, Any]:
    """`config.json` for `timm.create_model("local-dir:...", pretrained=True)`, in the keys of timm's `save_for_hf`.

    That function itself would copy the licence and tag of timm's own weights, and arguments that our backbones
    do not take.
    """
    cfg: Mapping[str, Any] = getattr(backbone, "pretrained_cfg", {})
    args = backbone_args(name, len(classes), image_size)
    args.pop("drop_rate")
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


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
