"""The ledger: sent = handled + rejected + expired + dead-lettered + in flight (A11)."""

from __future__ import annotations

from ffq.runtime.errors import LedgerMismatch


class Ledger:
    """The messages of all actors of a system, by what became of them. Counts only.

    `unheard` counts those of the handled whose handler failed when the asker had left already.
    """

    __slots__ = ("dead", "expired", "handled", "in_flight", "rejected", "sent", "unheard")

    def __init__(self) -> None:
        self.sent = self.handled = self.rejected = self.expired = self.dead = 0
        self.unheard = self.in_flight = 0

    def add(
        self,
        *,
        sent: int,
        handled: int = 0,
        rejected: int = 0,
        expired: int = 0,
        dead: int = 0,
        unheard: int = 0,
        in_flight: int = 0,
    ) -> None:
        """Add the counts of one actor, of one late message, or of another ledger."""
        self.sent += sent
        self.handled += handled
        self.rejected += rejected
        self.expired += expired
        self.dead += dead
        self.unheard += unheard
        self.in_flight += in_flight

    def enter_into(self, other: Ledger) -> None:
        """Add these counts to another ledger."""
        other.add(**{name: getattr(self, name) for name in self.__slots__})

    def check(self) -> None:
        """Raise LedgerMismatch unless the counts add up to `sent`."""
        fates = self.handled + self.rejected + self.expired + self.dead + self.in_flight
        if self.sent != fates:
            raise LedgerMismatch(f"the ledger of the system does not add up: {self!r}")

    def __repr__(self) -> str:
        return (
            f"Ledger(sent={self.sent}, handled={self.handled}, rejected={self.rejected}, "
            f"expired={self.expired}, dead={self.dead}, unheard={self.unheard}, "
            f"in_flight={self.in_flight})"
        )
