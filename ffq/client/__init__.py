"""Submitting queries and getting their results, from Trio or from blocking code."""

from ffq.client.client import Client, Progress, QueryHandle
from ffq.client.connect import connect
from ffq.client.plans import PlanLike
from ffq.client.sync import SyncClient

__all__ = ["Client", "PlanLike", "Progress", "QueryHandle", "SyncClient", "connect"]
