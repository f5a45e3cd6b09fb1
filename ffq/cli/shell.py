"""`ffq sql` on a terminal, without a query: statements in, results out, until it is left."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from ffq.cli.errors import Reporting
from ffq.cli.lines import LineReader
from ffq.cli.output.consoles import note, stdout_console
from ffq.cli.output.explained import write_analyzed, write_explained
from ffq.cli.output.formats import ResultFormat
from ffq.cli.output.writer import write_result
from ffq.cli.progress import run_shown
from ffq.display.grid import Grid, print_grid, visible
from ffq.errors import FfqError
from ffq.sql.explained import is_explain, read_explain
from ffq.sql.text import is_whole, placeless

if TYPE_CHECKING:
    from ffq.client import Client, QueryHandle

HELP: Final = r"""  SELECT ... ;   run a query; it ends with a semicolon
  \d             list the tables
  \d NAME        the columns of a table, or of a file: \d 'data/*.parquet'
  \timing        show how long queries take, or no more
  \?             this
  \q             leave; Ctrl-D does too
Ctrl-C ends the query that runs, or drops the lines that are not run yet."""
_DESCRIBED: Final = 50
"""Tables whose columns are asked for, so that Tab knows them."""


@attrs.define
class Shell:
    """One user's queries, one after the other; an error ends none but its own.

    Attributes:
        tables: those that every query brings, as `Client.plan_sql` takes them.
        lines: where statements come from.
    """

    client: Client
    tables: Mapping[str, Any]
    chosen: ResultFormat
    reporting: Reporting
    lines: LineReader
    timing: bool = False
    _pending: str = ""
    _scope: trio.CancelScope | None = None

    async def run(self) -> None:
        """Returns when the user leaves."""
        note("ffq sql: a query ends with a semicolon; \\? tells more, \\q leaves")
        with trio.open_signal_receiver(signal.SIGINT) as interrupts:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._on_interrupts, interrupts)
                nursery.start_soon(self._learn)
                await self._serve()
                nursery.cancel_scope.cancel()

    async def _serve(self) -> None:
        while True:
            try:
                line = await self.lines.read("...> " if self._pending else "ffq> ")
            except KeyboardInterrupt:
                self._pending = ""
                continue
            if line is None:
                return
            if not self._pending and line.strip().startswith("\\"):
                if not await self._command(line.strip()):
                    return
                continue
            text = f"{self._pending}\n{line}" if self._pending else line
            if is_whole(text):
                self._pending = ""
                await self._guarded(self._query, text)
            else:
                self._pending = text if text.strip() else ""

    async def _command(self, line: str) -> bool:
        """False: leave."""
        word, _, rest = line.partition(" ")
        name = rest.strip().rstrip(";").strip()
        match word.rstrip(";"):
            case "\\q":
                return False
            case "\\d" if name:
                await self._guarded(self._describe, name)
            case "\\d":
                await self._guarded(self._list, "")
            case "\\timing":
                self.timing = not self.timing
                note(f"timing is {'on' if self.timing else 'off'}")
            case "\\?" | "\\h":
                note(HELP)
            case _:
                note(f"error: {visible(word)} is no command; \\? lists them")
        return True

    async def _guarded(self, work: Callable[[str], Awaitable[None]], text: str) -> None:
        """Ctrl-C and errors end this, and not the shell."""
        began = trio.current_time()
        with trio.CancelScope() as scope:
            self._scope = scope
            try:
                await work(text)
            except BrokenPipeError:
                raise
            except Exception as error:  # noqa: BLE001  # told, as the command would have told it
                self.reporting.report(error)
            finally:
                self._scope = None
        if scope.cancelled_caught:
            note("canceled")
        elif self.timing:
            note(f"{(trio.current_time() - began) * 1000:.0f} ms")

    async def _query(self, text: str) -> None:
        explain = read_explain(text) if is_explain(text) else None
        if explain is not None:
            text = explain.query
        planned = await self.client.plan_sql(text, tables=self.tables)
        if explain is not None and explain.analyze is None:
            write_explained(planned)
            return
        write = partial(write_result, chosen=self.chosen, output=None)

        async def use(handle: QueryHandle) -> None:
            if explain is not None:
                await write_analyzed(planned, handle)
            else:
                await self.client.read(handle, write)

        await run_shown(self.client, planned.plan_bytes, use)

    async def _list(self, _: str) -> None:
        _show(["table"], [[name] for name in await self._names()])

    async def _describe(self, name: str) -> None:
        found = await self._columns(name)
        _show(["column", "type"], [[column, kind] for column, kind in found])

    async def _names(self) -> list[str]:
        return list(dict.fromkeys([*self.tables, *await self.client.tables()]))

    async def _columns(self, name: str) -> list[tuple[str, str]]:
        with placeless():
            planned = await self.client.plan_sql(f"FROM {name} LIMIT 0", tables=self.tables)
        return [(one.name, one.type) for one in planned.columns]

    async def _learn(self) -> None:
        """What Tab offers."""
        try:
            names = await self._names()
            self.lines.offer(names)
            for name in names[:_DESCRIBED]:
                quoted = '"' + name.replace('"', '""') + '"'
                self.lines.offer([column for column, _ in await self._columns(quoted)])
        except FfqError:
            return  # the first query tells

    async def _on_interrupts(self, interrupts: AsyncIterator[int]) -> None:
        async for _ in interrupts:
            if self._scope is not None:
                self._scope.cancel()
            elif self._pending:  # of a reader that waits on: what it reads next begins anew
                self._pending = ""
                note("dropped")
            else:
                note("\\q or Ctrl-D leaves")


def _show(columns: list[str], rows: list[list[str]]) -> None:
    shown_rows = [[visible(cell) for cell in row] for row in rows]
    print_grid(stdout_console(), Grid(columns=columns, rows=shown_rows, right=[], title=""))
