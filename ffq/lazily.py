"""Names of a package that are imported when they are first used: few pay for what is heavy."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping


def importing(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """A `__getattr__` for `package`. homes: name to the module that has it, or that it is.

    It raises AttributeError for other names, as a module does.
    """

    def found(name: str) -> object:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(home)
        value = module if home == f"{package}.{name}" else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return found
