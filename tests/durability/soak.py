"""Hundreds of thousands of small frames through the whole service, on a simulated clock: nothing may grow.

`python -m tests.durability.soak --frames 200000 --dive-frames 20000`
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import numpy as np

from edge.config import Config, LogConfig, TelemetryConfig
from edge.ends import Replay
from edge.frame import Frame
from edge.inference.bundle import load_bundle
from edge.inference.worker import WorkerClassifier
from edge.optics import Optics
from edge.run_config import PressureConfig, PressureSource, RunConfig
from edge.service import Service
from firmware_bridge.ctd import Reading
from firmware_bridge.null_modem import NullModem
from tools.hosting.simulation import SimulatedClock

OPTICS = Optics(pixel_um=73, image_volume_l=0.6, threshold=21, aa_um2=2300, exp=1.136)
SHAPE = (64, 96)


class Sink:
    """A line without anybody: it only lets the simulated clock run."""

    def receive(self, data: bytes, now_s: float) -> list[object]:
        """See `sans_io.Peer`."""
        return []

    def to_send(self, limit_bytes: int) -> bytes:
        """See `sans_io.Peer`."""
        return b""

    def due_s(self) -> float:
        """See `sans_io.Peer`."""
        return float("inf")


class Yoyo:
    """Pressure that goes down and up once in so many frames, and down again when nobody takes any."""

    def __init__(self, dive_frames: int) -> None:
        self.dive_frames, self.frame = dive_frames, 0
        self._last, self._waited = -1, 0

    def read(self) -> Reading:
        """See `edge.ends.Pressure`."""
        self._waited = self._waited + 1 if self.frame == self._last else 0
        self._last = self.frame
        if self._waited > 3:  # on deck: the next dive
            return Reading(20.0)
        at = self.frame % self.dive_frames / self.dive_frames
        return Reading(0.5 if at == 0 else max(20.0, 1000 * (1 - abs(2 * at - 1))))

    def close(self) -> None:
        """Nothing is open."""


def frames(n: int, pressure: Yoyo) -> Iterator[Frame]:
    """Small frames, one in a hundred corrupt."""
    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 12, SHAPE, dtype=np.uint8) for _ in range(32)]
    for i in range(n):
        pressure.frame = i + 1
        pixels = noise[i % 32].copy()
        y, x = int(rng.integers(2, 40)), int(rng.integers(2, 70))
        pixels[y : y + 12, x : x + 16] = 90 + i % 90
        yield Frame(i, 0, float("nan"), True, None if i % 100 == 7 else pixels, "soak")


def held() -> dict[str, float]:
    """What this process holds, memory in MB, open files, threads, and what the classifier's own holds."""
    children = [
        int(pid) for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()
    ]
    return {
        "rss_mb": _rss_mb(os.getpid()),
        "child_mb": sum(map(_rss_mb, children)),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
    }


def _rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def soak(
    n_frames: int, dive_frames: int, folder: Path, *, own_process: bool = False
) -> list[tuple[int, dict[str, float]]]:
    """Run, the classifier here or in a process of its own; returns what was held after each tenth."""
    clock, pressure = SimulatedClock(), Yoyo(dive_frames)
    clock.line = NullModem((Sink(), Sink()), baud=9600)
    found: list[tuple[int, dict[str, float]]] = []
    config = Config(
        bundle="demo", optics=OPTICS, log=LogConfig(frames_per_bloc=50, vignette_quota_mb=20.0),
        telemetry=TelemetryConfig(budget_bytes=2000),
        run=RunConfig(pressure=PressureConfig(PressureSource.PORT, port="none")),
    )  # fmt: skip
    config = msgspec.structs.replace(
        config, classify=msgspec.structs.replace(config.classify, min_esd_um=600.0)
    )

    def watched() -> Iterator[Frame]:
        for i, frame in enumerate(frames(n_frames, pressure)):
            if i % (n_frames // 10) == 0 and i:
                found.append((i, held()))
            yield frame

    replay = Replay(watched(), lambda _frame: 1.0, None, pressure)
    bundle = load_bundle("demo")
    service = Service(config, bundle, folder, lambda _said: None, clock, None, replay)
    if own_process:
        service._diving.namer = WorkerClassifier(bundle)
    service.run(lambda: False)
    found.append((n_frames, held()))
    return found


@click.command()
@click.option("--frames", "n_frames", default=200_000, show_default=True)
@click.option("--dive-frames", default=20_000, show_default=True)
@click.option("--own-process", is_flag=True, help="The classifier in a process of its own, as aboard.")
def main(n_frames: int, dive_frames: int, own_process: bool) -> None:
    """Show what is held after each tenth."""
    with tempfile.TemporaryDirectory() as folder:
        for i, now in soak(n_frames, dive_frames, Path(folder), own_process=own_process):
            click.echo(
                f"{i:>8}  {now['rss_mb']:7.1f} MB  {now['child_mb']:7.1f} MB  {now['files']:3} files"
                f"  {now['threads']:3} threads"
            )


if __name__ == "__main__":
    main()
