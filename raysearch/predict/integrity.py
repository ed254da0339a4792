"""Integrity checks of a set: a consistent manifest, and listed files that exist, lie in the set and are unaltered."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from raysearch.errors import SetError
from raysearch.io import display_path, sha256
from raysearch.paths import SetPaths, StudyPaths, view_parts
from raysearch.predict.manifest import FORMAT_VERSION, Manifest, MemberEntry

WEIGHTS_TOLERANCE = 1e-9
"""Largest accepted deviation of the sum of the weights from 1."""


def read_manifest(paths: SetPaths) -> Manifest:
    """Read the manifest and check that it is consistent. Opens no other file; see `check_files`.

    Raises `SetError` if the folder is not a set, and for a malformed manifest, with every fault in it.
    """
    where = display_path(paths.manifest)
    try:
        manifest = Manifest.model_validate_json(_manifest_bytes(paths))
    except ValidationError as error:
        raise SetError(_describe_fault(where, item["loc"], item["msg"]) for item in error.errors()) from error
    if faults := _find_inconsistencies(manifest):
        raise SetError(f"{where}: {fault}" for fault in faults)
    return manifest


def check_files(paths: SetPaths, manifest: Manifest) -> None:
    """Compare every listed file with its SHA-256.

    Raises one `SetError` that names all files that are missing, altered or links to outside the set. Files that are not
    listed are never opened.
    """
    results = {name: _check_file(paths.root, name, expected) for name, expected in manifest.files.items()}
    if faults := {name: fault for name, fault in results.items() if fault}:
        root = Path(display_path(paths.root))  # `display_path` of each file would show the target of a link instead
        raise SetError(f"{root / name}: {fault}" for name, fault in faults.items())


def _check_file(root: Path, name: str, expected: str) -> str | None:
    path = root / name
    if fault := _check_link(root, path):
        return fault
    if not path.is_file():
        return "missing; export or copy the set again"
    if sha256(path) != expected:
        return "altered: its SHA-256 differs from the manifest; copy the set again"
    return None


def _check_link(root: Path, path: Path) -> str | None:
    target = Path(os.path.realpath(path))
    if target.is_relative_to(os.path.realpath(root)):
        return None
    return f"a link to {target}, outside the set; copy the file itself into the set"


def _manifest_bytes(paths: SetPaths) -> bytes:
    where = display_path(paths.root)
    if not paths.root.is_dir():
        raise SetError(f"{where}: no such folder; give the folder that `raysearch export` wrote")
    if not paths.manifest.is_file():
        is_study = StudyPaths(paths.root).study.is_file()
        hint = "this is a study; create a set from it with `raysearch export`" if is_study else "see `raysearch export`"
        raise SetError(f"{where}: not a checkpoint set: it has no {paths.manifest.name}; {hint}")
    if fault := _check_link(paths.root, paths.manifest):
        raise SetError(f"{where}/{paths.manifest.name}: {fault}")
    try:
        return paths.manifest.read_bytes()
    except OSError as error:
        raise SetError(f"{display_path(paths.manifest)}: cannot be read ({error.strerror})") from error


def _describe_fault(where: str, loc: tuple[int | str, ...], message: str) -> str:
    if loc == ("format_version",):
        return (
            f"{where}: format_version: must be {FORMAT_VERSION}; export the set again, or use the raysearch version "
            "that wrote it"
        )
    return f"{where}: {'.'.join(map(str, loc)) or 'top level'}: {message[0].lower()}{message[1:]}"


def _find_inconsistencies(manifest: Manifest) -> list[str]:
    faults = [f"files: {name!r} must be inside the set" for name in manifest.files if _is_outside(name)]
    for member in manifest.members:
        faults += [f"members: {member.name}: {fault}" for fault in _member_faults(member, manifest)]
    if manifest.onnx and manifest.onnx.file not in manifest.files:
        faults.append(f"onnx: {manifest.onnx.file!r} must be listed in files")
    if len(set(manifest.classes)) < len(manifest.classes):
        faults.append("classes: names must be unique")
    total = sum(member.weight for member in manifest.members)
    if abs(total - 1) > WEIGHTS_TOLERANCE:
        faults.append(f"members: weights must sum to 1, got {total:g}")
    return faults


def _member_faults(member: MemberEntry, manifest: Manifest) -> Iterator[str]:
    yield from (f"{name!r} must be listed in files" for name in member.files if name not in manifest.files)
    view = view_parts(member.view)
    if (view.crops == "tencrop") == (member.tencrop_side is None) or member.input_side < member.image_size:
        yield (
            f"tencrop_side must be at least image_size ({member.image_size}) for a TenCrop view and null for other "
            f"views, got {member.tencrop_side}"
        )
    if (view.crops == "mirror") != member.mirror:
        yield f"mirror must be true for a mirror view and false for other views, got {member.mirror}"
    if view.side not in (None, member.image_size):
        yield f"image_size must be {view.side} for view {member.view}, got {member.image_size}"
    if view.is_fused == (member.aux_fusion is None):
        yield f"aux_fusion must be a number for a fused view and null for other views, got {member.aux_fusion}"


def _is_outside(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name
