"""Ray still has the private parts that `ray_private` relies on."""

from importlib import import_module
from typing import Any

import pytest
import ray

from raysearch.tune.on_ray.ray_private import PRIVATE, READ_IN


def resolve(name: str) -> Any:
    """The object of a dotted name as in `PRIVATE`; an AttributeError names the first part that is missing."""
    parts = name.split(".")
    found: Any = None
    for count in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:count]))
            break
        except ImportError:
            continue
    for part in parts[count:]:
        if part.isdigit():
            found = found[int(part)]
        elif part.endswith("()"):
            found = getattr(found, part.removesuffix("()"))()
        else:
            found = getattr(found, part)
    return found


def explain(name: str) -> str:
    return (
        f"Ray {ray.__version__} has no {name}; raysearch/tune/on_ray/ray_private.py was read in Ray {READ_IN}: read "
        "the new sources, adapt that file, then change READ_IN and the version in pyproject.toml"
    )


@pytest.mark.parametrize("name", PRIVATE)
def test_ray_has_what_is_relied_on(name: str) -> None:
    try:
        resolve(name)
    except (AttributeError, IndexError):
        pytest.fail(explain(name), pytrace=False)


def test_the_installed_ray_is_the_one_that_was_read() -> None:
    assert ray.__version__.startswith(f"{READ_IN}."), explain("sources that were read")


@pytest.mark.parametrize("name", ["ray.tune.Moved", "ray.tune.schedulers.AsyncHyperBandScheduler()._moved"])
def test_a_part_that_has_moved_is_noticed(name: str) -> None:
    with pytest.raises(AttributeError, match=r"[mM]oved"):
        resolve(name)
