"""Names of the RPCs, read from the generated descriptors."""

from __future__ import annotations

from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto import ffq_ext_pb2 as ext

CONTROL_PLANE = wire.DESCRIPTOR.services_by_name["ControlPlane"].full_name
SHUFFLE_SERVICE = wire.DESCRIPTOR.services_by_name["ShuffleService"].full_name
HEARTBEAT_SERVICE = wire.DESCRIPTOR.services_by_name["HeartbeatService"].full_name
INSPECTION = ext.DESCRIPTOR.services_by_name["Inspection"].full_name


def path(service: str, method: str) -> str:
    """The method as HTTP/2 names it."""
    return f"/{service}/{method}"
