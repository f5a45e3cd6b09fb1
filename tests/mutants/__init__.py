"""Named one-rule breaks, and whether the harness finds them: `python -m tests.mutants`.

with MUTANTS["lease-never-lapses"].applied():
    ...  # the core is broken in here
"""

from tests.mutants import assignment as _assignment
from tests.mutants import attempts as _attempts
from tests.mutants import lifecycle as _lifecycle
from tests.mutants import liveness as _liveness
from tests.mutants.hunting import Catch as Catch
from tests.mutants.hunting import hunt as hunt
from tests.mutants.hunting import machine_on_the_unbroken as machine_on_the_unbroken
from tests.mutants.hunting import simulations_of_the_unbroken as simulations_of_the_unbroken
from tests.mutants.registry import MUTANTS as MUTANTS
from tests.mutants.registry import Mutant as Mutant

MODULES = (_lifecycle, _assignment, _attempts, _liveness)
"""Where they are registered."""

__all__ = [
    "MUTANTS",
    "Catch",
    "Mutant",
    "hunt",
    "machine_on_the_unbroken",
    "simulations_of_the_unbroken",
]
