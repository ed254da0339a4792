"""The manifest of a checkpoint set, `ensemble.json`: members, weights, figures, and a SHA-256 for every file."""

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from raysearch.config import DataConfig, Positive, Probability
from raysearch.paths import MEMBER_AUX_HEAD, MEMBER_CONFIG, MEMBER_WEIGHTS, VIEW_PATTERN, Crops, view_parts
from raysearch.section import Section

FORMAT_VERSION: Final = 2
"""Increases when readers of the previous format can no longer read the new one."""
Side = Annotated[int, Field(ge=1)]
"""Side of a square image, in pixels."""


class _Stored(Section):
    """A section of the manifest. Unknown keys, which a later version may add, are ignored."""

    model_config = ConfigDict(extra="ignore")


class ModelEntry(_Stored):
    """One network: the weights of one training."""

    folder: str
    """Path relative to the set, with slashes, in timm's local-dir layout. Views of the same weights share it."""
    fold: int | None = None
    """In a study with `data.folds`: the fold that was held out from this training."""
    refit: int | None = None
    """For a refitted member: number of the trial in the refit's study that trained these weights."""
    seed: int
    """Seed of the training."""


class MemberEntry(_Stored):
    """One view of one trial, and its weight in the ensemble. Its probabilities are the mean over its models."""

    name: str
    trial: int
    view: Annotated[str, Field(pattern=f"^{VIEW_PATTERN}$")]
    weight: Annotated[float, Field(gt=0, le=1)]
    models: Annotated[list[ModelEntry], Field(min_length=1)]
    """One model; with `data.folds` one per fold, in order; after a refit one per seed."""
    backbone: str
    image_size: Side
    """Side of the network's square input, in pixels."""
    tencrop_side: Side | None = None
    """Side in pixels of the square from which a TenCrop view takes its crops; None in other views."""
    mirror: bool = False
    """Whether the probabilities are the mean over an image and its horizontal mirror image, as in a mirror view."""
    tencrop_share: Annotated[float, Field(gt=0, lt=1)] = 0.875
    """Ratio of the crop's side to the square's side, for `--tta tencrop`."""
    aux_fusion: Probability | None
    """Weight of the auxiliary head in a fused view; None in a final view."""
    aux_stage: int | None = None
    """Stage of the auxiliary head, an index into timm's `feature_info`; None: the second to last stage."""
    contribution: dict[str, Any] | None = None
    """Gain of the ensemble from this member, as in the study's ensemble file."""
    config: dict[str, Any]
    """The `TrainingConfig` of the first model; other models differ only in fold or seed."""

    @property
    def is_fused(self) -> bool:
        return view_parts(self.view).is_fused

    @property
    def crops(self) -> Crops:
        return "tencrop" if self.tencrop_side else "mirror" if self.mirror else "center"

    @property
    def input_side(self) -> int:
        """Side in pixels of the square image that a prediction needs."""
        return self.tencrop_side or self.image_size

    @property
    def folders(self) -> list[str]:
        """Folders of the models, relative to the set."""
        return [model.folder for model in self.models]

    @property
    def files(self) -> list[str]:
        """Files that a prediction needs, relative to the set."""
        names = [MEMBER_CONFIG, MEMBER_WEIGHTS, *([MEMBER_AUX_HEAD] if self.is_fused else [])]
        return [f"{folder}/{name}" for folder in self.folders for name in names]


class OnnxInput(_Stored):
    """One input of the ONNX file: float32 [batch, 3, side, side], RGB from 0 to 255, the same images at each side."""

    name: str
    side: Side


class OnnxEntry(_Stored):
    """The whole ensemble as one ONNX file, with normalisation and crops."""

    file: str
    """Path relative to the set."""
    inputs: Annotated[list[OnnxInput], Field(min_length=1)]
    outputs: list[str]
    """`probs`, float32 [batch, classes], and `calibrated`: `probs` scaled by `temperature`."""
    opset: int


class Provenance(_Stored):
    """Origin of the weights."""

    study: str
    commit: str | None = None
    """Git commit of raysearch at training time, if it ran from a checkout."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Library versions at training time."""
    trained: str | None = None
    """Start of the study: ISO 8601, UTC."""
    exported: str | None = None
    """Time of the export: ISO 8601, UTC."""
    data_licence: str | None = None
    """Licence of the training images, word for word from their source; None: the source states none."""


class Manifest(_Stored):
    """Everything about a set except the weights."""

    format_version: Literal[2] = FORMAT_VERSION
    name: str
    """Name of the ensemble."""
    study: str
    classes: Annotated[list[str], Field(min_length=2)]
    """Names of the classes, in the order of the columns of the probabilities."""
    split: str
    """Split on which the ensemble was selected."""
    fingerprint: str
    """SHA-256 of the labelled images of the study (of the refit, if `refitted`)."""
    data: DataConfig
    """Source and split settings of that data. No selection used the images of `test`."""
    members: Annotated[list[MemberEntry], Field(min_length=1)]
    temperature: Positive = 1.0
    """Calibration temperature T: p^(1/T), normalised to sum 1 (Guo et al. 2017)."""
    refitted: bool = False
    """Whether the members were trained again on train and held_out together. `figures` and `temperature` then describe
    the members before that."""
    figures: dict[str, Any]
    """`in_sample`, `cross_fitted`, `best_single`, `gain` and others, as in the study's ensemble file."""
    provenance: Provenance
    onnx: OnnxEntry | None = None
    versions: dict[str, str]
    """Library versions at export time."""
    files: dict[str, str]
    """SHA-256 of every file of the set except the manifest, by path relative to the set."""
