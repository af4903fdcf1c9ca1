"""The bench of pictures compares in the bytes it says, and refuses what it cannot use."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from tools.bench import thumbnails
from tools.bench.thumbnails import BYTES, Format, _best
from tools.cli import cli


def test_a_format_gets_its_best_that_fits():
    """A format whose quality is the number of rows it keeps, so that the best is known."""
    asked = []

    def write(picture, quality):
        asked.append((max(picture.shape), quality))
        return picture.tobytes()[: 10 * (quality + 1)]

    def read(data):
        return np.full((4, 4), len(data) % 256, dtype=np.uint8)

    vignette = np.full((40, 30), 150, dtype=np.uint8)
    form, written = Format(write, read, 30), {}
    plain, _ = _best(vignette, 150, form, written)
    assert plain[0, 0] == 150
    assert _best(vignette, 5, form, written) == (None, None)
    n_asked = len(asked)
    again, _ = _best(vignette, 150, form, written)
    assert np.array_equal(again, plain)
    assert len(asked) == n_asked


def test_options_that_do_not_fit_are_told(tmp_path):
    done = CliRunner().invoke(cli, ["bench", "classify", "--data", str(tmp_path)])
    assert done.exit_code == 2
    assert "--data" in done.output
    with pytest.raises(Exception, match="name sorted dark-field images with --data"):
        thumbnails.bench(data=tmp_path / "none")


@pytest.mark.slow
def test_ours_always_fits_and_shows_more_than_jpeg(tmp_path, shared):
    pytest.importorskip("imagecodecs", reason="needs the bench extra")
    pytest.importorskip("skimage", reason="needs the bench extra")
    file = tmp_path / "thumbnails.json"
    data = str(shared / "data" / "pwssc.zip")
    done = CliRunner().invoke(
        cli, ["bench", "thumbnails", "--images", "3", "--data", data, "--json", str(file)]
    )
    assert done.exit_code == 0, done.output
    numbers = json.loads(file.read_text())["numbers"]
    assert numbers["images"] == 3
    for n_bytes in BYTES:
        assert numbers[f"seston_{n_bytes}_fits_percent"] == 100
        assert numbers[f"seston_{n_bytes}_ssim"] > numbers[f"JPEG_{n_bytes}_ssim"]
