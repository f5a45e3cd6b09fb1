"""Objects of a store, by their URIs: what a write into one needs, and nothing that S3 has not.

An object appears whole, in one step, or not at all; two appear in two steps. `create` alone tells
two writers apart: of several, one makes the object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

import attrs

from ffq.engine import stores

T = TypeVar("T")
_TOLD_BY: Final = ("ETag", "etag", "generation", "LastModified", "mtime", "created")
"""What an object written anew has another one of: the first of these that its store tells."""
_AT_ONCE: Final = 64
"""Objects copied or removed in one call, before anybody is asked whether to go on."""


@attrs.frozen
class Object:
    """version: differs for what was written anew. changed_s: unix seconds; 0: not known."""

    version: str
    changed_s: float


@attrs.frozen
class Objects:
    """The objects of one scheme.

    Each method raises OSError where the store does not do it, in the store's words; StorageError as
    `stores.store`.
    """

    scheme: str

    def read(self, uri: str) -> bytes | None:
        """What an object holds; None: there is none."""

        def ask(fs: Any) -> bytes | None:
            try:
                held: bytes = fs.cat_file(uri)
            except FileNotFoundError:
                return None
            return held

        return stores.asked(self.scheme, ask)

    def create(self, uri: str, data: bytes) -> bool:
        """Make an object, unless there is one of that name: False."""

        def ask(fs: Any) -> bool:
            try:
                fs.pipe_file(uri, data, mode="create")
            except FileExistsError:
                return False
            return True

        return stores.asked(self.scheme, ask)

    def of(self, uri: str) -> Object | None:
        """None: there is none."""

        def ask(fs: Any) -> Object | None:
            try:
                info = fs.info(uri)
            except FileNotFoundError:
                return None
            return _object(info) if info["type"] == "file" else None

        return stores.asked(self.scheme, ask)

    def within(self, folder: str) -> list[str]:
        """Objects and folders in a folder, but none further below."""

        def ask(fs: Any) -> list[str]:
            try:
                found: list[str] = fs.ls(folder, detail=False)
            except FileNotFoundError:
                return []
            return found

        return self._inside(folder, stores.asked(self.scheme, ask))

    def below(self, folder: str) -> dict[str, Object]:
        """The objects at any depth below a folder, in the order of their names."""

        def ask(fs: Any) -> Mapping[str, Any]:
            found: Mapping[str, Any] = fs.find(folder, detail=True)
            return found

        found = stores.asked(self.scheme, ask)
        files = {self._uri(path): one for path, one in found.items() if one["type"] == "file"}
        return {uri: _object(files[uri]) for uri in self._inside(folder, files)}

    def _inside(self, folder: str, paths: Iterable[str]) -> list[str]:
        # A store's console makes folders of objects whose names end in a slash.
        uris = sorted(self._uri(path) for path in paths)
        return [uri for uri in uris if uri.startswith(f"{folder}/") and uri != f"{folder}/"]

    def _uri(self, path: str) -> str:
        return path if "://" in path else f"{self.scheme}://{path.lstrip('/')}"

    def copy(self, pairs: Iterable[tuple[str, str]], go_on: Callable[[], None]) -> None:
        """Within the store: what is copied does not pass through here.

        Args:
            go_on: called before each few of them, and raises where it shall end.
        """
        for some in _some(list(pairs), go_on):
            stores.asked(self.scheme, partial(_copy, pairs=some))

    def remove(self, uris: Iterable[str], go_on: Callable[[], None] = lambda: None) -> None:
        """What is not there is no error."""
        for some in _some(list(uris), go_on):
            stores.asked(self.scheme, partial(_remove, uris=some))


def _object(info: Mapping[str, Any]) -> Object:
    told = next((info[key] for key in _TOLD_BY if info.get(key) is not None), "")
    return Object(f"{told} {info.get('size')}", stores.changed_s(info))


def _some(all_: Sequence[T], go_on: Callable[[], None]) -> Iterable[Sequence[T]]:
    for at in range(0, len(all_), _AT_ONCE):
        go_on()
        yield all_[at : at + _AT_ONCE]


def _copy(fs: Any, pairs: Sequence[tuple[str, str]]) -> None:
    fs.copy([source for source, _ in pairs], [target for _, target in pairs])


def _remove(fs: Any, uris: Sequence[str]) -> None:
    # Of several names fsspec takes one with such a sign for a pattern.
    singly = [uri for uri in uris if stores.MAGIC & set(uri)]
    if plain := [uri for uri in uris if uri not in singly]:
        try:
            fs.rm(plain)
        except FileNotFoundError:
            singly += plain  # some stores stop at the first that is not there
    for uri in singly:
        with suppress(FileNotFoundError):
            fs.rm_file(uri)
