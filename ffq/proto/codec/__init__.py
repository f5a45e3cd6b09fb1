"""The only map between the wire's protobuf messages and ffq's own values.

Decoding checks ids, enums and endpoints and raises InvalidRequest; what comes out is trusted.
"""
