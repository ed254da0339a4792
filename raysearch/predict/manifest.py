"""The manifest of a checkpoint set, `ensemble.json`: members, weights, figures, and a SHA-256 for every file."""

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field

from raysearch.config import DataConfig, Positive, Probability
from raysearch.paths import MEMBER_AUX_HEAD, MEMBER_CONFIG, MEMBER_WEIGHTS, VIEW_PATTERN, view_parts
from raysearch.section import Section

FORMAT_VERSION: Final = 2
"""Counts up when a set of this format can no longer be read as one of the format before."""
Side = Annotated[int, Field(ge=1)]
"""Of a square image, in pixels."""


Tta: TypeAlias = Literal["center", "tencrop"]
"""Test-time augmentation: the whole square once, or ten crops of a larger one."""


class _Stored(Section):
    """A part of the manifest; keys that a later version adds are passed over."""

    model_config = ConfigDict(extra="ignore")


class ModelEntry(_Stored):
    """The weights of one training."""

    folder: str
    """Below the set, with slashes, in timm's local-dir layout; views of the same weights share it."""
    fold: int | None = None
    """Of a member of a study with `data.folds`: the fold that these weights have not learned from."""
    refit: int | None = None
    """Of a refitted member: the trial, in the refit's own study, that trained these weights."""
    seed: int
    """Of the training."""


class MemberEntry(_Stored):
    """One view of one trial, and its share of the vote; its probabilities are the mean of its models'."""

    name: str
    trial: int
    view: Annotated[str, Field(pattern=f"^{VIEW_PATTERN}$")]
    weight: Annotated[float, Field(gt=0, le=1)]
    models: Annotated[list[ModelEntry], Field(min_length=1)]
    """One; or one a fold (`data.folds`), in their order; or, refitted, one a seed."""
    backbone: str
    image_size: Side
    """Side of the square image the network sees, in pixels."""
    tencrop_side: Side | None = None
    """Side of the square that a TenCrop view's crops are taken from, in pixels; None in other views."""
    tencrop_share: Annotated[float, Field(gt=0, lt=1)] = 0.875
    """Side of a crop as a share of that square's, should TenCrop be asked for."""
    aux_fusion: Probability | None
    """The auxiliary head's share in a fused view; None in a final one."""
    aux_stage: int | None = None
    """The stage that the auxiliary head sits on, an index into timm's `feature_info`; None: the last but one."""
    contribution: dict[str, Any] | None = None
    """What the ensemble gains by this member, as in the study's ensemble file."""
    config: dict[str, Any]
    """The trial's `TrainingConfig`, as it was; of several models that of the first, but for fold or seed."""

    @property
    def is_fused(self) -> bool:
        return view_parts(self.view).is_fused

    @property
    def input_side(self) -> int:
        """Side of the square image that its prediction starts from, in pixels."""
        return self.tencrop_side or self.image_size

    @property
    def folders(self) -> list[str]:
        """Of its models, below the set."""
        return [model.folder for model in self.models]

    @property
    def files(self) -> list[str]:
        """The files that its prediction needs, as the manifest lists them."""
        names = [MEMBER_CONFIG, MEMBER_WEIGHTS, *([MEMBER_AUX_HEAD] if self.is_fused else [])]
        return [f"{folder}/{name}" for folder in self.folders for name in names]


class OnnxInput(_Stored):
    """One input of the ONNX file: float32 [batch, 3, side, side], RGB from 0 to 255, the same images at each side."""

    name: str
    side: Side


class OnnxEntry(_Stored):
    """The whole weighted vote as one ONNX file, normalisation and crops included."""

    file: str
    """Below the set."""
    inputs: Annotated[list[OnnxInput], Field(min_length=1)]
    outputs: list[str]
    """`probs`, float32 [batch, classes], and `calibrated`: the same by `temperature`."""
    opset: int


class Provenance(_Stored):
    """Who trained the weights, with what."""

    study: str
    commit: str | None = None
    """The git commit of the raysearch that trained, where it ran from a checkout."""
    versions: dict[str, str] = Field(default_factory=dict)
    """What the members were trained with."""
    trained: str | None = None
    """When the study began: ISO 8601, UTC."""
    exported: str | None = None
    """When the set was written: ISO 8601, UTC."""
    data_licence: str | None = None
    """Of the images that the members have learned from, as their source states it; None: it states none."""


class Manifest(_Stored):
    """Everything about a set but the weights themselves."""

    format_version: Literal[2] = FORMAT_VERSION
    name: str
    """The ensemble's name."""
    study: str
    classes: Annotated[list[str], Field(min_length=2)]
    """The order of the probabilities' columns."""
    split: str
    """The split that decided on the ensemble."""
    fingerprint: str
    """Of the data that the members were trained with."""
    data: DataConfig
    """How that data was split: the images of `test` are those no decision has seen."""
    members: Annotated[list[MemberEntry], Field(min_length=1)]
    temperature: Positive = 1.0
    """T in p^(1/T), normalised: makes the vote's probabilities as often right as they say."""
    refitted: bool = False
    """Whether the members were trained again, on train and held_out together, since `figures` were found: they, and
    `temperature`, are then of the members as searched."""
    figures: dict[str, Any]
    """`in_sample`, `cross_fitted`, `best_single`, `gain` and more, as in the study's ensemble file."""
    provenance: Provenance
    onnx: OnnxEntry | None = None
    versions: dict[str, str]
    """What the set was written with."""
    files: dict[str, str]
    """SHA-256 of every file of the set but this one, by path below the set."""
