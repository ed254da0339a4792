"""Makes a verb's package callable, so that `raysearch.export(...)` works although `raysearch.export` is a package.

Python sets a package as an attribute of its parent when any module of it is imported, and would replace a function of
the same name.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class VerbPackage(ModuleType):
    """A package that can be called: the call goes to the function of the same name in `raysearch.api.verbs`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        function = getattr(import_module("raysearch.api.verbs"), self.__name__.rpartition(".")[2])
        return function(*args, **kwargs)


def make_callable(package: str) -> None:
    """``package``: the `__name__` of a package that is being imported."""
    sys.modules[package].__class__ = VerbPackage
