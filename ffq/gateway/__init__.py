"""The coordinator's gRPC server: RPC, message, reply."""

from ffq.gateway.app import serve_gateway as serve_gateway
