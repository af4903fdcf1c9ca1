"""Small boards as others measured them: speed of one core, memory, power. Each number with its source.

Not measured by us, and with other software: what follows from them is an estimate. Speed is the rating of
7-zip's own benchmark with one thread (MIPS), since it is published for every one of these boards and can be
run anywhere; memory is tinymembench's `standard memcpy`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from dataclasses import dataclass

import numpy as np

_SBC_BENCH = "ThomasKaiser/sbc-bench, results/Sorted-Results.md"


@dataclass(frozen=True, slots=True)
class Board:
    """One board.

    Attributes
    ----------
    name, processor
        As people call them.
    mips
        7-zip, one thread.
    memcpy_mb_s
        Memory copied in a second, MB of 10 ** 6 bytes.
    idle_w
        Power of the board at rest, without camera, light and radio, W.
    core_w
        What one busy core takes beyond that, W: that of one, or a fourth of that of four.
    speed_source, power_source
        Where the numbers stand.
    """

    name: str
    processor: str
    mips: int
    memcpy_mb_s: int
    idle_w: float
    core_w: float
    speed_source: str
    power_source: str


BOARDS = {
    "zero2w": Board(
        "Pi Zero 2 W", "4 x Cortex-A53, 1.0 GHz", 838, 1300, 0.6, 0.5,
        f"{_SBC_BENCH}: Raspberry Pi Zero 2, 1000 MHz (a 32-bit system)",
        "idle: cnx-software.com/2021/12/09/raspberry-pi-zero-2-w-power-consumption; busy: 1.4 W more than a "
        "Zero W (andrejacobs.org), whose like takes 1.2 W (pidramble.com), a fourth of what is above idle",
    ),
    "pi3": Board(
        "Pi 3 B+", "4 x Cortex-A53, 1.4 GHz", 1046, 1120, 1.9, 0.8,
        f"{_SBC_BENCH}: Raspberry Pi 3 B+, with fan (856 to 914 without, throttled)",
        "pidramble.com, power consumption: 1.9 W idle, 5.1 W with four busy cores",
    ),
    "pi4": Board(
        "Pi 4 B", "4 x Cortex-A72, 1.8 GHz", 1741, 2240, 1.6, 0.85,
        f"{_SBC_BENCH}: Raspberry Pi 4 B, 1800 MHz, arm64 (1606 to 1897 with others)",
        "geerlingguy/sbc-reviews issue 4: 1.6 W idle, 5.0 W with four busy cores",
    ),
    "pi5": Board(
        "Pi 5", "4 x Cortex-A76, 2.4 GHz", 3160, 5260, 2.4, 1.5,
        "gist.github.com/arkadijs/117934b6a3f011dc7024193bcb0b82a8, sbc-bench: Raspberry Pi 5 B, 2400 MHz",
        "geerlingguy/sbc-reviews issue 58, the Compute Module 5: 2.4 W idle, 8.5 W with four busy cores",
    ),
    "coral": Board(
        "Coral Dev Board", "4 x Cortex-A53 (i.MX 8M), 1.5 GHz", 1201, 2230, 2.6, 0.85,
        f"{_SBC_BENCH}: HummingBoard Pulse, the same i.MX 8M Quad at 1500 MHz; its Edge TPU is not counted",
        "developer.embeddedartists.com, power consumption: iMX8M COM, 2.56 W idle, 3.41 W with one busy core",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that measures, in the measures of the boards."""

    mips: int
    memcpy_mb_s: float
    told: str


def this_machine(mips: int | None = None) -> Machine | None:
    """This machine; None when nobody says its MIPS and 7-zip is not installed.

    7-zip's rating is taken for the processor time it had, so that other work beside it counts less.
    """
    if mips is not None:
        return Machine(mips, memcpy_mb_s(), f"{mips} MIPS as it was given")
    program = next((path for path in map(shutil.which, ("7z", "7za", "7zr", "7zz")) if path), None)
    if program is None:
        return None
    said = subprocess.run([program, "b", "-mmt1", "1"], capture_output=True, text=True, check=False).stdout
    rated, version = rating_in(said), re.search(r"^.*7-Zip.*?(\d+\.\d+)", said, re.MULTILINE)
    if rated is None:
        return None
    return Machine(rated, memcpy_mb_s(), f"{rated} MIPS by 7-zip {version[1] if version else ''}".rstrip())


def rating_in(said: str) -> int | None:
    """MIPS a processor second (`R/U MIPS`) of the last line of `7z b`; None when there is none."""
    match = re.search(r"^Tot:\s+\d+\s+(\d+)\s+\d+", said, re.MULTILINE)
    return int(match[1]) if match else None


def memcpy_mb_s(size_bytes: int = 32_000_000, rounds: int = 7) -> float:
    """Memory that NumPy copies in a second, MB, best of some rounds."""
    source, target = np.ones(size_bytes, dtype=np.uint8), np.zeros(size_bytes, dtype=np.uint8)
    best = float("inf")
    for _ in range(rounds):
        begun = time.process_time()
        np.copyto(target, source)
        best = min(best, time.process_time() - begun)
    return size_bytes / best / 1e6
