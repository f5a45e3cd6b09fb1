"""docs/architecture.md is true: what it names exists, and calls go the way it says."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeVar, cast

import pytest
import trio

from ffq import messages
from ffq.core import CoreCoordinator
from ffq.core.machine import MAY_ASK, Kind, Party, Removal, Told
from ffq.core.planning import read_plan
from ffq.core.scheduling import SCHEDULING
from ffq.core.walks import OWNERS, TABLES, WALKS
from ffq.errors import UnsupportedPlan
from ffq.ids import QueryId, WorkerId
from ffq.messages import (
    Assignment,
    CancelQuery,
    FetchQueryResults,
    FetchShufflePartition,
    GetTask,
    Heartbeat,
    OutputPartition,
    PlanSql,
    ReadPlan,
    ReadText,
    RegisterMapOutput,
    RegisterQueryResults,
    ReportTaskStatus,
    RunQuery,
    SubmitQuery,
    TaskState,
)
from ffq.plan import dump_plan
from ffq.proto.rows import row_of
from ffq.rpc.routes import Unary, coordinator_routes
from ffq.runtime import Request
from tests.actors.harness import open_actors, step_replaced
from tests.docs import pages
from tests.docs.blocks import blocks_of
from tests.strategies import graphs

R = TypeVar("R")
PAGE = "docs/architecture.md"
TEXT = pages.prose(PAGE)
TOLD_STEP_BY_STEP = ("SubmitQuery", "GetTask", "Heartbeat")


# --- what it names ---------------------------------------------------------------------------


def test_every_file_it_names_exists() -> None:
    named = pages.paths(TEXT)
    assert len(named) > 50
    assert [path for path in named if not (pages.ROOT / path).exists()] == []


def test_the_code_it_shows_stands_in_a_file_that_it_names_just_before() -> None:
    lines = pages.read(PAGE).splitlines()
    shown = [block for block in blocks_of(PAGE) if block.language == "python"]
    assert len(shown) == 2
    for block in shown:
        before = "\n".join(lines[block.line - 5 : block.line - 1])
        sources = [pages.read(path) for path in pages.paths(before)]
        for line in block.text.splitlines():
            assert any(line.removesuffix(" ...") in source for source in sources), line


def test_every_name_is_defined_in_a_file_it_names() -> None:
    files = {path for path in pages.paths(TEXT) if pages.is_python(path)}
    known = vars(messages).keys() | vars(Request).keys()
    unknown = {
        name
        for name in pages.names(TEXT)
        if name not in known and not any(pages.defines(file, name) for file in files)
    }
    assert unknown == set()


def test_every_name_beside_a_file_is_defined_in_it() -> None:
    placed = pages.placed_names(TEXT)
    assert len(placed) > 35
    assert [(file, name) for file, name in placed if not pages.defines(file, name)] == []


def test_it_says_of_every_part_what_it_may_do() -> None:
    rows = re.findall(r"^\| (`ffq/.*?) \|", pages.section(PAGE, "## Rings"), re.MULTILINE)
    parts = {
        path.name + "/" * path.is_dir()
        for path in (pages.ROOT / "ffq").iterdir()
        if path.suffix in {"", ".py"} and not path.name.startswith("__")
    }
    assert {path.removeprefix("ffq/") for row in rows for path in pages.paths(row)} == parts


def test_it_says_what_the_kinds_of_rows_are() -> None:
    table = pages.read(PAGE).partition("| kind | the step |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| (\w+) \|", table, re.MULTILINE) == [kind.value for kind in Kind]


def test_it_says_who_may_ask_whom() -> None:
    """The drawing has three arrows; a fourth in the table needs another drawing."""
    assert {(asker, asked) for asker, all_asked in MAY_ASK.items() for asked in all_asked} == {
        (Party.LIVENESS, Party.SCHEDULING),
        (Party.RESULTS, Party.SCHEDULING),
        (Party.SCHEDULING, Party.REGISTRY),
    }


def test_it_names_every_notice_that_is_told_before_the_reply() -> None:
    notices = pages.section(PAGE, "## Notices")
    assert [told.__name__ for told in Told.__args__ if told.__name__ not in notices] == []


# --- any call in three files -----------------------------------------------------------------


def test_the_three_files_of_a_cancel_are_those_of_its_rows_and_its_step() -> None:
    text = pages.section(PAGE, "## Any call in three files")
    files = re.findall(r"^\d\. `([^`]+)`", text, re.MULTILINE)
    step: Any = SCHEDULING.rows[CancelQuery].step
    wire = pages.read("ffq/proto/rows.py")
    assert "    CancelQuery,\n    (queries.encode_cancel" in wire
    assert "\nchanges(CancelQuery)(lifecycle.cancel_query)\n" in pages.read(files[1])
    assert files == ["ffq/proto/rows.py", "ffq/core/scheduling.py", place(step.__code__)[0]]


def place(code: CodeType) -> tuple[str, str]:
    """The file and function of some code, as the page writes them."""
    path = Path(code.co_filename)
    file = path.relative_to(pages.ROOT).as_posix() if path.is_relative_to(pages.ROOT) else ""
    return file, code.co_qualname.replace(".<locals>", "")


def awaited(coroutine: Any) -> Iterator[CodeType]:
    """The frames of a task that waits, outermost first."""
    while hasattr(coroutine, "cr_code"):
        yield coroutine.cr_code
        coroutine = coroutine.cr_await


def running() -> list[CodeType]:
    """The frames of the caller's own task, outermost first."""
    frame: FrameType | None = sys._getframe(1)
    found = []
    while frame is not None:
        found.append(frame.f_code)
        frame = frame.f_back
    return found[::-1]


def test_a_cancel_passes_the_frames_that_the_page_lists() -> None:
    text = pages.section(PAGE, "## Any call in three files")
    told = re.findall(r"^\| \d \| `([^`]+)` \| `([^`]+)` \|", text, re.MULTILINE)
    step: Any = SCHEDULING.rows[CancelQuery].step
    seen: list[CodeType] = []

    async def main() -> None:
        caller = trio.lowlevel.current_task().coro

        def look_around(*arguments: Any) -> Any:
            seen.extend([*awaited(caller), *running()[:-1], step.__code__])
            return step(*arguments)

        async with open_actors() as coordinator:
            routes = {each.method: each for each in coordinator_routes(coordinator)}
            route = routes["CancelQuery"]
            assert isinstance(route, Unary)
            await coordinator.ask(SubmitQuery(QueryId("q"), dump_plan(graphs.scan())))
            cancel = CancelQuery(QueryId("q"), "why")
            with step_replaced(CancelQuery, look_around):
                await route.handle(row_of(cancel).encode(cancel))

    trio.run(main)
    passed = [place(code) for code in seen]
    # Of the runtime's own frames the page names two; all others it must name.
    ours = [each for each in passed if each[0].startswith("ffq/")]
    passed = [each for each in ours if each in told or not each[0].startswith("ffq/runtime/")]
    assert passed == told


# --- the walks -------------------------------------------------------------------------------


class Recording(CoreCoordinator):
    """Says of a message whom it was asked of, what these asked of others, and what goes later."""

    def __init__(self) -> None:
        super().__init__()
        self._hops: list[list[str]] = [[]]
        self._later = ""

    def path_of(self, message: Request[Any]) -> str:
        self._hops, self._later = [[]], ""
        with suppress(UnsupportedPlan):  # of a text: the core plans none
            self.ask(message, 0)
        return " → ".join(self._hops[0]) + self._later

    def ask_owner(self, message: Request[R], now_ms: int) -> R:
        said = f"{OWNERS[type(message)].value} {type(message).__name__}"
        later = isinstance(message, Removal)
        self._hops.append([])
        try:
            if isinstance(message, ReadText):  # the core has nobody who plans it
                read: Any = read_plan(ReadPlan(message.query_id, SUBMIT.plan_bytes))
                return cast("R", read)
            return super().ask_owner(message, now_ms)
        finally:
            inner = self._hops.pop()
            if later:
                self._later += f" ⇢ {said}"
            else:
                self._hops[-1].append(said + (f" [{' → '.join(inner)}]" if inner else ""))


Q = QueryId("q")
W = WorkerId("w")
PLAN = graphs.aggregate(graphs.scan(), 2)
SUBMIT = SubmitQuery(Q, dump_plan(PLAN))
ONE_ROW = (OutputPartition(0, 10, 1, 1),)


def beat(incarnation: int = 1) -> Heartbeat:
    return Heartbeat(W, 0, 0, frozenset({"ffq.splits"}), incarnation)


def pull(incarnation: int = 1) -> GetTask:
    return GetTask(W, 1, incarnation)


def world(*before: Request[Any]) -> Recording:
    """A coordinator that was asked these."""
    coordinator = Recording()
    for message in before:
        coordinator.ask(message, 0)
    return coordinator


def after(*before: Request[Any]) -> Callable[[Request[Any]], str]:
    return world(*before).path_of


def map_task(incarnation: int = 1) -> tuple[Recording, Assignment]:
    """The query's map task has been given to a worker."""
    coordinator = world(beat(incarnation), SUBMIT)
    (task,) = coordinator.ask(pull(incarnation), 0)
    return coordinator, task


def registration(task: Assignment, worker_id: WorkerId | None = None) -> RegisterMapOutput:
    return RegisterMapOutput(task.key, ONE_ROW, task.layout, worker_id, int(worker_id is not None))


def success(task: Assignment, worker_id: WorkerId | None = None) -> ReportTaskStatus:
    incarnation = int(worker_id is not None)
    return ReportTaskStatus(task.key, TaskState.SUCCEEDED, "", task.layout, worker_id, incarnation)


def report(worker_id: WorkerId | None) -> str:
    coordinator, task = map_task(int(worker_id is not None))
    coordinator.ask(registration(task, worker_id), 0)
    return coordinator.path_of(success(task, worker_id))


def register(worker_id: WorkerId | None) -> str:
    coordinator, task = map_task(int(worker_id is not None))
    return coordinator.path_of(registration(task, worker_id))


def fetch_partition(*, registered: bool) -> str:
    coordinator, task = map_task(int(registered))
    if registered:
        coordinator.ask(registration(task), 0)
    coordinator.ask(success(task), 0)
    return coordinator.path_of(FetchShufflePartition(task.key, 0))


def finish() -> tuple[Recording, str, str]:
    """A query has succeeded; the paths of its result's upload and of the report that ended it."""
    coordinator = world(beat(), SubmitQuery(Q, dump_plan(graphs.scan())))
    (task,) = coordinator.ask(pull(), 0)
    upload = coordinator.path_of(RegisterQueryResults(Q, b"rows", task.key))
    return coordinator, upload, coordinator.path_of(success(task, W))


PATHS: dict[str, Callable[[], str]] = {
    "SubmitQuery": lambda: after()(SUBMIT),
    "SubmitQuery, known": lambda: after(SUBMIT)(SUBMIT),
    "PlanSql": lambda: after()(PlanSql("SELECT 1")),
    "RunQuery": lambda: after()(RunQuery(Q, SUBMIT.plan_bytes)),
    "RunQuery, a text": lambda: after()(RunQuery(Q, PlanSql("SELECT 1"))),
    "FetchQueryResults": lambda: finish()[0].path_of(FetchQueryResults(Q)),
    "GetTask": lambda: after(beat())(pull()),
    "GetTask, unknown": lambda: after()(pull()),
    "GetTask, replaced": lambda: after(beat(2))(pull(1)),
    "Heartbeat": lambda: after()(beat()),
    "Heartbeat, nothing new": lambda: after(beat())(beat()),
    "Heartbeat, restarted": lambda: after(beat(1))(beat(2)),
    "Heartbeat, replaced": lambda: after(beat(2))(beat(1)),
    "ReportTaskStatus": lambda: report(W),
    "ReportTaskStatus, the last": lambda: finish()[2],
    "ReportTaskStatus, fixed wire": lambda: report(None),
    "RegisterMapOutput": lambda: register(W),
    "RegisterMapOutput, fixed wire": lambda: register(None),
    "FetchShufflePartition": lambda: fetch_partition(registered=True),
    "FetchShufflePartition, all empty": lambda: fetch_partition(registered=False),
    "RegisterQueryResults": lambda: finish()[1],
    "CancelQuery": lambda: after(SUBMIT)(CancelQuery(Q, "why")),
}


def told_paths() -> dict[str, str]:
    """The block of paths on the page: by message and case."""
    text = pages.section(PAGE, "## Any call in three files")
    block = next(each for each in pages.BLOCK.findall(text) if " → " in each)
    return dict(line.split(": ", 1) for line in block.splitlines()[1:-1])


def test_the_page_tells_these_paths() -> None:
    assert list(told_paths()) == list(PATHS)


@pytest.mark.parametrize("case", PATHS)
def test_a_message_goes_the_way_that_the_page_says(case: str) -> None:
    assert told_paths()[case] == PATHS[case]()


def test_the_page_tells_the_path_of_every_walk() -> None:
    holding = {
        message for table in TABLES for message, row in table.rows.items() if row.kind is Kind.HOLDS
    }
    told = {case.partition(",")[0] for case in told_paths()}
    assert {message.__name__ for message in WALKS.keys() | holding} - told == set()


@pytest.mark.parametrize("message", TOLD_STEP_BY_STEP)
def test_the_steps_of_a_walk_are_the_hops_of_its_path(message: str) -> None:
    """Numbered steps begin with whom is asked what, in bold; what is told inside a hop as well."""
    steps = re.findall(
        r"^\d\. \*\*([^*]+)\*\*", pages.section(PAGE, f"### {message}"), re.MULTILINE
    )
    assert steps == re.split(r" → | \[|\] → ", told_paths()[message])


@pytest.mark.parametrize("message", TOLD_STEP_BY_STEP)
def test_the_function_of_each_step_is_the_one_in_the_row(message: str) -> None:
    text = re.sub(r"\s+", " ", pages.section(PAGE, f"### {message}"))
    steps = re.findall(r"\*\*(\w+) (\w+)\*\*[^`]*`([^`]+)`: `(\w+)`", text)
    assert steps
    for party, hop, file, function in steps:
        if party == Party.PLANNER.value:
            continue
        (row,) = (
            table.rows[getattr(messages, hop)] for table in TABLES if table.party.value == party
        )
        step: Any = row.step
        assert (file, function) == place(step.__code__), hop
    walk: Any = WALKS[getattr(messages, message)]
    assert text.startswith(" `{}`: `{}`.".format(*place(walk.__code__)))
