"""A process that was forked from one that had used gRPC.

Of gRPC's threads none is left in such a child, and a call in it would wait for ever. Nothing can
be done about that but to say so. (Programs that are started anew, as `subprocess` does and
multiprocessing's "spawn" and "forkserver", are not concerned.)
"""

from __future__ import annotations

import os
from typing import Final

import attrs

from ffq.errors import StartupError


@attrs.define
class _Process:
    """used: it has used gRPC. forked_from: the process it was forked from after use."""

    used: bool = False
    forked_from: int | None = None


_THIS: Final = _Process()


def check_process() -> None:
    """Say that gRPC is used here. Raises StartupError in a child forked after its use."""
    if _THIS.forked_from is not None:
        raise StartupError(
            f"this process was forked from process {_THIS.forked_from}, which had used ffq's "
            f"connections: they do not work here, and new ones would hang; start the process with "
            f"multiprocessing's 'spawn' or 'forkserver' instead"
        )
    _THIS.used = True


def _in_child() -> None:
    if _THIS.used and _THIS.forked_from is None:
        _THIS.forked_from = os.getppid()


os.register_at_fork(after_in_child=_in_child)
