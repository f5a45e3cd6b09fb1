"""Sessions for asyncio.

    async with ffq.aio.connect() as session:
        table = await session.sql("SELECT 42 AS answer").collect()

A session lives on a thread of its own, on which Trio runs.
"""

from ffq.client.session.asynchronous import AioSession as Session
from ffq.client.session.asynchronous import connect

__all__ = ["Session", "connect"]
