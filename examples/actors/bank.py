"""A bank transfer with ask: two accounts, a teller, no lock and no lost cent.

An overdrawn account raises; the exception travels through the teller to whoever asked. Transfers
that wait on each other in a circle cannot hang: the framework refuses such an ask.
"""

from __future__ import annotations

import attrs
import trio

from ffq.runtime import Actor, ActorRef, ActorSystem, Request, handles


class Overdrawn(Exception):
    """There is not enough money for this."""


@attrs.frozen
class Withdraw(Request[int]):
    """Take `cents` out; the reply is the new balance."""

    cents: int


@attrs.frozen
class Deposit(Request[int]):
    """Put `cents` in; the reply is the new balance."""

    cents: int


class Account(Actor[Withdraw | Deposit]):
    """One account; its balance is nobody else's business."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    @handles(Withdraw)
    def withdraw(self, message: Withdraw) -> int:
        """Raises Overdrawn, in the asker."""
        if message.cents > self.cents:
            raise Overdrawn(f"{self.ctx.name} has {self.cents} cents, not {message.cents}")
        self.cents -= message.cents
        return self.cents

    @handles(Deposit)
    def deposit(self, message: Deposit) -> int:
        """Always works."""
        self.cents += message.cents
        return self.cents


@attrs.frozen
class Transfer(Request[None]):
    """Move money. Once begun it is finished, even if whoever asked gives up waiting."""

    detached = True

    source: ActorRef[Withdraw]
    target: ActorRef[Deposit]
    cents: int


class Teller(Actor[Transfer]):
    """Carries out one transfer at a time."""

    @handles(Transfer)
    async def transfer(self, message: Transfer) -> None:
        """Out of one account, into the other; an error of the first leaves the second alone."""
        await message.source.ask(Withdraw(message.cents))
        await message.target.ask(Deposit(message.cents))


async def main() -> tuple[int, int, str]:
    """Some transfers, one of them too large; returns both balances and the refusal."""
    async with ActorSystem("bank") as system:
        ada = await system.spawn(Account, 10_000, name="ada")
        bob = await system.spawn(Account, 500, name="bob")
        teller = await system.spawn(Teller, name="teller")
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(teller.ask, Transfer(ada, bob, 250))
                nursery.start_soon(teller.ask, Transfer(bob, ada, 50))
        refusal = ""
        try:
            await teller.ask(Transfer(bob, ada, 1_000_000))
        except Overdrawn as error:
            refusal = str(error)
        balances = await ada.ask(Deposit(0)), await bob.ask(Deposit(0))
        print(f"ada {balances[0]}, bob {balances[1]}; refused: {refusal}")
        return (*balances, refusal)


if __name__ == "__main__":
    trio.run(main)
