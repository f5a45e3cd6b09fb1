"""What stands inside of a plan's nodes: types, literals, expressions, aggregates, windows.

Pure data. Names are those of the wire, so that an error can quote them.
"""

from __future__ import annotations

import enum
from typing import Final, TypeAlias

import attrs

from ffq.plan.bound import BoundExpr


class BinaryOperator(enum.Enum):
    """`op` of BinaryOp and of ScalarSubqueryFilter."""

    EQ = "Eq"
    NOT_EQ = "NotEq"
    LT = "Lt"
    LT_EQ = "LtEq"
    GT = "Gt"
    GT_EQ = "GtEq"
    PLUS = "Plus"
    MINUS = "Minus"
    MULTIPLY = "Multiply"
    DIVIDE = "Divide"


class JoinType(enum.Enum):
    INNER = "Inner"
    LEFT = "Left"
    RIGHT = "Right"
    FULL = "Full"
    SEMI = "Semi"
    ANTI = "Anti"


class JoinStrategy(enum.Enum):
    AUTO = "Auto"
    BROADCAST_LEFT = "BroadcastLeft"
    BROADCAST_RIGHT = "BroadcastRight"
    SHUFFLE = "Shuffle"
    SORT_MERGE = "SortMerge"


class BuildSide(enum.Enum):
    LEFT = "Left"
    RIGHT = "Right"


class AggregateFunction(enum.Enum):
    COUNT = "Count"
    COUNT_DISTINCT = "CountDistinct"
    APPROX_COUNT_DISTINCT = "ApproxCountDistinct"
    SUM = "Sum"
    MIN = "Min"
    MAX = "Max"
    AVG = "Avg"


# --- types -----------------------------------------------------------------------------------


@attrs.frozen
class DataType:
    """An Arrow type as Arrow's Rust names it: `Int64`, or `Decimal128` with arguments [15, 2].

    `arguments` holds the positional JSON values, nested lists as tuples.
    """

    name: str
    arguments: tuple[object, ...] = ()


@attrs.frozen
class Field:
    name: str
    data_type: DataType
    nullable: bool = True


@attrs.frozen
class Schema:
    fields: tuple[Field, ...]


# --- expressions -----------------------------------------------------------------------------

LiteralValue: TypeAlias = int | float | str | bool | tuple[float, ...] | None


class LiteralType(enum.Enum):
    INT64 = "Int64"
    FLOAT64 = "Float64"
    UTF8 = "Utf8"
    BOOLEAN = "Boolean"
    NULL = "Null"
    VECTOR_F32 = "VectorF32"


@attrs.frozen
class Column:
    """A column by name: exact, else qualifier and name, else by its last dotted part."""

    name: str


@attrs.frozen
class ColumnPath:
    """A column by a dotted name: exact, else qualifier and name, else a field of a struct.

    `ffq.ColumnPath` in the JSON: a word of our own, that only our workers are given. As the key of
    a join or an exchange, or among the columns of a scan, it means a whole column.
    """

    name: str


ColumnName: TypeAlias = str | ColumnPath
"""A whole column by name, where no expression may stand; a text means what a `Column` does."""


@attrs.frozen
class ColumnRef:
    """A column by position; the index wins over the name."""

    name: str
    index: int


@attrs.frozen
class Literal:
    type: LiteralType
    value: LiteralValue


@attrs.frozen
class BinaryOp:
    left: Expr
    op: BinaryOperator
    right: Expr


@attrs.frozen
class Cast:
    expr: Expr
    to_type: DataType


@attrs.frozen
class And:
    left: Expr
    right: Expr


@attrs.frozen
class Or:
    left: Expr
    right: Expr


@attrs.frozen
class Not:
    expr: Expr


@attrs.frozen
class IsNull:
    expr: Expr


@attrs.frozen
class IsNotNull:
    expr: Expr


@attrs.frozen
class CaseWhen:
    branches: tuple[tuple[Expr, Expr], ...]
    else_expr: Expr | None


@attrs.frozen
class ScalarUdf:
    name: str
    args: tuple[Expr, ...]


@attrs.frozen
class VectorDistance:
    """CosineSimilarity, L2Distance or DotProduct of a vector column and a query vector."""

    function: str
    vector: Expr
    query: Expr


@attrs.frozen
class Bound:
    """What SQL says beyond this vocabulary, over the input's columns by position."""

    tree: BoundExpr


Expr: TypeAlias = (
    Column
    | ColumnPath
    | ColumnRef
    | Literal
    | BinaryOp
    | Cast
    | And
    | Or
    | Not
    | IsNull
    | IsNotNull
    | CaseWhen
    | ScalarUdf
    | VectorDistance
    | Bound
)

OWN_EXPRESSIONS: Final = (ColumnPath, Bound)
"""Expressions that other implementations of FFQ do not know (docs/plan.md)."""


@attrs.frozen
class AggregateExpr:
    function: AggregateFunction
    argument: Expr


@attrs.frozen
class SortKey:
    expr: Expr
    asc: bool
    nulls_first: bool


@attrs.frozen
class FrameBound:
    """kind: UnboundedPreceding, Preceding, CurrentRow, Following or UnboundedFollowing."""

    kind: str
    offset: int | None = None


@attrs.frozen
class WindowFrame:
    """units: Rows, Range or Groups; exclusion: NoOthers, CurrentRow, Group or Ties."""

    units: str
    start: FrameBound
    end: FrameBound
    exclusion: str


@attrs.frozen
class WindowFunction:
    """`name` as on the wire; `argument`, `offset` (Ntile, Lag, Lead, NthValue), `default`."""

    name: str
    argument: Expr | None = None
    offset: int | None = None
    default: Expr | None = None


@attrs.frozen
class WindowExpr:
    function: WindowFunction
    partition_by: tuple[Expr, ...]
    order_by: tuple[SortKey, ...]
    frame: WindowFrame | None
    output_name: str


# --- writes ----------------------------------------------------------------------------------


class FileFormat(enum.Enum):
    PARQUET = "Parquet"
    CSV = "Csv"
    JSON = "Json"


class WriteMode(enum.Enum):
    """CREATE: nothing may be there yet. APPEND: files are added to a folder. REPLACE: what is there
    goes when the new is complete."""

    CREATE = "Create"
    APPEND = "Append"
    REPLACE = "Replace"


@attrs.frozen
class WriteTarget:
    """Where a query writes to.

    Attributes:
        path: absolute, on a file system that all workers share; or the URI of a store.
        single_file: the path is a file, written by one task; else a folder of files.
        write_id: tells one accepted query's write from any other's. The coordinator gives it;
            empty before.
    """

    path: str
    mode: WriteMode
    single_file: bool
    write_id: str = ""
