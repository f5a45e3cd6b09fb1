"""Submitting queries and getting their results, from Trio or from blocking code."""

from ffq.client.client import Client, Progress, QueryHandle
from ffq.client.connecting import connect
from ffq.client.conversions import PlanLike
from ffq.client.local import LocalCluster
from ffq.client.sync import SyncClient

__all__ = ["Client", "LocalCluster", "PlanLike", "Progress", "QueryHandle", "SyncClient", "connect"]
