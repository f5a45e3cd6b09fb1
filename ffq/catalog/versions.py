"""As which a table's files were found: what is known of one version is good for as long as it is.

Two processes that look at the same files find the same.
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

from ffq.catalog.catalog import BoundScan, Catalog

Version: TypeAlias = tuple[object, ...]


def whole_table(catalog: Catalog, name: str) -> BoundScan:
    """All of a table's files, in one share. Raises as `Catalog.scan_shares`."""
    return catalog.scan_shares(name, 2**62, 1)


def version_of(catalog: Catalog, name: str, whole: BoundScan) -> Version:
    """Of the files that `whole_table` has found, and of how they are read."""
    (splits,) = whole.shares
    # A format has the schema of its table, where that declares one.
    schema = catalog.table(name).schema if whole.format is None else None
    files = ((one.path, one.file_bytes, one.modified_us, one.partition) for one in splits)
    return schema, whole.format, *files


def digest_of(version: Version) -> str:
    """For another process."""
    return hashlib.blake2b(repr(version).encode(), digest_size=16).hexdigest()
