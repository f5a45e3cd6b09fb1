"""`python -m tests.mutants.gateway NAME [FLAGS]`: `ffq gateway` with one rule broken.

To try `ffq conformance`, or any other test of coordinators, on something it should find.
"""

from __future__ import annotations

import sys

from ffq.cli.main import main as ffq
from tests.mutants import MUTANTS


def main() -> int:
    """Serve until stopped. Exit status 2 when there is no such mutant."""
    mutant = MUTANTS.get(sys.argv[1]) if len(sys.argv) > 1 else None
    if mutant is None:
        sys.stderr.write(f"{__doc__}\npython -m tests.mutants --list names the mutants\n")
        return 2
    with mutant.applied():
        return ffq(["gateway", *sys.argv[2:]])


if __name__ == "__main__":
    sys.exit(main())
