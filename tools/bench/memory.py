"""Most memory that this process has had, for benchmarks that measure in a process of their own."""

from __future__ import annotations

from pathlib import Path


def peak_mb() -> float:
    """In MB of 2 ** 20 bytes. `getrusage` may tell that of the process which started this one."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
