"""The search spaces and ensemble recipes included in the package, found by name from any folder.

`spaces/` and `ensembles/` in this folder are links to the repository's top-level folders. A wheel holds copies.
"""

from pathlib import Path
from typing import Literal

from raysearch.errors import UserError, name_known
from raysearch.io import is_url
from raysearch.paths import StudyPaths, TrialPaths

Kind = Literal["spaces", "ensembles"]
WHAT = {"spaces": "space", "ensembles": "recipe"}


def list_shipped_files(kind: Kind) -> dict[str, Path]:
    """Names and paths of the included files of this kind."""
    return {path.stem: path for path in sorted((Path(__file__).parent / kind).glob("*.yaml"))}


def read_summary(path: Path) -> str:
    """Return the comment in the first line of a file."""
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def find_file(kind: Kind, text: str | Path, where: str = "", folder: Path = Path()) -> Path:
    """The file that ``text`` names: a file in ``folder``, or an included one, as `cr`, `cr.yaml` or `spaces/cr.yaml`.

    Raises `UserError`, which starts with ``where``, if ``text`` is neither.
    """
    name, path, what = Path(text), folder / text, WHAT[kind]
    known = list_shipped_files(kind)
    if is_url(text):
        raise UserError(f"{where}{text}: is a URL; download the file and give its path")
    if path.is_file():
        return path
    is_name = name.parent in (Path(), Path(kind)) and name.suffix in ("", ".yaml")
    if is_name and name.name.removesuffix(".yaml") in known:
        return known[name.name.removesuffix(".yaml")]
    if path.is_dir():
        raise UserError(f"{where}{text}: expected a {what} file, got a folder{_explain_folder(path, kind, where)}")
    raise UserError(f"{where}{text}: no such file, and no {what} of this name{name_known(name.stem, known)}")


def _explain_folder(path: Path, kind: Kind, where: str) -> str:
    """The remedy for a folder where a file is expected."""
    if kind != "spaces" or where:
        return ""
    if TrialPaths(path).config.is_file():
        return f"; give the trial's config: {TrialPaths(path).config}"
    if StudyPaths(path).study.is_file():
        return "; to continue a study, give its space and --resume"
    return f"; give a folder of images with --data, as in: raysearch tune cr --data {path}"
