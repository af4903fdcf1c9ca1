"""`seston bench start`: what `seston run` takes to READY and to its first analysed frame, and its memory.

Starts the real service, with its classifier's process, on drawn frames of full size; pressure comes over a
pseudo-terminal, READY over systemd's socket, and a frame counts when it is in the dive log. This process
imports neither NumPy nor OpenCV: pages that it shared with the service would make the service look small.
"""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import tty
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPEATS, N_DISTINCT, N_FRAMES, STEADY_FRAMES = 3, 4, 400, 20
FRAME_RATE_HZ = 4.0
LOOK_S, LONGEST_S = 0.01, 120.0
SHOWN = 12
ANALYSED = 0
"""`edge.frame.FrameOutcome.ANALYSED`, whose module would import NumPy here."""
_MAIN = "from tools.cli import main; main()"
_CONFIG = """
platform = "bench"
bundle = "darkfield"
[optics]
pixel_um = 73.0
image_volume_l = 0.71
threshold = 22
aa_um2 = 2300.0
exp = 1.136
[log]
frames_per_bloc = 1
[run.camera]
kind = "replay"
source = "{frames}"
frame_rate_hz = {rate}
[run.pressure]
port = "{port}"
"""


@dataclass(frozen=True, slots=True)
class Started:
    """One start: processor seconds and seconds until something was reached, and memory in MB of 2 ** 20."""

    ready_cpu_s: float
    ready_s: float
    frame_cpu_s: float
    frame_s: float
    peak_mb: float
    steady_mb: float
    steady_rss_mb: float


def bench() -> dict[str, Any]:
    """Start it with nothing compiled, then three times, of which the median counts; then see its imports."""
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder) / "frames"
        subprocess.run([sys.executable, "-m", "tools.bench.start", str(frames)], check=True)
        compiling = _start(Path(folder) / "compiling", frames)
        runs = [_start(Path(folder) / str(i), frames) for i in range(REPEATS)]
        self_us = _imports(Path(folder) / "imports", frames)
    shown = (
        ("to READY, processor s", "ready_cpu_s", "{:.2f}"),
        ("to READY, s", "ready_s", "{:.2f}"),
        ("to the first analysed frame, processor s", "frame_cpu_s", "{:.2f}"),
        ("to the first analysed frame, s", "frame_s", "{:.2f}"),
        ("highest memory (PSS), MB", "peak_mb", "{:.0f}"),
        (f"after {STEADY_FRAMES} frames (PSS), MB", "steady_mb", "{:.0f}"),
        (f"after {STEADY_FRAMES} frames (RSS), MB", "steady_rss_mb", "{:.0f}"),
    )
    rows, numbers = [], {}
    for told, field, form in shown:
        found = sorted(float(getattr(run, field)) for run in runs)
        numbers[field] = found[REPEATS // 2]
        rows.append([told, *(form.format(x) for x in (found[REPEATS // 2], found[0], found[-1]))])
    numbers["compiling_frame_cpu_s"] = compiling.frame_cpu_s
    numbers["modules"] = len(self_us)
    rows.append(
        ["nothing compiled: to the first analysed frame, processor s", f"{compiling.frame_cpu_s:.2f}", "", ""]
    )
    rows.append(["modules imported", str(len(self_us)), "", ""])
    return {
        "tables": [
            {
                "title": "`seston run` and its classifier from nothing, frames of 2464 x 2056 px",
                "columns": ["", "median", "least", "most"],
                "rows": rows,
            },
            _import_table(self_us),
        ],
        "notes": [
            "Processor time is user and system of both processes; a second of waiting for a dive to begin "
            "takes none. It is counted in steps of 10 ms.",
            f"Memory of both together, looked at every {LOOK_S * 1000:.0f} ms. PSS counts a page that others "
            "use too in part, and other Python programs on this machine make it smaller; RSS counts "
            "it in full, in each process.",
            "The first start finds nothing compiled, of Python's own modules neither, and compiles it; pip "
            "does so at installation. The others find it compiled.",
            "Modules and their times are of the service alone (-X importtime, which takes time itself).",
        ],
        "numbers": numbers,
    }


def _import_table(self_us: dict[str, int]) -> dict[str, Any]:
    """By package; our own by module, since each of ours is a file that could be imported later."""
    ours = ("edge", "firmware_bridge", "tools")
    by_name: dict[str, list[int]] = {}
    for name, took_us in self_us.items():
        top = name.partition(".")[0]
        by_name.setdefault(name if top in ours else top, []).append(took_us)
    longest = sorted(by_name.items(), key=lambda item: -sum(item[1]))[:SHOWN]
    return {
        "title": f"Longest to import, of {sum(self_us.values()) / 1000:.0f} ms",
        "columns": ["package or module", "modules", "ms"],
        "rows": [[name, str(len(took)), f"{sum(took) / 1000:.1f}"] for name, took in longest],
    }


def read_importtime(said: str) -> dict[str, int]:
    """Microseconds of each module itself, without those that it imports, from what `-X importtime` writes."""
    found: dict[str, int] = {}
    for line in said.splitlines():
        head, _, rest = line.partition("import time:")
        parts = [part.strip() for part in rest.split("|")]
        if not head and len(parts) == 3 and parts[0].isdigit():
            found[parts[2]] = found.get(parts[2], 0) + int(parts[0])
    return found


def family(pid: int) -> list[int]:
    """A process and all that came from it and are alive."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text("ascii").split()]
    return found


def cpu_s(pids: list[int]) -> float:
    """User and system time of processes and of their ended children, s (proc_pid_stat(5), 14 to 17)."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            told = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
            ticks += sum(int(told[i]) for i in range(11, 15))
    return float(ticks / os.sysconf("SC_CLK_TCK"))


def memory_mb(pids: list[int]) -> tuple[float, float]:
    """PSS and RSS of processes together, MB of 2 ** 20 bytes."""
    kb = {"Pss:": 0, "Rss:": 0}
    for pid in pids:
        with contextlib.suppress(OSError):  # one that has just ended
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
                name, *value = line.split()
                if name in kb:
                    kb[name] += int(value[0])
    return kb["Pss:"] / 1024, kb["Rss:"] / 1024


class _Service:
    """`seston run` in a process of its own, on a pseudo-terminal and a socket; used as a context."""

    def __init__(self, folder: Path, frames: Path, *flags: str) -> None:
        folder.mkdir()
        self._host, self._port = pty.openpty()
        tty.setraw(self._port)
        os.set_blocking(self._host, False)
        config = folder / "float.toml"
        told = _CONFIG.format(frames=frames, rate=FRAME_RATE_HZ, port=os.ttyname(self._port))
        config.write_text(told, encoding="utf-8")
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(str(folder / "notify"))
        self._ear.settimeout(LOOK_S)
        self._said = folder / "said"
        self.log = folder / "dives" / "00000" / "dive.sqlite"
        command = [sys.executable, *flags, "-c", _MAIN, "run", "--config", str(config)]
        # What Python compiled lies beside the folders of the starts, whether or not it is kept elsewhere.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env |= {
            "NOTIFY_SOCKET": str(folder / "notify"),
            "PYTHONPYCACHEPREFIX": str(folder.parent / "compiled"),
        }
        with self._said.open("wb") as said:
            self.begun_s = time.monotonic()
            self.process = subprocess.Popen(
                [*command, "--folder", str(folder)],
                stdout=said,
                stderr=said,
                env=env,
            )

    def __enter__(self) -> _Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()
        self._ear.close()
        os.close(self._host)
        os.close(self._port)

    def is_ready(self) -> bool:
        """Whether READY has come; waits for `LOOK_S`."""
        with contextlib.suppress(TimeoutError):
            return b"READY=1" in self._ear.recv(4096).splitlines()
        return False

    def sink(self, pressure_dbar: float) -> None:
        """A line of the float's; one that nobody reads is lost, as on a real port."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._host, b"%.2f, 12.5\r\n" % pressure_dbar)

    def analysed(self) -> int:
        """Frames in the log that were analysed."""
        if not self.log.exists():
            return 0
        asked = f"SELECT COUNT(*) FROM frames WHERE outcome = {ANALYSED}"
        with (
            contextlib.closing(sqlite3.connect(f"{self.log.as_uri()}?mode=ro", uri=True)) as db,
            contextlib.suppress(sqlite3.OperationalError),  # it is just being made
        ):
            return int(db.execute(asked).fetchone()[0])
        return 0

    def check(self) -> None:
        """Stop here when the service has ended, or takes too long."""
        if self.process.poll() is not None or time.monotonic() - self.begun_s > LONGEST_S:
            raise RuntimeError(self.said())

    def said(self) -> str:
        """All that it has written."""
        return self._said.read_text(encoding="utf-8", errors="replace")


def _start(folder: Path, frames: Path) -> Started:
    peak_mb, n, depth_dbar, sent_s = 0.0, 0, 0.0, 0.0
    ready: tuple[float, float] | None = None
    first: tuple[float, float] | None = None
    with _Service(folder, frames) as service:
        pid = service.process.pid
        while n < STEADY_FRAMES:
            service.check()
            heard, now_s = service.is_ready(), time.monotonic()
            if heard and ready is None:
                ready = cpu_s(family(pid)), now_s - service.begun_s
            if ready is not None and now_s - sent_s > 0.05:
                service.sink(depth_dbar)
                depth_dbar, sent_s = min(depth_dbar + 0.25, 50.0), now_s
            n = service.analysed()
            if n and first is None:
                first = cpu_s(family(pid)), time.monotonic() - service.begun_s
            peak_mb = max(peak_mb, memory_mb(family(pid))[0])
        steady = memory_mb(family(pid))
    if ready is None or first is None:
        raise RuntimeError("the service analysed frames before it was ready")
    return Started(*ready, *first, peak_mb, *steady)


def _imports(folder: Path, frames: Path) -> dict[str, int]:
    with _Service(folder, frames, "-X", "importtime") as service:
        while not service.is_ready():
            service.check()
    return read_importtime(service.said())


def _draw(folder: Path) -> None:
    """Frames of a real cast's load, in a process of its own."""
    import numpy as np

    from tools.bench.frames import cast_like_frame
    from tools.composing.writer import encode_png

    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    drawn = [encode_png(cast_like_frame(rng, 2)) for _ in range(N_DISTINCT)]
    for i in range(N_FRAMES):
        file = folder / f"{i:05d}.png"
        if i < N_DISTINCT:
            file.write_bytes(drawn[i])
        else:
            file.hardlink_to(folder / f"{i % N_DISTINCT:05d}.png")


if __name__ == "__main__":
    _draw(Path(sys.argv[1]))
