"""The fixed wire alone: protobuf classes that have no field of ffq's own.

They are made from the interface definition without the fields from 1000 up and without what only
those use, in a pool of their own. What ffq sends beyond is unknown to them, as it is to any other
implementation.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass

from ffq.proto import ffq_distributed_pb2

FIRST_EXTENSION = 1000


def _fixed_file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto()
    ffq_distributed_pb2.DESCRIPTOR.CopyToProto(file)
    for message in file.message_type:
        for at in reversed(range(len(message.field))):
            if message.field[at].number >= FIRST_EXTENSION:
                del message.field[at]
    needed = {f".{file.package}.{name}" for name in _methods(file)}
    messages = {f".{file.package}.{each.name}": each for each in file.message_type}
    pending = list(needed)
    while pending:
        for field in messages[pending.pop()].field:
            if field.type_name in messages and field.type_name not in needed:
                needed.add(field.type_name)
                pending.append(field.type_name)
    for at in reversed(range(len(file.message_type))):
        if f".{file.package}.{file.message_type[at].name}" not in needed:
            del file.message_type[at]
    return file


def _methods(file: descriptor_pb2.FileDescriptorProto) -> set[str]:
    """Names of the messages that RPCs take and give."""
    return {
        kind.rpartition(".")[2]
        for service in file.service
        for method in service.method
        for kind in (method.input_type, method.output_type)
    }


_POOL = descriptor_pool.DescriptorPool()
FILE = _POOL.AddSerializedFile(_fixed_file().SerializeToString())
pb: Any = SimpleNamespace(
    **{name: GetMessageClass(each) for name, each in FILE.message_types_by_name.items()},
    **{
        value: number.number
        for each in FILE.enum_types_by_name.values()
        for value, number in each.values_by_name.items()
    },
)
"""Message classes and enum values by name, as a generated module would have them."""
