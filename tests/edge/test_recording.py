"""Recordings: every format read back, times and pressures right, every fault one sentence."""

from __future__ import annotations

import datetime
import math

import cv2
import numpy as np
import pytest

from edge.errors import RecordingError
from edge.frame import FrameOutcome, Phase
from edge.optics import Optics
from edge.recording import Instrument, Position, RecordingInfo, open_recording, write_info

pytestmark = pytest.mark.board
START = datetime.datetime(2022, 5, 18, 4, 21, 27, tzinfo=datetime.UTC)
START_MS = 1652847687000


def images(n=4, shape=(40, 56)):
    rng = np.random.default_rng(3)
    return [cv2.GaussianBlur(rng.integers(0, 256, shape, dtype=np.uint8), (7, 7), 2) for _ in range(n)]


@pytest.fixture
def folder(tmp_path):
    """A whole recording of four frames at 2 Hz, pressures 10, 11, 12, 13."""
    (tmp_path / "frames").mkdir()
    for i, pixels in enumerate(images()):
        cv2.imwrite(str(tmp_path / "frames" / f"{i:03d}.png"), pixels)
    write_info(tmp_path, RecordingInfo(frame_rate_hz=2.0, start_utc=START))
    (tmp_path / "sensors.csv").write_text("time_s,pressure_dbar,temperature_c\n0,10,5\n1,12,\n2,14,7\n")
    return tmp_path


def test_frames_times_and_sensors(folder):
    recording = open_recording(folder)
    frames = list(recording.frames())
    assert recording.n_frames == len(frames) == 4
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.time_ms - START_MS for frame in frames] == [0, 500, 1000, 1500]
    assert [frame.pressure_dbar for frame in frames] == [10, 11, 12, 13]
    assert [frame.environment["temperature_c"] for frame in frames] == [5, 5.5, 6, 6.5]
    assert all(frame.lit and frame.phase is None and frame.fault is None for frame in frames)
    for frame, pixels in zip(frames, images(), strict=True):
        np.testing.assert_array_equal(frame.pixels, pixels)
    assert recording.truth() is None


def test_prefetched_frames_are_the_same(folder):
    recording = open_recording(folder)
    for plain, ahead in zip(recording.frames(), recording.frames(prefetch=True), strict=True):
        assert (plain.index, plain.time_ms, plain.source) == (ahead.index, ahead.time_ms, ahead.source)
        np.testing.assert_array_equal(plain.pixels, ahead.pixels)
    half = recording.frames(prefetch=True)
    next(half)
    half.close()  # leaves no thread behind


def test_info_round_trip(tmp_path):
    info = RecordingInfo(
        frame_rate_hz=1.3,
        start_utc=START,
        instrument=Instrument(unit='sn "7" é', camera="front"),
        optics=Optics(pixel_um=73, image_volume_l=0.6, threshold=21, aa_um2=2300, exp=1.136),
        position=Position(latitude_deg=43.8, longitude_deg=9.6),
        bits_per_pixel=12,
        cruise="TAL",
        platform="float 7",
        profile="042",
    )
    write_info(tmp_path, info)
    (tmp_path / "frames").mkdir()
    cv2.imwrite(str(tmp_path / "frames" / "0.png"), images()[0])
    assert open_recording(tmp_path, pressure=(0, 1)).info == info


def test_start_is_read_as_toml_writes_it_and_needs_a_zone(folder):
    (folder / "recording.toml").write_text("frame_rate_hz = 2\nstart_utc = 2022-05-18T06:21:27+02:00\n")
    assert next(open_recording(folder).frames()).time_ms == START_MS
    (folder / "recording.toml").write_text("frame_rate_hz = 2\nstart_utc = 2022-05-18T06:21:27\n")
    with pytest.raises(RecordingError, match="start_utc"):
        open_recording(folder)


@pytest.mark.parametrize("suffix", ["png", "tif", "tiff", "bmp", "jpg", "jpeg", "PNG"])
def test_bare_folder_of_any_format_in_natural_order(tmp_path, suffix):
    for i, pixels in enumerate(images(11)):
        cv2.imwrite(str(tmp_path / f"shot_{i}.{suffix}"), pixels)
    recording = open_recording(tmp_path, fps=4, pressure=(100, 50))
    frames = list(recording.frames())
    assert [frame.source for frame in frames] == [f"shot_{i}.{suffix}" for i in range(11)]
    assert [frame.time_ms for frame in frames] == [250 * i for i in range(11)]
    assert [frame.pressure_dbar for frame in frames] == pytest.approx(list(range(100, 49, -5)))
    for frame, pixels in zip(frames, images(11), strict=True):
        exact = "jp" not in suffix
        assert np.abs(frame.pixels.astype(int) - pixels).max() <= (0 if exact else 12)


def test_twelve_bit_frames(folder):
    pixels = images()[0].astype(np.uint16) << 4
    cv2.imwrite(str(folder / "frames" / "000.png"), pixels)
    write_info(folder, RecordingInfo(frame_rate_hz=2.0, start_utc=START, bits_per_pixel=12))
    np.testing.assert_array_equal(next(open_recording(folder).frames()).pixels, images()[0])


@pytest.mark.parametrize(("name", "codec", "error"), [("dive.avi", "MJPG", 12), ("dive.mp4", "mp4v", 40)])
def test_bare_video(tmp_path, name, codec, error):
    path = tmp_path / name
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 5.0, (64, 48))
    if not writer.isOpened():
        pytest.skip(f"this OpenCV cannot write {codec}")
    shots = images(6, (48, 64))
    for pixels in shots:
        writer.write(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR))
    writer.release()
    recording = open_recording(path, pressure=(0, 10))
    frames = list(recording.frames())
    assert [frame.source for frame in frames] == [f"{name}#{i}" for i in range(6)]
    assert [frame.time_ms for frame in frames] == [200 * i for i in range(6)]
    for frame, pixels in zip(frames, shots, strict=True):
        assert np.abs(frame.pixels.astype(int) - pixels).mean() < error / 4
    assert [frame.time_ms for frame in open_recording(path, fps=10, pressure=(0, 1)).frames()][-1] == 500
    # The same video inside a recording's folder.
    write_info(tmp_path, RecordingInfo(frame_rate_hz=2.0, start_utc=START))
    assert next(open_recording(tmp_path, pressure=(0, 1)).frames()).time_ms == START_MS


def test_truncated_video_is_refused_or_its_lost_frames_are_corrupt(tmp_path):
    path = tmp_path / "dive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5.0, (64, 48))
    for pixels in images(20, (48, 64)):
        writer.write(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR))
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = list(open_recording(path, pressure=(0, 10)).frames())
    assert len(frames) == 20
    lost = [frame for frame in frames if frame.fault is FrameOutcome.CORRUPT]
    assert 5 <= len(lost) <= 15
    assert "cannot be decoded" in lost[0].note
    path.write_bytes(b"RIFF nothing")
    with pytest.raises(RecordingError, match="cannot be opened as a video"):
        open_recording(path, pressure=(0, 10))


def test_frames_csv_gives_order_time_light_and_phase(folder):
    (folder / "frames.csv").write_text(
        "file,time_s,lit,phase\n002.png,0.1,0,descent\n000.png,0.7,1,park\n"
        "003.png,0.7,true,ASCENT\n001.png,1.5,,\n"
    )
    frames = list(open_recording(folder).frames())
    assert [frame.source for frame in frames] == ["002.png", "000.png", "003.png", "001.png"]
    assert [frame.time_ms - START_MS for frame in frames] == [100, 700, 700, 1500]
    assert [frame.lit for frame in frames] == [False, True, True, True]
    assert [frame.phase for frame in frames] == [Phase.DESCENT, Phase.PARK, Phase.ASCENT, None]
    assert [frame.pressure_dbar for frame in frames] == pytest.approx([10.2, 11.4, 11.4, 13])
    np.testing.assert_array_equal(frames[0].pixels, images()[2])


def test_bad_frames_are_corrupt_and_the_rest_goes_on(folder):
    good = images()
    cv2.imwrite(str(folder / "frames" / "001.png"), good[1][:-1])  # another size
    data = (folder / "frames" / "002.png").read_bytes()
    (folder / "frames" / "002.png").write_bytes(data[:-40])
    (folder / "frames.csv").write_text(
        "file,time_s\n000.png,0\n001.png,0.5\n002.png,1\ngone.png,1.2\n003.png,1.5\n"
    )
    frames = list(open_recording(folder).frames())
    assert [frame.fault for frame in frames] == [None] + 3 * [FrameOutcome.CORRUPT] + [None]
    assert [frame.pixels is None for frame in frames] == [False, True, True, True, False]
    assert "is 56 x 39 px, the first frame is 56 x 40 px" in frames[1].note
    assert "is truncated" in frames[2].note
    assert "is not there" in frames[3].note
    assert frames[3].pressure_dbar == pytest.approx(12.4)


def test_first_frame_corrupt_does_not_set_the_size(folder):
    (folder / "frames" / "000.png").write_bytes(b"")
    faults = [frame.fault for frame in open_recording(folder).frames()]
    assert faults == [FrameOutcome.CORRUPT, None, None, None]


def test_gaps_and_ends_of_sensors_are_not_invented(folder):
    rows = "time_s,pressure_dbar\n0.3,9\n0.4,10\n0.5,11\n0.6,nan\n1.2,\n1.45,13\n"
    (folder / "sensors.csv").write_text(rows)
    toml = f'frame_rate_hz = 2\nstart_utc = "{START.isoformat()}"\nsensor_gap_s = 0.5\n'
    (folder / "recording.toml").write_text(toml)
    found = [frame.pressure_dbar for frame in open_recording(folder).frames()]
    # Long before the first reading; on one; in a gap of 0.95 s; just after the last.
    assert math.isnan(found[0])
    assert found[1] == 11
    assert math.isnan(found[2])
    assert found[3] == 13
    (folder / "recording.toml").write_text(toml.replace("0.5\n", "1.0\n"))
    assert open_recording(folder).pressure_dbar[2] == pytest.approx(11 + 2 * 0.5 / 0.95)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("sensors.csv", "", "sensors.csv: is empty; write a header"),
        (
            "sensors.csv",
            "time_s,depth\n0,1\n",
            "sensors.csv: column pressure_dbar: is missing; the header is",
        ),
        (
            "sensors.csv",
            "time_s,pressure_dbar\n0,1\n2,2\n1,3\n",
            "row 4, column time_s: 1 comes after 2; sort",
        ),
        ("sensors.csv", "time_s,pressure_dbar\n0,1\n,2\n", "row 3, column time_s: holds '' where a number"),
        ("sensors.csv", "time_s,pressure_dbar\n0,1\n1,deep\n", "row 3, column pressure_dbar: holds 'deep'"),
        ("sensors.csv", "time_s,pressure_dbar\n0,1\n1,inf\n", "row 3, column pressure_dbar: holds 'inf'"),
        ("sensors.csv", "time_s,pressure_dbar\n0,1\n1,2,3\n", "row 3: has 3 cells, the header has 2"),
        ("sensors.csv", "time_s,pressure_dbar\n0,\n1,nan\n", "holds no pressure at all"),
        (
            "sensors.csv",
            "time_s,pressure_dbar,pressure_dbar\n0,1,1\n",
            "column pressure_dbar: is there twice",
        ),
        ("frames.csv", "file,time_s\n000.png,0\n001.png,1\n002.png,2\n", "does not list 003.png"),
        ("frames.csv", "file,time_s\n000.png,2\n001.png,1\n", "row 3, column time_s: 1 comes after 2"),
        ("frames.csv", "file,time_s,lit\n000.png,0,maybe\n", "row 2, column lit: holds 'maybe'"),
        ("frames.csv", "file,time_s,phase\n000.png,0,drift\n", "row 2, column phase: holds 'drift'"),
        ("frames.csv", "file,time_s,light\n000.png,0,1\n", "column light: is not known here"),
        ("frames.csv", "file,time_s\n../000.png,0\n", "row 2, column file: holds '../000.png'"),
        ("recording.toml", "frame_rate_hz = 2\n", "start_utc"),
        ("recording.toml", "frame_rate_hz = ", "recording.toml: is not TOML"),
        (
            "recording.toml",
            'frame_rate_hz = 0\nstart_utc = "2022-05-18T04:21:27Z"\n',
            "recording.toml: frame_rate_hz: expected",
        ),
        (
            "recording.toml",
            'frame_rate_fps = 2\nstart_utc = "2022-05-18T04:21:27Z"\n',
            "recording.toml: frame_rate_fps: is not a key known here",
        ),
        (
            "recording.toml",
            'frame_rate_hz = 2\nstart_utc = "2022-05-18T04:21:27Z"\n[optics]\npixel_mm = 0.07\n',
            "optics.pixel_mm: is not a key known here",
        ),
    ],
)
def test_faulty_files_are_one_sentence(folder, name, text, words):
    (folder / name).write_text(text)
    with pytest.raises(RecordingError) as caught:
        open_recording(folder)
    assert words in str(caught.value)
    assert caught.value.file == str(folder / name)
    assert caught.value.remedy


def test_what_is_no_recording(tmp_path, folder):
    empty = tmp_path / "empty"
    empty.mkdir()
    text = tmp_path / "notes.txt"
    text.write_text("x")
    for path, options, words in (
        (tmp_path / "nowhere", {}, "is not there"),
        (empty, {"fps": 1, "pressure": (0, 1)}, "holds no frames"),
        (text, {}, "is neither a folder nor an AVI or MP4 video"),
        (folder / "frames", {"pressure": (0, 1)}, "its frame rate is unknown; give --fps"),
        (folder / "frames", {"fps": 1}, "its pressure is unknown; give --pressure START:END"),
        (folder / "frames", {"fps": 0, "pressure": (0, 1)}, "--fps: is 0"),
        (folder / "frames", {"fps": 1, "pressure": (0, math.nan)}, "--pressure: is not a number"),
        (folder, {"fps": 1}, "recording.toml: gives frame_rate_hz; leave --fps out"),
        (folder, {"pressure": (0, 1)}, "sensors.csv: gives the pressure; leave --pressure out"),
    ):
        with pytest.raises(RecordingError) as caught:
            open_recording(path, **options)
        assert words in str(caught.value)
    (folder / "dive.avi").write_bytes(b"")
    with pytest.raises(RecordingError, match="holds 4 images and 1 videos"):
        open_recording(folder)


def test_truth_is_read_by_frame(folder):
    (folder / "truth.csv").write_text(
        "file,x_px,y_px,width_px,height_px,area_px,esd_um,taxon,source\n"
        "002.png,5,6,30,20,400,1500,copepod,drawn\n000.png,1,2,3,4,9,200.5,,blob\n"
    )
    (folder / "truth_frames.csv").write_text("file,outcome\n000.png,analysed\n001.png,over-exposed\n")
    truth = open_recording(folder).truth()
    assert truth is not None
    assert len(truth) == 2
    assert truth.frame.tolist() == [0, 2]
    assert truth.area_px.tolist() == [9, 400]
    assert truth.esd_um.tolist() == [200.5, 1500]
    assert truth.taxa == ("copepod",)
    assert truth.taxon.tolist() == [-1, 0]
    assert list(truth.source) == ["blob", "drawn"]
    assert truth.frame_outcome.tolist() == [0, FrameOutcome.OVER_EXPOSED, -1, -1]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("truth.csv", "file,x_px\n", "column y_px: is missing"),
        (
            "truth.csv",
            "file,x_px,y_px,width_px,height_px,area_px,esd_um,taxon,source\n009.png,1,2,3,4,9,2,,blob\n",
            "row 2, column file: names 009.png, which is no frame",
        ),
        ("truth_frames.csv", "file,outcome\n000.png,fine\n", "row 2, column outcome: says 'fine'"),
    ],
)
def test_faulty_truth(folder, name, text, words):
    (folder / "truth.csv").write_text(
        "file,x_px,y_px,width_px,height_px,area_px,esd_um,taxon,source\n000.png,1,2,3,4,9,200.5,,blob\n"
    )
    (folder / name).write_text(text)
    with pytest.raises(RecordingError, match=words):
        open_recording(folder).truth()
