"""gRPC for Trio code, both sides: channels, servers, the map of errors, the remote coordinator."""
