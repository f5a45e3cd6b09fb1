"""The plan: its model, its JSON, its stages, and a builder. Pure.

`from ffq import plan as p` gives the builder's words (`p.scan`, `p.col`, `p.lit`, ...) and the
plan's own (`p.parse_plan`, `p.dump_plan`, `p.cut`). The nodes are in `ffq.plan.model`, the TPC-H
queries in `ffq.plan.tpch`.
"""

from ffq.plan.builder import Relation, scan
from ffq.plan.codec import dump_plan, parse_plan
from ffq.plan.expressions import Aggregation, Expression, col, count, lit, udf, when
from ffq.plan.limits import DEFAULT_LIMITS, PlanLimits
from ffq.plan.stages import Parallelism, ScanSource, ShuffleSource, StageGraph, StagePlan, cut

__all__ = [
    # building
    "Relation",
    "scan",
    "col",
    "lit",
    "count",
    "when",
    "udf",
    "Expression",
    "Aggregation",
    # reading and writing
    "parse_plan",
    "dump_plan",
    "PlanLimits",
    "DEFAULT_LIMITS",
    # stages
    "cut",
    "StageGraph",
    "StagePlan",
    "ShuffleSource",
    "ScanSource",
    "Parallelism",
]
