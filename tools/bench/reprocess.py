"""A part of `seston bench shore`: an archive through another model, in one process, on one worker and on two.

Each is run in processes of its own, on the archive and on one of as many dives with nearly nothing in them:
that is what starting costs. On a machine that others use the clock tells little; processor seconds, and how
evenly they are shared out among workers, tell what idle cores would do.
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
FEW_FRAMES, MORE_FRAMES = 4, 24
"""Of two recordings, whose difference is what a frame costs."""
WANTED_SPEED_UP, WANTED_OVERHEAD = 1.8, 0.10
CORES = 64
"""Of the cluster that the estimate is for: four machines of 16 cores, as fast as one here."""
UVP_OBJECTS, UVP_OBJECTS_PER_DIVE = 10_000_000, 2500
ISIIS_OBJECTS, ISIIS_OBJECTS_PER_FRAME = 100_000_000, 10
"""What a dive and a frame hold is an assumption, and so is a frame of ISIIS as large as that of a UVP6."""
WHO = {"one process": 0, "Dask, one worker": 1, "Dask, two workers": 2}


def table(objects: int) -> dict[str, Any]:
    """Name the vignettes of drawn dives anew and replay a composed recording."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        small, large = _make_dives(root / "small", DIVES), _make_dives(root / "large", objects)
        start = [_measure(small, root / f"start-{n}", n) for n in WHO.values()]
        runs = [_measure(large, root / f"out-{n}", n) for n in WHO.values()]
        load = os.getloadavg()[0]
        few, more = (
            _measure(_compose(root / f"frames-{n}", n), root / f"out-rec-{n}", 0)
            for n in (FEW_FRAMES, MORE_FRAMES)
        )
    alone, one, two = runs
    n_more = alone["objects"] - start[0]["objects"]
    vignette_ms = 1000 * (alone["steps_s"] - start[0]["steps_s"]) / n_more
    dive_s = start[0]["steps_s"] / DIVES
    frame_ms = 1000 * (more["steps_s"] - few["steps_s"]) / (more["frames"] - few["frames"])
    overhead = one["cpu_s"] / alone["cpu_s"] - 1
    outside = ((one["cpu_s"] - one["steps_s"]) - (alone["cpu_s"] - alone["steps_s"])) / alone["cpu_s"]
    fixed_s = start[1]["cpu_s"] - start[0]["cpu_s"]
    rest_ms = 1000 * (one["cpu_s"] - alone["cpu_s"] - fixed_s) / n_more
    speed_up = one["longest_s"] / two["longest_s"]
    efficiency = min(
        1.0, (alone["longest_s"] - start[0]["longest_s"]) / (two["longest_s"] - start[2]["longest_s"]) / 2
    )
    uvp_ms = UVP_OBJECTS * (vignette_ms + 1000 * dive_s / UVP_OBJECTS_PER_DIVE)
    return {
        "title": "An archive through another model",
        "columns": [
            "who", "processor, s", "of it in steps, s", "passed, s", "itself and the busiest worker, s",
            "times as fast as one process", "as one worker",
        ],
        "rows": [
            [
                f"{who}, {found['objects']:,.0f} vignettes", found["cpu_s"], found["steps_s"],
                found["wall_s"], found["longest_s"], group[0]["longest_s"] / found["longest_s"],
                group[1]["longest_s"] / found["longest_s"],
            ]
            for group in (start, runs)
            for who, found in zip(WHO, group, strict=True)
        ] + [
            [f"one process, {found['frames']:.0f} frames", found["cpu_s"], found["steps_s"], found["wall_s"],
             found["longest_s"], "", ""]
            for found in (few, more)
        ],
        "notes": [
            "Whole commands are measured, Python's start and all imports included. What is itself and its"
            " busiest worker would be the time that passes on idle cores, or somewhat less: how fast is told"
            f" by it. By the clock two workers were {one['wall_s'] / two['wall_s']:.2f} times as fast as one"
            f" and {alone['wall_s'] / two['wall_s']:.2f} times as fast as one process, with a load of"
            f" {load:.1f} on {os.cpu_count()} processors shared with other work.",
            f"Wanted: two workers {WANTED_SPEED_UP} times as fast as one; here {speed_up:.2f}. Wanted: what"
            f" Dask adds below {100 * WANTED_OVERHEAD:.0f} % of one process; here {100 * overhead:.1f} % of"
            f" its {alone['cpu_s']:.0f} s, {100 * outside:.1f} % counted outside of the steps, which are the"
            f" same work. It is {fixed_s:.1f} s for starting and {rest_ms:.3f} ms a vignette.",
            f"A vignette of a dive costs {vignette_ms:.2f} ms of a core with {BUNDLE} (reading, preparing,"
            f" naming, writing log and tables), a dive {dive_s:.1f} s besides (mostly its netCDF, and"
            f" importing what writes it). A frame of 2464 x 2056 px, read from PNG, costs {frame_ms:.0f} ms,"
            " its larger particles named.",
            _estimate(
                f"10 million objects of UVP6 dives, {UVP_OBJECTS_PER_DIVE:,} each", uvp_ms, efficiency
            ),
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
            "reprocess_vignette_ms": vignette_ms, "reprocess_dive_s": dive_s, "reprocess_frame_ms": frame_ms,
            "reprocess_overhead": overhead, "reprocess_overhead_outside_steps": outside,
            "reprocess_overhead_start_s": fixed_s, "reprocess_overhead_vignette_ms": rest_ms,
            "reprocess_speed_up": speed_up, "reprocess_load": load,
            **{
                f"reprocess_{name}{workers}_{key}": value
                for name, group in (("start_", start), ("", runs))
                for workers, found in enumerate(group)
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


def _compose(folder: Path, frames: int) -> Path:
    command = [sys.executable, "-c", "from tools.cli import main; main()", "compose", str(folder / "rec")]
    subprocess.run([*command, "--frames", str(frames)], capture_output=True, check=True)
    return folder


def _measure(archive: Path, out: Path, workers: int) -> dict[str, float]:
    """Seconds of processor of all processes of a run, and of the clock; and what `_child` tells."""
    command = [sys.executable, "-m", "tools.bench.reprocess", str(archive), str(out), str(workers)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    start_s = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as wrong:
        running = subprocess.Popen(command, env=env, stdout=said, stderr=wrong)
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
        for file in (said, wrong):
            file.seek(0)
        if running.returncode:
            raise RuntimeError(f"reprocess failed: {wrong.read()}")
        found: dict[str, float] = json.load(said)
    return {"cpu_s": usage.ru_utime + usage.ru_stime, "wall_s": time.perf_counter() - start_s, **found}


def _child(archive: Path, out: Path, workers: int) -> dict[str, float]:
    """Run it; seconds of processor in steps, and of this process and of the worker that had most to do."""
    from tools.reprocess import make_job
    from tools.shore.reprocess.run import do_here, do_on, local_client, reprocess

    job = make_job(BUNDLE, out, None, invert=False, keep=False)
    if not workers:
        from tools.shore.reprocess import tables  # noqa: F401 every run imports it, before or in a step

        start_s = time.thread_time()
        summary = reprocess(archive, job, do_here, 1, _nobody_looks)
        steps_s, longest_s = time.thread_time() - start_s, 0.0
    else:
        with tempfile.TemporaryDirectory() as scratch, local_client(workers, 0, Path(scratch)) as client:
            summary = reprocess(archive, job, do_on(client, workers), workers, _nobody_looks)
            spent = client.run(_spent_s).values()
            steps_s, longest_s = sum(steps for steps, _ in spent), max(whole for _, whole in spent)
    return {
        "steps_s": steps_s, "longest_s": time.process_time() + longest_s,
        "objects": summary.objects, "frames": summary.frames.total(),
    }  # fmt: skip


def _nobody_looks(course: Any) -> None:
    pass


def _spent_s() -> tuple[float, float]:
    """Processor seconds of the thread of a worker that takes its steps, and of the whole worker."""
    import threading

    takers = [one.native_id for one in threading.enumerate() if "Dask-Default-Threads" in one.name]
    stats = [Path(f"/proc/self/task/{number}/stat").read_text(encoding="ascii") for number in takers]
    spent = [stat.rpartition(")")[2].split()[11:13] for stat in stats]  # proc(5): utime, stime
    return sum(int(user) + int(own) for user, own in spent) / os.sysconf("SC_CLK_TCK"), time.process_time()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_child(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
