"""What a core method gives back: the reply, and what others must be told."""

from __future__ import annotations

from typing import Generic, TypeAlias, TypeVar

import attrs

from ffq.messages import (
    DropMapOutputs,
    DropQueryOutputs,
    DropQueryResults,
    DropResults,
    WorkerChanged,
    WorkerLost,
)

R = TypeVar("R")

Notice: TypeAlias = (
    DropMapOutputs | DropQueryOutputs | DropResults | DropQueryResults | WorkerLost | WorkerChanged
)


@attrs.frozen
class Outcome(Generic[R]):
    """`notices` are in the order in which they must be delivered."""

    reply: R
    notices: tuple[Notice, ...] = ()
