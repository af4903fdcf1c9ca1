"""A recording through the real service and the real link, on a simulated clock."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest

from edge.divelog import DiveLog
from edge.frame import Phase
from edge.inference.bundle import load_bundle
from edge.recording import open_recording
from edge.telemetry.codebook import load_codebook
from edge.telemetry.decoder import decode_messages
from firmware_bridge.null_modem import Faults
from firmware_bridge.uvp6.lines import BlackFrame, LpmFrame, TaxoFrame, read_frame
from tests.tools.test_simulate import SCENARIO, seston
from tools.hosting.course import course_of
from tools.hosting.exchange import Exchange, clock_text
from tools.hosting.simulation import Stage, dive_with_native_float, new_folder
from tools.simulate import complete_config, simulate_dive, simulate_hosted


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hosting")
    (folder / "small.toml").write_text(SCENARIO)
    code, said = seston("compose", folder / "recording", "--scenario", folder / "small.toml", "--seed", 3)
    assert code == 0, said
    return open_recording(folder / "recording")


def dive(recording, out, run, *more, **options):
    config, _ = complete_config(None, recording.info, bundle="demo")
    out.mkdir()
    return run(recording, config, load_bundle("demo"), out, *more, **options)


def test_a_float_commands_the_dive_that_the_recording_is(recording, tmp_path):
    plain = dive(recording, tmp_path / "plain", simulate_dive)
    exchange = Exchange()
    hosted = dive(recording, tmp_path / "hosted", simulate_hosted, exchange)
    assert hosted.profile.outcomes().tolist() == plain.profile.outcomes().tolist()
    assert hosted.profile.taxa().tolist() == plain.profile.taxa().tolist()
    assert hosted.shore.is_complete
    # Every message that the instrument made came to the float's hands, and the log alone makes them again.
    sent = [file.read_bytes() for file in sorted((tmp_path / "hosted" / "messages").glob("*.msg"))]
    with DiveLog.open(tmp_path / "hosted") as log:
        assert sent == list(log.messages()) == list(hosted.plan.messages)
        records = list(log.records())
    # The board's clock began at 2000: the times are the float's; phases too.
    assert abs(records[0].time_ms - int(recording.time_ms[0])) < 2000
    assert [record.phase for record in records] == [Phase.DESCENT] * 16 + [Phase.ASCENT] * 8
    assert max(abs(r.pressure_dbar - p) for r, p in zip(records, recording.pressure_dbar, strict=True)) < 0.5
    said = [line.words for line in exchange.lines()]
    assert said[-1] == "power may be cut"
    assert "descent begins" in said
    exchange.write(tmp_path / "exchange.txt")
    assert len((tmp_path / "exchange.txt").read_text().splitlines()) == len(exchange.said) > len(said)


def test_a_bad_line_costs_time_alone(recording, tmp_path):
    faults = Faults(flip=2e-3, lose=1e-3, double=0.01, noise=0.01, delay_s=0.05)
    exchange = Exchange()
    config, _ = complete_config(None, recording.info, bundle="demo")
    taken = dive_with_native_float(
        Stage(recording, config, load_bundle("demo"), new_folder(tmp_path), exchange, faults=faults)
    )
    file, messages = taken.log, taken.messages
    with DiveLog.open(file) as log:
        assert messages == list(log.messages())
        book = log.meta("codebook")
    (shore,) = decode_messages(messages, [load_codebook(msgspec.json.encode(book))]).dives
    assert shore.is_complete
    assert shore.outcomes().sum() == recording.n_frames


def test_an_instrument_on_its_own_sends_by_satellite(recording, tmp_path):
    exchange = Exchange()
    alone = dive(recording, tmp_path / "alone", simulate_hosted, exchange, host="sbd")
    assert alone.shore.is_complete
    assert alone.profile.outcomes().sum() == recording.n_frames
    with DiveLog.open(tmp_path / "alone") as log:
        records, messages = list(log.records()), log.messages()
    # Nobody says the phase: pressure has to rise by some dbar before it is an ascent.
    phases = [record.phase for record in records]
    assert phases == sorted(phases)
    assert 16 <= phases.count(Phase.DESCENT) <= 18
    # The board's clock began at 2000, and the modem knew the time before the dive began.
    assert abs(records[0].time_ms - int(recording.time_ms[0])) < 5_000
    came = [file.read_bytes() for file in sorted((tmp_path / "alone" / "messages").glob("*.msg"))]
    assert sorted(came) == sorted(messages)
    said = [line for line in exchange.lines() if line.end == "gateway"]
    assert sum("a message of" in line.words for line in said) >= len(messages)


def test_a_float_takes_it_for_a_uvp6(recording, tmp_path):
    exchange = Exchange()
    hosted = dive(recording, tmp_path / "uvp6", simulate_hosted, exchange, host="uvp6")
    assert hosted.profile.outcomes().sum() == recording.n_frames
    frames = [read_frame(line) for line in (tmp_path / "uvp6/float/uvp6.txt").read_text().splitlines()]
    assert not any(isinstance(frame, str) for frame in frames)
    assert isinstance(frames[0], BlackFrame)
    for before, frame in itertools.pairwise(frames):
        assert isinstance(before, TaxoFrame) == isinstance(frame, LpmFrame), "TAXO before its LPM"
    lit = [frame for frame in frames if isinstance(frame, LpmFrame)]
    counted = hosted.profile.lpm()
    sent = np.sum([frame.counts for frame in lit], axis=0)
    assert sent.tolist() == counted.tolist(), "the last bloc goes though it is not full"
    objects = sum(len(frame.objects) for frame in frames if isinstance(frame, TaxoFrame))
    assert 0 < objects <= hosted.profile.taxa().sum()
    assert [line.words for line in exchange.lines()][-1] == "$stopack;"


def test_the_command_shows_the_exchange_and_makes_the_report(recording, tmp_path):
    code, said = seston(
        "simulate", recording.path, "--bundle", "demo", "--host", "native", "--out", tmp_path / "out"
    )
    assert code == 0, said
    assert "Exchange with the host" in said
    assert "more like it" in " ".join(said.split())
    for name in ("dive.sqlite", "report.html", "exchange.txt", "shore/profile.nc"):
        assert (tmp_path / "out" / name).is_file()
    options = ("--bundle", "demo", "--host", "native", "--dive-number", 4, "--out", tmp_path / "x")
    code, said = seston("simulate", recording.path, *options)
    assert code == 2
    assert "--dive-number" in said


def test_the_course_of_a_recording_has_its_phases_and_pressures(recording):
    config, _ = complete_config(None, recording.info, bundle="demo")
    course = course_of(recording, config.mission)
    assert [phase for _, phase in course.phases] == [Phase.DESCENT, Phase.ASCENT]
    assert course.phases[0][0] == 0.0
    assert course.pressure_at(course.time_s[3]) == recording.pressure_dbar[3]
    assert course.end_s == pytest.approx((recording.time_ms[-1] - recording.time_ms[0]) / 1000)


def test_times_read_as_people_write_them():
    assert clock_text(3.04) == "00:00:03.0"
    assert clock_text(3 * 86400 + 7384.96) == "3 d 02:03:05.0"
