"""Named one-rule breaks, and whether the harness finds them: `python -m tests.mutants`.

with MUTANTS["lease-never-lapses"].applied():
    ...  # the core is broken in here
"""

from tests.mutants import assignment as _assignment
from tests.mutants import attempts as _attempts
from tests.mutants import lifecycle as _lifecycle
from tests.mutants import liveness as _liveness
from tests.mutants.hunting import UNBROKEN as UNBROKEN
from tests.mutants.hunting import Catch as Catch
from tests.mutants.hunting import hunt as hunt
from tests.mutants.registry import MUTANTS as MUTANTS
from tests.mutants.registry import Mutant as Mutant

MODULES = (_lifecycle, _assignment, _attempts, _liveness)
"""Where they are registered."""

__all__ = ["MUTANTS", "UNBROKEN", "Catch", "Mutant", "hunt"]
