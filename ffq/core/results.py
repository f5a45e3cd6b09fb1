"""The results store: uploads of sink attempts, piece by piece (R26).

Scheduling says whether an upload belongs to an attempt that counts, and keeps the account of
bytes; only then is the piece stored. An upload without a key is whole, and replaces the one before.
"""

from __future__ import annotations

import attrs

from ffq.core.outcome import Outcome
from ffq.errors import InvariantViolated, NotReady
from ffq.ids import AttemptKey, QueryId
from ffq.messages import (
    AdmitResult,
    DropQueryResults,
    DropResults,
    ReadResult,
    RegisterQueryResults,
    RegisterReply,
    ResultAdmission,
    ResultParts,
)


@attrs.define(eq=False)
class _Upload:
    """`pieces`: payloads by their offset, contiguous from 0."""

    pieces: dict[int, bytes] = attrs.field(factory=dict)
    total_bytes: int = 0
    complete: bool = False

    def has(self, msg: RegisterQueryResults) -> bool:
        """Whether this very piece is stored: its answer was lost and it came again."""
        ends_it = self.complete and msg.offset + len(msg.payload) == self.total_bytes
        return self.pieces.get(msg.offset) == msg.payload and ends_it == msg.last

    def add(self, msg: RegisterQueryResults) -> None:
        """Store a piece that continues the upload, or is stored already."""
        if not self.has(msg):
            self.pieces[msg.offset] = msg.payload
            self.total_bytes += len(msg.payload)
            self.complete = msg.last


class ResultsCore:
    """Takes one message and the time in ms, gives the reply. It tells nobody anything."""

    def __init__(self) -> None:
        self._queries: dict[QueryId, dict[AttemptKey, _Upload]] = {}

    def propose(self, msg: RegisterQueryResults, now_ms: int) -> AdmitResult:
        """What the upload would amount to. Changes nothing.

        A piece that does not continue its upload is a problem that scheduling raises, if the
        attempt counts at all.
        """
        del now_ms
        if msg.key is None:
            return AdmitResult(msg.query_id, None, len(msg.payload), complete=True)
        upload = self._known(msg.key)
        if upload.has(msg):
            return AdmitResult(msg.query_id, msg.key, upload.total_bytes, upload.complete)
        problem = ""
        if upload.complete:
            problem = f"is complete, the piece at offset {msg.offset} is not part of it"
        elif msg.offset != upload.total_bytes:
            problem = f"continues at offset {upload.total_bytes}, not {msg.offset}"
        total = upload.total_bytes + len(msg.payload)
        return AdmitResult(msg.query_id, msg.key, total, msg.last, problem)

    def store(
        self, msg: RegisterQueryResults, admission: ResultAdmission, now_ms: int
    ) -> Outcome[RegisterReply]:
        """Store what was proposed, if scheduling counts it (R13)."""
        del now_ms
        if admission.counted and admission.key is not None:
            uploads = self._queries.setdefault(msg.query_id, {})
            if msg.key is None:
                uploads[admission.key] = _Upload({0: msg.payload}, len(msg.payload), True)
            else:
                uploads.setdefault(admission.key, _Upload()).add(msg)
        return Outcome(RegisterReply(admission.counted, admission.worker_id))

    def _known(self, key: AttemptKey) -> _Upload:
        return self._queries.get(key.query_id, {}).get(key) or _Upload()

    def drop_results(self, msg: DropResults, now_ms: int) -> Outcome[None]:
        """Forget these attempts' uploads. What is not there is no error."""
        del now_ms
        for key in msg.keys:
            uploads = self._queries.get(key.query_id, {})
            if uploads.pop(key, None) is not None and not uploads:
                del self._queries[key.query_id]
        return Outcome(None)

    def drop_query_results(self, msg: DropQueryResults, now_ms: int) -> Outcome[None]:
        """Forget all uploads of a query (R27)."""
        del now_ms
        self._queries.pop(msg.query_id, None)
        return Outcome(None)

    def read_result(self, msg: ReadResult, now_ms: int) -> Outcome[ResultParts]:
        """The payloads of these attempts, in the order asked for.

        Raises:
            NotReady: one of them is not complete, or not held any more.
        """
        del now_ms
        parts = []
        for key in msg.keys:
            upload = self._known(key)
            if not upload.complete:
                raise NotReady(f"the result of attempt {key} is not held")
            parts.append(tuple(upload.pieces.values()))
        return Outcome(ResultParts(tuple(parts)))

    def held_bytes(self) -> int:
        """Bytes of all uploads."""
        return sum(
            upload.total_bytes for uploads in self._queries.values() for upload in uploads.values()
        )

    def validate_state(self) -> None:
        """Raises InvariantViolated, naming what is inconsistent."""
        for query_id, uploads in self._queries.items():
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
