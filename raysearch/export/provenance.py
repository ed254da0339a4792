"""Provenance of a set: licence of the data, library versions, git commit and times."""

import json
import platform
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import raysearch
from raysearch.predict.manifest import Provenance
from raysearch.study_file import StudyFile

DIGITS_LICENCE = "CC BY 4.0 (UCI, Optical Recognition of Handwritten Digits)"
_LICENCE_LINE = re.compile(r"\blicen[cs]e[*_]*:[*_]*[ \t]*(\S.*?)(?:\.\s|\.?\s*$)", re.IGNORECASE | re.MULTILINE)
"""Matches `license: cc-by-4.0` and `**Licence**: CC BY 4.0. More text`, up to the end of the sentence."""
MAX_LENGTH = 200
"""Longest licence text, in characters."""


def collect_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that write a set."""
    libraries = {name: version(name) for name in ("torch", "timm")}
    return {"python": platform.python_version(), **libraries, "raysearch": raysearch.__version__}


def collect_provenance(file: StudyFile, source: str) -> Provenance:
    """``file``: of the study that trained the members; ``source``: current location of its data."""
    return Provenance(
        study=file.study,
        commit=file.commit,
        versions=file.versions,
        trained=file.created,
        exported=datetime.now(UTC).isoformat(timespec="seconds"),
        data_licence=find_data_licence(source),
    )


def find_data_licence(source: str) -> str | None:
    """The licence of the images, word for word, or None if the source states none.

    Reads the README next to the images, then a LICENSE file, then the metadata of the Parquet files.
    """
    if source == "digits":
        return DIGITS_LICENCE
    found = next(_find_licences(Path(source)), None)
    return found[:MAX_LENGTH] if found else None


def _find_licences(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("README*")):
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        if match := _LICENCE_LINE.search(text):
            yield match[1].strip("'\" ")
    for path in sorted(path for path in folder.glob("LICEN[CS]E*") if path.is_file()):
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        if first := next((line.strip() for line in lines if line.strip()), None):
            yield f"{first} ({path.name})"
    for path in sorted(folder.glob("*.parquet")):
        if stated := _read_parquet_licence(path):
            yield stated


def _read_parquet_licence(path: Path) -> str | None:
    try:
        metadata = pq.read_schema(path).metadata
        stated = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["license"]
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return None
    return stated if isinstance(stated, str) and stated else None
