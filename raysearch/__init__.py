"""From a few labelled images and one YAML file to a deployable, honestly scored ensemble.

`__all__` is the public API; everything else may change. `import raysearch` loads neither torch nor Ray: each name is
imported when it is first used. The signatures are in `__init__.pyi`.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Model": "raysearch.api.model",
    "Recipe": "raysearch.ensemble.recipe",
    "Study": "raysearch.api.study",
    "UserError": "raysearch.errors",
    "build_ensemble": "raysearch.api.verbs",
    "load": "raysearch.api.model",
    "open_study": "raysearch.api.study",
    "search": "raysearch.api.verbs",
}
"""Module of each public name."""

_CALLABLE_PACKAGES = ("export", "fit")
"""Public functions whose name is also that of a package here (`raysearch.verb_package`)."""

__all__ = [
    "Model",
    "Recipe",
    "Study",
    "UserError",
    "__version__",
    "build_ensemble",
    "export",
    "fit",
    "load",
    "open_study",
    "search",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    if name in _CALLABLE_PACKAGES:
        return import_module(f"raysearch.{name}")
    raise AttributeError(f"module 'raysearch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
