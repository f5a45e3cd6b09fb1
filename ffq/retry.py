"""Calling a peer that may be away: time limits, backoff, and when to give up.

Worker and client call the coordinator through here. Whatever is retried must be safe to repeat:
the protocol's calls are (R1, R13, R15, R22), but for GetTask, which is never retried as such.
Waiting is Trio's, so a virtual clock drives it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs
import trio

from ffq.errors import ConnectionClosed, ExecutionError, QuotaExceeded, Unavailable

T = TypeVar("T")


@attrs.frozen
class RetryPolicy:
    """How long to wait, in ms.

    Attributes:
        timeout_ms: for one answer; silence past it counts as Unavailable.
        base_ms, max_ms: the wait after the n-th failure is base * 2^(n-1), at most max.
        quota_tries: how often a call over a quota is made before the refusal is passed on.
        fault_tries: how often a call is made that the peer failed to handle (INTERNAL).
    """

    timeout_ms: int = 10_000
    base_ms: int = 50
    max_ms: int = 1_000
    quota_tries: int = 5
    fault_tries: int = 3

    def delay_s(self, failures: int) -> float:
        """Seconds to wait after `failures` (>= 1) failures in a row."""
        return min(self.base_ms << min(failures - 1, 20), self.max_ms) / 1000


async def within(call: Awaitable[T], policy: RetryPolicy, what: str) -> T:
    """Await one answer.

    Raises:
        Unavailable: none came within the policy's time; `what` names the call.
    """
    try:
        with trio.fail_after(policy.timeout_ms / 1000):
            return await call
    except trio.TooSlowError:
        raise Unavailable(f"{what}: no answer within {policy.timeout_ms} ms") from None


async def until_answered(
    call: Callable[[], Awaitable[T]],
    policy: RetryPolicy,
    what: str,
    *,
    patience_ms: int | None = None,
    on_failure: Callable[[Unavailable], None] | None = None,
) -> T:
    """Call until the peer answers, whatever it answers.

    Args:
        patience_ms: how long to go on while the peer is away; None for ever: the caller's cancel
            scope is then the way out.
        on_failure: told of each try that found the peer away.

    Raises:
        Unavailable: patience ran out; the error is that of the last try.
        ConnectionClosed: it was closed on this side, at once.
        QuotaExceeded: the peer refused `quota_tries` times.
        ExecutionError: the peer failed to handle it `fault_tries` times.
        FfqError: the peer's answer was this error.
    """
    failures = refusals = faults = 0
    deadline = None if patience_ms is None else trio.current_time() + patience_ms / 1000
    while True:
        try:
            return await within(call(), policy, what)
        except ConnectionClosed:
            raise
        except Unavailable as error:
            failures += 1
            delay = policy.delay_s(failures)
            if deadline is not None and trio.current_time() + delay > deadline:
                raise
            if on_failure is not None:
                on_failure(error)
        except QuotaExceeded as error:
            refusals += 1
            if refusals >= policy.quota_tries:
                raise
            delay = error.retry_after_ms / 1000
        except ExecutionError:
            faults += 1
            if faults >= policy.fault_tries:
                raise
            delay = policy.delay_s(faults)
        await trio.sleep(delay)
