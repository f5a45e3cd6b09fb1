"""The coordinator's gRPC server: RPC, message, reply."""

from ffq.gateway.app import open_gateway as open_gateway
from ffq.gateway.app import serve_coordinator as serve_coordinator
from ffq.gateway.app import serve_gateway as serve_gateway
