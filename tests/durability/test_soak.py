"""Some thousand frames through the whole service: nothing may grow. `make soak` is the long one."""

from __future__ import annotations

import subprocess
import sys

import pytest

FRAMES, DIVE_FRAMES, TENTHS_TO_WARM_UP = 1600, 200, 5
MOST_GROWTH_MB = 2.0
"""In 640 frames and three dives; one that keeps each frame (6 kB) grows by 4 MB."""


@pytest.mark.parametrize("how", [[], ["--own-process"]])
def test_nothing_grows(how):
    """In a process that has done nothing else."""
    command = [sys.executable, "-m", "tests.durability.soak"]
    command += ["--frames", str(FRAMES), "--dive-frames", str(DIVE_FRAMES), *how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [
        line.replace(" MB", "").replace(" files", "").replace(" threads", "")
        for line in done.stdout.splitlines()
    ]
    table = [[float(number) for number in row.split()] for row in rows]
    assert [row[0] for row in table] == [FRAMES / 10 * i for i in range(1, 11)]
    warm, last = table[TENTHS_TO_WARM_UP - 1], table[-2]  # at the very end it has closed its files
    assert last[1] - warm[1] < MOST_GROWTH_MB, done.stdout
    assert last[2] - warm[2] < MOST_GROWTH_MB, done.stdout
    assert (last[2] > 0) == bool(how)
    assert last[3:] == warm[3:], done.stdout
