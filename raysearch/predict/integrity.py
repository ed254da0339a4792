"""Whether a set is what it says: a manifest consistent in itself, every listed file there, inside it and unaltered."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from raysearch.errors import SetError
from raysearch.io import display_path, sha256
from raysearch.paths import SetPaths, StudyPaths, view_parts
from raysearch.predict.manifest import FORMAT_VERSION, Manifest, MemberEntry

WEIGHTS_TOLERANCE = 1e-9


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
    """Compare every listed file with its SHA-256; one `SetError` names all that are missing, altered or links to
    somewhere else.

    Files that are not listed are never opened.
    """
    found = {name: _fault_of_file(paths.root, name, expected) for name, expected in manifest.files.items()}
    if faults := {name: fault for name, fault in found.items() if fault}:
        shown = Path(display_path(paths.root))  # and not of each file: that would show a link's target
        raise SetError(f"{shown / name}: {fault}" for name, fault in faults.items())


def _fault_of_file(root: Path, name: str, expected: str) -> str | None:
    path = root / name
    if fault := _fault_of_link(root, path):
        return fault
    if not path.is_file():
        return "missing from the set; export or copy the set again"
    if sha256(path) != expected:
        return "altered: its SHA-256 is not the manifest's; copy the set again"
    return None


def _fault_of_link(root: Path, path: Path) -> str | None:
    target = Path(os.path.realpath(path))
    if target.is_relative_to(os.path.realpath(root)):
        return None
    return f"a link out of the set, to {target}; copy the file itself into the set"


def _manifest_bytes(paths: SetPaths) -> bytes:
    where = display_path(paths.root)
    if not paths.root.is_dir():
        raise SetError(f"{where}: no such folder; give the folder that raysearch.export wrote")
    if not paths.manifest.is_file():
        is_study = StudyPaths(paths.root).study.is_file()
        hint = "it is a study; write a set of it with raysearch.export" if is_study else "see raysearch.export"
        raise SetError(f"{where}: not a checkpoint set: it has no {paths.manifest.name}; {hint}")
    if fault := _fault_of_link(paths.root, paths.manifest):
        raise SetError(f"{where}/{paths.manifest.name}: {fault}")
    try:
        return paths.manifest.read_bytes()
    except OSError as error:
        raise SetError(f"{display_path(paths.manifest)}: cannot be read ({error.strerror})") from error


def _fault_of(where: str, loc: tuple[int | str, ...], message: str) -> str:
    if loc == ("format_version",):
        return (
            f"{where}: format_version: must be {FORMAT_VERSION}; export the set again, or read it with the raysearch "
            "that wrote it"
        )
    return f"{where}: {'.'.join(map(str, loc)) or 'top level'}: {message[0].lower()}{message[1:]}"


def _inconsistencies(manifest: Manifest) -> list[str]:
    faults = [f"files: {name!r} must lie below the set" for name in manifest.files if _is_outside(name)]
    for member in manifest.members:
        faults += [f"members: {member.name}: {fault}" for fault in _member_faults(member, manifest)]
    if manifest.onnx and manifest.onnx.file not in manifest.files:
        faults.append(f"onnx: {manifest.onnx.file!r} is not among files")
    if len(set(manifest.classes)) < len(manifest.classes):
        faults.append("classes: a name stands twice")
    total = sum(member.weight for member in manifest.members)
    if abs(total - 1) > WEIGHTS_TOLERANCE:
        faults.append(f"members: weights must sum to 1, got {total:g}")
    return faults


def _member_faults(member: MemberEntry, manifest: Manifest) -> Iterator[str]:
    yield from (f"{name!r} is not among files" for name in member.files if name not in manifest.files)
    view = view_parts(member.view)
    if view.is_tencrop == (member.tencrop_side is None) or member.input_side < member.image_size:
        yield (
            f"tencrop_side must be given for a TenCrop view, at least image_size ({member.image_size}), and for no "
            f"other, got {member.tencrop_side}"
        )
    if view.side not in (None, member.image_size):
        yield f"image_size must be {view.side}, as its view {member.view} says, got {member.image_size}"
    if view.is_fused == (member.aux_fusion is None):
        yield f"aux_fusion must be given for a fused view and no other, got {member.aux_fusion}"


def _is_outside(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name
