"""A process that plans queries, one after the other: a hostile one takes no more down than it.

Its parent may be killed while it computes, and then no code of it runs: the kernel ends it. The
parent alone has the write end of a pipe; when that closes, the kernel sends SIGKILL.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, BinaryIO

from ffq.catalog import Catalog
from ffq.errors import FfqError, InvalidPlan, InvalidQuery, InvariantViolated
from ffq.messages import ClusterSize, SqlColumn, SqlPlan, TableSize
from ffq.plan.codec import dump_plan
from ffq.plan.inline import InlineTable
from ffq.plan.model import Node
from ffq.sql.declared import Columns, Declared
from ffq.sql.frames import (
    HEAD_BYTES,
    READY,
    Hello,
    dump_error,
    dump_question,
    dump_reply,
    framed,
    load_declared,
)
from ffq.sql.parameters import load_parameters
from ffq.sql.prepare import Preparer, Query


def main(lifeline: int) -> None:
    """Serve stdin and stdout until stdin ends.

    Args:
        lifeline: read end of a pipe whose write end the parent alone has.
    """
    _die_with(lifeline)
    incoming, outgoing = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    first = _read(incoming)
    if first is None:
        return
    hello = Hello.load(first)

    def declared(name: str, config: Mapping[str, str], columns: Columns) -> Declared:
        _write(outgoing, dump_question(name, config, columns))
        answer = _read(incoming)
        if answer is None:
            sys.exit(1)  # nobody is there to plan for
        return load_declared(answer)

    preparer = Preparer(Catalog.of(()).over(hello.tables), declared)
    _write(outgoing, READY)
    while (request := _read(incoming)) is not None:
        _write(outgoing, *answer(preparer, hello, request))


def _die_with(lifeline: int) -> None:
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC | os.O_NONBLOCK)
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    if poll.poll(0):  # it had gone before anybody listened
        sys.exit(1)


def answer(preparer: Preparer, hello: Hello, request: bytes) -> tuple[bytes, ...]:
    """The frames that answer a request."""
    try:
        asked = json.loads(request)
        prepared = preparer.prepare(_query(asked, hello))
        plan = _written(prepared.plan)
        # To know what may be kept takes some ms the first time: who asks once spares them.
        basis = prepared.lasting.basis() if asked["again"] and prepared.lasting else None
    except FfqError as error:
        return (dump_error(error),)
    except RecursionError:
        return (dump_error(InvalidQuery("the query nests too deep to be planned")),)
    except MemoryError:
        return (dump_error(InvalidQuery("the query takes more memory than planning may use")),)
    except Exception as error:  # noqa: BLE001  # a bug of ours: the next query is planned all the same
        said = f"planning failed: {type(error).__name__}: {error}"
        return (dump_error(InvariantViolated(said)),)
    columns = tuple(SqlColumn(name, kind) for name, kind in prepared.columns)
    sizes = tuple(
        TableSize(name, size.rows, size.files_bytes or 0) for name, size in prepared.sizes.items()
    )
    found = SqlPlan(b"", columns, prepared.tables, sizes, prepared.choices)
    return dump_reply(found, basis), plan


def _written(plan: Node) -> bytes:
    """Raises InvalidPlan: none may be so large, or nest so deep."""
    try:
        return dump_plan(plan)
    except InvalidPlan as error:
        raise InvalidPlan(
            f"{error.message}; right would be fewer queries within each other, or some of "
            "their rows in files of their own (COPY ... TO)"
        ) from None


def _query(found: Mapping[str, Any], hello: Hello) -> Query:
    """Raises InvalidRequest: parameters that are none."""
    return Query(
        sql=found["sql"],
        parameters=load_parameters(found["parameters"].encode()),
        tables=tuple(found["tables"]),
        folder=found["folder"] or "/",
        partitions=found["partitions"],
        client_tables=hello.client_tables,
        inline=tuple(InlineTable(name, b64decode(each)) for name, each in found["inline"]),
        cluster=ClusterSize(*found["cluster"]),
        one_task_bytes=hello.one_task_bytes,
    )


def _read(stream: BinaryIO) -> bytes | None:
    head = stream.read(HEAD_BYTES)
    size = int.from_bytes(head, "big")
    if len(head) < HEAD_BYTES:
        return None
    data = stream.read(size)
    return data if len(data) == size else None


def _write(stream: BinaryIO, *frames: bytes) -> None:
    for frame in frames:
        stream.write(framed(frame))
    stream.flush()
