"""Strict, frozen sections of configs and stored files, and the messages for values that do not fit them."""

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from raysearch.errors import SpaceError, did_you_mean


class Section(BaseModel):
    """A section of a config. Unknown keys and wrong types are errors. Instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


SectionT = TypeVar("SectionT", bound=Section)


def validate(section: type[SectionT], values: Any, where: str, prefix: str = "") -> SectionT:
    """Validate ``values`` as a ``section``. Raises one `SpaceError` with all faults.

    ``where`` (the file's name) and ``prefix`` (the dotted path of ``values`` in it) appear in the messages.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise SpaceError(list_faults(section, error, where, prefix)) from error


def list_faults(section: type[Section], error: ValidationError, where: str, prefix: str = "") -> list[str]:
    """One line per fault: file, dotted path, expected value, value got, nearest known name."""
    faults = []
    for item in error.errors():
        path = ".".join([*([prefix] if prefix else []), *(str(part) for part in item["loc"])])
        faults.append(f"{where}: {path or 'top level'}: {describe_fault(section, item)}")
    return faults


def describe_fault(section: type[BaseModel], item: ErrorDetails) -> str:
    """Message for one validation error: expected value, value got, nearest known name."""
    if item["type"] in ("extra_forbidden", "invalid_key"):
        return f"unknown key{did_you_mean(item['loc'][-1], _known_names(section, item['loc'][:-1]))}"
    if item["type"] == "literal_error":
        expected = item["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        return f"got {item['input']!r}{did_you_mean(item['input'], expected)}"
    if item["type"] in ("model_type", "dict_type"):
        return f"expected a mapping, got {item['input']!r}"
    if item["type"] == "missing":
        return "must be set"
    if item["type"] in ("too_short", "string_too_short"):
        what = "entries" if item["type"] == "too_short" else "characters"
        return f"expected {item['ctx']['min_length']} or more {what}, got {item['input']!r}"
    message = item["msg"].removeprefix("Value error, ")
    message = f"{message[0].lower()}{message[1:]}"
    is_of_several_values = item["type"] == "value_error" and isinstance(item["input"], Mapping)
    return message if is_of_several_values else f"{message}, got {item['input']!r}"


def overlay(values: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """``values`` updated with ``others``; nested mappings are updated key by key."""
    merged = dict(values)
    for key, value in others.items():
        inner = merged.get(key)
        merged[key] = overlay(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


def _known_names(section: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Field names of the section at ``path`` below ``section``. The path may lead through lists and mappings."""
    keys = iter(path)
    for name in keys:
        field = section.model_fields.get(str(name))
        kinds = [field.annotation, *get_args(field.annotation)] if field else []
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if inner is None:
            return []
        if inner is not kinds[0]:
            next(keys, None)  # skip the item's index or key
        section = inner
    return list(section.model_fields)
