"""The parts of compose: blobs of exact area that never touch, cutouts, scenarios, casts, PNG."""

from __future__ import annotations

import zipfile

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import ConfigError, ImageError, RecordingError
from edge.frame import FrameOutcome, Phase
from edge.images import decode_image
from edge.inference.bundle import image_hash
from edge.optics import Optics
from tools.composing.blobs import VARIANTS, Room, blob_greys, blob_shape, place_blobs
from tools.composing.casts import plan_cast
from tools.composing.plan import spread_faults
from tools.composing.scenario import Leg, area_of, layers_of, load_scenario, plan_scenario, share_frames
from tools.composing.vignettes import DrawnSource, VignetteSource, cut_out
from tools.composing.writer import encode_png
from tools.shore.uvp6_project.cast import read_cast
from training.drawn import KINDS, draw_particle

OPTICS = Optics(pixel_um=73, image_volume_l=0.6, threshold=21, aa_um2=2300, exp=1.136)
HARDWARE = (
    "HW_CONF,000125HF,1,ACQ_CTD,0,000009VE2,1,0,250,216149,0.600,393773,20000,2,192.168.0.1,0,75,6,22,2300.000,"
    "1.136,73,0.710,20220505,202205091430,operator@example.org,40.3,50.8,64,80.6,102,128,161,203,256,323,406,"
    "512,645,813,1020,1290,1630,2050;"
)
ROWS = [
    "20220518-042127-284,1.67,31.75,0:1,20,31.0,9.6;",
    "20220518-042127-468,1.68,31.75,1:1,300,31.8,10.4;2,42,39.9,17.4;9,3,62.2,35.2;130,1,70,40;",
    "20220518-042128-100,nan,31.75,1:OVER_EXPOSED,22.2%;",
    "TAXO:2,13,19738,91,13,4633,105;",
    "20220518-042130-1,3.5,31.75,1:EMPTY_IMAGE;",
    "",
    "20220518-042131-007,4.5,30,1:1,280,31.8,10.4;3,12,45,20;60,2,60,30;",
]


def components(mask):
    """Count of 8-connected regions and their areas, by OpenCV."""
    n, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return n - 1, sorted(stats[1:, cv2.CC_STAT_AREA].tolist())


@given(area=st.integers(1, 160), variant=st.integers(0, VARIANTS - 1))
@settings(deadline=None, max_examples=80)
def test_blobs_are_connected_and_of_exact_area(area, variant):
    pixels = blob_shape(area, variant)
    assert pixels.shape == (area, 2)
    assert pixels.min(axis=0).tolist() == [0, 0]
    mask = np.zeros(pixels.max(axis=0) + 1, dtype=np.uint8)
    mask[pixels[:, 0], pixels[:, 1]] = 1
    assert components(mask) == (1, [area])
    np.testing.assert_array_equal(blob_shape.__wrapped__(area, variant), pixels)


@given(
    areas=st.lists(st.integers(1, 90), min_size=0, max_size=60),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=40)
def test_placed_blobs_never_touch(areas, seed):
    area = np.array(sorted(areas, reverse=True), dtype=np.int64)
    rng = np.random.default_rng(seed)
    boxes, owner, y, x = place_blobs(area, Room(400, 328), rng)
    image = np.zeros((400, 328), dtype=np.uint8)
    grey = blob_greys(owner, np.full(len(area), 40.0), np.full(len(area), 15.0), np.ones(len(area)), 21, rng)
    image[y, x] = grey
    assert (grey > 21).all()
    assert np.count_nonzero(image) == area.sum()
    assert components(image > 21) == (len(area), sorted(areas))
    for i, (left, top, width, height) in enumerate(boxes):
        mine = owner == i
        assert (x[mine].min(), y[mine].min()) == (left, top)
        assert (x[mine].max() - left + 1, y[mine].max() - top + 1) == (width, height)


def test_greys_have_the_mean_and_spread_asked():
    rng = np.random.default_rng(1)
    owner = np.repeat(np.arange(20000), 3)
    one = np.ones(20000)
    grey = blob_greys(owner, 45.0 * one, 18.0 * one, one, 22, rng)
    assert grey.mean() == pytest.approx(45, abs=0.5)
    assert grey.std() == pytest.approx(18, abs=1)
    assert (np.diff(grey.reshape(-1, 3).astype(int), axis=1) <= 0).all()  # brightest first


def test_a_full_frame_is_refused_not_overfilled():
    rng = np.random.default_rng(0)
    with pytest.raises(RecordingError, match="no room for 101 more particles, 100 places are left"):
        place_blobs(np.ones(101, dtype=np.int64), Room(80, 80), rng)
    with pytest.raises(RecordingError, match="no room left for a particle"):
        place_blobs(np.full(200, 80, dtype=np.int64), Room(80, 80), rng)


def test_cut_out_keeps_one_region_and_dims_the_rest():
    pixels = np.zeros((20, 20), dtype=np.uint8)
    pixels[2:8, 2:8] = 100
    pixels[12:15, 12:15] = 200
    pixels[10, :] = 15
    cutout = cut_out(pixels, 21, "a", "b")
    assert cutout.area_px == 36
    assert cutout.pixels.max() == 100
    assert (cutout.pixels[12:15, 12:15] == 21).all()
    assert (cutout.pixels[10] == 15).all()
    assert cut_out(np.full((5, 5), 21, dtype=np.uint8), 21, "a", "b") is None


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_source_meets_the_area(kind):
    rng = np.random.default_rng(2)
    for area in (90, 500, 2500):
        cutout = DrawnSource(21).draw(kind, area, rng)
        assert cutout.label == kind
        assert components(cutout.pixels > 21) == (1, [cutout.area_px])
        assert cutout.area_px == pytest.approx(area, rel=0.2)


@pytest.fixture
def vignettes(tmp_path):
    """Two classes, one with an EcoTaxa id; an image dark on white; one unreadable; one too small."""
    rng = np.random.default_rng(4)
    for name, pixels in {
        "Copepoda__25828/1.png": draw_particle("copepod", rng, 40),
        "Copepoda__25828/2.png": 255 - draw_particle("copepod", rng, 60),
        "fiber/3.png": draw_particle("fibre", rng, 30),
        "fiber/4.png": draw_particle("fibre", rng, 4),
    }.items():
        path = tmp_path / "classes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels)
    (tmp_path / "classes" / "fiber" / "5.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return tmp_path / "classes"


def test_vignettes_are_scaled_and_told_apart(vignettes, tmp_path):
    source = VignetteSource(vignettes, 146.0, OPTICS, 73)
    assert source.labels == ("Copepoda", "fiber")
    assert source.counts == {"Copepoda": 2, "fiber": 1}
    assert source.n_unusable == 2
    rng = np.random.default_rng(0)
    areas = {source.draw("Copepoda", 0, rng).area_px for _ in range(20)}
    # Twice the pixel, four times the area.
    expected = [4 * np.pi / 4 * esd**2 for esd in (40, 60)]
    assert sorted(areas) == pytest.approx(expected, rel=0.15)
    assert source.draw_any(expected[1], rng).label == "Copepoda"
    assert source.draw_any(2000, rng).label == "fiber"
    archive = tmp_path / "classes.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for file in sorted(vignettes.glob("*/*")):
            out.write(file, file.relative_to(vignettes).as_posix())
    assert VignetteSource(archive, 146.0, OPTICS, 73).counts == source.counts


def test_vignettes_the_bundle_knows_are_left_out(vignettes):
    known = image_hash(cv2.imread(str(vignettes / "Copepoda__25828" / "1.png"), cv2.IMREAD_GRAYSCALE))
    source = VignetteSource(vignettes, 73.0, OPTICS, 73, frozenset({known}))
    assert source.n_trained_on == 1
    assert source.counts == {"Copepoda": 1, "fiber": 1}
    assert source.draw("Copepoda", 0, np.random.default_rng(0)).source.endswith("2.png")


def test_vignettes_that_cannot_be_used(vignettes, tmp_path):
    with pytest.raises(ImageError, match="has no vignette to plant"):
        VignetteSource(vignettes, 1.0, OPTICS, 73)
    (tmp_path / "flat").mkdir()
    cv2.imwrite(str(tmp_path / "flat" / "1.png"), draw_particle("ring", np.random.default_rng(0), 40))
    with pytest.raises(ImageError, match="holds no images in class folders"):
        VignetteSource(tmp_path / "flat", 73.0, OPTICS, 73)
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    for name in ("empty.zip", "nowhere"):
        with pytest.raises(ImageError, match=name):
            VignetteSource(tmp_path / name, 73.0, OPTICS, 73)


@given(frames=st.lists(st.integers(1, 60), min_size=1, max_size=6), extra=st.integers(0, 100))
@settings(deadline=None, max_examples=60)
def test_frames_are_shared_among_legs(frames, extra):
    legs = [Leg(phase="park", start_dbar=1, end_dbar=1, frames=n, duration_s=1) for n in frames]
    shared = share_frames(legs, len(legs) + extra)
    assert sum(shared) == len(legs) + extra
    assert min(shared) >= 1
    assert share_frames(legs, None) == frames


SCENARIO = """
[camera]
width_px = 320
height_px = 256
[small]
one_px = 40
two_px = 10
[faults]
unlit_every = 5
blurred = 0.1
[water]
temperature_c = [[0, 20], [100, 10]]
[[legs]]
phase = "descent"
start_dbar = 0
end_dbar = 100
frames = 10
duration_s = 100
[[legs]]
phase = "park"
start_dbar = 100
end_dbar = 100
frames = 4
duration_s = 40
[[taxa]]
label = "copepod"
per_l = 5
depth_dbar = 50
spread_dbar = 10
"""


def test_scenario_becomes_a_plan(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text(SCENARIO)
    scenario = load_scenario(file)
    plan = plan_scenario(scenario, file, None, seed=3)
    assert [frame.time_s for frame in plan.frames] == pytest.approx([5 + 10 * i for i in range(14)])
    assert [frame.phase for frame in plan.frames] == [Phase.DESCENT] * 10 + [Phase.PARK] * 4
    outcomes = [frame.outcome for frame in plan.frames]
    assert [i for i, outcome in enumerate(outcomes) if outcome is FrameOutcome.UNLIT] == [0, 5, 10]
    assert outcomes.count(FrameOutcome.BLURRED) == 1
    np.testing.assert_allclose(np.interp(55, plan.sensors["time_s"], plan.sensors["pressure_dbar"]), 55)
    np.testing.assert_allclose(plan.sensors["temperature_c"], 20 - plan.sensors["pressure_dbar"] / 10)
    assert plan.sensors["pressure_dbar"].max() == 100
    deep = [len(frame.large) for frame in plan.frames[10:]]
    assert sum(deep) == 0  # five spreads away
    assert plan_scenario(scenario, file, None, seed=3).frames[4].large == plan.frames[4].large
    assert len(plan_scenario(scenario, file, 28, seed=3).frames) == 28


def test_abundance_follows_the_layer(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text(SCENARIO.replace("frames = 10", "frames = 400"))
    plan = plan_scenario(load_scenario(file), file, None, seed=1)
    at_50 = [
        len(frame.large) for frame in plan.frames if 48 < frame.time_s < 52 and frame.small.area_px.size > 1
    ]
    assert np.mean(at_50) == pytest.approx(5 * 0.6, rel=0.4)
    assert not any(frame.large for frame in plan.frames if frame.time_s < 5)
    sizes = [one.area_px for frame in plan.frames for one in frame.large]
    assert area_of(OPTICS, 700) <= min(sizes)
    assert max(sizes) <= area_of(OPTICS, 3000)
    assert np.median(sizes) < area_of(OPTICS, 1300)  # small ones are the most


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('phase = "park"', 'phase = "drift"', "legs[1]: phase must be one of descent, park, ascent"),
        ("spread_dbar", "spread_m", "spread_m: is not a key known here"),
        ("one_px = 40", "one_px = -1", "small.one_px: expected"),
        ("[[0, 20], [100, 10]]", "[]", "water.temperature_c must hold pairs"),
        ("[[0, 20], [100, 10]]", "[[5, 20], [5, 10]]", "water.temperature_c must hold pairs"),
        ("temperature_c =", "pressure_dbar =", "water.pressure_dbar is no name of a sensor"),
        ("width_px = 320", "haze_grey = 30", "optics.threshold must be at least 33"),
        (
            "spread_dbar = 10",
            "spread_dbar = 10\nesd_um = [900, 900]",
            "esd_um must be a smaller and a larger",
        ),
    ],
)
def test_faulty_scenarios_are_one_sentence(tmp_path, old, new, words):
    file = tmp_path / "s.toml"
    assert old in SCENARIO
    file.write_text(SCENARIO.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_scenario(file)
    assert words in str(caught.value)
    assert caught.value.file == str(file)


def test_layers_for_classes_nobody_wrote_of():
    layers = layers_of({"a": 400, "b": 100, "c": 4}, 600)
    assert [layer.label for layer in layers] == ["a", "b", "c"]
    assert layers[0].per_l == pytest.approx(2 * layers[1].per_l, rel=1e-3)
    assert len({layer.depth_dbar for layer in layers}) == 3
    assert all(0 <= layer.depth_dbar <= 600 for layer in layers)


def test_faults_come_at_their_rates_and_spare_the_rest():
    free = np.ones(200, dtype=bool)
    free[::10] = False
    shares = {FrameOutcome.CORRUPT: 0.05, FrameOutcome.BLURRED: 0.001, FrameOutcome.OVER_EXPOSED: 0.0}
    outcomes = np.array(spread_faults(200, shares, free, np.random.default_rng(0)))
    assert (outcomes == FrameOutcome.CORRUPT).sum() == 10
    assert (outcomes == FrameOutcome.BLURRED).sum() == 1
    assert (outcomes[~free] == FrameOutcome.ANALYSED).all()


def write_cast(path, rows=ROWS, hardware=HARDWARE, ini=True):
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("particules.csv", "\n".join([hardware, "", "ACQ_CONF,ACQ_CTD,3;", *rows]))
        if ini:
            text = "[sample_metadata]\ncruise=TAL\nprofileid=07\nlatitude=43°48 36\nlongitude=-009°30 00\n"
            out.writestr("metadata.ini", text.encode("latin-1"))
    return path


def test_cast_is_read(tmp_path):
    cast = read_cast(write_cast(tmp_path / "c.zip"))
    assert len(cast) == 5
    assert (cast.optics.threshold, cast.optics.aa_um2, cast.optics.exp) == (22, 2300, 1.136)
    assert (cast.optics.pixel_um, cast.optics.image_volume_l) == (73, 0.71)
    assert cast.optics.size_class_limits_um[0] == 40.3
    assert cast.optics.n_size_classes == 18
    assert (cast.unit, cast.cruise, cast.profile) == ("000125HF", "TAL", "07")
    assert (cast.position.latitude_deg, cast.position.longitude_deg) == (43.81, -9.5)
    np.testing.assert_allclose(cast.time_s - cast.time_s[0], [0, 0.184, 0.816, 2.716, 3.723], atol=1e-6)
    np.testing.assert_array_equal(cast.pressure_dbar, [1.67, 1.68, np.nan, 3.5, 4.5])
    assert cast.lit.tolist() == [False, True, True, True, True]
    spectrum = cast.spectrum(1)
    assert spectrum.area_px.tolist() == [1, 2, 9, 130]
    assert spectrum.count.tolist() == [300, 42, 3, 1]
    assert spectrum.mean_grey.tolist() == [31.8, 39.9, 62.2, 70]
    assert cast.spectrum(2) is None
    assert cast.spectrum(3).area_px.size == 0


def test_newer_firmware_says_its_version_at_the_end(tmp_path):
    newer = HARDWARE.replace("40.3,", "").replace("2050;", "2050,2580,ver2022.01;")
    cast = read_cast(write_cast(tmp_path / "c.zip", hardware=newer, ini=False))
    assert cast.optics.size_class_limits_um[-1] == 2580
    assert cast.optics.threshold == 22
    assert cast.position is None


def test_cast_becomes_a_plan(tmp_path):
    cast = read_cast(write_cast(tmp_path / "c.zip"))
    plan = plan_cast(cast, 5, 73, {}, seed=1)
    assert [frame.outcome.label for frame in plan.frames] == [
        "unlit", "analysed", "over-exposed", "analysed", "analysed",
    ]  # fmt: skip
    assert plan.frames[1].small.area_px.tolist() == [1, 2, 9]
    assert [one.area_px for one in plan.frames[1].large] == [130]
    assert plan.info.optics == cast.optics
    assert plan.frames[0].time_s == pytest.approx(0.284)
    assert len(plan_cast(cast, 50, 73, {}, seed=1).frames) == 5


@pytest.mark.parametrize(
    ("rows", "hardware", "words"),
    [
        (["20220518-042127-284,1.67,31.75:1,20,31,9.6;"], HARDWARE, "line 4: has 3 values before the colon"),
        (["2022-04,1.67,31.75,1:1,20,31,9.6;"], HARDWARE, "line 4: holds '2022-04', which is no time"),
        ([], HARDWARE, "particules.csv: has no images"),
        (ROWS, "HW_CONF,1,2;", "does not end as a UVP6 writes it"),
        (ROWS, HARDWARE.replace("HW_CONF", "ACQ_CONF"), "has no HW_CONF line"),
        (ROWS, HARDWARE.replace(",0.710,", ",0,"), "image_volume_l: expected"),
    ],
)
def test_faulty_casts(tmp_path, rows, hardware, words):
    with pytest.raises(RecordingError, match=words):
        read_cast(write_cast(tmp_path / "c.zip", rows, hardware))


@pytest.mark.parametrize(
    "body", ["1,20,31;", "1,20,x,9;", "0,2,30,9;", "2,3,30,9;1,3,30,9;", "1,-3,30,9;", ";"]
)
def test_faulty_histogram_names_its_line(tmp_path, body):
    file = write_cast(tmp_path / "c.zip", [f"20220518-042127-284,1.67,31.75,1:{body}", ROWS[0]])
    with pytest.raises(RecordingError, match=r"particules\.csv: line 4: is not a list of area,count,mean,sd"):
        read_cast(file).spectrum(0)


def test_what_is_no_cast(tmp_path):
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as out:
        out.writestr("a.txt", "a")
    for name, words in (
        ("nowhere.zip", "is not there"),
        ("text.zip", "cannot be read as a zip"),
        ("other.zip", "holds nothing of a UVP6 project"),
    ):
        with pytest.raises(RecordingError, match=words):
            read_cast(tmp_path / name)


@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_png_is_read_back(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    np.testing.assert_array_equal(decode_image(encode_png(pixels), "x.png"), pixels)
