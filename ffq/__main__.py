"""The command `ffq`, also as `python -m ffq`."""

from __future__ import annotations

import gc
import sys

from ffq.cli.collector import THRESHOLDS
from ffq.cli.interrupts import starting


def main() -> int:
    """Run the command line of this process, and return its exit code."""
    # What a start makes are modules, and no garbage: to look for some takes a part of its time.
    gc.set_threshold(*THRESHOLDS)
    with starting():
        from ffq.cli.main import main as run_command_line  # noqa: PLC0415  # under `starting`

        return run_command_line()


if __name__ == "__main__":
    sys.exit(main())
