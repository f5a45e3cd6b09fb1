"""Logging that only remarks: it never ends what it speaks of."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

_OUR_FRAMES = 2
"""Between a call and the logger: what a record names is the line of the call."""


class RemarkLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger of ours. What a call of it raises is dropped with the record.

    Handlers and filters are anybody's: the embedding program's, or a library's that an operator
    uses. One that raises would end the worker beside whose attempt it was added, and the next one
    that the attempt goes to.
    """

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        with suppress(Exception):
            self.logger.log(level, msg, *args, stacklevel=_OUR_FRAMES, **kwargs)
