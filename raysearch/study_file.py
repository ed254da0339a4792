"""`study.yaml`: what a study is of. Written by the search, read by whoever works on what it left."""

from typing import Any

from pydantic import Field, ValidationError

from raysearch.config import DataConfig
from raysearch.errors import StudyError
from raysearch.io import display_path, read_yaml, write_yaml
from raysearch.paths import StudyPaths
from raysearch.section import Section


class StudyData(Section, extra="ignore"):
    """The labelled images that a study was made with."""

    fingerprint: str
    """SHA-256 of train and held_out (`raysearch.data`)."""
    classes: list[str]
    counts: dict[str, int | None] = Field(default_factory=dict)
    """Images a split; null for a test split that could not be read."""


class StudySpace(Section, extra="allow"):
    """The space as resolved: every section as `raysearch.space` writes it. Only `data` is looked into here."""

    data: DataConfig


class StudyFile(Section, extra="ignore"):
    """The file's content; keys of a newer version are passed over."""

    study: str
    """The study's name."""
    space: StudySpace
    versions: dict[str, str] = Field(default_factory=dict)
    commit: str | None = None
    """The git commit of raysearch, where it ran from a checkout."""
    data: StudyData
    created: str
    """ISO 8601, UTC."""


def read_study_file(paths: StudyPaths) -> StudyFile:
    """Raises `StudyError`: the folder is no study, or its file holds something else, each fault with its place."""
    content: Any = read_yaml(paths.require().study)
    try:
        return StudyFile.model_validate(content)
    except ValidationError as error:
        where = display_path(paths.study)
        raise StudyError(
            f"{where}: {'.'.join(map(str, item['loc'])) or 'top level'}: {item['msg'].lower()}; not a study's file"
            for item in error.errors()
        ) from error


def write_study_file(paths: StudyPaths, content: StudyFile) -> None:
    """Write `study.yaml`, aside then renamed."""
    write_yaml(paths.study, content.model_dump())
