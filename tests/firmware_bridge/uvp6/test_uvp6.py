"""The UVP6's lines, its part and its host's: both ends, bad lines, hostile bytes. Vectors: `test_golden`."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.errors import MisuseError
from firmware_bridge.null_modem import Faults, NullModem
from firmware_bridge.transport import PtyTransport, SerialTransport, serve
from firmware_bridge.uvp6 import cts5
from firmware_bridge.uvp6.host import (
    TRIES,
    Begun,
    Busy,
    Came,
    Ended,
    Fault,
    Host,
    Known,
    Malformed,
    Mute,
    Restarted,
    Step,
)
from firmware_bridge.uvp6.lines import (
    ACQ_FIELDS,
    HW_FIELDS,
    MAX_LINE_BYTES,
    TAXO_FIELDS,
    BlackFrame,
    Configuration,
    Generation,
    Instant,
    LpmFrame,
    TaxoFrame,
    TaxoObject,
    read_configuration,
    read_frame,
    write_configuration,
    write_frame,
)
from firmware_bridge.uvp6.personality import (
    MAX_WAITING_BYTES,
    ClockSet,
    Personality,
    Refused,
    State,
    Stopped,
)
from firmware_bridge.uvp6.slices import (
    LPM_SLICES_DBAR,
    lpm_slices,
    reduce_black,
    reduce_taxa,
    slice_of,
    taxo_slices,
)
from tests.golden.make_uvp6 import KEPT, configuration

pytestmark = pytest.mark.board

TAXO_LINE, LPM_LINE, BLACK_LINE = (kept["line"] for kept in KEPT["frames"][:3])


def hardware():
    return configuration("HW_CONF")


def acquisition(name="ACQ_SESTON", taxo="TAXO_A"):
    kept = configuration("ACQ_CONF")
    return dataclasses.replace(kept, values=kept.values | {"Configuration_name": name, "Taxo_conf": taxo})


def taxonomy():
    return configuration("TAXO_CONF")


# --- lines


def test_firmware_is_told_by_the_length_of_hw_conf():
    assert hardware().number("Aa") == 2300
    assert hardware().number("Operator_email") is hardware().number("Nothing") is None
    assert "more than one firmware" in read_configuration(write_configuration(acquisition()))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("HW_CONF,1,2;", "has 2 values; 41, 42, 43 are known"),
        ("XX_CONF,1;", "is no configuration"),
        ("TAXO_CONF,1;", "has 1 values; 44 are known"),
    ],
)
def test_configurations_that_are_none(line, why):
    assert why in read_configuration(line)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (LPM_LINE[:-1], "ends with ;"),
        (LPM_LINE.replace(",1,23.69", ",256,23.69"), "no number of its kind"),
        (LPM_LINE.replace("20220223", "20221323"), "no number of its kind"),
        (LPM_LINE.replace("20220223", "20230229"), "no number of its kind"),
        (LPM_LINE.replace("1554.09", "1e3"), "no number of its kind"),
        (LPM_LINE.replace(",50;", ";"), "has 40 values; 41 are known"),
        ("TAXO_DATA,1,8,1299;", "three whole numbers"),
        ("TAXO_DATA,1,40,1,1;", "class above 39"),
        ("TAXO_DATA;", "three whole numbers"),
        ("NOTHING,1;", "is no frame"),
        ("x" * MAX_LINE_BYTES + ";", "not longer than"),
    ],
)
def test_frames_that_are_none(line, why):
    assert why in read_frame(line)


def test_a_text_that_would_break_a_line_is_not_written():
    for text in ("a,b", "a;b", "a\r", "µ", "→"):
        values = hardware().values | {"Operator_email": text}
        with pytest.raises(ValueError, match="Operator_email"):
            write_configuration(Configuration("HW_CONF", Generation.V2022_02, values))


instants = st.builds(
    Instant, st.integers(2000, 2099), st.integers(1, 12), st.integers(1, 28), st.integers(0, 23),
    st.integers(0, 59), st.integers(0, 59),
)  # fmt: skip
classes = st.lists(st.integers(0, 1 << 20), min_size=18, max_size=18).map(tuple)
hundredths = st.integers(-2000, 600_000).map(lambda n: n / 100)
lpms = st.builds(
    LpmFrame, hundredths, instants, st.integers(0, 255), st.integers(-500, 4500).map(lambda n: n / 100),
    classes, classes,
)  # fmt: skip
taxos = st.builds(
    TaxoFrame, st.integers(0, 255),
    st.lists(st.builds(TaxoObject, st.integers(0, 39), st.integers(0, 1 << 30), st.integers(0, 255)))
    .map(tuple),
)  # fmt: skip


blacks = st.builds(
    BlackFrame, hundredths, instants, st.integers(0, 255), st.integers(-500, 4500).map(lambda n: n / 100),
    classes,
)  # fmt: skip
texts = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters=",;"), max_size=20)


@given(st.sampled_from(Generation), st.sampled_from(["HW_CONF", "ACQ_CONF", "TAXO_CONF"]), st.data())
def test_any_configuration_comes_back(generation, kind, data):
    known = {"HW_CONF": HW_FIELDS, "ACQ_CONF": ACQ_FIELDS}.get(kind)
    names = TAXO_FIELDS if known is None else known[generation]
    values = data.draw(st.lists(texts, min_size=len(names), max_size=len(names)))
    told = Generation.V2022_02 if known is None else generation
    conf = Configuration(kind, told, dict(zip(names, values, strict=True)))
    assert read_configuration(write_configuration(conf), told) == conf


def test_a_bloc_of_as_many_objects_as_a_uvp6_can_classify_goes_over_the_line():
    uvp6, host, line = both()
    run(line, 5.0, [])
    host.start()
    run(line, 5.0, [])
    taxo = TaxoFrame(255, (TaxoObject(39, 170_850, 249),) * (255 * 25))
    uvp6.send_lit(dataclasses.replace(read_frame(LPM_LINE), n_images=255), taxo)
    heard = []
    run(line, 60.0, heard)
    assert next(e.frame for e in heard if isinstance(e, Came)) == taxo
    assert host.malformed == uvp6.dropped == 0


def test_a_pressure_that_is_not_known_goes_as_nan():
    frame = dataclasses.replace(read_frame(LPM_LINE), pressure_dbar=math.nan)
    assert write_frame(frame).startswith("LPM_DATA,nan,")
    assert math.isnan(read_frame(write_frame(frame)).pressure_dbar)


@given(st.one_of(lpms, taxos, blacks))
def test_frames_come_back(frame):
    assert read_frame(write_frame(frame)) == frame


@given(st.text(max_size=300))
def test_any_text_is_a_frame_or_a_sentence(text):
    read_frame(text)
    read_configuration(text)
    read_frame("LPM_DATA," + text + ";")


# --- the personality


class Talk:
    def __init__(self):
        self.uvp6 = Personality(
            hardware(), {"ACQ_SESTON": acquisition(), "ACQ_PLAIN": acquisition("ACQ_PLAIN", "NO_RE")},
            {"TAXO_A": taxonomy()}, lambda: Instant(2026, 11, 26, 12, 0, 5),
        )  # fmt: skip
        self.events = []

    def say(self, text):
        self.events += self.uvp6.receive(text.encode(), 0.0)
        return self.uvp6.to_send(100_000).decode()


def lines(*texts):
    return "".join(text + "\r\n" for text in texts)


def test_starting_without_taxa():
    talk = Talk()
    talk.say("")
    plain = acquisition("ACQ_PLAIN", "NO_RE")
    assert talk.say("$start:ACQ_PLAIN;") == lines(write_configuration(plain), "$startack;")
    assert talk.uvp6.state is State.ACQUIRING


def test_blocs_outside_an_acquisition_are_misuse_and_a_slow_line_drops_whole_blocs():
    talk = Talk()
    with pytest.raises(MisuseError, match="no acquisition"):
        talk.uvp6.send_lit(read_frame(LPM_LINE))
    talk.say("$start:ACQ_PLAIN;")
    n = MAX_WAITING_BYTES // (len(LPM_LINE) + 2)
    for _ in range(n + 5):
        talk.uvp6.send_lit(read_frame(LPM_LINE))
    sent = talk.uvp6.to_send(1 << 20).decode()
    assert sent == lines(*[LPM_LINE] * n)
    assert talk.uvp6.dropped == 5


def test_half_commands_noise_and_two_in_one_read():
    talk = Talk()
    talk.say("")
    assert talk.say("$autoch") == ""
    assert talk.say("eck;$RTC") == lines("$autocheckpassed;")
    assert talk.say("read;") == lines("$RTCread:20261126,120005;")
    assert talk.say("\xff\xfe$hwc$autocheck;") == lines("$autocheckpassed;"), "the first was cut on its way"
    assert talk.say("noise without a dollar;") == ""
    assert talk.say("$" + "x" * 500 + ";$autocheck;") == lines("$autocheckpassed;")


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=20))
def test_hostile_bytes_never_raise_and_nothing_grows(chunks):
    talk, host = Talk(), Host("ACQ_SESTON")
    for i, chunk in enumerate(chunks):
        talk.uvp6.receive(chunk, float(i))
        host.receive(chunk, float(i))
    assert len(talk.uvp6._splitter._held) <= 64
    assert len(host._splitter._held) <= MAX_LINE_BYTES
    assert len(talk.uvp6.to_send(1 << 20)) <= MAX_WAITING_BYTES + 4096


# --- both ends


def both(faults=Faults(), seed=1):  # noqa: B008
    talk, host = Talk(), Host("ACQ_SESTON")
    line = NullModem((host, talk.uvp6), baud=38400, faults=(faults, faults), seed=seed)
    return talk.uvp6, host, line


def run(line, seconds, heard):
    line.run(line.now_s + seconds, lambda end, event: heard.append(event))


def test_a_host_leads_it_through_an_acquisition():
    uvp6, host, line = both()
    heard = []
    run(line, 5.0, heard)
    assert Known(hardware(), acquisition()) in heard
    host.set_clock(Instant(2026, 1, 2, 3, 4, 5))
    run(line, 5.0, heard)
    assert ClockSet(Instant(2026, 1, 2, 3, 4, 5)) in heard
    host.start(Instant(2026, 1, 2, 3, 4, 6))
    run(line, 5.0, heard)
    assert Begun() in heard
    uvp6.send_black(read_frame(BLACK_LINE))
    uvp6.send_lit(read_frame(LPM_LINE), read_frame(TAXO_LINE))
    run(line, 5.0, heard)
    assert [e.line for e in heard if isinstance(e, Came)] == [BLACK_LINE, TAXO_LINE, LPM_LINE]
    host.stop()
    run(line, 20.0, heard)
    assert Ended() in heard
    assert [e.code for e in heard if isinstance(e, Fault)] == [33]
    assert uvp6.state is State.AWAKE
    assert host.step is Step.READY
    assert host.malformed == 0


@pytest.mark.parametrize("seed", range(6))
def test_on_a_bad_line_it_gets_there_and_nothing_malformed_is_taken(seed):
    uvp6, host, line = both(Faults(flip=1e-3, lose=5e-4, noise=0.005), seed)
    heard = []
    for step, act in ((Step.READY, host.start), (Step.RUNNING, None)):
        for _ in range(60):
            if host.step is step:
                break
            if host.step is Step.MUTE:
                host._ask(Step.HARDWARE, "$hwconfcheck;")
            run(line, 5.0, heard)
        assert host.step is step
        if act is not None:
            act()
    for _ in range(20):
        uvp6.send_lit(read_frame(LPM_LINE), read_frame(TAXO_LINE))
        run(line, 1.0, heard)
    came = [e for e in heard if isinstance(e, Came)]
    assert len(came) > 20
    assert len(came) + sum(isinstance(e, Malformed) for e in heard) >= 30
    host.stop()
    run(line, 60.0, heard)
    assert uvp6.state is State.AWAKE


def test_an_instrument_that_begins_anew_is_noticed_and_a_mute_one_too():
    _, host, line = both()
    heard = []
    run(line, 5.0, heard)
    host.start()
    run(line, 5.0, heard)
    line.peers[1] = Talk().uvp6
    run(line, 5.0, heard)
    assert Restarted() in heard
    assert host.step is Step.READY
    deaf, heard = Host("ACQ_SESTON"), []
    for second in range(60):
        heard += deaf.receive(b"", float(second))
    assert heard == [Mute("$hwconfcheck;")]
    with pytest.raises(MisuseError, match="not ready"):
        deaf.start()


def test_what_comes_next_is_the_clock_then_the_start_and_both_again_after_a_power_cut():
    _, host, line = both()
    at, given = Instant(2026, 1, 2, 3, 4, 5), []

    def go_on(seconds, *, wanted=True):
        for _ in range(seconds):
            given.append(host.go_on(at, wanted=wanted))
            run(line, 1.0, [])
        return [command for command in given if command]

    lead = ["$RTCset:20260102,030405;", "$start:ACQ_SESTON;"]
    assert go_on(1) == [], "it does not know the instrument yet"
    assert go_on(4) == lead
    assert host.step is Step.RUNNING
    line.peers[1] = Talk().uvp6
    assert go_on(4) == lead * 2
    given.clear()
    assert go_on(4, wanted=False) == ["$stop;"]
    line.peers[1] = Talk().uvp6  # switched on while nothing is wanted of it
    run(line, 1.0, [])
    given.clear()
    assert go_on(4) == lead
    assert go_on(4, wanted=False)[-1] == "$stop;"
    host.start()
    line.peers[1] = Talk().uvp6  # switched on while it is being started: whose acquisition it is is not known
    given.clear()
    assert go_on(15)[-2:] == lead
    assert host.step is Step.RUNNING
    assert host.go_on(None, wanted=True) == ""


def test_a_start_whose_acknowledgement_was_lost_is_one():
    uvp6, host, line = both()
    heard = []
    run(line, 5.0, heard)
    host.start()
    uvp6.receive(host.to_send(1000), line.now_s)
    uvp6.to_send(10_000)  # lost
    run(line, 10.0, heard)
    assert host.step is Step.RUNNING
    assert heard[-1] == Begun()
    assert uvp6.state is State.ACQUIRING


def test_a_host_that_was_reset_in_the_middle_stops_what_runs_and_starts_anew():
    uvp6, host, line = both()
    run(line, 5.0, [])
    host.start()
    run(line, 5.0, [])
    uvp6.send_lit(read_frame(LPM_LINE), read_frame(TAXO_LINE))
    again = Host("ACQ_SESTON")
    line.peers[0] = again
    heard = []
    run(line, 60.0, heard)
    assert [type(e) for e in heard if not isinstance(e, (Came, Refused, Malformed))] == [
        Fault, Busy, Fault, Stopped, Known
    ]  # fmt: skip
    assert uvp6.state is State.AWAKE
    again.start()
    run(line, 5.0, heard)
    assert heard[-1] == Begun()
    assert uvp6.state is State.ACQUIRING


def test_an_instrument_that_stays_busy_is_not_asked_for_ever():
    host, heard, asked = Host("ACQ_SESTON"), [], 0
    for second in range(200):
        heard += host.receive(b"$starterr:33;\r\n", float(second))
        asked += host.to_send(10_000).count(b";")
    assert host.step is Step.MUTE
    assert heard.count(Mute("$stop;")) == 1
    assert asked <= 2 * TRIES


def test_both_ends_on_a_real_line():
    talk, host, heard = Talk(), Host("ACQ_PLAIN"), []
    with PtyTransport() as theirs, SerialTransport(theirs.port, 38400) as ours:
        for _ in range(200):
            serve(talk.uvp6, ours, talk.events.append, stop=iter([False, True]).__next__, poll_s=0.005)
            serve(host, theirs, heard.append, stop=iter([False, True]).__next__, poll_s=0.005)
            if host.step is Step.READY:
                break
    assert isinstance(heard[0], Known)


# --- reduction and CTS5


def test_slices_are_those_that_are_recommended():
    assert slice_of(1.9, LPM_SLICES_DBAR) is None
    assert slice_of(-0.5, LPM_SLICES_DBAR) is None
    assert slice_of(math.nan, LPM_SLICES_DBAR) is None
    assert slice_of(2.0, LPM_SLICES_DBAR) == (2.0, 7.0)
    assert slice_of(104.0, LPM_SLICES_DBAR) == (100.0, 110.0)
    assert slice_of(1234.0, LPM_SLICES_DBAR) == (1220.0, 1240.0)
    at, zeros = Instant(2022, 2, 23, 4, 0, 52), (0,) * 18
    frames = [LpmFrame(p, at, 1, 10.0, (1,) * 18, zeros) for p in (0.5, 1.0, 3.0, 4.0, 8.0, 3.0)]
    assert [one.n_blocs for one in lpm_slices(frames)] == [1, 1, 2, 1, 1]
    assert sum(one.n_images for one in lpm_slices(frames)) == 6


def test_taxa_are_summed_and_weighted():
    first = TaxoFrame(1, (TaxoObject(8, 100, 40), TaxoObject(3, 10, 20)))
    frames = [first, TaxoFrame(4, (TaxoObject(8, 300, 50),))]
    n_images, taxa = reduce_taxa(frames)
    assert n_images == 5
    assert [(t.taxon, t.count, t.volume_px3, t.grey) for t in taxa] == [(3, 1, 10, 20), (8, 2, 200, 45)]


def test_cts5_records_are_as_long_as_in_the_document():
    assert (cts5.LPM_BYTES, cts5.BLACK_BYTES) == (98, 19)


@given(
    st.integers(0, 65535), st.integers(-1000, 64_000), st.integers(0, 65535), st.integers(-5000, 60_000),
    st.lists(st.integers(0, 1 << 20), min_size=18, max_size=18),
    st.lists(st.integers(0, 255), min_size=18, max_size=18), st.integers(0, 40), st.integers(0, 60),
)  # fmt: skip
def test_cts5_records_come_back(after, p, n, t, counts, greys, n_taxa, padding):
    lpm = cts5.LpmRecord(after, p / 10, n, t / 1000, tuple(map(float, counts)), tuple(greys))
    taxo = cts5.TaxoRecord(
        after, p / 10, n, tuple(cts5.TaxonRecord(i, i % 256, float(7 * i), i) for i in range(n_taxa))
    )
    black = cts5.BlackRecord(1653876135, p / 10, n % 256, t / 1000, tuple(c % 65536 for c in counts[:5]))
    for kind, record in ((cts5.LPM_TYPE, lpm), (cts5.TAXO_TYPE, taxo), (cts5.BLACK_TYPE, black)):
        data = cts5.encode(record) + cts5.encode(record)
        assert cts5.decode(data + bytes([cts5.PAD]) * padding, kind) == [record, record]
    assert len(cts5.encode(taxo)) == 7 + 7 * n_taxa


@given(st.binary(max_size=300), st.sampled_from([0x1B, 0x1C, 0x1D, 0x00]))
def test_any_bytes_are_records_or_a_sentence(data, kind):
    assert isinstance(cts5.decode(data, kind), (list, str))


def test_taxa_are_sliced_by_the_pressure_of_their_lpm_frame():
    lpm = read_frame(LPM_LINE)
    dives = [(p, TaxoFrame(2, (TaxoObject(8, 100, 40),))) for p in (1005.0, 1030.0, 1045.0, 1.0, 1.5)]
    found = list(taxo_slices((taxo, dataclasses.replace(lpm, pressure_dbar=p)) for p, taxo in dives))
    assert [(one.pressure_dbar, one.n_images, one.taxa[0].count) for one in found] == [
        (1017.5, 4, 2), (1045.0, 2, 1), (1.0, 2, 1), (1.5, 2, 1)
    ]  # fmt: skip


def test_slices_go_into_a_file_of_cts5_and_back():
    lpm = dataclasses.replace(read_frame(LPM_LINE), at=Instant(2022, 5, 30, 2, 2, 15), pressure_dbar=989.4)
    later = dataclasses.replace(lpm, at=Instant(2022, 5, 30, 2, 3, 0), pressure_dbar=1200.0)
    file = cts5.lpm_file(list(lpm_slices([lpm, later])), "ASCENT")
    data = cts5.write_file(file)
    assert file.epoch_s == 1653876135
    assert len(data) == 17 + 2 * cts5.LPM_BYTES
    assert [record.after_s for record in file.records] == [0, 45]
    assert cts5.read_file(data + b"\x1a" * 9) == file
    taxo = cts5.taxo_file(list(taxo_slices([(read_frame(TAXO_LINE), lpm)])), "PARK")
    assert cts5.read_file(cts5.write_file(taxo)).records[0].taxa[0].count == 3
    black = cts5.black_file([dataclasses.replace(read_frame(BLACK_LINE), pressure_dbar=4.2)], "DESCENT")
    assert cts5.read_file(cts5.write_file(black)) == black
    assert len(cts5.write_file(black)) == 14 + cts5.BLACK_BYTES
    unknown = cts5.lpm_file(list(lpm_slices([dataclasses.replace(lpm, pressure_dbar=math.nan)])), "ASCENT")
    assert cts5.read_file(cts5.write_file(unknown)).records[0].pressure_dbar == -100
    assert cts5.lpm_file([], "PARK").records == ()
    for bad in (
        dataclasses.replace(file, phase="UP"), dataclasses.replace(file, treatment="XX"),
        dataclasses.replace(file, epoch_s=None), dataclasses.replace(taxo, epoch_s=1),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"not known|one too many"):
            cts5.write_file(bad)


@given(st.sampled_from([b"", b"\x1b[ASCENT](AM)", b"\x1c[PARK](RW)", b"\x1d[NOWHERE](AM)"]), st.binary())
def test_any_bytes_are_a_file_or_a_sentence(head, rest):
    assert isinstance(cts5.read_file(head + rest), (cts5.File, str))


def test_black_frames_are_noise_of_their_own():
    other = BlackFrame(1.0, Instant(2022, 1, 1, 0, 0, 0), 5, 3.0, (1,) * 18)
    assert reduce_black([read_frame(BLACK_LINE), other]) == (15, (13, 4, *[1] * 16))
