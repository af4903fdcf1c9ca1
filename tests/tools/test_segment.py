"""`seston segment` as a person calls it."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from edge.vision.segmentation import segment
from tools.cli import main
from tools.segment import COLUMNS, segment_image

pytestmark = pytest.mark.board

Pixels = NDArray[np.uint8]


@pytest.fixture
def frame() -> Pixels:
    rng = np.random.default_rng(6)
    pixels = rng.integers(0, 15, (80, 110), dtype=np.uint8)
    for x, y in rng.integers(0, 80, (12, 2)):
        pixels[y : y + rng.integers(1, 9), x : x + rng.integers(1, 9)] = rng.integers(50, 250)
    return pixels


def rows(text: str) -> list[list[float]]:
    lines = list(csv.reader(io.StringIO(text)))
    assert tuple(lines[0]) == COLUMNS
    return [[float(cell) for cell in line] for line in lines[1:]]


def expected(pixels: Pixels, threshold: int) -> list[list[float]]:
    regions = segment(pixels, threshold)
    assert len(regions) > 3
    return np.stack([getattr(regions, name) for name in COLUMNS], axis=1).astype(float).tolist()


def run(*args: Any) -> str:
    result = CliRunner().invoke(segment_image, [str(arg) for arg in args])
    assert result.exit_code == 0, result.output
    return result.output


def test_one_row_a_particle_with_every_digit(tmp_path: Path, frame: Pixels) -> None:
    path = tmp_path / "frame.png"
    cv2.imwrite(str(path), frame)
    assert rows(run(path, "--threshold", 40)) == expected(frame, 40)
    out = tmp_path / "out.csv"
    assert run(path, "--threshold", 40, "--background", "none", "--csv", out) == ""
    assert rows(out.read_text()) == expected(frame, 40)


def test_bright_field_and_flat_field(tmp_path: Path, frame: Pixels) -> None:
    path, flat = tmp_path / "frame.tif", tmp_path / "flat.png"
    cv2.imwrite(str(path), 255 - frame)
    cv2.imwrite(str(flat), np.full_like(frame, 12))
    assert rows(run(path, "--threshold", 40, "--polarity", "bright-field")) == expected(frame, 40)
    cv2.imwrite(str(path), frame)
    found = rows(run(path, "--threshold", 40, "--background", "flat-field", "--flat-field", flat))
    assert found == expected(np.maximum(frame, 12) - np.uint8(12), 40)


def test_colour_and_deep_grey(tmp_path: Path, frame: Pixels) -> None:
    colour, deep = tmp_path / "colour.png", tmp_path / "deep.png"
    mixed = np.stack((frame, frame // 2, frame - frame // 3), axis=2).astype(np.uint8)
    cv2.imwrite(str(colour), mixed)
    grey = cv2.imread(str(colour), cv2.IMREAD_GRAYSCALE)
    assert grey is not None
    assert rows(run(colour, "--threshold", 40)) == expected(np.asarray(grey, dtype=np.uint8), 40)
    cv2.imwrite(str(deep), frame.astype(np.uint16) * 16 + 7)
    assert rows(run(deep, "--threshold", 40, "--bits", 12)) == expected(frame, 40)


def test_an_empty_frame_has_a_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "black.png"
    cv2.imwrite(str(path), np.zeros((20, 30), dtype=np.uint8))
    assert rows(run(path, "--threshold", 0)) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("{missing}", "--threshold", "40"), "missing.png"),
        (("{text}", "--threshold", "40"), "text.png"),
        (("{frame}", "--threshold", "40", "--csv", "{folder}/no/such/out.csv"), "--csv"),
        (
            ("{frame}", "--threshold", "40", "--background", "flat-field", "--flat-field", "{small}"),
            "is 4 x 3 px where the image is 110 x 80 px",
        ),
        (("{frame}", "--threshold", "40", "--background", "flat-field"), "go together"),
        (("{frame}", "--threshold", "40", "--flat-field", "{small}"), "go together"),
        (("{frame}", "--threshold", "255"), "--threshold"),
        (("{frame}",), "--threshold"),
    ],
)
def test_bad_input_is_a_sentence_and_exit_code_two(
    tmp_path: Path,
    frame: Pixels,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    places = {name: str(tmp_path / f"{name}.png") for name in ("missing", "text", "frame", "small")}
    places["folder"] = str(tmp_path)
    Path(places["text"]).write_text("not an image")
    cv2.imwrite(places["frame"], frame)
    cv2.imwrite(places["small"], np.zeros((3, 4), dtype=np.uint8))
    with pytest.raises(SystemExit) as stop:
        main(["segment", *(argument.format(**places) for argument in arguments)])
    assert stop.value.code == 2
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert shown.out == ""
    assert "Traceback" not in shown.err
