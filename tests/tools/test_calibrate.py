"""`seston calibrate` from pictures to a file that a dive is simulated with; bad input is a sentence."""

from __future__ import annotations

import tomllib

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge.config import load_config
from edge.divelog import DiveLog
from edge.errors import ConfigError, SestonError
from tests.tools.made_targets import area_of, bead_frames, frame_of, target, write_frames
from tools.calibrating.optics_file import read_draft
from tools.cli import cli

AA, EXP = 2300.0, 1.136


def seston(*args):
    """The command in this process; our own errors become their sentence and exit code 2, as in `main`."""
    result = CliRunner().invoke(cli, [str(arg) for arg in args])
    if isinstance(result.exception, SestonError):
        return 2, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def calibrate(part, *args, file):
    return seston("calibrate", part, *args, "--file", file)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """What a person has in the laboratory: targets, a sheet, water with unlit frames, beads."""
    folder = tmp_path_factory.mktemp("lab")
    for i, degrees in enumerate((-2.0, 1.0, 5.0)):
        cv2.imwrite(
            str(folder / f"target{i}.png"), target("dots", degrees=degrees, pitch_px=2000 / 73, seed=i)
        )
    x = np.linspace(-30, 30, 31)
    light = 200 * np.exp(-((x / 14.4) ** 2))
    rows = [f"{p},{v},{place}" for place in ("left", "right") for p, v in zip(x, light, strict=True)]
    (folder / "sheet.csv").write_text("position_mm,light,place\n" + "\n".join(rows) + "\n")
    rng = np.random.default_rng(1)
    lit = [frame_of(rng.integers(6, 40, 140).tolist(), rng) for _ in range(4)]
    dark = [rng.integers(0, 9, (480, 640), dtype=np.uint8) for _ in range(3)]
    water = write_frames(folder / "water" / "frames", lit + dark).parent
    table = [f"frame_{i:03d}.png,{i},{int(i < 4)}" for i in range(7)]
    (water / "frames.csv").write_text("file,time_s,lit\n" + "\n".join(table) + "\n")
    for esd in (600, 1000, 1600):
        bead_frames(folder / f"beads{esd}", float(esd), AA, EXP, seed=esd)
    (folder / "beads.csv").write_text(
        "recording,esd_um,esd_sd_um\nbeads600,600,6\nbeads1000,1000,10\nbeads1600,1600,16\n"
    )
    return folder


@pytest.fixture(scope="module")
def optics_file(lab):
    """The file after the whole course on deck and in the laboratory."""
    file = lab / "optics.toml"
    code, said = calibrate("light", lab / "water", file=file)
    assert code == 0, said
    assert "pixel_um (seston calibrate pixel), image_volume_l (seston calibrate volume)" in said
    with pytest.raises(ConfigError, match="missing required field"):
        load_config(file)
    targets = sorted(lab.glob("target*.png"))
    code, said = calibrate(
        "pixel", *targets, "--target", "dots", "--points", "9x7", "--pitch-um", 2000, file=file
    )
    assert code == 0, said
    code, said = calibrate("volume", "--size", "640x480", "--sheet", lab / "sheet.csv", file=file)
    assert code == 0, said
    assert "Not complete" not in said
    code, said = calibrate("beads", lab / "beads.csv", "--html", lab / "beads.html", file=file)
    assert code == 0, said
    return file


def test_beads_through_the_real_segmentation_give_what_was_drawn(optics_file, lab):
    draft = read_draft(optics_file)
    size = draft.calibration["size"]
    assert abs(draft.optics["exp"] - EXP) < 2 * size.standard_errors["exp"] < 0.05
    assert abs(draft.optics["aa_um2"] / AA - 1) < 2 * size.standard_errors["aa_um2"] / AA < 0.3
    esd = draft.complete().esd_um(area_of(np.array([600.0, 1000.0, 1600.0]), AA, EXP))
    assert np.abs(esd / [600, 1000, 1600] - 1).max() < 0.01
    assert [row["n"] > 60 for row in size.residuals] == [True] * 3
    assert [row["pairs"] > 2 for row in size.residuals] == [True] * 3
    page = (lab / "beads.html").read_text(encoding="utf-8")
    assert "standard error" in page
    assert "<div data-figure=" in page


def test_the_file_says_when_how_and_from_what(optics_file, lab):
    draft = read_draft(optics_file)
    assert list(draft.calibration) == ["light", "pixel", "volume", "size"]
    for one in draft.calibration.values():
        assert one.date.utcoffset().total_seconds() == 0
        assert one.version
        assert all(len(sha256) == 64 for sha256 in one.sources.values())
    pixel = draft.calibration["pixel"]
    assert abs(draft.optics["pixel_um"] - 73) < 3 * pixel.standard_errors["pixel_um"] < 0.2
    assert len(pixel.residuals) == 3
    assert draft.optics["image_volume_l"] == pytest.approx(640 * 480 * 0.073**2 * 23.98 / 1e6, rel=0.01)
    code, said = calibrate("show", file=optics_file)
    assert code == 0
    assert "beads of 3 sizes" in said
    assert "±" in said


def test_a_dive_is_simulated_with_the_file(optics_file, lab, tmp_path):
    wanted = read_draft(optics_file)
    code, said = seston(
        "simulate", lab / "water", "--pressure", "0:10", "--fps", 1, "--config", optics_file,
        "--bundle", "demo", "--out", tmp_path / "dive", "--no-report",
    )  # fmt: skip
    assert code == 0, said
    (tmp_path / "float.toml").write_text('bundle = "demo"\noptics_file = "here.toml"\n')
    (tmp_path / "here.toml").write_bytes(optics_file.read_bytes())
    assert load_config(tmp_path / "float.toml").optics == wanted.complete()
    with DiveLog.open(tmp_path / "dive") as log:
        config = log.meta("config")
    assert config["optics"]["aa_um2"] == wanted.optics["aa_um2"]
    assert config["calibration"]["size"]["method"] == "beads of 3 sizes"
    code, said = seston("replay", tmp_path / "dive", "--out", tmp_path / "again")
    assert code == 0
    assert said.startswith("Identical: ")
    (tmp_path / "both.toml").write_text('optics_file = "here.toml"\n[optics]\npixel_um = 73\n' + REST)
    with pytest.raises(ConfigError, match="keep one of them"):
        load_config(tmp_path / "both.toml")


REST = "image_volume_l = 0.6\nthreshold = 21\n"


def test_what_was_before_is_kept_and_what_is_out_of_date_is_said(optics_file, lab, tmp_path):
    file = tmp_path / "optics.toml"
    file.write_bytes(optics_file.read_bytes())
    code, said = calibrate(
        "pixel", lab / "target0.png", "--target", "dots", "--points", "9x7", "--pitch-um", 2100, file=file
    )
    assert code == 0, said
    assert "(was 72.99" in said
    assert "volume was calibrated with pixel_um 72.99" in said
    assert (
        read_draft(file).calibration["pixel"].previous["pixel_um"]
        == read_draft(optics_file).optics["pixel_um"]
    )
    code, said = calibrate(
        "beads", lab / "beads600", "--esd-um", 600, "--threshold", 40, "--dry-run", file=file
    )
    assert code == 0, said
    assert "Exp was left at 1.13" in said
    assert "left as it is" in said
    assert tomllib.loads(file.read_text())["optics"]["threshold"] != 40


def test_the_unit_is_adjusted_to_a_reference(tmp_path):
    rng = np.random.default_rng(7)
    limits = np.array([64, 80.6, 102, 128, 161, 203, 256, 323, 406, 512.0])
    frames, litres, per_l = 20, 0.02, 40_000.0
    drawn = [
        frame_of(area_of(64 * rng.random(rng.poisson(per_l * litres)) ** (-1 / 3), AA, EXP).tolist(), rng,
                 shape=(720, 960))
        for _ in range(frames)
    ]  # fmt: skip
    write_frames(tmp_path / "water", drawn)
    larger = per_l * (limits / 64) ** -3
    rows = [f"{a},{b},{n:.0f},10" for a, b, n in zip(limits, limits[1:], -np.diff(larger) * 10, strict=False)]
    (tmp_path / "uvp.csv").write_text("esd_min_um,esd_max_um,count,volume_l\n" + "\n".join(rows) + "\n")
    file = tmp_path / "optics.toml"
    file.write_text("[optics]\npixel_um = 73.0\nimage_volume_l = 0.02\nthreshold = 21\n")
    code, said = calibrate(
        "reference", tmp_path / "water", tmp_path / "uvp.csv", "--html", tmp_path / "fit.html", file=file
    )
    assert code == 0, said
    draft = read_draft(file)
    errors = draft.calibration["size"].standard_errors
    assert abs(draft.optics["exp"] - EXP) < 3 * errors["exp"]
    assert abs(draft.optics["aa_um2"] - AA) < 3 * errors["aa_um2"]
    assert "this unit" in (tmp_path / "fit.html").read_text(encoding="utf-8")
    code, said = calibrate("volume", "--size", "960x720", "--depth-mm", 6, file=file)
    assert code == 0, said
    assert "size was calibrated with image_volume_l 0.02" in said


BAD = [
    ("pixel nothing.png --target dots --points 9x7 --pitch-um 2000", "nothing.png: is not there"),
    ("pixel {lab}/target0.png --target dots --points 9by7 --pitch-um 2000", "--points: is '9by7'"),
    ("pixel {lab}/target0.png --target dots --points 2x7 --pitch-um 2000", "at least 3 x 3"),
    ("pixel {lab}/target0.png --target dots --points 9x7 --pitch-um -1", "--pitch-um: is -1"),
    ("pixel {lab}/target0.png --target dots --points 11x8 --pitch-um 2000", "shows no dots of 11 x 8"),
    ("volume --size 640x480 --depth-mm 24", "optics.pixel_um: is missing; give --pixel-um"),
    ("volume --size 640x480 --depth-mm 0 --pixel-um 73", "--depth-mm: is 0"),
    ("volume --size 640x480 --depth-mm nan --pixel-um 73", "--depth-mm: is nan"),
    ("volume --size 640x480 --depth-mm 1e-7 --pixel-um 73", "check the units"),
    ("volume --size 640x480 --sheet {lab}/sheet.csv --edge 2 --pixel-um 73", "--edge: is 2"),
    ("volume --size 640x480 --sheet {lab}/beads.csv --pixel-um 73", "column position_mm: is missing"),
    ("light nowhere", "nowhere: is not there"),
    ("light {lab}/beads.csv", "is neither a folder nor"),
    ("beads {lab}/beads600 --esd-um 600", "optics.pixel_um: is missing"),
    ("beads {lab}/beads600 --esd-um -5", "esd_um: is -5 um"),
    ("beads {lab}/beads600 --esd-um 600 --exp 3", "--exp: is 3"),
    ("reference {lab}/water {lab}/beads.csv", "column esd_min_um: is missing"),
    ("show", "optics.toml: is not there"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "said"), BAD)
def test_bad_input_is_one_sentence_and_writes_nothing(command, said, lab, tmp_path):
    file = tmp_path / "optics.toml"
    part, *rest = command.format(lab=lab).split()
    code, text = calibrate(part, *rest, file=file)
    assert code == 2
    assert said in text
    assert text.count("\n") == 0
    assert not file.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[optics", "cannot be read"),
        ("[run]\n[optics]\n", "holds run, so it is a whole configuration"),
        ("[optics]\npixel_mm = 1\n", "pixel_mm"),
        ("[optics]\npixel_um = -1\n", "optics: pixel_um|pixel_um"),
        ("[calibration.size]\nmethod = 'guess'\n", "missing required field"),
    ],
)
def test_a_bad_optics_file_is_named(text, said, tmp_path):
    file = tmp_path / "optics.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said) as refused:
        read_draft(file)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["100,80,5,1"], "row 2, column esd_max_um: 80 does not follow 100"),
        (["100,200,5,1", "150,300,2,1"], "row 3, column esd_min_um: 150 lies in the class before"),
        (["100,200,5,0"], "row 2, column volume_l: holds 0"),
        (["100,200,-5,1"], "is below 0"),
        (["100,200,many,1"], "holds 'many'"),
    ],
)
def test_a_bad_reference_names_row_and_column(rows, said, tmp_path, lab):
    table = tmp_path / "reference.csv"
    table.write_text("esd_min_um,esd_max_um,count,volume_l\n" + "\n".join(rows) + "\n")
    code, text = calibrate("reference", lab / "water", table, file=tmp_path / "optics.toml")
    assert code == 2
    assert said in text


def test_bright_field_is_calibrated_too(tmp_path):
    rng = np.random.default_rng(3)
    water = [255 - frame_of(rng.integers(6, 40, 140).tolist(), rng) for _ in range(4)]
    write_frames(tmp_path / "water", water)
    file = tmp_path / "optics.toml"
    code, said = calibrate("light", tmp_path / "water", "--polarity", "bright-field", file=file)
    assert code == 0, said
    assert read_draft(file).optics["polarity"] == "bright-field"
    assert 11 < read_draft(file).optics["threshold"] < 30
    (tmp_path / "float.toml").write_text('[vision]\nbackground = "running-median"\n')
    code, said = calibrate("light", tmp_path / "water", "--config", tmp_path / "float.toml", file=file)
    assert code == 2
    assert "a running median of 9" in said


def test_frames_that_cannot_be_used_give_no_size(tmp_path):
    white = np.full((120, 160), 250, dtype=np.uint8)
    write_frames(tmp_path / "white", [white, white - 1])
    file = tmp_path / "optics.toml"
    file.write_text("[optics]\npixel_um = 73.0\nthreshold = 21\n")
    code, text = calibrate("beads", tmp_path / "white", "--esd-um", 600, file=file)
    assert code == 2
    assert "2 over-exposed" in text
