"""One run of one fragment: its connections, leaves and streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Final, TypeAlias

import attrs
import duckdb
import pyarrow as pa

from ffq.engine import types
from ffq.engine.batches import bounded, usual_schema
from ffq.engine.cancel import CancelToken
from ffq.engine.counted import count, held
from ffq.engine.custom import OperatorInput, operator_reader
from ffq.engine.faults import Faults, binding_error
from ffq.engine.fetched import fetched_sql, files_of_rows, rows_to_fetch, scan_of_rows
from ffq.engine.inline import inline_source
from ffq.engine.kept import KeptCursor, Prepared
from ffq.engine.operators import OperatorRegistry
from ffq.engine.oracle import TypeOracle
from ffq.engine.profile import EngineProfile, profile_of, start_profile
from ffq.engine.readers import guarded, taken_schema
from ffq.engine.scans import Source, scan_source
from ffq.engine.sql import ColumnInfo, Columns, select_list
from ffq.engine.translated import Translations
from ffq.engine.writes import COUNT, STAGED, StagedFile, commit, stage_rows
from ffq.errors import PlanningError, UnsupportedPlan
from ffq.ids import AttemptKey
from ffq.messages import ScanSplit, TableFormat
from ffq.plan import model
from ffq.plan.bound import Match
from ffq.plan.inline import InlineTable
from ffq.plan.model import Node
from ffq.plan.names import PlainColumn, marked_type, marks_of, type_mark
from ffq.plan.walk import node_name, walk_stage

BATCH_ROWS: Final = 64 * 1024
VARYING_BATCH_ROWS: Final = 16 * 1024
"""Where a row may be long: DuckDB counts rows, not bytes, and holds a batch whole."""

_LEAVE_MORE: Final = (
    model.Custom,
    model.Write,
    model.Commit,
    model.Inline,
    model.FetchedRows,
)
"""They have several connections, or tables of their own."""

ReaderFactory: TypeAlias = Callable[[], pa.RecordBatchReader]


@attrs.frozen
class FragmentSpec:
    """What to run.

    Attributes:
        fragment: a stage's subtree, as `ffq.plan.stages.cut` gives it.
        scans: by number of the ParquetScan in the stage's walk order, the files it reads.
        formats: by the same number, how these are read that do not say so themselves.
        shuffles: by number of the ShuffleRead in the stage's walk order, what opens its input.
            Each is called once, on the running thread.
        key: whose files a Write's are; needed for writes only.
        inline: the tables of its Inline nodes.
        alone: its stage has no other task.
        input_bytes: of its shuffles all together; None: not known.
    """

    fragment: Node
    scans: Mapping[int, Sequence[ScanSplit]] = attrs.field(factory=dict)
    formats: Mapping[int, TableFormat] = attrs.field(factory=dict, kw_only=True)
    shuffles: Mapping[int, ReaderFactory] = attrs.field(factory=dict)
    key: AttemptKey | None = None
    inline: Sequence[InlineTable] = ()
    alone: bool = False
    input_bytes: int | None = None


@attrs.frozen
class Stream:
    """Batches under the plan's column names, read once."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


class FragmentRun:
    """Runs one fragment. Everything it opens is closed with `closing`.

    read: of what files; of those of a FetchedRows the ones that rows are wanted of.
    counted: called before a fragment is bound of which all streams have few rows, which the engine
    has counted then. So of semi and anti joins by ranges: the largest tables there are files, and
    which side is built on only the engine says, by how many rows it takes each to have.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        kept: KeptCursor,
        spec: FragmentSpec,
        registry: OperatorRegistry,
        translations: Translations,
        cancel: CancelToken,
        faults: Faults,
        closing: ExitStack,
        counted: Callable[[], None],
    ) -> None:
        nodes = list(walk_stage(spec.fragment))
        several = (model.Custom, model.FetchedRows)
        chooses = any(
            isinstance(node, model.RangeJoin) and node.match in {Match.SEMI, Match.ANTI}
            for node in nodes
        )
        self._counts = chooses and not any(isinstance(node, several) for node in nodes)
        self._counted = counted
        self._connection = connection
        self._kept = kept
        self._prepared: Prepared | None = None
        self._spec = spec
        self._registry = registry
        self._translations = translations
        self._known = translations.known
        self._cancel = cancel
        self._faults = faults
        self._closing = closing
        self._scans = 0
        self._reads = 0
        self._inline = 0
        self._tables = {each.name: each for each in spec.inline}
        self._profiled: list[duckdb.DuckDBPyConnection] = []
        self.read: list[ScanSplit] = []

    def profile(self) -> EngineProfile:
        """Of all its queries; once all streams were read to their ends."""
        return sum(map(profile_of, self._profiled), start=EngineProfile())

    def stream(self, fragment: Node) -> Stream:
        """Start the fragment, or the part of it below a custom operator.

        Raises as `Translator.query`, and duckdb.Error for what fails before the first rows.
        """
        cursor, oracle, sql, columns = self._query(fragment)
        if self._counts:
            self._counted()
        try:
            relation = cursor.sql(sql) if self._prepared is None else self._prepared.query(sql)
        except duckdb.Error as error:
            oracle.check_unasked()
            if isinstance(error, duckdb.BinderException):
                raise binding_error("the fragment", error) from error
            raise
        varying = any(types.varies_in_size(column.type) for column in columns)
        reader = relation.to_arrow_reader(VARYING_BATCH_ROWS if varying else BATCH_ROWS)
        self._closing.callback(reader.close)
        # What crosses an exchange is found by more than its name, and may hold states of any size.
        exchanged = isinstance(fragment, model.ShuffleWrite)
        usual = usual_schema(reader.schema, nested=not exchanged)
        fields = [usual.field(at).with_name(column.name) for at, column in enumerate(columns)]
        if exchanged:
            pairs = zip(fields, columns, strict=True)
            fields = [field.with_metadata(_marks(column)) for field, column in pairs]
        schema = pa.schema(fields)
        return Stream(schema, (part for batch in reader for part in bounded(batch, schema)))

    def _query(self, fragment: Node) -> tuple[duckdb.DuckDBPyConnection, TypeOracle, str, Columns]:
        """The fragment's SQL, and a connection of its own that has all that it reads."""
        cursor = self._cursor()
        self._closing.enter_context(self._cancel.interrupting(cursor.interrupt))
        oracle = TypeOracle(cursor, self._known)
        sql, columns = self._translations.query(fragment, oracle, _Leaves(self, cursor))
        if self._prepared is None:
            start_profile(cursor)
        self._profiled.append(cursor)
        return cursor, oracle, sql, columns

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """One that is there already, unless what is left on it is more than it lets go of."""
        more = any(isinstance(node, _LEAVE_MORE) for node in walk_stage(self._spec.fragment))
        if not (more or self._counts):
            self._prepared = self._closing.enter_context(self._kept.use(self._cancel))
            return self._prepared.cursor
        cursor = self._connection.cursor()
        self._closing.callback(cursor.close)
        return cursor

    def next_scan(self, node: model.ParquetScan, cursor: duckdb.DuckDBPyConnection) -> Source:
        leaf, self._scans = self._scans, self._scans + 1
        splits, format_ = self._spec.scans.get(leaf, ()), self._spec.formats.get(leaf)
        self.read += splits
        return scan_source(node, splits, cursor, format_, self._known.footers)

    def next_inline(self, node: model.Inline, cursor: duckdb.DuckDBPyConnection) -> Source:
        leaf, self._inline = self._inline, self._inline + 1
        table = self._tables.get(node.table)
        if table is None:
            raise PlanningError(f"Inline: this run was given no rows of table {node.table!r}")
        return inline_source(node, table, f"inline_{leaf}", cursor)

    def next_read(self, cursor: duckdb.DuckDBPyConnection) -> Source:
        leaf, self._reads = self._reads, self._reads + 1
        factory = self._spec.shuffles.get(leaf)
        if factory is None:
            raise PlanningError(f"ShuffleRead {leaf} of the stage was given no input")
        return self._exchanged(factory(), f"shuffle_{leaf}", cursor, "a shuffle input has")

    def _exchanged(
        self, reader: pa.RecordBatchReader, name: str, cursor: duckdb.DuckDBPyConnection, who: str
    ) -> Source:
        """Rows as they cross an exchange, as what they were before it."""
        source = self._register(reader, name, cursor, who)
        found = [PlainColumn.marked(field.name, field.metadata) for field in reader.schema]
        columns = [
            attrs.evolve(column, qualifier=mark.qualifier, merged=mark.merged)
            for column, mark in zip(source.columns, found, strict=True)
        ]
        outputs = []
        for at, field in enumerate(reader.schema):
            kind = marked_type(field.metadata)
            if kind is None:
                outputs.append(f"c{at}")
                continue
            columns[at] = attrs.evolve(columns[at], type=types.known_type(kind))
            outputs.append(f"CAST(c{at} AS {columns[at].type})")
        return Source(f"SELECT {select_list(outputs)} FROM ({source.sql})", tuple(columns))

    def run_custom(self, node: model.Custom, cursor: duckdb.DuckDBPyConnection) -> Source:
        operator = self._registry.get(node.op_name)
        if operator is None:
            known = ", ".join(sorted(self._registry.names())) or "none"
            raise PlanningError(
                f"Custom: operator {node.op_name!r} is not loaded here; loaded: {known}"
            )
        stream = self.stream(node.input)
        source = OperatorInput(operator, stream.batches, stream.schema, self._faults, self._cancel)
        self._closing.callback(source.close)
        instances = self._registry.instances
        reader = operator_reader(node, operator, source, instances, self._faults, self._cancel)
        for field in reader.schema:
            if reason := types.unkept(field.type):
                raise UnsupportedPlan(
                    f"operator {node.op_name!r} gives out column {field.name!r} of type "
                    f"{field.type}, whose values this engine would change: {reason}"
                )
        name, who = f"custom_{id(reader)}", f"operator {node.op_name!r} gives out"
        return self._register(reader, name, cursor, who)

    def run_fetch(self, node: model.FetchedRows, cursor: duckdb.DuckDBPyConnection) -> Source:
        """Runs what is below to its end before it returns; the source reads the rows' columns."""
        below = self.stream(model.ShuffleWrite(node.input, model.SinglePartitioning()))
        rows = rows_to_fetch(node, below.schema, below.batches)
        leaf, self._scans = self._scans, self._scans + 1
        splits, format_ = self._spec.scans.get(leaf, ()), self._spec.formats.get(leaf)
        name = f"rows_{leaf}"
        paths = files_of_rows(node, rows, splits)
        # Those without rows show what columns there are.
        read = [split for split in splits if split.empty or split.path in paths]
        read = read or [split.without_rows() for split in splits[:1]]
        self.read += read
        scan = scan_of_rows(
            node, rows, paths, read, cursor, format_, self._known.footers, f"wanted_{leaf}"
        )
        given = self._exchanged(rows.numbered.to_reader(), name, cursor, "a FetchedRows has")
        return fetched_sql(node, given, scan)

    def run_write(self, node: model.Write, cursor: duckdb.DuckDBPyConnection) -> Source:
        """Writes all rows before it returns; the source has the files."""
        writing, oracle, sql, columns = self._query(node.input)
        try:
            files = stage_rows(node, self._key(node), sql, columns, writing)
        except duckdb.Error:
            oracle.check_unasked()
            raise
        rows = [attrs.asdict(file) for file in files]
        return self._rows(pa.Table.from_pylist(rows, STAGED), "staged", cursor)

    def run_commit(self, node: model.Commit, cursor: duckdb.DuckDBPyConnection) -> Source:
        """Files are visible when it returns."""
        names = self.stream(node.input)
        if names.schema.names != STAGED.names:
            raise PlanningError(f"Commit: its input has columns {', '.join(names.schema.names)}")
        files = [StagedFile(**row) for batch in names.batches for row in batch.to_pylist()]
        rows = commit(node.target, self._key(node), files, self._cancel)
        return self._rows(pa.table({"Count": [rows]}, COUNT), "committed", cursor)

    def _key(self, node: Node) -> AttemptKey:
        if self._spec.key is None:
            raise PlanningError(f"{node_name(node)}: this run is no attempt of a query")
        return self._spec.key

    def _rows(self, table: pa.Table, name: str, cursor: duckdb.DuckDBPyConnection) -> Source:
        return self._register(table.to_reader(), name, cursor, f"{name} files have")

    def _register(
        self, reader: pa.RecordBatchReader, name: str, cursor: duckdb.DuckDBPyConnection, who: str
    ) -> Source:
        """`who` gives the stream, in words that a column may follow."""
        names = reader.schema.names
        self._closing.callback(reader.close)
        try:
            stream = guarded(reader, self._faults, self._cancel)
            if self._counts:
                stream, self._counts = held(stream)
            if self._prepared is None:
                cursor.register(name, stream)
            else:
                self._prepared.register(name, stream)
            kinds = self._kinds(stream.schema, name, cursor)
            if self._counts:
                table = count(name, kinds, cursor)
                name, self._counts = table or name, table is not None
        except duckdb.Error as error:
            unknown = (field for field in reader.schema if not _is_taken(field.type, cursor))
            field = next(unknown, None)
            if field is None:
                raise
            raise UnsupportedPlan(
                f"{who} column {field.name!r} of type {field.type}, which this engine does not take"
            ) from error
        pairs = enumerate(kinds[: len(names)])
        travelling = [types.travelling(f"c{at}", kind) for at, kind in pairs]
        outputs = select_list(sql for sql, _ in travelling)
        columns = (
            ColumnInfo(name, kind) for name, (_, kind) in zip(names, travelling, strict=True)
        )
        return Source(f"SELECT {outputs} FROM {name}", tuple(columns))

    def _kinds(
        self, schema: pa.Schema, name: str, cursor: duckdb.DuckDBPyConnection
    ) -> tuple[str, ...]:
        """The engine's types of a registered stream's columns."""
        asked = schema.serialize().to_pybytes()  # an Arrow type may be another one by its metadata
        kinds = self._known.streams.get(asked)
        if kinds is None:
            rows = cursor.execute(f"DESCRIBE SELECT * FROM {name}").fetchall()
            kinds = tuple(kind for _, kind, *_ in rows)
            self._known.streams.keep(asked, kinds, len(asked) + sum(map(len, kinds)))
        return kinds


def _is_taken(kind: pa.DataType, cursor: duckdb.DuckDBPyConnection) -> bool:
    """Whether DuckDB reads Arrow columns of this type."""
    schema = taken_schema(pa.schema([("", kind)]))
    try:
        cursor.from_arrow(pa.RecordBatchReader.from_batches(schema, []))
    except duckdb.Error:
        return False
    return True


def _marks(column: ColumnInfo) -> dict[bytes, bytes]:
    is_other = types.carried(column.type) != column.type
    return marks_of(column) | (type_mark(column.type) if is_other else {})


@attrs.frozen
class _Leaves:
    """The run's leaves, for the connection that reads them."""

    run: FragmentRun
    cursor: duckdb.DuckDBPyConnection

    def scan(self, node: model.ParquetScan) -> Source:
        return self.run.next_scan(node, self.cursor)

    def inline(self, node: model.Inline) -> Source:
        return self.run.next_inline(node, self.cursor)

    def read(self, node: model.ShuffleRead) -> Source:
        del node
        return self.run.next_read(self.cursor)

    def custom(self, node: model.Custom) -> Source:
        return self.run.run_custom(node, self.cursor)

    def write(self, node: model.Write) -> Source:
        return self.run.run_write(node, self.cursor)

    def commit(self, node: model.Commit) -> Source:
        return self.run.run_commit(node, self.cursor)

    def fetch(self, node: model.FetchedRows) -> Source:
        return self.run.run_fetch(node, self.cursor)
