"""Loading custom operators as commands do."""

from __future__ import annotations

import os
import sys


def load_operators_here(modules: str) -> None:
    """Import modules, those of the current folder too. Raises StartupError."""
    from ffq.engine import load_operators

    # A script's own folder is on the path, not the one it is called in; operators live there.
    sys.path.insert(0, os.getcwd())
    load_operators(modules)
