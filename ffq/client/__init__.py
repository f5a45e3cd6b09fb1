"""Submitting queries and getting their results, from Trio or from blocking code."""

from typing import TYPE_CHECKING

from ffq.client.client import Client, QueryHandle
from ffq.client.conversions import PlanLike
from ffq.client.sync import SyncClient
from ffq.client.watching import Progress
from ffq.lazily import importing

if TYPE_CHECKING:
    from ffq.client.local import LocalCluster
    from ffq.client.session.blocking import Session, connect

# They bring the gateway, the worker and DuckDB, which a client does without.
__getattr__ = importing(
    __name__,
    {
        "LocalCluster": "ffq.client.local",
        "Session": "ffq.client.session.blocking",
        "connect": "ffq.client.session.blocking",
    },
)

__all__ = [
    "Client",
    "LocalCluster",
    "PlanLike",
    "Progress",
    "QueryHandle",
    "Session",
    "SyncClient",
    "connect",
]
