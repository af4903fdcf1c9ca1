"""`seston bench train`: images a second that one core learns, and the memory that a data set takes.

A child process of its own trains on one thread with `training.fit.fit` itself; its memory and time are then
training's alone. What is learnt is drawn particles, each many times over: the network does not learn them
faster for that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np

from tools.bench.memory import peak_mb
from training import ONE_THREAD

IMAGES, BATCH, WARM_UP_STEPS = 2_000, 64, 4
LEAST_IMAGES = 8 * BATCH
SIZE_PX, N_CLASSES, HIDDEN = 96, 34, 32
DISTINCT_PER_KIND = 25
WANTED_PER_S, WANTED_MB = 110, 4_000


def bench(images: int = IMAGES) -> dict[str, Any]:
    """Train one epoch of so many images (`LEAST_IMAGES` at least) and say what it took."""
    command = [sys.executable, "-m", "tools.bench.train", str(images)]
    told = dict.fromkeys(ONE_THREAD, "1") | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **told})
    if done.returncode:
        raise RuntimeError(done.stderr)
    numbers: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {
        "title": f"Training MobileNetV2 0.35 at {SIZE_PX} px with numbers, one thread",
        "columns": [
            *("images", "images/s", "images/CPU s", "varying alone, images/s", "first step, s"),
            *("imports, MB", "data set, MB", "peak, MB"),
        ],
        "rows": [
            [
                str(images),
                f"{numbers['images_per_s']:.1f}",
                f"{numbers['images_per_cpu_s']:.1f}",
                f"{numbers['varied_per_s']:.0f}",
                f"{numbers['first_step_s']:.1f}",
                *(f"{numbers[name]:.0f}" for name in ("imported_mb", "data_set_mb", "peak_mb")),
            ]
        ],
        "notes": [
            f"One epoch, batches of {BATCH}, timed after the first {WARM_UP_STEPS} steps; wanted: at least "
            f"{WANTED_PER_S} images a second, at most {WANTED_MB / 1000:.0f} GB.",
            "CPU s: seconds that this process had the core, which is what counts on a shared machine.",
            "Varying alone: the same batches turned, scaled and cut, and not learnt from.",
            f"Data set: the arrays of {images} images and what training copies of them. Peak: memory of the "
            "whole process.",
        ],
        "numbers": numbers,
    }


def _child(n: int) -> dict[str, float]:
    """The training process, on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import cv2

    from edge.inference.preprocessing import Preprocessing
    from training.drawn_set import drawn_dataset
    from training.fit import Examples, Progress, Schedule, batches, fit
    from training.model import Architecture, build_model

    cv2.setNumThreads(1)
    drawn = drawn_dataset(DISTINCT_PER_KIND, Preprocessing(size_px=SIZE_PX, numbers=True), 1)
    imported_mb = peak_mb()
    again = np.arange(n) % len(drawn.labels)
    labels = np.random.default_rng(1).integers(N_CLASSES, size=n)
    data = replace(drawn, images=drawn.images[again], numbers=drawn.numbers[again], labels=labels)
    every = np.arange(n)
    examples = Examples(data.images[every], data.numbers[every], data.labels[every])
    held = (data.images, data.numbers, data.labels, *examples)
    data_set_mb = sum(array.nbytes for array in held) / 1e6
    schedule = Schedule(epochs=1, batch=BATCH)
    model = build_model(SIZE_PX, N_CLASSES, Architecture(hidden=HIDDEN))
    ends: list[float] = []
    spent: list[float] = []

    def report(progress: Progress) -> None:
        ends.append(time.perf_counter())
        spent.append(time.process_time())

    begun = time.perf_counter()
    fit(model, examples, schedule, 1, report=report)
    most_mb = peak_mb()
    last, first = len(ends) - 1, WARM_UP_STEPS - 1
    varying = time.perf_counter()
    varied = sum(len(y) for _, _, y in batches(examples, schedule, np.random.default_rng(1)))
    return {
        "images": n,
        "images_per_s": BATCH * (last - first) / (ends[last] - ends[first]),
        "images_per_cpu_s": BATCH * (last - first) / (spent[last] - spent[first]),
        "varied_per_s": varied / (time.perf_counter() - varying),
        "first_step_s": ends[0] - begun,
        "imported_mb": imported_mb,
        "data_set_mb": data_set_mb,
        "peak_mb": most_mb,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_child(int(sys.argv[1]))))
