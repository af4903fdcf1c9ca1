"""A part of `seston bench shore`: an archive through another model, in one process, on one worker and on two.

The three take turns, each in processes of its own. On a machine that others use the clock tells little;
processor seconds, and how evenly they are shared out among workers, tell what idle cores would do.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BUNDLE = "darkfield"
DIVES = 4
FRAMES_PER_OBJECT = 1 / 2500
"""Frames of the recording: some dozens for 100,000 objects."""
WANTED_SPEED_UP, WANTED_OVERHEAD = 1.8, 0.10
CORES = 64
"""Of the cluster that the estimate is for: four machines of 16 cores, as fast as one here."""
UVP_OBJECTS, ISIIS_OBJECTS, ISIIS_OBJECTS_PER_FRAME = 10_000_000, 100_000_000, 10
"""Ten objects a frame of ISIIS is an assumption, and so is a frame as large as that of a UVP6."""


def table(objects: int) -> dict[str, Any]:
    """Name the vignettes of drawn dives anew and replay a composed recording."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        dives, frames = _make_dives(root / "dives", objects), max(4, round(objects * FRAMES_PER_OBJECT))
        _compose(root / "recording/rec", frames)
        runs = {
            name: _measure(dives, root / f"out-{workers}", workers)
            for name, workers in (("one process", 0), ("Dask, one worker", 1), ("Dask, two workers", 2))
        }
        recording = _measure(root / "recording", root / "out-rec", 0)
    alone, one, two = runs.values()
    vignette_ms = 1000 * alone["cpu_s"] / alone["objects"]
    frame_ms = 1000 * recording["cpu_s"] / recording["frames"]
    overhead = one["cpu_s"] / alone["cpu_s"] - 1
    by_clock = alone["wall_s"] / two["wall_s"]
    balance = alone["cpu_s"] / two["longest_s"]
    rows = [
        [
            f"{name}, {found['objects']:,.0f} vignettes", found["cpu_s"], found["wall_s"],
            found["longest_s"], alone["wall_s"] / found["wall_s"], found["start_cpu_s"],
        ]
        for name, found in runs.items()
    ]  # fmt: skip
    rows.append(
        [
            f"one process, {recording['frames']:.0f} frames",
            recording["cpu_s"],
            recording["wall_s"],
            "",
            "",
            "",
        ]
    )
    efficiency = min(1.0, balance / 2)
    return {
        "title": "An archive through another model",
        "columns": [
            "who", "processor, s", "passed, s", "longest worker, processor s", "times as fast",
            "start of Dask, processor s",
        ],
        "rows": rows,
        "notes": [
            f"Wanted: {WANTED_SPEED_UP} times as fast on two workers; what Dask adds below"
            f" {100 * WANTED_OVERHEAD:.0f} % of one process. Here {by_clock:.2f} times by the clock, with a"
            f" load of {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors shared with other work;"
            f" {balance:.2f} times by the processor time of the worker that had most to do. Dask adds"
            f" {100 * overhead:.1f} % of processor time on one worker, besides its start.",
            f"A vignette of a dive costs {vignette_ms:.2f} ms of a core with {BUNDLE}: copying its log,"
            f" reading, preparing, naming, writing log and tables. A frame of 2464 x 2056 px, read from PNG,"
            f" costs {frame_ms:.0f} ms, its larger particles named.",
            _estimate("10 million objects of UVP6 dives", UVP_OBJECTS * vignette_ms, efficiency),
            _estimate(
                "100 million objects of an ISIIS year as vignettes",
                ISIIS_OBJECTS * vignette_ms, efficiency,
            ),
            _estimate(
                f"the same from frames, {ISIIS_OBJECTS_PER_FRAME} objects each",
                ISIIS_OBJECTS * (vignette_ms + frame_ms / ISIIS_OBJECTS_PER_FRAME), efficiency,
            ),
            f"The cluster: {CORES} cores as fast as one here, one worker a core, and a folder that all see."
            f" It is assumed that {CORES} workers share the work as evenly as two did, and that the disk"
            " keeps up.",
        ],
        "numbers": {
            "reprocess_vignette_ms": vignette_ms, "reprocess_frame_ms": frame_ms,
            "reprocess_overhead": overhead, "reprocess_speed_up": by_clock,
            "reprocess_speed_up_by_processor": balance, "reprocess_load": os.getloadavg()[0],
            **{
                f"reprocess_{workers}_{key}": value
                for workers, found in enumerate(runs.values())
                for key, value in found.items()
            },
        },
    }  # fmt: skip


def _estimate(what: str, cost_ms: float, efficiency: float) -> str:
    core_h = cost_ms / 3.6e6
    all_h = core_h / CORES / efficiency
    return f"Estimate, {what}: {core_h:.0f} hours of one core, {all_h:.2f} hours of {CORES} cores."


def _make_dives(folder: Path, objects: int) -> Path:
    from tools.bench.drawn_dive import make_dive

    first = make_dive(folder / "dive_0", max(1, objects // DIVES))
    for number in range(1, DIVES):
        shutil.copytree(first, folder / f"dive_{number}")
    return folder


def _compose(folder: Path, frames: int) -> None:
    command = [sys.executable, "-c", "from tools.cli import main; main()", "compose", str(folder)]
    subprocess.run([*command, "--frames", str(frames)], capture_output=True, check=True)


def _measure(archive: Path, out: Path, workers: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tools.bench.reprocess", str(archive), str(out), str(workers)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"reprocess failed: {done.stderr}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _child(archive: Path, out: Path, workers: int) -> dict[str, float]:
    """Seconds of processor of all that took part, of the clock, and of the worker that had most to do."""
    from tools.reprocess import make_job
    from tools.shore.reprocess.run import local_client, reprocess, run_here, run_on

    def watch(course: Any) -> None:
        """Nobody looks."""

    begun_cpu_s = time.process_time()
    job = make_job(BUNDLE, out, None, invert=False, keep=False)
    if not workers:
        from tools.shore.reprocess import tables  # noqa: F401 its import is no work

        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        summary = reprocess(archive, job, run_here, 1, watch)
        cpu_s = longest_s = time.process_time() - start_cpu_s
        wall_s, dask_s = time.perf_counter() - start_s, 0.0
    else:
        with tempfile.TemporaryDirectory() as scratch, local_client(workers, 0, Path(scratch)) as client:
            client.run(_get_ready, job)
            before = client.run(_cpu_s)
            start_s, start_cpu_s = time.perf_counter(), time.process_time()
            summary = reprocess(archive, job, run_on(client, workers), workers, watch)
            wall_s = time.perf_counter() - start_s
            own_s = time.process_time() - start_cpu_s
            spent = [after - before[name] for name, after in client.run(_cpu_s).items()]
            cpu_s, longest_s = own_s + sum(spent), max(spent)
            dask_s = start_cpu_s - begun_cpu_s + sum(before.values())
    return {
        "cpu_s": cpu_s, "wall_s": wall_s, "longest_s": longest_s, "start_cpu_s": dask_s,
        "objects": summary.objects, "frames": summary.frames.total(),
    }  # fmt: skip


def _get_ready(job: Any) -> None:
    from tools.shore.reprocess import tables  # noqa: F401 its import is no work
    from tools.shore.reprocess.work import model_of

    model_of(job)


def _cpu_s() -> float:
    return time.process_time()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_child(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
