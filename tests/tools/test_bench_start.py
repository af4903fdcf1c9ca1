"""The benchmark of the start reads from kernel and Python what was done; its times are no test."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from edge.frame import FrameOutcome
from tools.bench.start import ANALYSED, cpu_s, family, memory_mb, read_importtime

pytestmark = pytest.mark.board

BUSY = (
    "import sys, time\nheld = b'x' * 64_000_000\n"
    "while time.process_time() < 0.2: pass\n"
    "print('done', flush=True)\nsys.stdin.read()"
)


@pytest.mark.not_emulated("QEMU shows a process none of its own times")
def test_processor_time_and_memory_of_a_child_are_counted():
    me = os.getpid()
    with subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout.readline() == b"done\n"
        assert child.pid in family(me)
        assert cpu_s([child.pid]) >= 0.15
        pss_mb, rss_mb = memory_mb([child.pid])
        assert 60 < pss_mb <= rss_mb
        before_s = cpu_s([me])
        child.stdin.close()
        child.wait()
    assert child.pid not in family(me)
    assert cpu_s([me]) >= before_s + 0.15, "an ended child's time is its parent's"
    assert memory_mb([child.pid]) == (0.0, 0.0)


def test_import_times_are_read_between_other_lines():
    said = (
        "import time: self [us] | cumulative | imported package\n"
        "import time:       190 |        190 |   zipimport\n"
        "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
        "import time:      1000 |       1190 | site\n"
    )
    assert read_importtime(said) == {"zipimport": 190, "site": 1000}


def test_the_number_of_analysed_is_the_logs():
    assert FrameOutcome.ANALYSED == ANALYSED


def test_the_benchmark_shares_no_library_with_the_service():
    code = (
        "import sys, tools.bench.command, tools.bench.start;"
        "sys.exit(' '.join(m for m in ('cv2', 'numpy', 'msgspec') if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
