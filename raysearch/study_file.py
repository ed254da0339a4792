"""`study.yaml`: the space, data and versions of a study. The search writes it, and the other commands read it."""

from typing import Any

from pydantic import Field, ValidationError

from raysearch.config import DataConfig
from raysearch.errors import StudyError
from raysearch.io import display_path, read_yaml, write_yaml
from raysearch.paths import StudyPaths
from raysearch.section import Section


class StudyData(Section, extra="ignore"):
    """The labelled images of a study."""

    fingerprint: str
    """SHA-256 of train and held_out (`raysearch.data`)."""
    classes: list[str]
    """Class names, in the order of the probabilities."""
    counts: dict[str, int | None] = Field(default_factory=dict)
    """Number of images per split. Null for a test split that could not be read."""


class StudySpace(Section, extra="allow"):
    """The resolved space, with every section as `raysearch.space` writes it. Only `data` is validated here."""

    data: DataConfig


class StudyFile(Section, extra="ignore"):
    """The content of the file. Unknown keys, of a newer version, are ignored."""

    study: str
    """The study's name."""
    space: StudySpace
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of the packages that ran, by name."""
    commit: str | None = None
    """The git commit of raysearch, if it ran from a checkout."""
    data: StudyData
    created: str
    """Time of creation, ISO 8601, UTC."""

    @property
    def objective(self) -> str | None:
        """The study's `search.objective`; None if the file has none."""
        search = (self.space.model_extra or {}).get("search")
        return search.get("objective") if isinstance(search, dict) else None


def read_study_file(paths: StudyPaths) -> StudyFile:
    """Read `study.yaml`. Raises `StudyError` if the folder is not a study or the file is invalid, one line per
    fault."""
    content: Any = read_yaml(paths.require().study)
    try:
        return StudyFile.model_validate(content)
    except ValidationError as error:
        where = display_path(paths.study)
        raise StudyError(
            f"{where}: {'.'.join(map(str, item['loc'])) or 'top level'}: {item['msg'].lower()}; not a valid study file"
            for item in error.errors()
        ) from error


def write_study_file(paths: StudyPaths, content: StudyFile) -> None:
    """Write `study.yaml`, atomically."""
    write_yaml(paths.study, content.model_dump())
