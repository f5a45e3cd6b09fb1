"""Plans queries in processes of their own: blocking, for any thread."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress

import attrs

from ffq.catalog import Catalog
from ffq.errors import FfqError, StartupError, Unavailable
from ffq.messages import NO_CLUSTER, ClusterSize, PlanSql, SqlPlan
from ffq.sql.frames import Hello, dump_request
from ffq.sql.kept import Asked, Basis, KeptPlans
from ffq.sql.limits import PlanningLimits
from ffq.sql.process import PlanningProcess


@attrs.define
class Job:
    """One query on its way to a plan, as another thread may give it up."""

    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _process: PlanningProcess | None = attrs.field(default=None, init=False)
    _given_up: bool = attrs.field(default=False, init=False)

    def give_up(self) -> None:
        """Its process goes on for a moment, after which it is ended and `plan` raises Unavailable:
        to end it at once would have the next query wait for another one.
        """
        with self._lock:
            self._given_up = True
            if self._process is not None:
                self._process.hurry()

    def take(self, process: PlanningProcess) -> None:
        """Raises Unavailable: it was given up."""
        with self._lock:
            if self._given_up:
                raise Unavailable("planning was given up")
            self._process = process

    def leave(self) -> None:
        """The process has nothing more to do for it."""
        with self._lock:
            if self._process is not None:
                self._process.calm()
            self._process = None


class PlanningService:
    """One process is kept idle and warm between queries; several at once have one each.

    The first starts with the first query. It is closed by `close`, or as a context manager.

    Args:
        tables: definitions of the tables that every query may read, as entries of a catalog file.
        client_tables: whether queries may bring tables, or name files.
        one_task_bytes: a query that reads less, stored, is one task; 0: none is.
    """

    def __init__(
        self,
        tables: Sequence[str] = (),
        *,
        client_tables: bool = True,
        one_task_bytes: int = 0,
        limits: PlanningLimits | None = None,
    ) -> None:
        self._hello = Hello(tuple(tables), client_tables, one_task_bytes)
        self._limits = limits or PlanningLimits()
        self._kept = KeptPlans(Catalog.of(()).over(tuple(tables)))
        self._lock = threading.Lock()
        self._idle: PlanningProcess | None = None
        self._busy: set[PlanningProcess] = set()
        self._closed = False

    def __enter__(self) -> PlanningService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def may_know(self, message: PlanSql, cluster: ClusterSize = NO_CLUSTER) -> bool:
        """Whether `known` may give a plan. Waits for nothing."""
        return Asked(message, cluster) in self._kept

    def known(self, message: PlanSql, cluster: ClusterSize = NO_CLUSTER) -> SqlPlan | None:
        """The plan, where it is known and still holds. Looks at files, and asks no process."""
        return self._kept.find(Asked(message, cluster))

    def plan(
        self, message: PlanSql, job: Job | None = None, cluster: ClusterSize = NO_CLUSTER
    ) -> SqlPlan:
        """Plan it anew.

        Args:
            job: by which another thread may give it up.
            cluster: what is to run it, as far as that is known.

        Raises:
            InvalidQuery, InvalidRequest, UnsupportedPlan, StorageError: as `Preparer.prepare`.
            PlanningLimit, PlanningError: it took too much time or memory, or the process down.
            StartupError: no process can be started.
            Unavailable: it was given up, or this was closed.
        """
        asked = Asked(message, cluster)
        request = dump_request(message, cluster)
        if again := self._kept.comes_again(asked, request):
            request = dump_request(message, cluster, again=True)
        plan, basis = self._asked(request, job or Job())
        if again and basis is not None:
            self._kept.keep(asked, plan, basis)
        return plan

    def _asked(self, request: bytes, job: Job) -> tuple[SqlPlan, Basis | None]:
        process = self._take()
        good = True
        try:
            job.take(process)
            good = False
            try:
                found = process.ask(request, self._limits)
            except FfqError:
                good = True  # it has done with what it refuses; or it was ended
                raise
            finally:
                job.leave()
            good = True
            return found
        finally:
            self._give_back(process, good=good)

    def close(self) -> None:
        """End all processes. Queries under way raise Unavailable."""
        with self._lock:
            self._closed = True
            ending = [*self._busy, *([self._idle] if self._idle is not None else [])]
            self._idle = None
        for process in ending:
            process.kill()

    def _take(self) -> PlanningProcess:
        with self._lock:
            self._check_open()
            process, self._idle = self._idle, None
            if process is None:
                process = PlanningProcess(self._hello)
            self._busy.add(process)
        return process

    def _give_back(self, process: PlanningProcess, *, good: bool) -> None:
        with self._lock:
            self._busy.discard(process)
            if good and process.alive and not self._closed and self._idle is None:
                self._idle = process
                return
        process.kill()
        self._warm_up()

    def _warm_up(self) -> None:
        """Start one for the next query, if that would have to wait for it."""
        with self._lock, suppress(StartupError):  # the next query tries again, and is told
            if not self._closed and self._idle is None:
                self._idle = PlanningProcess(self._hello)

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("this planner is closed")
