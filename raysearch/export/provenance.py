"""What a set was made from: the data's licence as far as its source states it, versions, commit, times."""

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
_STATED = re.compile(r"\blicen[cs]e[*_]*:[*_]*[ \t]*(\S.*?)(?:\.\s|\.?\s*$)", re.IGNORECASE | re.MULTILINE)
"""`license: cc-by-4.0`, `**Licence**: CC BY 4.0. More`; to the end of the sentence."""
LENGTH = 200
"""Characters at most."""


def versions() -> dict[str, str]:
    """What a set is written with."""
    libraries = {name: version(name) for name in ("torch", "timm")}
    return {"python": platform.python_version(), **libraries, "raysearch": raysearch.__version__}


def provenance_of(file: StudyFile, source: str) -> Provenance:
    """``file`` is of the study that trained the members, ``source`` where its data lies now."""
    return Provenance(
        study=file.study,
        commit=file.commit,
        versions=file.versions,
        trained=file.created,
        exported=datetime.now(UTC).isoformat(timespec="seconds"),
        data_licence=data_licence(source),
    )


def data_licence(source: str) -> str | None:
    """The licence of the images as the source states it, word for word: in the README.md beside them, in a LICENSE
    file, or in the metadata of its Parquet files; None where it states none."""
    if source == "digits":
        return DIGITS_LICENCE
    found = next(_stated(Path(source)), None)
    return found[:LENGTH] if found else None


def _stated(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("README*")):
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        if match := _STATED.search(text):
            yield match[1].strip("'\" ")
    for path in sorted(path for path in folder.glob("LICEN[CS]E*") if path.is_file()):
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        if first := next((line.strip() for line in lines if line.strip()), None):
            yield f"{first} ({path.name})"
    for path in sorted(folder.glob("*.parquet")):
        if stated := _of_parquet(path):
            yield stated


def _of_parquet(path: Path) -> str | None:
    try:
        metadata = pq.read_schema(path).metadata
        stated = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["license"]
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return None
    return stated if isinstance(stated, str) and stated else None
