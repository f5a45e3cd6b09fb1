"""The fixed wire: every name, number and type as the contract has them, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from grpc_tools import protoc

from ffq.proto import ffq_distributed_pb2 as wire
from ffq.proto import ffq_ext_pb2 as ext

FIRST_EXTENSION = 1000
CONTRACT = Path(__file__).with_name("wire_contract.txt").read_text()
ROOT = Path(__file__).parents[2]
SCALARS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
}


def type_name(field: FieldDescriptor) -> str:
    """The message or enum that a field holds; empty for a scalar."""
    target = field.message_type or field.enum_type
    return "" if target is None else target.name


def field_line(field: FieldDescriptor) -> str:
    kind = SCALARS.get(field.type) or type_name(field)
    return f"{field.number} {field.name} {'repeated ' if field.is_repeated else ''}{kind}"


def method_line(method: MethodDescriptor) -> str:
    stream = "stream " if method.server_streaming else ""
    assert not method.client_streaming
    return f"{method.name} {method.input_type.name} -> {stream}{method.output_type.name}"


def sections() -> dict[str, list[str]]:
    """The contract's table: a heading line `message Foo`, then its lines, indented."""
    table: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in CONTRACT.splitlines():
        if line.startswith("  "):
            lines.append(line.strip())
        elif not line.startswith("#"):
            lines = table.setdefault(line, [])
    return table


def described() -> dict[str, list[str]]:
    """The same table, drawn from the generated code, without extensions."""
    file = wire.DESCRIPTOR
    table = {
        f"service {service.name}": [method_line(m) for m in service.methods]
        for service in file.services_by_name.values()
    }
    for enum in file.enum_types_by_name.values():
        table[f"enum {enum.name}"] = [f"{v.number} {v.name}" for v in enum.values]
    for message in file.message_types_by_name.values():
        table[f"message {message.name}"] = [
            field_line(f) for f in message.fields if f.number < FIRST_EXTENSION
        ]
    return table


def test_package_is_the_contracts() -> None:
    assert wire.DESCRIPTOR.package == "ffq.distributed.v1"
    assert wire.DESCRIPTOR.serialized_pb.endswith(b"proto3")


@pytest.mark.parametrize("heading", sections())
def test_names_numbers_and_types_are_the_contracts(heading: str) -> None:
    assert described()[heading] == sections()[heading]


def test_what_the_contract_lacks_is_used_by_extension_fields_only() -> None:
    extra = described().keys() - sections().keys()
    used_by_contract = {
        type_name(field)
        for heading in sections()
        if heading.startswith("message ")
        for field in wire.DESCRIPTOR.message_types_by_name[heading.removeprefix("message ")].fields
        if field.number < FIRST_EXTENSION
    }
    assert extra == {
        "enum ErrorKind",
        "message AttemptRef",
        "message AttemptUsage",
        "message FilePlace",
        "message FormatOption",
        "message LostInput",
        "message PartitionSize",
        "message PartitionValue",
        "message ScanInput",
        "message ScanSplit",
        "message ShuffleInput",
        "message ShuffleParts",
        "message TableColumn",
        "message TableFormat",
        "message TaskAttempt",
    }
    assert not {name.split()[1] for name in extra} & used_by_contract


def test_a_message_without_extensions_is_read_as_one_with_their_defaults() -> None:
    request = wire.HeartbeatRequest.FromString(
        wire.HeartbeatRequest(worker_id="w", at_ms=5).SerializeToString()
    )
    assert (request.incarnation, request.reports_attempts, list(request.held_queries)) == (
        0,
        False,
        [],
    )


@pytest.mark.parametrize("module", [wire, ext], ids=lambda module: module.DESCRIPTOR.name)
def test_generated_code_is_current(module: object, tmp_path: Path) -> None:
    """Compared as descriptors, which do not depend on the generator's version."""
    descriptor = module.DESCRIPTOR  # type: ignore[attr-defined]
    out = tmp_path / "set"
    arguments = ["protoc", f"-I{ROOT}", f"--descriptor_set_out={out}", descriptor.name]
    assert protoc.main(arguments) == 0
    compiled = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file[0]
    checked_in = descriptor_pb2.FileDescriptorProto()
    descriptor.CopyToProto(checked_in)
    compiled.ClearField("source_code_info")
    for file in (compiled, checked_in):
        strip_json_names(file)
    assert checked_in == compiled


def strip_json_names(file: descriptor_pb2.FileDescriptorProto) -> None:
    """protoc writes them into its set but not into generated code."""
    for message in file.message_type:
        for field in message.field:
            field.ClearField("json_name")
