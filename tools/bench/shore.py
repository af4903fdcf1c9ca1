"""`seston bench shore`: how long the shore takes of one core, and how much memory, for a large dive.

Each part runs in a process of its own, so that its memory is its alone.
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

from edge.errors import InputError
from tools.bench.memory import peak_mb

OBJECTS, SMALL_SHARE = 100_000, 10
"""Objects of the dive; memory is also measured with a tenth of them, to see whether it grows."""
WANTED_S = 60.0
WANTED_OPEN_S, WANTED_PAGE_MB = 2.0, 15.0
OPENINGS = 3
BUNDLES = ("shadowgraph", "darkfield", "demo")
"""For sorting: what has learnt from PlanktonSet, what began with that, and what never saw plankton."""
YARDSTICK_ROUNDS = 1000
COLUMNS = ["part", "processor, s", "passed, s", "us an object", "peak memory, MB", "file, MB"]


def bench(objects: int = OBJECTS, data: Path | None = None, part: str | None = None) -> dict[str, Any]:
    """The parts `export`, `report` and `reprocess`, of a drawn dive, and `sort`, of sorted `data`.

    One of them, or all that can be.
    """
    from tools.bench import reprocess

    tables = []
    for name, make in (
        ("export", _export_table),
        ("report", _report_table),
        ("reprocess", reprocess.table),
    ):
        if part in (None, name):
            tables.append(make(objects))
    if data is not None and part in (None, "sort"):
        from tools.bench.shore_sort import sort_table

        tables.append(sort_table(data, BUNDLES, is_bright_field=data.stem == "planktonset"))
    if not tables:
        raise InputError(
            "needs sorted images", field="--data", remedy="give a folder or zip of class folders"
        )
    numbers = {name: value for one in tables for name, value in one["numbers"].items()}
    return {**tables[0], "tables": tables, "numbers": numbers}


def _export_table(objects: int) -> dict[str, Any]:
    """Export a drawn dive for EcoTaxa with its vignettes, and check what was written."""
    from tools.bench.drawn_dive import make_dive

    rows: list[list[Any]] = []
    numbers: dict[str, float] = {"objects": objects}
    with tempfile.TemporaryDirectory() as folder:
        for n in (max(1, objects // SMALL_SHARE), objects):
            dive = make_dive(Path(folder) / f"dive_{n}", n)
            for part in ("export", "check"):
                found = _measure(part, dive, Path(folder) / f"dive_{n}.zip")
                what = {"export": "export ecotaxa", "check": "export check"}[part]
                rows.append([f"{what}, {n:,} objects", *_cells(found, n)])
                if n == objects:
                    numbers |= {f"{part}_{name}": value for name, value in found.items()}
                else:
                    numbers[f"{part}_tenth_peak_mb"] = found["peak_mb"]
    numbers["measure_ms"] = yardstick_ms = _yardstick_ms()
    return {
        "title": "The shore, one core",
        "columns": COLUMNS,
        "rows": rows,
        "notes": [
            f"Wanted of the export: {WANTED_S:.0f} s of a core for {OBJECTS:,} objects, two images each (with"
            " the legend, and untouched), measured again as UVPapp does, in one zip or several of 500 MB.",
            f"On this machine, as busy as it is, all 72 measures of a disk of 1,005 px take"
            f" {yardstick_ms:.3f} ms of processor.",
            "The dive is drawn: 400 particles of 9 to 60 px ESD, strewn over its frames.",
            "Importing Python, NumPy and OpenCV counts.",
        ],
        "numbers": numbers,
    }


def _report_table(objects: int) -> dict[str, Any]:
    """Make the report of a drawn dive, and open it."""
    from tools.bench.drawn_dive import make_dive

    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        made = _measure("report", make_dive(Path(folder) / "dive", objects), page)
        opened = _open_page(page, Path(folder))
    rows: list[list[Any]] = [[f"report, {objects:,} objects", *_cells(made, objects)]]
    for words, name in (
        ("report opens: loaded, first plot seen", "open_s"),
        ("report: first plot that answers", "live_s"),
        ("report: all plots", "drawn_s"),
    ):
        rows.append([words, "", opened.get(name, "no Chromium"), "", "", made["mb"]])
    return {
        "title": "The report of a dive",
        "columns": COLUMNS,
        "rows": rows,
        "notes": [
            f"Wanted: open in {WANTED_OPEN_S:g} s, at most {WANTED_PAGE_MB:g} MB. It is open when loaded and"
            " its first plot is seen, which comes as a picture; it answers when Plotly has drawn it. Best of"
            f" {OPENINGS} from the start of the navigation, each in a fresh headless Chromium with a screen"
            f" of 1400 px; {os.cpu_count()} cores under a load of {os.getloadavg()[0]:.1f}."
        ],
        "numbers": {f"report_{name}": value for name, value in (made | opened).items()},
    }


def _cells(found: dict[str, float], objects: int) -> tuple[float, ...]:
    cpu_s = found["cpu_s"]
    return cpu_s, found["wall_s"], 1e6 * cpu_s / objects, found["peak_mb"], found["mb"]


def _measure(part: str, dive: Path, target: Path) -> dict[str, float]:
    """Seconds of processor and of the clock, peak memory and size, from a process of its own."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tools.bench.shore", part, str(dive), str(target)]
    start = time.perf_counter()
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{part} failed: {done.stderr}")
    found: dict[str, float] = json.loads(done.stdout)
    return {**found, "wall_s": time.perf_counter() - start}


def _open_page(page: Path, folder: Path) -> dict[str, float]:
    """Seconds until the page is open, and until all its plots are drawn; nothing without a Chromium."""
    from tools.bench.chromium import Chromium

    found = []
    for i in range(OPENINGS):
        try:
            browser = Chromium(folder / f"profile_{i}")
        except InputError:
            return {}
        with browser:
            browser.open(page.resolve().as_uri())
            browser.until("document.documentElement.dataset.plots === 'drawn'")
            marks = browser.value(
                "[performance.getEntriesByType('navigation')[0].loadEventEnd,"
                " ...['first-plot', 'first-live-plot', 'plots-drawn'].map((n) =>"
                " performance.getEntriesByName(n)[0].startTime)]"
            )
            found.append((max(marks[:2]) / 1000, marks[2] / 1000, max(marks) / 1000))
    return dict(zip(("open_s", "live_s", "drawn_s"), map(min, zip(*found, strict=True)), strict=True))


def _yardstick_ms() -> float:
    """Milliseconds of processor for the measures of one particle: how fast this machine is just now."""
    import cv2
    import numpy as np

    from edge.vision.morphology import measure
    from tools.bench.drawn_dive import OPTICS

    cv2.setNumThreads(1)
    y, x = np.mgrid[-17:18, -17:18]
    mask, grey = x * x + y * y < 18 * 18, np.full((35, 35), 90, dtype=np.uint8)
    start = time.process_time()
    for _ in range(YARDSTICK_ROUNDS):
        measure(mask, grey, 0, 0, OPTICS)
    return 1000 * (time.process_time() - start) / YARDSTICK_ROUNDS


def _child(part: str, dive: Path, target: Path) -> dict[str, float]:
    import cv2

    cv2.setNumThreads(1)
    if part == "export":
        from tools.shore.ecotaxa.export import export_dives

        export_dives([dive], target)
    if part == "report":
        from tools.shore.report import write_report

        write_report(dive, target)
    zips = [target] if target.exists() else sorted(target.parent.glob(f"{target.stem}-*.zip"))
    if part == "check":
        from tools.shore.ecotaxa.check import check_archive

        for path in zips:
            if check_archive(path).is_refused:
                raise RuntimeError(f"{path} is refused")
    size = sum(path.stat().st_size for path in zips) / 2**20
    return {"cpu_s": time.process_time(), "peak_mb": peak_mb(), "mb": size}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_child(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))
