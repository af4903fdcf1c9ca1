"""`seston bench pipeline`: frames a second of the whole instrument on one core, its memory, its first frame.

A child process of its own runs the instrument as aboard (exposure check, no background, segmentation,
measures, vignettes, classifier, dive log committed bloc by bloc) on cast-like frames in memory. Its memory
and time are then the instrument's alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tools.bench.memory import peak_mb

CLASSIFIED = (2, 20)
N_DISTINCT, N_FRAMES, REPEATS = 4, 200, 3


def bench() -> dict[str, Any]:
    """Run every case three times, in turn; the median counts, and all are shown."""
    from edge.inference.bundle import shipped_bundles
    from tools.bench.frames import cast_like_frame

    rows: list[list[Any]] = []
    numbers: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for n in CLASSIFIED:
            rng = np.random.default_rng(n)
            files[n] = Path(folder) / f"frames_{n}.npy"
            np.save(files[n], np.stack([cast_like_frame(rng, n_large=n) for _ in range(N_DISTINCT)]))
        cases = [(bundle, n) for bundle in shipped_bundles() for n in CLASSIFIED]
        found: dict[tuple[str, int], list[dict[str, float]]] = {case: [] for case in cases}
        for _ in range(REPEATS):
            for bundle, n in cases:
                found[bundle, n].append(_measure(bundle, files[n], Path(folder)))
    for (bundle, n), runs in found.items():
        rates = sorted(run["frames_per_s"] for run in runs)
        first_s = float(np.median([run["first_frame_s"] for run in runs]))
        most_mb = max(run["peak_mb"] for run in runs)
        classified = runs[0]["classified_per_frame"]
        spread = f"{rates[0]:.1f} to {rates[-1]:.1f}"
        rows.append(
            [bundle, f"{classified:.1f}", f"{rates[1]:.1f}", spread, f"{first_s:.2f}", f"{most_mb:.0f}"]
        )
        numbers[f"{bundle}_{n}_frames_per_s"] = rates[1]
        numbers[f"{bundle}_{n}_first_frame_s"] = first_s
        numbers[f"{bundle}_{n}_peak_mb"] = most_mb
    return {
        "title": f"Whole instrument on one core, {N_FRAMES} frames of 2464 x 2056 px from memory",
        "columns": [
            "bundle",
            "classified a frame",
            "frames/s (median)",
            "least to most",
            "first frame, s",
            "peak, MB",
        ],
        "rows": rows,
        "notes": [
            f"median, least and most of {REPEATS} runs",
            "first frame: from the start of the process to the first outcome, imports and goldens included",
            f"peak: of the whole process, {N_DISTINCT} frames held in memory included",
        ],
        "numbers": numbers,
    }


def _measure(bundle: str, frames: Path, folder: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=folder) as dive:
        command = [sys.executable, "-m", "tools.bench.pipeline", bundle, str(frames), dive, str(time.time())]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _child(bundle_name: str, frames_file: str, folder: str, started: str) -> dict[str, float]:
    """The instrument's process, on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import cv2

    from edge.config import Config
    from edge.frame import Frame
    from edge.inference.bundle import load_bundle
    from edge.instrument import Instrument
    from edge.logged import begin_dive
    from edge.mission import Mission, State
    from tools.bench.frames import OPTICS

    cv2.setNumThreads(1)
    frames = np.load(frames_file)
    bundle = load_bundle(bundle_name)
    config = Config(optics=OPTICS, bundle=bundle_name)
    classified = 0
    with begin_dive(Path(folder) / "dive.sqlite", config, bundle, dive_number=0, time_ms=0) as log:
        instrument = Instrument(config, bundle, log, mission=Mission(State.DESCENT))
        for i in range(N_FRAMES + 1):
            frame = Frame(i, 50 * i, 0.2 * i, True, frames[i % len(frames)], f"frame {i}")
            (logged,) = instrument.take(frame)
            if i == 0:
                first_frame_s = time.time() - float(started)
                begun = time.perf_counter()
            classified += len(logged.record.taxa)
        instrument.close_bloc()
        seconds = time.perf_counter() - begun
    return {
        "frames_per_s": N_FRAMES / seconds,
        "first_frame_s": first_frame_s,
        "peak_mb": peak_mb(),
        "classified_per_frame": classified / (N_FRAMES + 1),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_child(*sys.argv[1:5])))
