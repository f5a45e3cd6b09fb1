"""Sessions: tables, SQL and relations, over an embedded cluster or a coordinator somewhere else."""
