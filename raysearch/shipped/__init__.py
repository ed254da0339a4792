"""The search spaces and ensemble recipes included in the package, found by name from any folder.

`spaces/` and `ensembles/` in this folder are links to the repository's top-level folders. A wheel holds copies.
"""

from pathlib import Path
from typing import Literal

from raysearch.errors import UserError, name_known
from raysearch.io import require_local

Kind = Literal["spaces", "ensembles"]
WHAT = {"spaces": "space", "ensembles": "recipe"}


def list_shipped_files(kind: Kind) -> dict[str, Path]:
    """Names and paths of the included files of this kind."""
    return {path.stem: path for path in sorted((Path(__file__).parent / kind).glob("*.yaml"))}


def read_summary(path: Path) -> str:
    """Return the comment in the first line of a file."""
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def find_file(kind: Kind, text: str | Path, where: str = "") -> Path:
    """Find the file that ``text`` names: the path of a file, or an included one as `cr`, `cr.yaml` or `spaces/cr.yaml`.

    Raises `UserError`, with ``where`` as its prefix, if there is no such file or the path is a folder.
    """
    path, known, what = Path(text), list_shipped_files(kind), WHAT[kind]
    require_local(f"{where}{what}", text)
    if path.is_file():
        return path
    is_name = path.parent in (Path(), Path(kind)) and path.suffix in ("", ".yaml")
    if is_name and path.name.removesuffix(".yaml") in known:
        return known[path.name.removesuffix(".yaml")]
    if path.is_dir():
        remedy = f"; use --data for images: raysearch tune cr --data {path}" if kind == "spaces" else ""
        raise UserError(f"{where}{path}: expected a {what} file, got a folder{remedy}")
    raise UserError(f"{where}{path}: no such file, and no {what} of this name{name_known(path.stem, known)}")
