"""A worker's allocator keeps what was freed for what comes next."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.processes import environment

FREED_MIB = 64
PROGRAM = f"""
import mmap, resource, sys
from ffq.cli.allocator import keep_freed_memory

kept = keep_freed_memory() if sys.argv[1] == "kept" else None

def passed():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    buffers = [bytes([1]) * (1 << 20) for _ in range({FREED_MIB})]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = passed()
print(kept, passed() * mmap.PAGESIZE >> 20)
"""
"""Prints whether the allocator was told, and how many MiB are mapped for what was freed before."""


def ran(way: str, **variables: str) -> tuple[str, int]:
    command = [sys.executable, "-c", PROGRAM, way]
    env = {name: value for name, value in environment().items() if "MALLOC" not in name}
    done = subprocess.run(command, capture_output=True, env=env | variables, check=True)
    told, mapped = done.stdout.split()
    return told.decode(), int(mapped)


def test_freed_memory_is_kept_where_the_allocator_can_be_told() -> None:
    told, mapped = ran("kept")
    assert told in {"True", "False"}
    if told == "True":
        assert mapped < FREED_MIB // 8


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_what_its_user_has_set_stays(name: str) -> None:
    told, _ = ran("kept", **{name: "glibc.malloc.arena_max=4" if "TUN" in name else "4"})
    assert told == "False"
