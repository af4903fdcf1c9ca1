"""`seston compose`: what is in the frames is what the truth says, and the same seed gives the same bytes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.measure import label, regionprops_table

from edge.errors import ConfigError, RecordingError
from edge.frame import FrameOutcome, Phase
from edge.recording import open_recording
from edge.vision.segmentation import segment
from tests.tools.test_composing import HARDWARE, SCENARIO, write_cast
from tools.cli import main
from tools.compose import DEMO, compose_recording
from tools.composing.scenario import load_scenario
from tools.shore.uvp6_project.cast import read_cast
from training.drawn import KINDS, draw_particle

TAXA = "".join(
    f'[[taxa]]\nlabel = "{kind}"\nper_l = 2\ndepth_dbar = 40\nspread_dbar = 60\nesd_um = [700, 1500]\n'
    for kind in KINDS
)
_LARGER = SCENARIO.replace("width_px = 320", "width_px = 640").replace("height_px = 256", "height_px = 512")
FAULTY = _LARGER.replace("blurred = 0.1", "blurred = 0.1\nover_exposed = 0.1\ncorrupt = 0.1") + TAXA


@pytest.fixture
def scenario(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text(FAULTY)
    return file


def regions(pixels, threshold):
    """Boxes and areas by scikit-image, sorted: (x, y, width, height, area)."""
    table = regionprops_table(label(pixels > threshold, connectivity=2), properties=("bbox", "area"))
    rows = zip(*(table[f"bbox-{i}"] for i in (1, 0, 3, 2)), table["area"], strict=True)
    return sorted((int(x), int(y), int(x2 - x), int(y2 - y), int(a)) for x, y, x2, y2, a in rows)


def planted(truth, index):
    mine = truth.frame == index
    columns = (truth.x_px, truth.y_px, truth.width_px, truth.height_px, truth.area_px)
    return sorted(zip(*(column[mine].tolist() for column in columns), strict=True))


def test_frames_hold_exactly_what_the_truth_says(tmp_path, scenario):
    done = compose_recording(tmp_path / "rec", scenario_file=scenario, seed=4)
    recording = open_recording(tmp_path / "rec")
    truth = recording.truth()
    threshold = recording.optics.threshold
    seen = {outcome: 0 for outcome in FrameOutcome}
    for frame in recording.frames():
        outcome = FrameOutcome(truth.frame_outcome[frame.index])
        seen[outcome] += 1
        if outcome is FrameOutcome.ANALYSED:
            assert regions(frame.pixels, threshold) == planted(truth, frame.index)
            assert len(segment(frame.pixels, threshold)) == len(planted(truth, frame.index)) > 0
        elif outcome is FrameOutcome.UNLIT:
            assert not frame.lit
            assert not planted(truth, frame.index)
            assert (frame.pixels > threshold).sum() < 60
        elif outcome is FrameOutcome.OVER_EXPOSED:
            assert (frame.pixels > threshold).mean() > 0.3
        elif outcome is FrameOutcome.BLURRED:
            assert len(segment(frame.pixels, threshold)) < 0.5 * len(planted(truth, frame.index))
        else:
            assert outcome is FrameOutcome.CORRUPT
            assert frame.fault is FrameOutcome.CORRUPT
        assert (frame.fault is FrameOutcome.CORRUPT) == (outcome is FrameOutcome.CORRUPT)
    assert {outcome: n for outcome, n in seen.items() if n} == done.outcomes
    assert seen[FrameOutcome.ANALYSED] == 8
    assert seen[FrameOutcome.UNLIT] == 3
    assert len(truth) == done.n_particles
    named = truth.taxon >= 0
    assert named.sum() == done.n_named > 20
    assert set(truth.taxa) <= set(KINDS)
    assert len(truth.taxa) >= 6
    # Named are those above the size cut, and they alone.
    cut = recording.optics.min_area_px(620.0)
    assert (truth.area_px[named] >= cut).all()
    assert (truth.area_px[~named] < cut).all()
    np.testing.assert_allclose(truth.esd_um, recording.optics.esd_um(truth.area_px), atol=0.06)
    assert [frame.phase for frame in recording.frames()] == [Phase.DESCENT] * 10 + [Phase.PARK] * 4
    assert recording.pressure_dbar == pytest.approx([5 + 10.0 * i for i in range(10)] + [100.0] * 4)
    assert recording.environment["temperature_c"][0] == pytest.approx(19.5)


def test_same_seed_same_bytes_other_seed_other_frames(tmp_path, scenario):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        compose_recording(tmp_path / name, scenario_file=scenario, seed=seed, n_frames=6)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 5 + 6
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert (tmp_path / "a/frames/00001.png").read_bytes() != (tmp_path / "c/frames/00001.png").read_bytes()


def test_cast_is_reproduced_image_by_image(tmp_path):
    rows = [
        f"20220518-04212{i}-284,{i}.5,31.75,{int(i > 0)}:1,{300 + 9 * i},31.8,10.4;2,{40 + i},39.9,17.4;"
        f"3,12,45,20;7,5,55,30;25,2,60,35;60,1,50,20;{90 + 10 * i},1,70,40;"
        for i in range(4)
    ]
    cast_file = write_cast(tmp_path / "cast.zip", rows)
    small = tmp_path / "small.toml"
    small.write_text("[camera]\nwidth_px = 800\nheight_px = 640\n")
    done = compose_recording(tmp_path / "rec", cast_file=cast_file, scenario_file=small)
    assert done.outcomes == {FrameOutcome.UNLIT: 1, FrameOutcome.ANALYSED: 3}
    recording, cast = open_recording(tmp_path / "rec"), read_cast(cast_file)
    assert recording.optics == cast.optics
    assert recording.pressure_dbar.tolist() == [0.5, 1.5, 2.5, 3.5]
    found = hidden = 0
    for i, frame in enumerate(recording.frames()):
        wanted = cast.spectrum(i)
        shown = segment(frame.pixels, cast.optics.threshold)
        for area, count in zip(wanted.area_px, wanted.count, strict=True):
            if area < 74:
                n = int((shown.area_px == area).sum())
                found, hidden = found + min(n, count), hidden + max(0, count - n)
                assert n == count
        large = shown.area_px[shown.area_px >= 74]
        if frame.lit:
            assert len(large) == 1
            assert large[0] == pytest.approx(90 + 10 * i, rel=0.25)
            ones = shown.area_px == 1
            assert shown.mean_grey[ones].mean() == pytest.approx(31.8, abs=2.5)
    assert found / (found + hidden) > 0.99


def test_real_casts_are_reproduced(tmp_path, shared):
    path = shared / "data" / "uvp6_casts" / "01_Particule.zip"
    compose_recording(tmp_path / "rec", cast_file=path, n_frames=3)
    recording, cast = open_recording(tmp_path / "rec"), read_cast(path)
    chosen = np.linspace(0, len(cast) - 1, 3).round().astype(int)
    for frame, i in zip(recording.frames(), chosen, strict=True):
        wanted = cast.spectrum(i)
        shown = segment(frame.pixels, cast.optics.threshold)
        small = wanted.area_px < cast.optics.min_area_px(620.0)
        for area, count in zip(wanted.area_px[small], wanted.count[small], strict=True):
            assert (shown.area_px == area).sum() == count
        assert len(shown) == wanted.count.sum()


def test_vignettes_take_the_place_of_drawings(tmp_path):
    rng = np.random.default_rng(8)
    for kind in ("copepod", "ring"):
        (tmp_path / "v" / f"my {kind}, big").mkdir(parents=True)
        for i in range(3):
            cv2.imwrite(str(tmp_path / "v" / f"my {kind}, big" / f"{i}.png"), draw_particle(kind, rng, 30))
    cast_file = write_cast(
        tmp_path / "cast.zip", ["20220518-042127-284,1.6,31.75,1:1,20,31.8,10.4;700,4,60,30;"]
    )
    small = tmp_path / "small.toml"
    small.write_text("[camera]\nwidth_px = 640\nheight_px = 512\n")
    options = {"vignettes": tmp_path / "v", "vignette_pixel_um": 73.0, "scenario_file": small}
    done = compose_recording(tmp_path / "rec", cast_file=cast_file, **options)
    assert done.n_named == 4
    truth = open_recording(tmp_path / "rec").truth()
    assert set(truth.taxa) <= {"my copepod, big", "my ring, big"}
    assert all(source.endswith(".png") for source in truth.source[:4])
    assert truth.area_px[:4] == pytest.approx(np.pi / 4 * 30**2, rel=0.3)


def test_demonstration_is_what_make_dive_needs():
    scenario = load_scenario(DEMO)
    n_frames = sum(leg.frames for leg in scenario.legs)
    assert 60 <= n_frames <= 72
    assert {leg.phase for leg in scenario.legs} == {"descent", "park", "ascent"}
    assert {layer.label for layer in scenario.taxa} == set(KINDS)
    assert (scenario.camera.width_px, scenario.camera.height_px) == (2464, 2056)
    assert min(scenario.faults.shares.values()) > 0
    assert scenario.optics.threshold == 21


def test_command_says_what_it_made(tmp_path, scenario, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["compose", str(tmp_path / "rec"), "--scenario", str(scenario), "--frames", "4"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "4 frames (" in out
    assert "named" in out
    assert len(list((tmp_path / "rec" / "frames").iterdir())) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"vignettes": "v"}, "--vignettes and --vignette-pixel-um: go together"),
        ({"vignette_pixel_um": 73.0}, "--vignettes and --vignette-pixel-um: go together"),
        ({"vignettes": "v", "vignette_pixel_um": -1.0}, "--vignette-pixel-um: is -1"),
        ({"n_frames": 0}, "--frames: is 0; ask for at least one frame"),
        ({"n_frames": 1}, "--frames: is 1, the scenario has 3 legs"),
        ({"scenario_file": "none.toml"}, "none.toml: is not there"),
        ({"scenario_file": "long.toml"}, "ask for 604 frames, more than 500; say --frames 604"),
        ({"scenario_file": "whale.toml"}, "taxa[8].label: is 'whale', of which there are no particles"),
        ({"scenario_file": "empty.toml"}, "legs: is missing"),
        ({"scenario_file": "s.toml", "cast_file": "cast.zip"}, "legs and taxa: come from the cast"),
    ],
)
def test_nonsense_is_refused_and_nothing_written(tmp_path, scenario, options, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "long.toml").write_text(FAULTY.replace("frames = 10", "frames = 600"))
    (tmp_path / "whale.toml").write_text(FAULTY.replace('label = "bubble"', 'label = "whale"'))
    (tmp_path / "empty.toml").write_text("")
    write_cast(tmp_path / "cast.zip", hardware=HARDWARE)
    paths = {"vignettes", "scenario_file", "cast_file"}
    given = {key: tmp_path / value if key in paths else value for key, value in options.items()}
    with pytest.raises(ConfigError) as caught:
        compose_recording(tmp_path / "rec", **given)
    assert words in str(caught.value)
    assert not list(tmp_path.glob("rec*"))


def test_an_existing_folder_is_not_touched(tmp_path, scenario):
    (tmp_path / "rec").mkdir()
    (tmp_path / "rec" / "mine.txt").write_text("mine")
    with pytest.raises(RecordingError, match="is there already"):
        compose_recording(tmp_path / "rec", scenario_file=scenario)
    assert [path.name for path in (tmp_path / "rec").iterdir()] == ["mine.txt"]


def test_what_was_broken_off_never_looks_like_a_recording(tmp_path, scenario):
    file = tmp_path / "full.toml"
    file.write_text(FAULTY.replace("one_px = 40", "one_px = 40000"))
    with pytest.raises(RecordingError, match="has no room for"):
        compose_recording(tmp_path / "rec", scenario_file=file)
    assert not list(tmp_path.glob("rec*"))
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="cannot be written"):
        compose_recording(tmp_path / "file" / "rec", scenario_file=scenario)
