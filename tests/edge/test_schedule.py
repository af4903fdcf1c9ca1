"""Zones and their shares of a budget: what is done where, and that nothing is done less of in silence."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import BudgetConfig, Config, MissionConfig, PhaseName, ZoneConfig
from edge.divelog import DiveLog
from edge.frame import FrameOutcome, Phase
from edge.inference.bundle import load_bundle
from edge.instrument import Instrument
from edge.logged import begin_dive, summarise
from edge.mission import Mission, State
from edge.schedule import ELSEWHERE, Good, Schedule
from tests.edge.test_instrument import CONFIG, frame, scene, take

pytestmark = pytest.mark.board


def schedule(*zones, **budget):
    return Schedule(Config(mission=MissionConfig(zones=zones, budget=BudgetConfig(**budget))))


def test_the_first_zone_that_a_frame_lies_in_counts():
    plan = schedule(
        ZoneConfig(phases=(PhaseName.ASCENT,), from_dbar=0, to_dbar=200, frame_rate_hz=4, black_every=50),
        ZoneConfig(phases=(PhaseName.PARK,), frame_rate_hz=0.01, frames_per_bloc=1, save=False),
        ZoneConfig(from_dbar=100, to_dbar=1000, classify=False),
    )
    found = [
        plan.at(phase, pressure).zone
        for phase, pressure in [
            (Phase.ASCENT, 150), (Phase.DESCENT, 150), (Phase.ASCENT, 200), (Phase.DESCENT, 99),
            (Phase.PARK, 500), (Phase.PARK, math.nan), (Phase.ASCENT, math.nan), (Phase.DESCENT, 1000),
        ]
    ]  # fmt: skip
    assert found == [0, 2, 2, ELSEWHERE, 1, 1, ELSEWHERE, ELSEWHERE]
    ascent, park, deep = plan.at(Phase.ASCENT, 9), plan.at(Phase.PARK, 9), plan.at(Phase.DESCENT, 300)
    assert (ascent.period_s, ascent.frames_per_bloc) == (0.25, 10)
    assert (ascent.black_every, park.black_every) == (50, None)
    assert (park.period_s, park.frames_per_bloc, park.save) == (100, 1, False)
    assert (deep.period_s, deep.classify, deep.save) == (None, False, True)


def test_what_is_kept_for_a_zone_nobody_else_spends():
    plan = schedule(ZoneConfig(to_dbar=100, share=3), ZoneConfig(from_dbar=100), classify_s=40)
    assert [plan.left(Good.CLASSIFY_S, zone) for zone in (0, 1, ELSEWHERE)] == [30, 10, 0]
    plan.spend(0, Good.CLASSIFY_S, 30)
    assert not plan.at(Phase.DESCENT, 50).classify
    assert plan.at(Phase.DESCENT, 50).spent == (Good.CLASSIFY_S,)
    assert plan.at(Phase.DESCENT, 150).classify
    assert plan.at(Phase.DESCENT, 50).save, "another budget is not touched"
    plan.spend(1, Good.CLASSIFY_S, 10)
    assert not plan.at(Phase.DESCENT, 150).classify


def test_a_zone_without_energy_rests_and_never_stops():
    plan = schedule(ZoneConfig(frame_rate_hz=2), energy_j=100, rest_frame_rate_hz=0.05)
    assert plan.at(Phase.ASCENT, 5).period_s == 0.5
    plan.spend(0, Good.ENERGY_J, 100)
    tired = plan.at(Phase.ASCENT, 5)
    assert (tired.period_s, tired.classify, tired.save) == (20, False, False)


def test_without_zones_the_whole_dive_has_the_whole_budget():
    plan = schedule(vignettes_mb=1)
    assert plan.left(Good.VIGNETTE_BYTES, ELSEWHERE) == 1e6
    plan.spend(ELSEWHERE, Good.VIGNETTE_BYTES, 999_999)
    assert plan.at(Phase.PARK, math.nan).save
    plan.spend(ELSEWHERE, Good.VIGNETTE_BYTES, 1)
    assert not plan.at(Phase.PARK, math.nan).save
    assert schedule().left(Good.ENERGY_J, ELSEWHERE) == math.inf


@given(
    shares=st.lists(st.floats(0, 10), min_size=1, max_size=5),
    bound=st.floats(0, 1000),
    spends=st.lists(st.tuples(st.integers(-1, 4), st.floats(0, 100)), max_size=40),
)
def test_no_zone_is_robbed_of_its_share(shares, bound, spends):
    zones = [ZoneConfig(from_dbar=i, to_dbar=i + 1, share=share) for i, share in enumerate(shares)]
    plan = schedule(*zones, energy_j=bound)
    for zone, amount in spends:
        if zone < len(zones):
            plan.spend(zone, Good.ENERGY_J, min(amount, max(0.0, plan.left(Good.ENERGY_J, zone))))
    total = sum(shares) or 1.0
    used = plan.spent["energy_j"]
    assert sum(used) <= bound + 1e-6
    for i, share in enumerate(shares):
        assert plan.left(Good.ENERGY_J, i) >= share / total * bound - used[i] - 1e-6
    again = Schedule(
        Config(mission=MissionConfig(zones=tuple(zones), budget=BudgetConfig(energy_j=bound))), plan.spent
    )
    assert again.spent == plan.spent


@pytest.mark.parametrize("zone", [{"from_dbar": 5, "to_dbar": 5}, {"phases": []}, {"black_every": -1}])
def test_a_zone_that_is_none_is_refused(zone):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"mission": {"zones": [zone]}}, Config)


def test_a_dive_does_in_each_zone_what_it_says(tmp_path):
    mission = MissionConfig(
        zones=(
            ZoneConfig(from_dbar=0, to_dbar=30, save=False),
            ZoneConfig(from_dbar=30, to_dbar=60, classify=False, frames_per_bloc=1, frame_rate_hz=0.5),
            ZoneConfig(from_dbar=60, share=9),
        ),
        budget=BudgetConfig(vignettes_mb=0.004),
    )  # fmt: skip
    config = msgspec.structs.replace(CONFIG, mission=mission)
    bundle = load_bundle("demo")
    log = begin_dive(tmp_path / "dive.sqlite", config, bundle, dive_number=1, time_ms=0)
    instrument = Instrument(config, bundle, log, mission=Mission(State.DESCENT))
    records, due = [], []
    for i in range(40):
        one = frame(i, scene(i, n_large=3), phase=Phase.DESCENT)
        due.append(instrument.is_due(one))
        records += take(instrument, one)
    assert due[11:20] == [False] * 9, "frames come every second, the zone asks for one in two"
    assert all(due[:10]), "the zone above says nothing of the camera's rate"
    instrument.close_bloc()
    particles = list(log.particles(with_vignettes=True))
    assert {p.frame for p in particles} == set(range(10)) | set(range(20, 40))
    assert all(record.outcome is FrameOutcome.ANALYSED for record in records)
    assert [record.unnamed > 0 for record in records] == [10 <= i < 20 for i in range(40)]
    kept = [p.frame for p in particles if p.vignette_png is not None]
    assert min(kept) == 20
    assert max(kept) < 39
    assert sum(len(p.vignette_png) for p in particles if p.vignette_png is not None) > 3600
    ((_, told),) = log.inputs("used-up")
    assert (told["zone"], told["good"]) == (2, "vignette_bytes")
    assert told["frame"] == max(kept) + 1
    instrument.finish()
    assert log.meta("vignettes_left_out") == sum(p.vignette_png is None for p in particles)
    (part,) = summarise(log).profile.phases
    assert part.lpm.sum() > 0
    assert part.volume_classified_ul.sum() < part.volume_sized_ul.sum() == 40 * 600_000
    log.close()
    with DiveLog.open(tmp_path / "dive.sqlite") as again:
        assert [r.unnamed for r in again.records()] == [r.unnamed for r in records]
