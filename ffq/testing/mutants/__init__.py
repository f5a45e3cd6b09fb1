"""Named one-rule breaks, and whether the harness finds them: `python -m ffq.testing.mutants`.

with MUTANTS["lease-never-lapses"].applied():
    ...  # the core is broken in here
"""

from ffq.testing.mutants import assignment as _assignment
from ffq.testing.mutants import attempts as _attempts
from ffq.testing.mutants import lifecycle as _lifecycle
from ffq.testing.mutants import liveness as _liveness
from ffq.testing.mutants.hunting import UNBROKEN as UNBROKEN
from ffq.testing.mutants.hunting import Catch as Catch
from ffq.testing.mutants.hunting import hunt as hunt
from ffq.testing.mutants.registry import MUTANTS as MUTANTS
from ffq.testing.mutants.registry import Mutant as Mutant

MODULES = (_lifecycle, _assignment, _attempts, _liveness)
"""Where they are registered."""

__all__ = ["MUTANTS", "UNBROKEN", "Catch", "Mutant", "hunt"]
