"""`python -m ffq` is the command `ffq`."""

from __future__ import annotations

import sys

from ffq.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
