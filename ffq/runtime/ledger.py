"""The ledger: sent = handled + rejected + expired + dead-lettered + in flight (A11)."""

from __future__ import annotations

from ffq.runtime.errors import LedgerMismatch


class Ledger:
    """Totals over all actors of a system that have ended, and late mail to them. Counts only."""

    __slots__ = ("dead", "expired", "handled", "rejected", "sent")

    def __init__(self) -> None:
        self.sent = self.handled = self.rejected = self.expired = self.dead = 0

    def add(
        self, *, sent: int, handled: int = 0, rejected: int = 0, expired: int = 0, dead: int = 0
    ) -> None:
        """Add the counts of one actor, or of one late message."""
        self.sent += sent
        self.handled += handled
        self.rejected += rejected
        self.expired += expired
        self.dead += dead

    def check(self, in_flight: int) -> None:
        """Raise LedgerMismatch unless the counts and `in_flight` messages add up to `sent`."""
        if self.sent != self.handled + self.rejected + self.expired + self.dead + in_flight:
            raise LedgerMismatch(f"the ledger of the system does not add up: {self!r} {in_flight=}")

    def __repr__(self) -> str:
        return (
            f"Ledger(sent={self.sent}, handled={self.handled}, rejected={self.rejected}, "
            f"expired={self.expired}, dead={self.dead})"
        )
