"""What the two server commands share."""

from __future__ import annotations

import logging

from ffq.cli.options import LogLevel


def log_to_stderr(level: LogLevel) -> None:
    """Logs of ffq at this level, of other libraries from warnings on; one line each."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("ffq").setLevel(level.value.upper())
