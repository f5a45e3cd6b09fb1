"""Comparing what a coordinator answers with what the model allows it to answer."""

from ffq.testing.judging.judge import Judge

__all__ = ["Judge"]
