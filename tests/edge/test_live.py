"""What is shown of an instrument at work: only while somebody looks, and whole; the log is the same."""

from __future__ import annotations

import itertools
import math
import os
import sqlite3

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.frame import Frame, FrameOutcome, Phase
from edge.inference.bundle import load_bundle
from edge.instrument import Instrument
from edge.live import (
    FRAME,
    MAX_REGIONS,
    STATE,
    TROUBLE,
    WANTED,
    Live,
    LiveFrame,
    LiveState,
    ask,
    live_folder,
    read_live,
)
from edge.logged import begin_dive
from edge.mission import Mission, State
from tests.edge.test_instrument import CONFIG, frame, scene

pytestmark = pytest.mark.board


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("demo")


@pytest.fixture
def place(tmp_path):
    found = live_folder(tmp_path)
    yield found
    if found.is_dir():
        for file in found.iterdir():
            file.unlink()
        found.rmdir()


class Ticking:
    """A clock that goes on by so much each time that it is read."""

    def __init__(self, step_s):
        self.step_s, self.reads = step_s, itertools.count()

    def __call__(self):
        return self.step_s * next(self.reads)


FRAMES = [
    frame(0, scene(0)),
    frame(1, np.full((300, 400), 9, np.uint8)),
    frame(2, np.full((300, 400), 200, np.uint8)),
    frame(3, None, fault=FrameOutcome.CORRUPT, note="<b>truncated</b>"),
    frame(4, scene(3), pressure_dbar=math.nan),
]


def dive(folder, bundle, live):
    """The frames as a dive; returns its rows and messages."""
    folder.mkdir(exist_ok=True)
    with begin_dive(folder / "dive.sqlite", CONFIG, bundle, dive_number=5, time_ms=0) as log:
        instrument = Instrument(CONFIG, bundle, log, mission=Mission(State.DESCENT), live=live)
        for one in FRAMES:
            instrument.take(one)
        instrument.finish()
    with sqlite3.connect(folder / "dive.sqlite") as db:
        told = {
            table: db.execute(f"SELECT * FROM {table}").fetchall()
            for table in ("meta", "frames", "particles", "vignettes", "inputs", "messages")
        }
    db.close()
    return told


def labels(bundle):
    return [taxon.label for taxon in bundle.counted_taxa]


def test_the_log_and_the_messages_are_the_same_whoever_looks(tmp_path, bundle, place):
    ask(place)
    seen = dive(tmp_path / "seen", bundle, Live(tmp_path, labels(bundle), Ticking(1.0)))
    assert (place / FRAME).exists()
    assert seen == dive(tmp_path / "unseen", bundle, None)
    assert seen["messages"]


def test_an_instrument_that_nobody_looks_at_shows_nothing(tmp_path, bundle, place):
    live = Live(tmp_path, labels(bundle), Ticking(1.0))
    dive(tmp_path / "dive", bundle, live)
    live.tell(lambda: pytest.fail("nobody has asked for a state"))
    assert not place.exists()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["dive"]
    ask(place)
    os.utime(place / WANTED, (1e9, 1e9))  # somebody has looked, long ago
    dive(tmp_path / "later", bundle, Live(tmp_path, labels(bundle), Ticking(1.0)))
    assert [one.name for one in place.iterdir()] == [WANTED]


def test_each_second_is_a_frame_with_all_that_was_found_in_it(tmp_path, bundle, place):
    ask(place)
    shown = []

    class Kept(Live):
        def show(self, frame, logged, regions, optics):
            super().show(frame, logged, regions, optics)
            name = FRAME if logged.record.outcome in (FrameOutcome.ANALYSED, FrameOutcome.EMPTY) else TROUBLE
            shown.append(read_live(place, LiveFrame, name))

    told = dive(tmp_path / "dive", bundle, Kept(tmp_path, labels(bundle), Ticking(1.0)))
    assert [one.frame for one, _ in shown] == [0, 1, 2, 3, 4]
    assert [one.outcome for one, _ in shown] == ["analysed", "empty", "over-exposed", "corrupt", "analysed"]
    for (one, pixels), taken in zip(shown, FRAMES, strict=True):
        if taken.pixels is None:
            assert (pixels, one.width_px, one.note) == (None, 0, "<b>truncated</b>")
        else:
            np.testing.assert_array_equal(pixels, taken.pixels)
    first, last = shown[0][0], shown[4][0]
    assert (first.pressure_dbar, last.pressure_dbar) == (0.0, None)
    assert first.n_regions == len(first.regions) == told["frames"][0][6]
    assert [area for *_, area in first.regions] == sorted((area for *_, area in first.regions), reverse=True)
    named = [row for row in told["particles"] if row[1] == 0]
    assert named
    assert [(one.x_px, one.y_px, one.esd_um, one.taxon) for one in first.particles] == [
        (row[2], row[3], row[7], labels(bundle)[row[9]]) for row in named
    ]
    assert [one.score for one in first.particles] == pytest.approx([row[11] for row in named])
    assert shown[2][0].n_regions is None, (
        "nobody looked for particles in it: it must not look like empty water"
    )
    assert shown[1][0].n_regions == 0


def test_frames_of_one_second_are_one_and_trouble_waits_for_no_other(tmp_path, place):
    now = [0.0]
    live = Live(tmp_path, ["copepod"], lambda: now[0])
    assert not live.wants_frame(FrameOutcome.ANALYSED)
    ask(place)
    assert not live.wants_frame(FrameOutcome.ANALYSED), "whether anybody looks is found out once a second"
    wanted = []
    for tenth in range(10, 40):
        now[0] = tenth / 10
        outcome = FrameOutcome.BLURRED if tenth == 15 else FrameOutcome.ANALYSED
        if live.wants_frame(outcome):
            wanted.append((tenth, outcome.label))
    assert wanted == [(10, "analysed"), (15, "blurred"), (20, "analysed"), (30, "analysed")]


def test_a_crowded_frame_shows_its_largest_and_says_how_many_there_are(tmp_path, bundle, place):
    rng = np.random.default_rng(1)
    pixels = np.zeros((300, 400), np.uint8)
    pixels[rng.integers(0, 300, 3000), rng.integers(0, 400, 3000)] = 90
    ask(place)
    with begin_dive(tmp_path / "dive.sqlite", CONFIG, bundle, dive_number=5, time_ms=0) as log:
        live = Live(tmp_path, labels(bundle), Ticking(1.0))
        (logged,) = Instrument(CONFIG, bundle, log, mission=Mission(State.DESCENT), live=live).take(
            frame(0, pixels)
        )
    shown, _ = read_live(place, LiveFrame, FRAME)
    assert shown.n_regions == logged.record.histogram.n_particles > len(shown.regions) == MAX_REGIONS
    assert shown.regions[0][4] == logged.record.histogram.area_px[-1]


def test_nothing_that_goes_wrong_here_reaches_the_dive(tmp_path, bundle, place):
    ask(place)
    (place / f"{FRAME}.part").mkdir()
    (place / f"{STATE}.part").symlink_to(tmp_path / "elsewhere")
    live = Live(tmp_path, labels(bundle), Ticking(1.0))
    told = dive(tmp_path / "dive", bundle, live)
    live.tell(lambda: LiveState(state="\udcff"))
    live.tell(lambda: LiveState(state="descent"))
    assert len(told["frames"]) == len(FRAMES)
    assert not (tmp_path / "elsewhere").exists(), "a link leads nowhere"
    assert read_live(place, LiveState, STATE) is None
    (place / f"{FRAME}.part").rmdir()


def test_a_link_in_the_place_of_the_folder_is_not_followed(tmp_path, place):
    (tmp_path / "other").mkdir()
    ask(tmp_path / "other")
    place.symlink_to(tmp_path / "other")
    try:
        live = Live(tmp_path, [], Ticking(1.0))
        live.tell(lambda: LiveState(state="descent"))
        assert [one.name for one in (tmp_path / "other").iterdir()] == [WANTED]
    finally:
        place.unlink()


def test_what_was_said_is_told(tmp_path, place):
    heard = []
    live = Live(tmp_path, [], Ticking(1.0))
    say = live.listen(heard.append)
    for i in range(30):
        say(f"line {i}")
    ask(place)
    live.tell(lambda: LiveState(state="standby", dive=3, waiting=2))
    told, _ = read_live(place, LiveState, STATE)
    assert heard == [f"line {i}" for i in range(30)]
    assert [text for _, text in told.said] == heard[-20:]
    assert (told.state, told.dive, told.waiting, told.pid) == ("standby", 3, 2, os.getpid())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    place = live_folder(folder)
    ask(place)
    pixels = scene(0)[:40, :40]
    bundle = load_bundle("demo")
    with begin_dive(folder / "dive.sqlite", CONFIG, bundle, dive_number=5, time_ms=0) as log:
        live = Live(folder, labels(bundle), Ticking(1.0))
        instrument = Instrument(CONFIG, bundle, log, mission=Mission(State.DESCENT), live=live)
        instrument.take(Frame(0, 0, 1.0, True, pixels, "one.png", Phase.DESCENT))
    data = (place / FRAME).read_bytes()
    for file in place.iterdir():
        file.unlink()
    place.rmdir()
    return data


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_torn_one_is_never_taken_for_a_frame(whole, tmp_path_factory, data):
    file = tmp_path_factory.mktemp("torn") / FRAME
    end = data.draw(st.integers(0, len(whole) - 1))
    file.write_bytes(whole[:end] + data.draw(st.sampled_from([b"", bytes(len(whole))])))
    assert read_live(file.parent, LiveFrame, FRAME) is None
    at, value = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 255))
    file.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
    found = read_live(file.parent, LiveFrame, FRAME)
    assert found is None or found[1].shape == (found[0].height_px, found[0].width_px)
    file.write_bytes(whole)
    assert read_live(file.parent, LiveFrame, FRAME)[0].outcome == "analysed"
