"""A peer that has grpcio and the .proto only can be client and worker of our coordinator.

It runs in a process of its own, with stubs generated there and then, so that nothing of ffq can
help it: examples/bare_peer.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import trio

from ffq.proto import ffq_distributed_pb2 as wire
from tests.gateway.harness import PLAN, open_gateway

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "bare_peer.py"


async def test_forty_lines_with_plain_stubs_are_client_and_worker(tmp_path: Path) -> None:
    plan_file = tmp_path / "plan.json"
    plan_file.write_bytes(PLAN.to_json())
    generate = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'ffq' / 'proto'}"]
    heads = [f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    await trio.run_process([*generate, *heads, "ffq_distributed.proto"])
    async with open_gateway() as gateway:
        command = [sys.executable, str(SCRIPT), gateway.endpoint, str(plan_file), "7"]
        done = await trio.run_process(
            command,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)},
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stdout.decode()
        assert done.stdout.decode().splitlines() == [
            "running 1 0 []",
            "running 0 0 [0, 1, 2, 3]",
            f"QUERY_STATE_SUCCEEDED result of {empty_result_bytes()} bytes",
        ]
        assert (await gateway.status("7")).stage_metrics[1].succeeded_tasks == 1


def empty_result_bytes() -> int:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([])):
        pass
    return int(sink.getvalue().size)


def test_the_script_is_forty_lines_and_uses_no_extension() -> None:
    source = SCRIPT.read_text()
    code = source.split('"""')[2]
    assert len([line for line in code.splitlines() if line.strip()]) <= 42
    assert "ffq." not in code
    assert not {name for name in extension_fields() if name in code}


def extension_fields() -> set[str]:
    """Names that only extensions have."""
    fields = [
        field
        for message in wire.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
    ]
    fixed = {field.name for field in fields if field.number < 1000}
    return {field.name for field in fields if field.number >= 1000} - fixed
