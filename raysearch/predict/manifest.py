"""The manifest of a checkpoint set, `ensemble.json`: members, weights, figures, and a SHA-256 for every file."""

from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, ValidationError

from raysearch.config import DataConfig, Probability
from raysearch.errors import SetError
from raysearch.io import display_path, sha256
from raysearch.paths import MEMBER_AUX_HEAD, MEMBER_CONFIG, MEMBER_WEIGHTS, VIEWS, SetPaths, StudyPaths, view_parts
from raysearch.section import Section

FORMAT_VERSION: Final = 1
"""Counts up when a set of this format can no longer be read as one of the format before."""
WEIGHTS_TOLERANCE = 1e-9


class _Stored(Section):
    """A part of the manifest; keys that a later version adds are passed over."""

    model_config = ConfigDict(extra="ignore")


class MemberEntry(_Stored):
    """One view of one training, and its share of the vote."""

    name: str
    folder: str
    """Below the set, with slashes; views of the same weights share it."""
    trial: int
    view: Annotated[str, Field(pattern=f"^({'|'.join(VIEWS)})$")]
    weight: Annotated[float, Field(gt=0, le=1)]
    backbone: str
    image_size: Annotated[int, Field(ge=1)]
    """Side of the square image the network sees, in pixels."""
    tencrop_side: Annotated[int, Field(ge=1)] | None = None
    """Side of the square that a TenCrop view's crops are taken from, in pixels; None in other views."""
    aux_fusion: Probability | None
    """The auxiliary head's share in a fused view; None in a final one."""
    aux_stage: int | None = None
    """The stage that the auxiliary head sits on, an index into timm's `feature_info`; None: the last but one."""
    config: dict[str, Any]
    """The training's `TrainingConfig`, as it was."""

    @property
    def is_fused(self) -> bool:
        return view_parts(self.view).is_fused

    @property
    def input_side(self) -> int:
        """Side of the square image that its prediction starts from, in pixels."""
        return self.tencrop_side or self.image_size

    @property
    def files(self) -> list[str]:
        """The files that its prediction needs, as the manifest lists them."""
        names = [MEMBER_CONFIG, MEMBER_WEIGHTS, *([MEMBER_AUX_HEAD] if self.is_fused else [])]
        return [f"{self.folder}/{name}" for name in names]


class Manifest(_Stored):
    """Everything about a set but the weights themselves."""

    format_version: Literal[1] = FORMAT_VERSION
    name: str
    """The ensemble's name."""
    study: str
    classes: Annotated[list[str], Field(min_length=2)]
    """The order of the probabilities' columns."""
    split: str
    """The split that decided on the ensemble."""
    fingerprint: str
    """Of the data that the study was made with."""
    data: DataConfig
    """How the study split its data: the images of `test` are those no decision has seen."""
    members: Annotated[list[MemberEntry], Field(min_length=1)]
    figures: dict[str, Any]
    """`in_sample`, `cross_fitted`, `best_single` and `gain`, as in the study's ensemble file."""
    versions: dict[str, str]
    """What the set was written with."""
    files: dict[str, str]
    """SHA-256 of every file of the set but this one, by path below the set."""


def read_manifest(paths: SetPaths) -> Manifest:
    """The manifest, consistent in itself; no other file is looked at (`check_files` does).

    Raises `SetError` for a folder that is no set and for a malformed manifest, with every mistake in it.
    """
    where = display_path(paths.manifest)
    try:
        manifest = Manifest.model_validate_json(_manifest_bytes(paths))
    except ValidationError as error:
        raise SetError(_fault_of(where, item["loc"], item["msg"]) for item in error.errors()) from error
    if faults := _inconsistencies(manifest):
        raise SetError(f"{where}: {fault}" for fault in faults)
    return manifest


def check_files(paths: SetPaths, manifest: Manifest) -> None:
    """Compare every listed file with its SHA-256; one `SetError` names all that are missing or altered.

    Files that are not listed are never opened.
    """
    faults = []
    for name, expected in manifest.files.items():
        path = paths.root / name
        if not path.is_file():
            faults.append(f"{display_path(path)}: missing from the set; export or copy the set again")
        elif sha256(path) != expected:
            faults.append(f"{display_path(path)}: altered: its SHA-256 is not the manifest's; copy the set again")
    if faults:
        raise SetError(faults)


def _manifest_bytes(paths: SetPaths) -> bytes:
    where = display_path(paths.root)
    if not paths.root.is_dir():
        raise SetError(f"{where}: no such folder; give the folder that raysearch.export wrote")
    if not paths.manifest.is_file():
        is_study = StudyPaths(paths.root).study.is_file()
        hint = "it is a study; write a set of it with raysearch.export" if is_study else "see raysearch.export"
        raise SetError(f"{where}: not a checkpoint set: it has no {paths.manifest.name}; {hint}")
    try:
        return paths.manifest.read_bytes()
    except OSError as error:
        raise SetError(f"{display_path(paths.manifest)}: cannot be read ({error.strerror})") from error


def _fault_of(where: str, loc: tuple[int | str, ...], message: str) -> str:
    if loc == ("format_version",):
        return f"{where}: format_version: must be {FORMAT_VERSION}; read this set with the raysearch that wrote it"
    return f"{where}: {'.'.join(map(str, loc)) or 'top level'}: {message[0].lower()}{message[1:]}"


def _inconsistencies(manifest: Manifest) -> list[str]:
    faults = [f"files: {name!r} must lie below the set" for name in manifest.files if _is_outside(name)]
    faults += [
        f"members: {member.name}: {name!r} is not among files"
        for member in manifest.members
        for name in member.files
        if name not in manifest.files
    ]
    faults += [
        f"members: {member.name}: tencrop_side must be given for a TenCrop view, at least image_size "
        f"({member.image_size}), and for no other, got {member.tencrop_side}"
        for member in manifest.members
        if view_parts(member.view).is_tencrop == (member.tencrop_side is None) or member.input_side < member.image_size
    ]
    faults += [
        f"members: {member.name}: aux_fusion must be given for a fused view and no other, got {member.aux_fusion}"
        for member in manifest.members
        if member.is_fused == (member.aux_fusion is None)
    ]
    if len(set(manifest.classes)) < len(manifest.classes):
        faults.append("classes: a name stands twice")
    total = sum(member.weight for member in manifest.members)
    if abs(total - 1) > WEIGHTS_TOLERANCE:
        faults.append(f"members: weights must sum to 1, got {total:g}")
    return faults


def _is_outside(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name
