"""What the power benchmark adds up is what was measured; its times are nobody's test."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from edge.config import BudgetConfig, Config, MissionConfig, PhaseName, ZoneConfig
from edge.vision.segmentation import segment
from tools.bench.boards import BOARDS, Machine, memcpy_mb_s, rating_in, this_machine
from tools.bench.command import bench
from tools.bench.energy import Cost, Cycle, days_on, seconds_on, spend
from tools.bench.frames import OPTICS, SURFACE_LARGE, SURFACE_PARTICLES, surface_frame
from tools.bench.power import STAGES, Stopwatch

pytestmark = pytest.mark.board

HERE = Machine(mips=1676, memcpy_mb_s=2600.0, told="twice a Pi Zero 2 W")
BOARD = BOARDS["zero2w"]


def test_a_surface_frame_holds_what_the_table_says():
    regions = segment(surface_frame(np.random.default_rng(1)), OPTICS.threshold)
    assert abs(len(regions) - SURFACE_PARTICLES) < 100
    assert (OPTICS.esd_um(regions.area_px) >= 620).sum() == SURFACE_LARGE


def test_every_number_of_a_board_has_its_source():
    for board in BOARDS.values():
        assert 0 < board.core_w < board.idle_w * 2
        assert len(board.speed_source) > 20
        assert re.search(r"\d", board.power_source)


def test_seven_zip_is_read_by_processor_time():
    said = "Avr:    89   3211   3194  |   98   4156   4089\nTot:    88   3551   3117\n"
    assert rating_in(said) == 3551
    assert rating_in("") is None
    machine = this_machine(1234)
    assert machine is not None
    assert machine.mips == 1234
    assert memcpy_mb_s(1_000_000, 2) > 0


def test_cores_and_memory_scale_apart():
    cost = Cost({"capture": 0.01, "measures": 0.02}, 0.0)
    assert seconds_on(BOARD, cost, HERE) == pytest.approx(2 * 0.03)
    fast_memory = Machine(HERE.mips, 13_000.0, "")
    assert seconds_on(BOARD, cost, fast_memory) == pytest.approx(10 * 0.01 + 2 * 0.02)


FREE, SIZES = Cost({"measures": 0.01}, 1000.0), Cost({"measures": 0.001}, 100.0)
COSTS = {(True, True): FREE, (True, False): SIZES, (False, True): FREE, (False, False): SIZES}


def test_a_cycle_adds_up():
    config = Config(mission=MissionConfig(budget=BudgetConfig(frame_j=0.25)))
    cycle = Cycle(days=1.0, dive_dbar=100.0, speed_dbar_s=0.1)
    spent = spend(config, cycle, BOARD, HERE, COSTS)
    assert spent.on_s == pytest.approx(2000)
    assert spent.frames == pytest.approx(2000)  # the camera's one a second
    assert spent.busy_s == pytest.approx(2000 * 0.02)
    assert spent.written_bytes == pytest.approx(2e6)
    assert spent.joules == pytest.approx(2000 * 0.6 + 40 * 0.5 + 2000 * 0.25)
    assert spent.late_share == 0
    assert days_on(10.0, cycle, spent) == pytest.approx(36_000 / spent.joules)
    assert days_on(10.0, cycle, spent, off_w=0.1) == pytest.approx(36_000 / (spent.joules + 0.1 * 84_400))


def test_zones_say_where_frames_are_taken_and_park_keeps_the_board_on():
    zones = (
        ZoneConfig(phases=(PhaseName.PARK,), frame_rate_hz=0.01, classify=False),
        ZoneConfig(phases=(PhaseName.ASCENT,), to_dbar=50.0, frame_rate_hz=4.0),
        ZoneConfig(frame_rate_hz=0.1, classify=False),
    )
    cycle = Cycle(days=1.0, dive_dbar=100.0, speed_dbar_s=0.1)
    spent = spend(Config(mission=MissionConfig(zones=zones)), cycle, BOARD, HERE, COSTS)
    assert spent.on_s == pytest.approx(86_400)
    assert spent.frames == pytest.approx(4 * 500 + 0.1 * 1500 + 0.01 * 84_400)
    assert spent.busy_s == pytest.approx(2000 * 0.02 + (150 + 844) * 0.002)


def test_frames_that_no_core_has_time_for_are_not_counted():
    zones = (ZoneConfig(phases=(PhaseName.DESCENT, PhaseName.ASCENT), frame_rate_hz=100.0),)
    spent = spend(Config(mission=MissionConfig(zones=zones)), Cycle(1.0, 50.0), BOARD, HERE, COSTS)
    assert spent.late_share == pytest.approx(0.5)
    assert spent.frames == pytest.approx(50_000)
    assert spent.busy_s == pytest.approx(1000)  # all the time that the board is on


def test_a_stage_is_counted_once():
    now = [100.0]
    watch = Stopwatch(lambda: now[0])

    def spend_s(seconds):
        now[0] += seconds

    inner = watch.around("inference", spend_s)
    outer = watch.around("measures", lambda: (spend_s(2), inner(5), spend_s(1)))
    spend_s(50)
    watch.start()
    spend_s(4)
    outer()
    watch.stop()
    assert watch.seconds["inference"] == 5
    assert watch.seconds["measures"] == 3
    assert watch.seconds["rest"] == 4
    with pytest.raises(ZeroDivisionError):
        watch.around("PNG", lambda: 1 // 0)()
    watch.is_on = False
    outer()
    assert sum(watch.seconds.values()) == 12


def test_the_bench_measures_the_real_instrument_and_writes_what_it_prints(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.bench.power.REPEATS", 1)
    monkeypatch.setattr("tools.bench.power.N_DISTINCT", 2)
    file = tmp_path / "power.json"
    done = CliRunner().invoke(
        bench, ["power", "--frames", "4", "--mips", "3700", "--board", "pi4", "--json", str(file)]
    )
    assert done.exit_code == 0, done.output
    assert "ESTIMATES, not measured" in done.output
    assert "Coral" in done.output
    told = json.loads(file.read_text())["numbers"]
    surface, sizes = told["stages_s"]["surface"], told["stages_s"]["surface, sizes alone"]
    assert set(surface) == set(STAGES)
    assert min(surface[stage] for stage in STAGES if stage != "background") > 0
    assert sizes["inference"] == sizes["vignettes"] == sizes["PNG"] == 0
    rate = told["frames_per_s"]["surface"][0]
    assert rate == pytest.approx(1 / sum(surface.values()))
    assert told["energy"]["days"] > 0
    refused = CliRunner().invoke(bench, ["segment", "--battery-wh", "5"])
    assert refused.exit_code == 2
    assert "--battery-wh goes with `bench power`" in refused.output
