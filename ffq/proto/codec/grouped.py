"""Assignments by stage: what is the same for all of a stage is said once, and its plan by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from ffq.ids import StageId
from ffq.messages import Assignment
from ffq.proto import ffq_ext_pb2 as ext
from ffq.proto.codec.tasks import decode_inputs, decode_scans, encode_inputs, encode_scans
from ffq.proto.codec.values import attempt_key, decode_layout


def encode_grouped(
    tasks: Iterable[Assignment], digest_of: Callable[[bytes], bytes]
) -> list[ext.StageTasks]:
    """In their order: those of a stage that follow each other are a group."""
    return [_encode_group(list(each), digest_of) for _, each in groupby(tasks, _shared)]


def _shared(task: Assignment) -> tuple[object, ...]:
    """What a group says once."""
    return (
        task.key.query_id,
        task.key.stage_id,
        task.layout,
        task.task_count,
        task.split_count,
        task.inlined,
        task.plan_bytes,
    )


def _encode_group(tasks: list[Assignment], digest_of: Callable[[bytes], bytes]) -> ext.StageTasks:
    first = tasks[0]
    return ext.StageTasks(
        query_id=first.key.query_id,
        stage_id=first.key.stage_id,
        plan_digest=digest_of(first.plan_bytes),
        layout_version=first.layout.version,
        layout_fingerprint=first.layout.fingerprint,
        task_count=first.task_count,
        split_count=first.split_count,
        inlined_stages=first.inlined,
        tasks=[
            ext.StageTask(
                task_id=task.key.task_id,
                attempt=task.key.attempt,
                reduce_partitions=task.reduce_partitions,
                scans=encode_scans(task.scans),
                inputs=encode_inputs(task.inputs),
            )
            for task in tasks
        ],
    )


def decode_group(group: ext.StageTasks, plan_bytes: bytes) -> Iterator[Assignment]:
    """`plan_bytes`: of its digest. Raises InvalidRequest."""
    layout = decode_layout(group)
    inlined = tuple(map(StageId, group.inlined_stages))
    for task in group.tasks:
        yield Assignment(
            key=attempt_key(group.query_id, group.stage_id, task.task_id, task.attempt),
            plan_bytes=plan_bytes,
            reduce_partitions=tuple(task.reduce_partitions),
            layout=layout,
            scans=decode_scans(task.scans),
            inputs=decode_inputs(task.inputs),
            task_count=group.task_count,
            split_count=group.split_count,
            inlined=inlined,
        )
