"""A dive dates a frame when its camera took it, not when it was looked at."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge import dive as dives
from edge.clock import WallClock
from edge.config import Config
from edge.frame import Stamp
from edge.inference.bundle import load_bundle
from edge.mission import Mission, State
from edge.optics import Optics
from tests.edge.test_instrument import frame, scene

pytestmark = pytest.mark.board
UTC_MS = 1_790_000_000_000


class SetClock:
    """Says what it is set to."""

    now_s = 0.0

    def utc_ms(self):
        return UTC_MS

    def monotonic_s(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


def test_the_cameras_stamp_is_kept_and_one_of_another_run_is_not(tmp_path):
    clock = SetClock()
    wall = WallClock(clock)
    config = Config(
        bundle="demo", optics=Optics(pixel_um=73, image_volume_l=0.6, threshold=21, aa_um2=2300, exp=1.136)
    )
    dive = dives.begin(
        tmp_path, config, load_bundle("demo"), wall, lambda sentence: None,
        mission=Mission(State.DESCENT), climatology=None,
    )  # fmt: skip
    clock.now_s = 10.0
    stamps = [Stamp(wall.boot, 9_300), Stamp(wall.boot + 1, 9_300), None]
    for stamp in stamps:
        dive.take(replace(frame(0, scene(0)), stamp=stamp), None, None)
    dive.instrument.close_bloc()
    assert [record.time_ms - UTC_MS for record in dive.log.records()] == [9_300, 10_000, 10_000]
    dive.close()
