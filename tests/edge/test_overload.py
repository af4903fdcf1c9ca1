"""What is classified when there is no time for all: never more than there is time for, never in silence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import ClassifyConfig, Overload
from edge.frame import FrameOutcome, Phase
from edge.inference.bundle import load_bundle
from edge.instrument import Instrument
from edge.logged import begin_dive, codebook_in, plan_messages, summarise
from edge.mission import Mission, State
from edge.overload import Allowance, choose
from edge.profile import named_share
from edge.telemetry import decode_messages
from edge.telemetry.decoded import volume_l
from edge.telemetry.summary import Quantity
from tests.edge.test_instrument import CONFIG, frame, scene, take

pytestmark = pytest.mark.board


def test_without_bounds_all_are_classified():
    allowance = Allowance(None, 2.0)
    assert [allowance.take(n, 0, None) for n in (0, 7, 10**6)] == [0, 7, 10**6]


@given(
    frames=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 300)), min_size=1, max_size=60),
    per_second=st.floats(0.1, 200),
    pace_s=st.none() | st.floats(0.0005, 1.0),
    backlog_s=st.floats(0.1, 10),
)
def test_no_more_than_there_is_time_for(frames, per_second, pace_s, backlog_s):
    allowance, now_ms, given = Allowance(per_second, backlog_s), 0, []
    for passed_ms, wanted in frames:
        now_ms += passed_ms
        given.append(allowance.take(wanted, now_ms, pace_s))
        assert 0 <= given[-1] <= wanted
    each_s = max(1 / per_second, pace_s or 0.0)
    assert sum(given) * each_s <= backlog_s + now_ms / 1000 + 1e-6
    time_s = [backlog_s, *(passed_ms / 1000 for passed_ms, _ in frames[1:])]
    if all(wanted * each_s <= has_s for has_s, (_, wanted) in zip(time_s, frames, strict=True)):
        assert given == [wanted for _, wanted in frames], "who has time leaves nobody out"


def test_a_clock_that_goes_back_gives_no_time():
    allowance = Allowance(10, 1.0)
    assert allowance.take(10, 5000, None) == 10
    assert allowance.take(10, 1000, None) == 0
    assert allowance.take(10, 1500, None) == 5


def test_the_largest_or_some_by_chance():
    area = np.array([5, 9, 9, 1, 7])
    assert choose(area, 3, Overload.LARGEST, 0).tolist() == [1, 2, 4]
    assert choose(area, 5, Overload.FRACTION, 0).tolist() == choose(area, 9, Overload.LARGEST, 0).tolist()
    assert choose(area, 2, Overload.FRACTION, 3).tolist() == [1, 2], "the same on every machine"
    often = np.zeros(40)
    for i in range(4000):
        often[choose(np.arange(40), 10, Overload.FRACTION, i)] += 1
    # Each particle 1000 times but for chance: five standard deviations of a binomial.
    assert abs(often - 1000).max() < 5 * np.sqrt(4000 * 0.25 * 0.75)


def test_the_share_of_a_volume():
    assert named_share(600_000, 3, 0) == 600_000
    assert named_share(600_000, 3, 1) == 450_000
    assert named_share(600_000, 0, 2) == 0


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("demo")


def dive(tmp_path, bundle, name, **classify):
    config = CONFIG.__class__(
        optics=CONFIG.optics, vision=CONFIG.vision, log=CONFIG.log,
        classify=ClassifyConfig(min_esd_um=300.0, **classify),
    )  # fmt: skip
    log = begin_dive(tmp_path / name, config, bundle, dive_number=1, time_ms=0)
    instrument = Instrument(config, bundle, log, mission=Mission(State.DESCENT))
    records = take(instrument, *(frame(i, scene(i, n_large=4), phase=Phase.DESCENT) for i in range(40)))
    return records, instrument.finish(), log


@pytest.mark.parametrize("how", list(Overload))
def test_who_is_left_unnamed_is_told_to_the_shore_and_sizes_are_whole(tmp_path, bundle, how):
    everyone, _, all_log = dive(tmp_path, bundle, "all.sqlite")
    some, plan, log = dive(tmp_path, bundle, "some.sqlite", per_second=1.5, backlog_s=1.0, overload=how)
    for a, b in zip(everyone, some, strict=True):
        assert a.histogram.n_particles == b.histogram.n_particles
        assert b.outcome is a.outcome is FrameOutcome.ANALYSED
        assert len(b.taxa) + b.unnamed == len(a.taxa)
    named, unnamed = sum(len(r.taxa) for r in some), sum(r.unnamed for r in some)
    assert named == 60, "1.5 a second for 39 s, and what 1 s had saved up"
    assert unnamed > 90
    (part,) = summarise(log).profile.phases
    assert part.unnamed.sum() == unnamed
    assert plan_messages(log).messages == plan.messages
    (shore,) = decode_messages(plan.messages, [codebook_in(log)]).dives
    assert shore.is_complete
    assert shore.has_unnamed(Phase.DESCENT)
    there = shore.phases[Phase.DESCENT]
    assert there.tables[Quantity.UNNAMED].totals()[0].tolist() == [unnamed]
    for i in range(part.n_bins):
        assert volume_l(shore, there, i, i + 1, Quantity.TAXA) == part.volume_classified_ul[i] / 1e6
        assert volume_l(shore, there, i, i + 1, Quantity.SIZES) == part.volume_sized_ul[i] / 1e6
    whole_l = volume_l(shore, there, 0, part.n_bins, Quantity.TAXA)
    assert whole_l == named_share(24_000_000, named, unnamed) / 1e6
    # The concentration of all classified particles is that of the dive in which all were.
    (full,) = summarise(all_log).profile.phases
    assert named / whole_l == pytest.approx(
        full.taxa.sum() / (full.volume_classified_ul.sum() / 1e6), rel=1e-3
    )
    taxa = there.tables[Quantity.TAXA]
    del there.tables[Quantity.UNNAMED]
    assert np.isnan(volume_l(shore, there, 0, 1, Quantity.TAXA)), "known to be there, and not at hand"
    assert taxa.totals()[0].sum() == named


def test_a_dive_without_overload_sends_what_it_always_sent(tmp_path, bundle):
    _, plan, log = dive(tmp_path, bundle, "all.sqlite")
    assert Quantity.UNNAMED not in {layer.quantity for layer in plan.layers}
    (shore,) = decode_messages(plan.messages, [codebook_in(log)]).dives
    assert not shore.has_unnamed(Phase.DESCENT)
