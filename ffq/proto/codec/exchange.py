"""The messages of a worker's stream."""

from __future__ import annotations

from ffq.errors import InvalidRequest
from ffq.messages import (
    AttemptEnd,
    EndAnswer,
    FromWorker,
    RegisterMapOutput,
    RegisterQueryResults,
    ToWorker,
)
from ffq.proto import ffq_ext_pb2 as ext
from ffq.proto.codec.liveness import (
    decode_heartbeat,
    decode_heartbeat_reply,
    encode_heartbeat,
    encode_heartbeat_reply,
)
from ffq.proto.codec.outputs import (
    decode_map_output,
    decode_results,
    encode_map_output,
    encode_results,
)
from ffq.proto.codec.tasks import (
    decode_assignment,
    decode_report,
    encode_assignment,
    encode_report,
)
from ffq.proto.codec.values import bounded, decode_key, encode_ref


def encode_from_worker(message: FromWorker) -> ext.WorkRequest:
    """It takes assignments by stage: `grouped.decode_group`."""
    return ext.WorkRequest(
        beat=None if message.beat is None else encode_heartbeat(message.beat),
        limit=message.limit,
        limit_ms=message.limit_ms,
        ends=[encode_end(each) for each in message.ends],
        by_stage=True,
        ahead=message.ahead,
    )


def decode_from_worker(message: ext.WorkRequest) -> FromWorker:
    """Raises InvalidRequest."""
    beat = decode_heartbeat(message.beat) if message.HasField("beat") else None
    ends = tuple(_decode_end(each) for each in bounded(message.ends, "ends"))
    return FromWorker(beat, message.limit, message.limit_ms, ends, message.ahead)


def encode_end(end: AttemptEnd) -> ext.AttemptEnd:
    made = end.made
    return ext.AttemptEnd(
        report=encode_report(end.report),
        output=encode_map_output(made) if isinstance(made, RegisterMapOutput) else None,
        result=encode_results(made) if isinstance(made, RegisterQueryResults) else None,
        contents=end.contents,
    )


def _decode_end(message: ext.AttemptEnd) -> AttemptEnd:
    """Raises InvalidRequest."""
    made: RegisterMapOutput | RegisterQueryResults | None = None
    match message.WhichOneof("made"):
        case "output":
            made = decode_map_output(message.output)
        case "result":
            made = decode_results(message.result)
    return AttemptEnd(decode_report(message.report), made, tuple(message.contents))


def encode_to_worker(message: ToWorker, *, tasks: bool = True) -> ext.WorkResponse:
    """`tasks`: whether its assignments are encoded one by one."""
    return ext.WorkResponse(
        tasks=[encode_assignment(each) for each in message.tasks] if tasks else (),
        beat=None if message.beat is None else encode_heartbeat_reply(message.beat),
        answers=[ext.EndAnswer.ValueType(each.value) for each in message.answers],
        rest_ms=message.rest_ms,
        recalled=[encode_ref(each) for each in message.recalled],
    )


def decode_to_worker(message: ext.WorkResponse) -> ToWorker:
    """With those assignments that are in it one by one."""
    beat = decode_heartbeat_reply(message.beat) if message.HasField("beat") else None
    tasks = tuple(decode_assignment(each) for each in message.tasks)
    recalled = tuple(map(decode_key, message.recalled))
    answers = tuple(map(_decode_answer, message.answers))
    return ToWorker(tasks, beat, answers, message.rest_ms, recalled)


def _decode_answer(number: int) -> EndAnswer:
    try:
        return EndAnswer(number)
    except ValueError:
        raise InvalidRequest(f"answer {number} to an attempt's end is none that is known") from None
