"""How one actor is run: the keyword options of spawn, checked once."""

from __future__ import annotations

import attrs

from ffq.errors import words
from ffq.runtime._checks import check_instance
from ffq.runtime.errors import InvalidOption
from ffq.runtime.supervision import Supervision

DEFAULT_MAILBOX = 64
DEFAULT_STASH = 64


@attrs.frozen
class Options:
    """Bounds of one actor (all in messages) and its own supervision policy, if it has one."""

    mailbox: int = DEFAULT_MAILBOX
    max_concurrency: int = 1
    stash: int = DEFAULT_STASH
    supervision: Supervision | None = None

    def check(self, who: str) -> None:
        """Raise InvalidOption, naming the actor, the option and what would be right."""
        if self.supervision is not None:
            check_instance(f"{who}: supervision", self.supervision, Supervision)
        for name, value, least in (
            ("mailbox", self.mailbox, 1),
            ("max_concurrency", self.max_concurrency, 1),
            ("stash", self.stash, 0),
        ):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InvalidOption(
                    f"{who}: {name}={words(value)} must be a whole number of messages, "
                    f"{least} or more; nothing here is unbounded"
                )


DEFAULT_OPTIONS = Options()
