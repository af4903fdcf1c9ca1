"""Seconds and memory of coding a whole dive, in processes of their own: their caches are cold, as aboard.

Seconds are the processor's, so that a busy machine does not count. Memory is told twice: what Python allotted
(in a process of its own, because watching it takes time) and what the process grew by.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

from edge.telemetry import DiveSummary, decode_messages, plan
from tools.telemetry_bench import dives
from tools.telemetry_bench.ours import MESSAGE_BYTES, naming

PLENTY_BYTES = 1 << 24
SMALL_BUDGET_BYTES = 2000
N_REGIONAL_DIVES = 8


def measure(load: str) -> dict[str, float]:
    """Plan and decode one typical dive with all its tables; `RuntimeError` when a process fails."""
    numbers: dict[str, float] = {}
    for watch in _WATCHED:
        command = [sys.executable, "-m", "tools.telemetry_bench.cost", load, watch]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        numbers |= json.loads(done.stdout)
    return numbers


def _memory(load: str) -> dict[str, float]:
    summary = _dive(load)
    tracemalloc.start()
    messages = plan(summary, PLENTY_BYTES, MESSAGE_BYTES).messages
    encode_peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    decode_messages(messages, [summary.codebook])
    return {
        "encode_python_mb": encode_peak / 1e6,
        "decode_python_mb": (tracemalloc.get_traced_memory()[1] - before) / 1e6,
    }


def _time(load: str) -> dict[str, float]:
    summary = _dive(load)
    resident = _resident_kb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    spent = time.process_time()
    planned = plan(summary, PLENTY_BYTES, MESSAGE_BYTES)
    encoded = time.process_time()
    peak = _resident_kb("VmHWM")
    (decoded,) = decode_messages(planned.messages, [summary.codebook])
    read = time.process_time()
    plan(summary, SMALL_BUDGET_BYTES, MESSAGE_BYTES)
    small = time.process_time()
    layered = plan(summary, PLENTY_BYTES, MESSAGE_BYTES, is_layered=True)
    if not decoded.is_complete:
        raise RuntimeError("the dive did not come back")
    return {
        "encode_s": encoded - spent,
        "decode_s": read - encoded,
        "small_budget_s": small - read,
        "encode_resident_mb": (peak - resident) / 1e3,
        "dive_bytes": planned.n_bytes,
        "dive_messages": len(planned.messages),
        "layered_bytes": layered.n_bytes,
    }


def _regional(load: str) -> dict[str, float]:
    """With a climatology, which takes a look at both ways."""
    first = dives.FIRST_TRAINING_DIVE
    climatology = dives.climatology_of(load, dives.dives_of(load, first, first + N_REGIONAL_DIVES))
    summary = naming(_dive(load), climatology)
    spent = time.process_time()
    planned = plan(summary, PLENTY_BYTES, MESSAGE_BYTES, climatology=climatology)
    return {"regional_encode_s": time.process_time() - spent, "regional_dive_bytes": planned.n_bytes}


_WATCHED = {"time": _time, "memory": _memory, "regional": _regional}


def _dive(load: str) -> DiveSummary:
    (dive,) = dives.dives_of(load, 0, 1)
    return dives.as_summary(dive)


def _resident_kb(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_WATCHED[sys.argv[2]](sys.argv[1])))
