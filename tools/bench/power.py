"""`seston bench power`: processor seconds and bytes of a frame by stage; from them boards, joules, and days.

A child process of its own runs the instrument as aboard on one core, with a clock around each of its stages
(a stage's time is its own, without the stages it calls). Loads are a bloom at the surface (12,000 particles,
60 of them classified) and a real cast's (3,500, 2). What other boards would take is an estimate from
published numbers (`tools.bench.boards`); run it on the board to know.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tools.bench.memory import peak_mb

N_DISTINCT, N_FRAMES, WARM_UP, REPEATS = 4, 100, 10, 3
CASES: dict[str, tuple[str, bool, str]] = {
    "surface": ("surface", True, "none"),
    "surface, running median": ("surface", True, "running-median"),
    "surface, sizes alone": ("surface", False, "none"),
    "cast": ("cast", True, "none"),
    "cast, sizes alone": ("cast", False, "none"),
}
"""Frames, whether the larger particles are classified, and the background."""
WANTED_HZ = 15
STAGES = (
    "capture", "background", "threshold", "exposure, focus", "particles", "dirt, spectrum", "measures",
    "vignettes", "preprocessing", "inference", "PNG", "dive log", "rest",
)  # fmt: skip


def bench(
    board: str = "zero2w",
    battery_wh: float = 100.0,
    config: Path | None = None,
    cycle_days: float = 10.0,
    dive_dbar: float = 1000.0,
    mips: int | None = None,
    frames: int = N_FRAMES,
) -> dict[str, Any]:
    """Measure every case three times, in turn; the run of median total counts, and all are told."""
    from edge.config import Config, load_config
    from tools.bench.boards import BOARDS, this_machine
    from tools.bench.energy import Cost, Cycle

    plan = Config() if config is None else load_config(config)
    cycle = Cycle(cycle_days, dive_dbar)
    runs = _measure_all(frames)
    median = {name: sorted(found, key=_total_s)[len(found) // 2] for name, found in runs.items()}
    here = this_machine(mips)
    numbers: dict[str, Any] = {"stages_s": {n: m["cpu_s"] for n, m in median.items()}}
    rates = {name: sorted(1 / _total_s(run) for run in found) for name, found in runs.items()}
    numbers["frames_per_s"] = rates
    numbers["written_bytes"] = {name: run["written_bytes"] for name, run in median.items()}
    notes = _notes(median, rates)
    tables = [_stage_table(median, rates, frames)]
    if here is None:
        notes.append("Boards are left out: install 7-zip (apt install p7zip-full), or give --mips.")
    else:
        costs = {name: Cost(run["cpu_s"], run["written_bytes"]) for name, run in median.items()}
        by_load = {
            (True, True): costs["surface"],
            (True, False): costs["surface, sizes alone"],
            (False, True): costs["cast"],
            (False, False): costs["cast, sizes alone"],
        }
        tables.append(_board_table(costs, here))
        numbers["this_machine"] = {"mips": here.mips, "memcpy_mb_s": here.memcpy_mb_s}
        energy, told = _energy_table(plan, cycle, BOARDS[board], battery_wh, here, by_load)
        tables.append(energy)
        numbers["energy"] = told
        notes += _board_notes(here, board)
    return {"tables": tables, "notes": notes, "numbers": numbers}


def _total_s(run: dict[str, Any]) -> float:
    return float(sum(run["cpu_s"].values()))


def _stage_table(
    median: dict[str, dict[str, Any]], rates: dict[str, list[float]], frames: int
) -> dict[str, Any]:
    rows = [
        [stage, *(f"{1000 * run['cpu_s'].get(stage, 0.0):.2f}" for run in median.values())]
        for stage in STAGES
    ]
    rows.append(["all", *(f"{1000 * _total_s(run):.2f}" for run in median.values())])
    middle = len(next(iter(rates.values()))) // 2
    rows.append(["lit frames/s on one core", *(f"{found[middle]:.1f}" for found in rates.values())])
    rows.append(["  least to most", *(f"{found[0]:.1f} to {found[-1]:.1f}" for found in rates.values())])
    for name, key in (
        ("particles a frame", "particles"),
        ("classified a frame", "classified"),
        ("vignettes, bytes", "png_bytes"),
        ("rows of the log, bytes", "row_bytes"),
        ("written to disk, bytes", "written_bytes"),
    ):
        rows.append([name, *(f"{run[key]:,.0f}" for run in median.values())])
    return {
        "title": f"Processor time of a frame of 2464 x 2056 px, ms, {frames} frames, one core",
        "columns": ["stage", *median],
        "rows": rows,
    }


def _board_table(costs: dict[str, Any], here: Any) -> dict[str, Any]:
    from tools.bench.boards import BOARDS
    from tools.bench.energy import seconds_on

    shown = ("surface", "surface, running median", "surface, sizes alone", "cast")
    rows = [
        [
            board.name, board.processor, f"{board.mips / here.mips:.2f}",
            *(f"{1 / seconds_on(board, costs[name], here):.1f}" for name in shown),
            f"{board.idle_w:g} + {board.core_w:g}",
            f"{board.core_w * seconds_on(board, costs['surface'], here):.2f}",
        ]
        for board in BOARDS.values()
    ]  # fmt: skip
    return {
        "title": "ESTIMATES, not measured: lit frames a second on one core of other boards",
        "columns": ["board", "processor", "core / this", *shown, "W: idle + core", "J a surface frame"],
        "rows": rows,
    }


def _energy_table(
    plan: Any, cycle: Any, board: Any, battery_wh: float, here: Any, costs: Any
) -> tuple[dict[str, Any], dict[str, float]]:
    from tools.bench.energy import days_on, spend

    spent = spend(plan, cycle, board, here, costs)
    days = days_on(battery_wh, cycle, spent)
    told = {
        "frames": spent.frames, "on_s": spent.on_s, "busy_s": spent.busy_s, "joules": spent.joules,
        "idle_j": spent.idle_j, "busy_j": spent.busy_j, "frame_j": spent.frame_j,
        "written_bytes": spent.written_bytes, "days": days, "left_out_share": spent.late_share,
    }  # fmt: skip
    rows = [
        [
            f"{spent.frames:,.0f}", f"{spent.on_s / 3600:.1f}", f"{spent.busy_s / 3600:.2f}",
            f"{spent.idle_j:,.0f}", f"{spent.busy_j:,.0f}", f"{spent.frame_j:,.0f}", f"{spent.joules:,.0f}",
            f"{spent.written_bytes / 1e6:,.0f}", f"{days:,.0f}", f"{days / cycle.days:,.0f}",
        ]
    ]  # fmt: skip
    title = (
        f"ESTIMATE: a dive to {cycle.dive_dbar:g} dbar every {cycle.days:g} days with {board.name}, "
        f"{battery_wh:g} Wh"
    )
    columns = [
        "frames", "on, h", "busy, h", "J at rest", "J busy", "J camera, light", "J a cycle",
        "MB written", "days", "dives",
    ]  # fmt: skip
    return {"title": title, "columns": columns, "rows": rows}, told


def _notes(median: dict[str, dict[str, Any]], rates: dict[str, list[float]]) -> list[str]:
    surface = rates["surface"][len(rates["surface"]) // 2]
    notes = [
        f"Wanted: {WANTED_HZ} lit frames a second on one core at the surface; here {surface:.1f}, in the "
        f"best run, which other work disturbs least, {rates['surface'][-1]:.1f}.",
        f"Median of {REPEATS} runs by total; processor time of the whole process, OpenCV and LiteRT with one "
        "thread. The total is that of as many frames without clocks; stages are their shares of it. "
        "`capture` is one copy of the frame, as from a driver's buffer.",
        "The classifier runs in the instrument's process here; aboard it has one of its own, and vignettes "
        "go through a pipe.",
        f"Waiting for the disk comes on top: "
        f"{1000 * (median['surface']['wall_s'] - _total_s(median['surface'])):.1f} ms a frame here.",
        f"Memory: at most {max(run['peak_mb'] for run in median.values()):.0f} MB, "
        f"{N_DISTINCT} frames held for the benchmark included.",
    ]
    if not median["surface"]["written_bytes"]:
        notes.append("Nobody counts what is written where this ran (a file system in memory): set TMPDIR.")
    return notes


def _board_notes(here: Any, chosen: str) -> list[str]:
    from tools.bench.boards import BOARDS

    used = BOARDS[chosen]
    return [
        f"This machine: {here.told}, {here.memcpy_mb_s:,.0f} MB/s copied. A board's core is to this one as "
        "their MIPS; capture, background and threshold as memory, where that is slower. An int8 network may "
        "be faster on ARM than that, and a hot board slower.",
        *(f"{board.name}: {board.speed_source}; power: {board.power_source}." for board in BOARDS.values()),
        f"Energy: {used.idle_w:g} W while on, {used.core_w:g} W more while busy, and the configuration's "
        "frame_j for camera and light; 0.1 dbar/s; above 200 dbar as at the surface, below as in the cast; "
        "off while it parks outside all zones. Host, radio and losses of the supply are not in it.",
    ]


def _measure_all(n_frames: int) -> dict[str, list[dict[str, Any]]]:
    from tools.bench.frames import cast_like_frame, surface_frame

    makers: dict[str, Callable[[np.random.Generator], Any]] = {
        "surface": surface_frame,
        "cast": lambda rng: cast_like_frame(rng, 2),
    }
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, make in makers.items():
            rng = np.random.default_rng(3)
            files[name] = Path(folder) / f"{name}.npy"
            np.save(files[name], np.stack([make(rng) for _ in range(N_DISTINCT)]))
        for _ in range(REPEATS):
            for case, (frames, classify, background) in CASES.items():
                asked = {
                    "frames": str(files[frames]), "classify": classify, "background": background,
                    "n": n_frames, "folder": folder,
                }  # fmt: skip
                found[case].append(_run(asked))
    return found


def _run(asked: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "tools.bench.power", json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


class Stopwatch:
    """Processor time by stage; what a stage calls that has a stage of its own is not counted twice."""

    def __init__(self, clock: Callable[[], float] = time.process_time) -> None:
        self.is_on = True
        self._clock = clock
        self.seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        self._stack = ["rest"]
        self._since = self._clock()

    def start(self) -> None:
        """Forget all that was."""
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._since = self._clock()

    def stop(self) -> None:
        """Count what has passed."""
        self._switch()

    def _switch(self) -> None:
        now = self._clock()
        self.seconds[self._stack[-1]] += now - self._since
        self._since = now

    def around(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, on the clock of a stage."""

        @functools.wraps(work)
        def timed(*args: Any, **options: Any) -> Any:
            if not self.is_on:
                return work(*args, **options)
            self._switch()
            self._stack.append(stage)
            try:
                return work(*args, **options)
            finally:
                self._switch()
                self._stack.pop()

        return timed


def _child(asked: dict[str, Any]) -> dict[str, Any]:
    """The instrument's process, on one core, its stages on clocks."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import cv2

    from edge import instrument
    from edge.config import Background, Config, MissionConfig, VisionConfig, ZoneConfig
    from edge.divelog import DiveLog
    from edge.frame import Frame
    from edge.inference import classifier, engine
    from edge.inference.bundle import load_bundle
    from edge.logged import begin_dive
    from edge.mission import Mission, State
    from edge.vision import background, dirt, segmentation
    from tools.bench.frames import OPTICS

    cv2.setNumThreads(1)
    watch = Stopwatch()
    clocked: tuple[tuple[Any, str, str], ...] = (
        (background.BackgroundRemover, "remove", "background"),
        (background.BackgroundRemover, "learn", "background"),
        (instrument, "find_foreground", "threshold"),
        (instrument, "judge_exposure", "exposure, focus"),
        (instrument, "sharpness", "exposure, focus"),
        (instrument, "join", "particles"),
        (dirt.DirtMap, "see", "dirt, spectrum"),
        (dirt.DirtMap, "find", "dirt, spectrum"),
        (instrument, "_histogram", "dirt, spectrum"),
        (instrument, "measure", "measures"),
        (segmentation.Regions, "mask", "measures"),
        (instrument, "cut_vignette", "vignettes"),
        (classifier, "prepare", "preprocessing"),
        (classifier, "describe_for", "preprocessing"),
        (engine.Engine, "infer", "inference"),
        (instrument, "encode_vignette", "PNG"),
        (DiveLog, "add_frame", "dive log"),
        (DiveLog, "commit", "dive log"),
    )
    for owner, name, stage in clocked:
        setattr(owner, name, watch.around(stage, getattr(owner, name)))
    frames = np.load(asked["frames"])
    bundle = load_bundle("darkfield")
    zones = () if asked["classify"] else (ZoneConfig(classify=False),)
    config = Config(
        optics=OPTICS,
        vision=VisionConfig(background=Background(asked["background"])),
        mission=MissionConfig(zones=zones),
    )
    copy = watch.around("capture", np.ndarray.copy)
    n, particles, classified, png = asked["n"], 0, 0, 0
    with tempfile.TemporaryDirectory(dir=asked["folder"]) as folder:
        path = Path(folder) / "dive.sqlite"
        with begin_dive(path, config, bundle, dive_number=0, time_ms=0) as log:
            dive = instrument.Instrument(config, bundle, log, mission=Mission(State.DESCENT))
            for i in range(WARM_UP + 2 * n):
                if i == WARM_UP:
                    dive.close_bloc()
                    before = log.bytes_written, log.payload_bytes
                    watch.start()
                if i == WARM_UP + n:  # once more without clocks, which take time too
                    dive.close_bloc()
                    watch.stop()
                    watch.is_on = False
                    begun = time.perf_counter(), time.process_time()
                pixels = copy(frames[i % len(frames)])
                for logged in dive.take(Frame(i, 1000 * i, 0.1 * i, True, pixels, f"frame {i}")):
                    if i >= WARM_UP:
                        particles += logged.record.histogram.n_particles
                        classified += len(logged.particles)
                        png += sum(len(one.vignette_png or b"") for one in logged.particles)
            dive.close_bloc()
            wall_s, cpu_s = time.perf_counter() - begun[0], time.process_time() - begun[1]
            written, payload = log.bytes_written - before[0], log.payload_bytes - before[1]
    share = cpu_s / sum(watch.seconds.values())
    return {
        "cpu_s": {stage: seconds * share / n for stage, seconds in watch.seconds.items()},
        "wall_s": wall_s / n,
        "particles": particles / (2 * n),
        "classified": classified / (2 * n),
        "png_bytes": png / (2 * n),
        "row_bytes": max(0, payload - png) / (2 * n),
        "written_bytes": written / (2 * n),
        "peak_mb": peak_mb(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_child(json.loads(sys.argv[1]))))
