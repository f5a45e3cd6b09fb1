"""SQL: the engine plans it, and what it planned is cut into stages.

The dialect is DuckDB's. `planning` asks it for its plan, `serialized` reads that into typed values,
`distribute` makes a plan of ours of them.
"""
