"""A flaky fetcher under supervision: it crashes, is restarted with backoff, and loses no request.

The fetcher's own state is new after each restart. What must outlive it, the cache, belongs to the
parent and is handed in.
"""

from __future__ import annotations

import random

import attrs
import trio

from ffq.runtime import Actor, ActorRef, ActorSystem, Backoff, Request, Supervision, handles


@attrs.frozen
class Fetch(Request[None]):
    """Fetch a page into the cache. A command: what goes wrong with it goes to supervision."""

    url: str


@attrs.frozen
class Retry(Request[None]):
    """Ask again for what is missing; the crawler sends it to itself."""


class Connection:
    """Stands for the network: every third request on average breaks the connection."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    async def get(self, url: str) -> str:
        """The page, or a ConnectionError."""
        await trio.sleep(0.001)
        if self.dice.random() < 1 / 3:
            raise ConnectionError(f"connection lost at {url}")
        return f"<html>{url}</html>"


class Fetcher(Actor[Fetch]):
    """Fetches with a connection that it opens at each start."""

    def __init__(self, dice: random.Random, cache: dict[str, str]) -> None:
        self.connection = Connection(dice)
        self.cache = cache

    @handles(Fetch)
    async def fetch(self, message: Fetch) -> None:
        """A lost connection is not handled here: a fresh start is the cure."""
        self.cache[message.url] = await self.connection.get(message.url)


class Crawler(Actor[Fetch]):
    """Keeps the cache and a supervised fetcher, and asks again for what a crash swallowed."""

    supervision = Supervision(
        max_restarts=50, within=60.0, backoff=Backoff(initial=0.001, maximum=0.01)
    )

    def __init__(self, seed: int, pages: int, done: trio.Event) -> None:
        self.dice = random.Random(seed)
        self.cache: dict[str, str] = {}
        self.wanted: set[str] = set()
        self.pages = pages
        self.done = done

    async def on_start(self) -> None:
        """The fetcher is a child: its crashes come here, not to whoever wants a page."""
        self.fetcher: ActorRef[Fetch] = await self.ctx.spawn(
            Fetcher, self.dice, self.cache, name="fetcher"
        )
        self.ctx.every(0.2, Retry())

    @handles(Fetch)
    async def fetch(self, message: Fetch) -> None:
        """Remember what is wanted, and pass it on."""
        self.wanted.add(message.url)
        await self.fetcher.tell(message)

    @handles(Retry)
    async def retry(self, message: Retry) -> None:
        """Say when all pages are there."""
        for url in sorted(self.wanted - self.cache.keys()):
            await self.fetcher.tell(Fetch(url))
        if len(self.cache) == self.pages:
            self.done.set()


async def main(seed: int = 7, pages: int = 20) -> int:
    """Fetch some pages through the flaky connection; returns how often the fetcher crashed."""
    done = trio.Event()
    async with ActorSystem("crawler") as system:
        crawler = await system.spawn(Crawler, seed, pages, done, name="crawler")
        for number in range(pages):
            await crawler.tell(Fetch(f"https://example.org/{number}"))
        await done.wait()
        restarts = system.tree()[0].children[0].restarts
        print(system.render_tree())
        print(f"{pages} pages in spite of {restarts} crashes")
        return restarts


if __name__ == "__main__":
    trio.run(main)
