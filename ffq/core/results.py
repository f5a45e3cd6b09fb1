"""The results store: uploads of sink attempts, piece by piece (R26).

Scheduling says whether an upload belongs to an attempt that counts, and keeps the account of
bytes; only then is the piece stored. An upload without a key is whole, and replaces the one before.
"""

from __future__ import annotations

import attrs

from ffq.core.machine import Ask, Machine, Notice, Party, Table
from ffq.errors import InvariantViolated, NotReady
from ffq.ids import AttemptKey, QueryId
from ffq.messages import (
    AdmitResult,
    DropQueryResults,
    DropResults,
    Payload,
    ProposeResult,
    ReadResult,
    RegisterQueryResults,
    RegisterReply,
    ResultParts,
    StoreResult,
)


@attrs.define(eq=False)
class _Upload:
    """`pieces`: payloads by their offset, contiguous from 0."""

    pieces: dict[int, Payload] = attrs.field(factory=dict)
    total_bytes: int = 0
    complete: bool = False

    def has(self, msg: RegisterQueryResults) -> bool:
        """Whether this very piece is stored: its answer was lost and it came again."""
        ends_it = self.complete and msg.offset + len(msg.content) == self.total_bytes
        return self.pieces.get(msg.offset) == msg.content and ends_it == msg.last

    def add(self, msg: RegisterQueryResults) -> None:
        """Store a piece that continues the upload."""
        self.pieces[msg.offset] = msg.content
        self.total_bytes += len(msg.content)
        self.complete = msg.last


@attrs.define(eq=False)
class ResultsState:
    """Uploads by query and attempt; a query without uploads is not kept."""

    queries: dict[QueryId, dict[AttemptKey, _Upload]] = attrs.field(factory=dict)
    version: int = 0
    notices: list[Notice] = attrs.field(factory=list)

    def upload(self, key: AttemptKey) -> _Upload:
        """What is stored of an attempt's result; an empty upload when nothing is."""
        return self.queries.get(key.query_id, {}).get(key) or _Upload()

    def held_bytes(self) -> int:
        """Bytes of all uploads."""
        return sum(
            upload.total_bytes for uploads in self.queries.values() for upload in uploads.values()
        )


async def register_query_results(ask: Ask, msg: RegisterQueryResults) -> RegisterReply:
    """Store a piece of a result, if scheduling admits it (R13, R26).

    Done while the store is held: two callers at a time, or one who leaves, cannot make the account
    of scheduling differ from what is stored.
    """
    admission = await ask(await ask(ProposeResult(msg)))
    return await ask(StoreResult(msg, admission))


def propose_result(state: ResultsState, msg: ProposeResult, _now_ms: int) -> AdmitResult:
    """What the upload would amount to.

    A piece that does not continue its upload is a problem that scheduling raises, if the
    attempt counts at all.
    """
    piece = msg.piece
    if piece.key is None:
        return AdmitResult(piece.query_id, None, len(piece.content), complete=True)
    upload = state.upload(piece.key)
    if upload.has(piece):
        return AdmitResult(piece.query_id, piece.key, upload.total_bytes, upload.complete)
    problem = ""
    if upload.complete:
        problem = f"is complete, the piece at offset {piece.offset} is not part of it"
    elif piece.offset != upload.total_bytes:
        problem = f"continues at offset {upload.total_bytes}, not {piece.offset}"
    total = upload.total_bytes + len(piece.content)
    return AdmitResult(piece.query_id, piece.key, total, piece.last, problem)


def store_result(state: ResultsState, msg: StoreResult, _now_ms: int) -> RegisterReply:
    """Store what was proposed, if scheduling counts it (R13)."""
    piece, admission = msg.piece, msg.admission
    if admission.counted and admission.key is not None:
        upload = state.upload(admission.key)
        if not upload.has(piece):
            if piece.key is None:
                upload = _Upload()  # the whole anew: it replaces the one before
            upload.add(piece)
            state.queries.setdefault(piece.query_id, {})[admission.key] = upload
            state.version += 1
    return RegisterReply(admission.counted, admission.worker_id)


def drop_results(state: ResultsState, msg: DropResults, _now_ms: int) -> None:
    """Forget these attempts' uploads. What is not there is no error."""
    for key in msg.keys:
        uploads = state.queries.get(key.query_id, {})
        if uploads.pop(key, None) is not None:
            state.version += 1
            if not uploads:
                del state.queries[key.query_id]


def drop_query_results(state: ResultsState, msg: DropQueryResults, _now_ms: int) -> None:
    """Forget all uploads of a query (R27)."""
    if state.queries.pop(msg.query_id, None) is not None:
        state.version += 1


def read_result(state: ResultsState, msg: ReadResult, _now_ms: int) -> ResultParts:
    """The payloads of these attempts, in the order asked for.

    Raises:
        NotReady: one of them is not complete, or not held any more.
    """
    parts = []
    for key in msg.keys:
        upload = state.upload(key)
        if not upload.complete:
            raise NotReady(f"the result of attempt {key} is not held")
        parts.append(tuple(upload.pieces.values()))
    return ResultParts(tuple(parts))


def validate(state: ResultsState) -> None:
    """Raises InvariantViolated, naming what is inconsistent."""
    for query_id, uploads in state.queries.items():
        if not uploads:
            raise InvariantViolated(f"results: query {query_id} is kept without uploads")
        for key, upload in uploads.items():
            end = 0
            for offset, piece in upload.pieces.items():
                if offset != end:
                    raise InvariantViolated(f"results: {key} has a gap at byte {end}")
                end += len(piece)
            if end != upload.total_bytes or key.query_id != query_id:
                raise InvariantViolated(f"results: the upload of {key} is miscounted")


RESULTS = Table[ResultsState](Party.RESULTS, validate)
RESULTS.holds(RegisterQueryResults)(register_query_results)
RESULTS.reads(ProposeResult)(propose_result)
RESULTS.changes(StoreResult)(store_result)
RESULTS.reads(ReadResult)(read_result)
RESULTS.changes(DropResults)(drop_results)
RESULTS.changes(DropQueryResults)(drop_query_results)


def results_machine() -> Machine[ResultsState]:
    return Machine(RESULTS, ResultsState())
