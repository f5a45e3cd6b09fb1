"""What processes take of memory, as the kernel counts it."""

from __future__ import annotations

from pathlib import Path


def peak_mib(pid: int) -> int:
    """The most memory that a process has ever had resident (VmHWM), MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) // 1024
    raise AssertionError(f"the kernel says nothing of the memory of process {pid}")
