"""Random programs for a coordinator that cannot be reset: lists of steps that need no waiting."""

from __future__ import annotations

from hypothesis import strategies as st

from ffq.testing import steps as do
from ffq.testing.steps import At, Step
from ffq.testing.wire import TaskState

_QUERY = st.integers(0, 2)
_WORKER = st.integers(0, 2)
_PLAN = st.sampled_from(["scan", "aggregate", "join", "chain", "custom", "custom-map", "wide"])
_AT = st.builds(At, _QUERY, st.integers(0, 2), st.integers(0, 2))
_STATE = st.sampled_from([TaskState.SUCCEEDED, TaskState.FAILED, TaskState.RUNNING])
_CAPACITY = st.integers(0, 4)
_VALUE = st.integers(0, 3)

_STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(do.Submit, _QUERY, _PLAN),
    st.builds(do.Beat, _WORKER, st.booleans()),
    st.builds(do.Pull, _WORKER, _CAPACITY),
    st.builds(do.Work, _WORKER, _CAPACITY, _VALUE),
    st.builds(do.Complete, _AT, _VALUE),
    st.builds(do.Report, _AT, _STATE, st.sampled_from([True, True, False])),
    st.builds(do.Twice, _AT, _STATE),
    st.builds(do.Claim, _WORKER),
    st.builds(do.Register, _AT.filter(lambda at: at.stage > 0), st.integers(0, 3)),
    st.builds(do.Upload, _QUERY, _VALUE),
    st.builds(do.Fetch, _AT, st.integers(0, 3), st.booleans()),
    st.builds(do.Cancel, _QUERY),
    st.builds(do.Status, _QUERY),
    st.builds(do.Results, _QUERY),
)


def programs() -> st.SearchStrategy[list[Step]]:
    """Up to 25 steps, beginning with a query and somebody to work on it."""
    return st.builds(
        lambda plan, steps: [do.Submit(0, plan), do.Beat(0, capable=True), *steps],
        _PLAN,
        st.lists(_STEPS, max_size=25),
    )
