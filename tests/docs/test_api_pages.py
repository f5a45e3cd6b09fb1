"""docs/api/: every public name is on a page, with a docstring, as others are not shown."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.docs.pages import PAGES, read

SHOWN = [
    path
    for page in PAGES
    if page.startswith("docs/api/")
    for path in re.findall(r"^::: (\S+)$", read(page), re.MULTILINE)
]
PACKAGES = ("ffq", "ffq.aio", "ffq.plan", "ffq.relation", "ffq.runtime", "ffq.testing")


def load(path: str) -> Any:
    """A module, or what one has by this name."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        return getattr(load(module), name)


def own(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """What a module defines, and does not import."""
    for name, value in vars(module).items():
        home = getattr(value, "__module__", module.__name__)
        if not name.startswith("_") and home == module.__name__ and not inspect.ismodule(value):
            yield name, value


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """Methods and properties of a class and its bases, but for what relations ask of sessions."""
    for base in kind.__mro__:
        if not base.__module__.startswith("ffq"):
            continue
        for name, value in vars(base).items():
            code = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if inspect.isfunction(code) and not re.search(r"^_|_step$", name):
                yield f"{base.__qualname__}.{name}", code


ON_PAGES: list[tuple[str, Any]] = []
for _path in SHOWN:
    _found = load(_path)
    ON_PAGES += own(_found) if inspect.ismodule(_found) else [(_path, _found)]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_on_a_page(package: str) -> None:
    module = importlib.import_module(package)
    public = {name: getattr(module, name) for name in module.__all__}
    lost = [
        name
        for name, value in public.items()
        if not inspect.ismodule(value) and not any(value is shown for _, shown in ON_PAGES)
    ]
    assert lost == []


def test_whatever_is_on_a_page_has_a_docstring() -> None:
    silent = set()
    for name, value in ON_PAGES:
        if inspect.isfunction(value) and not value.__doc__:
            silent.add(name)
        if inspect.isclass(value):
            silent |= {name} if not value.__doc__ else set()
            silent |= {each for each, code in members(value) if not code.__doc__}
    assert silent == set()
