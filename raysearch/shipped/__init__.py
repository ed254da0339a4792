"""The search spaces and ensemble recipes that ship with the package, found by name from any folder.

`spaces/` and `ensembles/` beside this file are links to the top-level folders of the repository; a wheel holds copies.
"""

from pathlib import Path
from typing import Literal

from raysearch.errors import UserError, name_known
from raysearch.io import require_local

Kind = Literal["spaces", "ensembles"]
WHAT = {"spaces": "space", "ensembles": "recipe"}


def list_shipped_files(kind: Kind) -> dict[str, Path]:
    """Name and file of everything of this kind, by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / kind).glob("*.yaml"))}


def read_summary(path: Path) -> str:
    """The comment in the first line of a file."""
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def find_file(kind: Kind, text: str | Path, where: str = "") -> Path:
    """The file that ``text`` names: a file's path, else one that ships, as `cr`, `cr.yaml` or `spaces/cr.yaml`.

    Raises `UserError`, which starts with ``where``: no such file and none of this name, or a folder.
    """
    path, known, what = Path(text), list_shipped_files(kind), WHAT[kind]
    require_local(f"{where}{what}", text)
    if path.is_file():
        return path
    is_name = path.parent in (Path(), Path(kind)) and path.suffix in ("", ".yaml")
    if is_name and path.name.removesuffix(".yaml") in known:
        return known[path.name.removesuffix(".yaml")]
    if path.is_dir():
        remedy = f"; images are given with --data, as in: raysearch tune cr --data {path}" if kind == "spaces" else ""
        raise UserError(f"{where}{path}: a {what} must be a file, got a folder{remedy}")
    raise UserError(f"{where}{path}: no such file, and no {what} of this name{name_known(path.stem, known)}")
