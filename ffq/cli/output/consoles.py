"""The two consoles: results go to stdout, progress and remarks to stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def stdout_console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def stderr_console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def note(text: str) -> None:
    """One line of progress or a remark, on stderr, never wrapped."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
