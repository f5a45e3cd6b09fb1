"""From the text of a query to a plan, where the files of its tables can be read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final

import attrs
import pyarrow as pa

from ffq.catalog import Catalog, columns_read
from ffq.catalog.shares import stored_bytes
from ffq.engine.inline import open_inline
from ffq.errors import InvalidQuery, UnsupportedPlan
from ffq.messages import NO_CLUSTER, ClusterSize
from ffq.plan.conditions import Condition, scan_conditions
from ffq.plan.explain import Estimate, bytes_text
from ffq.plan.inline import InlineTable
from ffq.plan.model import Node, ParquetScan, WithTables
from ffq.plan.walk import stage_scans
from ffq.sql.declared import DeclaredColumns, declared_columns
from ffq.sql.distribute import distribute
from ffq.sql.exchanges import TableEstimate
from ffq.sql.explained import COLUMNS, explained, read_explain
from ffq.sql.facts import Facts, TableFacts
from ffq.sql.files import Named, name_files, parameters_left
from ffq.sql.kinds import StatementKind, statement_kind
from ffq.sql.lasting import Lasting
from ffq.sql.operators import Planner, name_operators
from ffq.sql.parameters import Parameters, Value, dump_parameters, load_parameters
from ffq.sql.parsing import QueryParser
from ffq.sql.planning import PlanningInstance
from ffq.sql.serialized import NotDistributed
from ffq.sql.sharing import with_shared
from ffq.sql.statements import InsertInto, read_statement
from ffq.sql.text import query_error
from ffq.sql.together import exchanges_of, in_one_task, reads_later, scans_of

DEFAULT_PARTITIONS: Final = 8
_USUAL_EXCHANGES: Final = 3
_ONE_WORKER_BYTES: Final = 512 << 20
"""What a query may read to be one task where one worker is all there is, over that worker's slots:
a task has a slot's share of its memory. Beyond, others wait too long for the slot, and an attempt
that is lost has done too much in vain."""


@attrs.frozen
class Prepared:
    """A plan, its columns, the tables that it reads with their sizes, and why it is cut as it is.

    The plan carries the definitions of those that no catalog has: it runs at any coordinator that
    takes them. `lasting`: what it was made of besides the question; None: it may be another plan
    each time.
    """

    plan: Node
    columns: tuple[tuple[str, str], ...]
    tables: tuple[str, ...]
    sizes: Mapping[str, Estimate] = attrs.field(factory=dict)
    choices: tuple[str, ...] = ()
    lasting: Lasting | None = attrs.field(default=None, repr=False, eq=False)


@attrs.frozen
class Query:
    """What is to be planned.

    Attributes:
        parameters: by name; those given by place are named 1, 2, ...
        tables: definitions, as entries of a catalog file, each in JSON.
        folder: from where relative paths in the text are meant.
        partitions: how many an exchange has; 0: as many as are thought right.
        client_tables: whether it may bring tables, or name files, at all.
        inline: tables with their rows; of those without bytes only the names are known.
        cluster: what is to run it, as far as that is known.
        one_task_bytes: a query of up to four exchanges that reads less, stored, is one task; one
            of more may read as much again for each; 0: none is. Where the cluster is one worker,
            it may read far more.
    """

    sql: str
    parameters: Mapping[str, Value] = attrs.field(factory=dict)
    tables: tuple[str, ...] = ()
    folder: str = "/"
    partitions: int = 0
    client_tables: bool = True
    inline: tuple[InlineTable, ...] = ()
    cluster: ClusterSize = NO_CLUSTER
    one_task_bytes: int = 0


class Preparer:
    """Plans queries over a catalog's tables, and those that they bring.

    declared: what operators give out; if not said, those of this process.
    """

    def __init__(self, catalog: Catalog, declared: DeclaredColumns = declared_columns) -> None:
        self._catalog = catalog
        self._declared = declared
        self._parser = QueryParser()
        self._facts = Facts()
        self._idle: PlanningInstance | None = None

    def close(self) -> None:
        self._parser.close()
        self._facts.close()
        if self._idle is not None:
            self._idle.close()

    @contextmanager
    def _instance(
        self, facts: Mapping[str, TableFacts], samples: Mapping[str, pa.Table]
    ) -> Iterator[PlanningInstance]:
        """One over these tables. It is kept for the next query, unless anything failed in it."""
        instance, self._idle = self._idle or PlanningInstance({}), None
        try:
            columns = {name: each.columns for name, each in facts.items()}
            instance.hold(columns, samples)
            yield instance
        except BaseException:
            instance.close()
            raise
        self._idle = instance

    def prepare(self, query: Query) -> Prepared:
        """
        Raises:
            InvalidQuery: what is wrong with the query, and where in its text.
            InvalidRequest: a table's definition, or a parameter's value, that is none.
            UnsupportedPlan: names what is not distributed.
            StorageError: a table without files, or one that cannot be read.
        """
        kind = statement_kind(query.sql)
        if kind is StatementKind.EXPLAIN:
            return self._explained(query)
        statement = read_statement(
            query.sql,
            kind,
            folder=query.folder,
            paths=query.client_tables,
        )
        query, write = attrs.evolve(query, sql=statement.query), statement.write
        if not isinstance(write, InsertInto):
            prepared = self._planned(query)
            return prepared if write is None else _writing(prepared, write.over)
        given = [name for name, _ in self._planned(query).columns]
        catalog = self._catalog.over(query.tables)
        inline = tuple(each.name for each in query.inline)
        write = attrs.evolve(write, table=_known(write.table, (*catalog.names(), *inline)))
        if write.table in inline:
            raise InvalidQuery(
                f"INSERT INTO: table {write.table!r} has the rows that came with the query, and "
                "takes none; right would be a table that is a folder of Parquet files"
            )
        _brought(query, write.table)
        query = attrs.evolve(
            query, sql=write.query(query.sql, given, self._facts.of(catalog, write.table).columns)
        )
        return _writing(self._planned(query, write.table), write.over)

    def _explained(self, query: Query) -> Prepared:
        explain = read_explain(query.sql)
        prepared = self.prepare(attrs.evolve(query, sql=explain.query))
        if explain.analyze:
            raise explain.refused()
        return Prepared(explained(prepared.plan, prepared.sizes, prepared.choices), COLUMNS, ())

    def _planned(self, query: Query, *written: str) -> Prepared:
        """The plan of the rows. `written`: a table that they go to, which the plan must know."""
        parsed = self._parser.parse(query.sql)
        catalog = self._catalog.over(query.tables)
        inline = {each.name: each for each in query.inline}
        named = name_files(
            parsed,
            tuple(dict.fromkeys((*catalog.names(), *inline))),
            query.parameters,
            folder=query.folder,
            allowed=query.client_tables,
        )
        own = _brought(query, *named.tables, *written)
        catalog = catalog.over(named.files)
        used = tuple(inline[name] for name in named.tables if name in inline)
        with ExitStack() as files:
            opened = {each.name: files.enter_context(open_inline(each)) for each in used}
            facts = {
                name: self._facts.of_inline(inline[name], opened[name])
                if name in opened
                else self._facts.of(catalog, name)
                for name in named.tables
            }
            samples = self._facts.samples(facts)
        choices: list[str] = []
        cut = partial(
            distribute,
            partitions=query.partitions,
            estimates={name: _estimate(each, samples.get(name)) for name, each in facts.items()},
            choices=choices,
            inline=opened.keys(),
            cluster=query.cluster,
        )
        try:
            with self._instance(facts, samples) as instance:
                planner = Planner(self._parser, instance, cut, self._declared)
                left = parameters_left(parsed, query.parameters)
                operators = name_operators(named, parsed, left, planner)
                planned = instance.plan(operators.named, operators.parameters)
                plan = operators.put_into(cut(planned, operators.volatile))
        except NotDistributed as error:
            raise _placed(error, named, query) from None
        plan, said = _small_in_one_task(plan, query, facts, catalog)
        if said and reads_later(plan):  # nothing is exchanged that could be read later
            plan = operators.put_into(cut(planned, operators.volatile, reads_later=False))
            plan, said = _small_in_one_task(plan, query, facts, catalog)
        if not said:
            plan, spared = with_shared(plan)
            if spared:
                choices.append(f"what is exchanged twice alike is computed once: {spared} less")
        definitions = (*own, *named.files)
        if definitions or used:
            plan = WithTables(tuple(map(_canonical, definitions)), plan, used)
        columns = tuple(zip(planned.names, planned.types, strict=True))
        sizes = {name: each.size for name, each in facts.items()}
        stored = {name: each for name, each in facts.items() if name not in opened}
        # What an operator declares is its module's, which may tell another thing next time.
        lasting = None if parsed.operators else Lasting(query.sql, definitions, stored)
        return Prepared(plan, columns, named.tables, sizes, said or tuple(choices), lasting)


def _brought(query: Query, *used: str) -> tuple[str, ...]:
    """The definitions that it brings of the tables that it uses; others hurt nobody.

    Raises:
        InvalidQuery: there are some, and it may bring none.
    """
    names = Catalog.of(()).over(query.tables).names()
    inline = {each.name: each for each in query.inline if each.name in used}
    own = {
        name: each
        for name, each in zip(names, query.tables, strict=True)
        if name in used and name not in inline
    }
    if (own or inline) and not query.client_tables:
        raise InvalidQuery(
            "this coordinator takes no tables from clients, and so not "
            f"{', '.join((*own, *inline))}"
        )
    for each in inline.values():
        if not each.parquet:
            raise InvalidQuery(
                f"the rows of table {each.name!r} did not come with the query: they do where its "
                "text holds that name as it is"
            )
    return tuple(own.values())


def _small_in_one_task(
    plan: Node, query: Query, facts: Mapping[str, TableFacts], catalog: Catalog
) -> tuple[Node, tuple[str, ...]]:
    """A query that reads little costs more to share out than to run; and says so. Who says how many
    partitions there are to be gets them.

    Each exchange makes its query wait for a stage, which takes about what reading half of the bound
    does. So a query of many may read more. Where there is one worker, nobody is there to share it
    out to: its engine has all threads for one task as well.
    """
    if query.partitions or not query.one_task_bytes or not facts:
        return plan, ()
    most = query.one_task_bytes * max(1, exchanges_of(plan) - _USUAL_EXCHANGES)
    if query.cluster.workers == 1:
        most = max(most, _ONE_WORKER_BYTES // query.cluster.slots)
    whole = in_one_task(plan)
    if whole is None:
        return plan, ()
    rows = sum(len(each.parquet) for each in query.inline if each.name in facts)
    read = rows + sum(facts[scan.table].stored_bytes(columns_read(scan)) for scan in scans_of(plan))
    if read >= most:
        asked = zip(stage_scans(whole), scan_conditions(whole), strict=True)
        read = rows + sum(_asked_bytes(*each, facts, catalog) for each in asked)
    if read >= most:
        return plan, ()
    bound = bytes_text(most)
    return whole, (f"the query is one task: it reads about {bytes_text(read)}, less than {bound}",)


def _asked_bytes(
    scan: ParquetScan,
    condition: Condition | None,
    facts: Mapping[str, TableFacts],
    catalog: Catalog,
) -> int:
    """What a scan reads of its files when row groups are left out that have no row it asks for."""
    columns = columns_read(scan)
    if condition is None or scan.table not in catalog:
        return facts[scan.table].stored_bytes(columns)
    found = catalog.scan_shares(scan.table, 2**62, 1, condition)
    (splits,) = found.shares
    return stored_bytes(scan.table, splits, found.format, columns)


def _estimate(facts: TableFacts, sample: pa.Table | None) -> TableEstimate:
    widths = {}
    if sample is not None and sample.num_rows:
        columns = zip(sample.column_names, sample.columns, strict=True)
        widths = {name: column.nbytes / sample.num_rows for name, column in columns}
    size = facts.size.files_bytes or 0
    return TableEstimate(facts.rows, size, widths, facts.tiny, facts, facts.numbered)


def _writing(prepared: Prepared, over: Callable[[Node], Node]) -> Prepared:
    """The plan with a write over its rows. Tables that it brings stay at its root."""
    plan = prepared.plan
    plan = (
        attrs.evolve(plan, input=over(plan.input)) if isinstance(plan, WithTables) else over(plan)
    )
    return attrs.evolve(prepared, plan=plan, columns=(("Count", "BIGINT"),), lasting=None)


def _known(table: str, names: Iterable[str]) -> str:
    """The table of that name; in the text its case says nothing."""
    names = tuple(names)
    found = table if table in names else {name.lower(): name for name in names}.get(table.lower())
    if found is None:
        listed = ", ".join(names) or "none"
        raise InvalidQuery(f"INSERT INTO: no such table: {table!r}; there are: {listed}")
    return found


def _placed(error: NotDistributed, named: Named, query: Query) -> UnsupportedPlan:
    at = None if error.at is None else named.sql.original(error.at)
    placed = query_error(error.message, query.sql.encode(), at)
    return UnsupportedPlan(placed.message)


def prepare(
    sql: str,
    tables: Mapping[str, str | Sequence[str]] | None = None,
    parameters: Parameters | None = None,
    *,
    partitions: int = DEFAULT_PARTITIONS,
) -> Prepared:
    """A query over files, planned in this process: as `Preparer.prepare`.

    Args:
        tables: a path, folder or glob, or several, by the name of their table.
    """
    given = tables or {}
    entries = [
        {"name": name, "paths": list(map(_absolute, _listed(where)))}
        for name, where in given.items()
    ]
    preparer = Preparer(Catalog.of(()))
    try:
        return preparer.prepare(
            Query(
                sql,
                load_parameters(dump_parameters(parameters)),
                tuple(map(json.dumps, entries)),
                os.getcwd(),
                partitions,
            )
        )
    finally:
        preparer.close()


def _absolute(where: str) -> str:
    return where if "://" in where else os.path.abspath(where)


def _listed(where: str | Sequence[str]) -> Sequence[str]:
    return [where] if isinstance(where, str) else where


def _canonical(definition: str) -> str:
    return json.dumps(json.loads(definition), sort_keys=True, separators=(",", ":"))
