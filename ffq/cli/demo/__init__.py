"""`ffq demo`: real processes, TPC-H, a worker killed on the way, and the answers checked."""
