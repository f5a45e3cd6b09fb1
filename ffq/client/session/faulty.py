"""Which step of a relation an error is of.

Of the SQL of many steps the engine says what is wrong, and not whose: the program wrote none of
that text. So they are planned again without the last ones, until the first that fails is found.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from ffq.errors import CallerError, InvalidQuery, PlanningError, UnsupportedPlan
from ffq.relation.steps import Query, Step, called, inputs_of, number_of

PLAN_FAULTS: Final = (InvalidQuery, PlanningError, UnsupportedPlan)
"""What is wrong with a step itself."""

Fails = Callable[[Step], Awaitable[bool]]


async def of_step(error: CallerError, step: Step, fails: Fails) -> CallerError:
    """The error, with the number and name of the step that it is of, where there are several.

    Args:
        step: the last one, which fails.
        fails: whether a step, with those before it, cannot be planned.
    """
    steps = number_of(step)
    if steps <= 2:
        return error
    found = await _first(step, fails)
    if isinstance(found, Query):
        return error  # it tells the place in a text that the program wrote
    name, said = called(found), error.message
    if not said.startswith(name.partition("(")[0]):
        said = f"{name}: {said}"
    return type(error)(f"step {number_of(found)} of {steps}, {said}", reason=error.stable_reason)


async def _first(step: Step, fails: Fails) -> Step:
    """The first that fails, of one that does and those before it."""
    chain = [step]
    while len(below := inputs_of(chain[-1])) == 1:
        chain += below
    failing, good = 0, len(chain)
    while good - failing > 1:
        middle = (failing + good) // 2
        if await fails(chain[middle]):
            failing = middle
        else:
            good = middle
    if good == len(chain):
        for side in inputs_of(chain[-1]):
            if await fails(side):
                return await _first(side, fails)
    return chain[failing]
