"""A plan as text for people: what is computed, and how it is cut into stages. Pure.

Columns have the names that files, projections and aggregates give them, also where the plan itself
counts places.
"""

from ffq.plan.explain.stages import Estimate, bytes_text, explain_logical, explain_stages

__all__ = ["Estimate", "bytes_text", "explain_logical", "explain_stages"]
