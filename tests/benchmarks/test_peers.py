"""Another system's process, as a benchmark asks it: what is late, refused or gone ends nothing."""

from __future__ import annotations

import queue
from collections.abc import Callable

import attrs
import pytest

from benchmarks._benchmark import CannotRun
from benchmarks._sql_peer import PATIENCE, READY, SqlPeer
from benchmarks.tpch import _tried


@attrs.define
class Stdin:
    written: list[str] = attrs.field(factory=list)
    broken: bool = False

    def write(self, text: str) -> None:
        if self.broken:
            raise BrokenPipeError("gone")
        self.written.append(text)

    def flush(self) -> None:
        pass


@attrs.define
class Process:
    """Says these lines, one after the other; None: nothing in time. Then it has ended."""

    lines: list[str | None]
    stdin: Stdin = attrs.field(factory=Stdin)
    said: list[str] = attrs.field(factory=list)

    @property
    def process(self) -> Process:
        return self

    def wait_for(self, text: str) -> str:
        while self.lines:
            line = self.lines.pop(0)
            if line is None:
                raise queue.Empty
            self.said.append(line)
            if text in line:
                return line
        raise AssertionError(f"ended without saying {text!r}: {self.said}")


def peer(*lines: str | None, broken: bool = False) -> SqlPeer:
    process: object = Process(list(lines), Stdin(broken=broken))
    return SqlPeer("other", process)  # type: ignore[arg-type]


def test_one_that_needs_its_time_is_ready() -> None:
    found = peer("a warning", None, READY, "answered 0 3")
    found.begin({})
    found.ask("SELECT")


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda: peer(*[None] * PATIENCE, READY), "says nothing in 180 s"),
        (lambda: peer("no Java"), "has ended.*no Java"),
        (lambda: peer(broken=True), "has ended: gone"),
    ],
)
def test_one_that_is_not_ready_says_why(made: Callable[[], SqlPeer], text: str) -> None:
    with pytest.raises(CannotRun, match=text):
        made().begin({})


def test_what_is_refused_or_late_is_of_its_own_query() -> None:
    found = peer(*[None] * PATIENCE, "answered 0 7", "WARN query 1 is odd", "refused 1 no such")
    with pytest.raises(CannotRun, match="says nothing"):
        found.ask("the first")
    with pytest.raises(CannotRun, match="refused 1 no such"):
        found.ask("the second")


def test_a_query_that_a_peer_once_had_no_answer_for_is_lacking() -> None:
    lacking: set[str] = set()
    _tried(peer("answered 0 1").ask, lacking, "q1", "SELECT")
    assert lacking == set()
    _tried(peer("refused 0 a bug").ask, lacking, "q2", "SELECT")
    assert lacking == {"q2"}
