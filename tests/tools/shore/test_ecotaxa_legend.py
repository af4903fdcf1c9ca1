"""The legend is EcoTaxa's, pixel by pixel, and goes off again without a trace."""

from __future__ import annotations

import numpy as np
import pytest

from edge.errors import InputError
from tools.shore.ecotaxa.legend import Legend, read_settings
from training.legend import crop_legend

UVP6 = """[vignette]
; gamma coefficiant of the gamma correction
gamma=1
invert=y
scalebarsize_mm=2.0
keeporiginal=y
fontcolor=black
fontheight_px=6
footerheight_px=31
scale=1
Pixel_Size=73"""

GOLDEN = """
...........###.......................
..........#...#......................
..............#....##.#..##.#........
.............#.....#.#.#.#.#.#.......
............#......#.#.#.#.#.#.......
...........#.......#.#.#.#.#.#.......
..........#####....#.#.#.#.#.#.......
.....................................
.....................................
.....................................
.....................................
.....................................
.........############################
.........#..........................#
.........#..........................#
.....................................
"""
"""The lower sixteen rows of a footer for a bar of 27 px: words, the bar from column 9, its ends."""


def vignette(height: int = 20, width: int = 30, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 250, (height, width), dtype=np.uint8)


def test_the_bar_is_two_millimetres_long():
    assert Legend().bar_px(73) == 27  # 2000 / 73 = 27.4
    assert Legend(scale=2).bar_px(73) == 54
    assert Legend(scalebarsize_mm=1).bar_px(50) == 20


def test_golden_pixels():
    shown = Legend().draw(vignette(), 73)
    assert shown.shape == (20 + 31, 37)  # widened to the bar and ten pixels
    np.testing.assert_array_equal(shown[:20, :30], 255 - vignette())
    assert (shown[:20, 30:] == 254).all()
    assert (shown[20:35] == 254).all()
    ink = ["".join(".#"[int(pixel == 0)] for pixel in row) for row in shown[-16:]]
    assert "\n".join(ink) == GOLDEN.strip()
    assert set(np.unique(shown[20:])) == {0, 254}


def test_white_on_black_without_inversion_keeps_its_grey():
    shown = Legend(invert=False, fontcolor="white").draw(vignette(12, 60), 73)
    np.testing.assert_array_equal(shown[:12], vignette(12, 60))
    assert set(np.unique(shown[12:])) == {0, 255}


def test_gamma_before_inversion_and_scale_last():
    flat = np.full((8, 50), 64, np.uint8)
    shown = Legend(gamma=2.0, scale=2.0).draw(flat, 73)
    assert shown.shape == (16 + 31, 100)
    assert (shown[:16] == 255 - int((64 / 255) ** 0.5 * 255)).all()
    assert np.flatnonzero(shown[-4] == 0).tolist() == list(range(9, 64))


@pytest.mark.parametrize(
    ("legend", "height", "width"),
    [
        (Legend(), 20, 120),
        (Legend(), 60, 33),  # narrower than its bar
        (Legend(scalebarsize_mm=5), 5, 90),
        (Legend(invert=False, fontcolor="white"), 20, 120),
    ],
)
def test_the_training_reader_takes_it_off_again(legend, height, width):
    image = vignette(height, width, seed=3)
    image[0, -1] = 7  # the last column is not plain
    expected = 255 - image if legend.invert else image
    np.testing.assert_array_equal(crop_legend(legend.draw(image, 73)), expected)


def test_the_settings_of_a_real_uvp6(shared):
    import zipfile

    with zipfile.ZipFile(shared / "data" / "ecotaxa" / "b_da_19_Images.zip") as archive:
        text = archive.read("b_da_19_Images/compute_vignette.txt").decode()
    assert read_settings(text, "compute_vignette.txt") == (Legend(), 73.0)


def test_settings_go_round_as_process_fields():
    legend, pixel_um = read_settings(UVP6, "x.txt")
    assert (legend, pixel_um) == (Legend(), 73.0)
    assert legend.settings() == {
        "gamma": "1", "invert": "y", "scalebarsize_mm": "2", "keeporiginal": "y", "fontcolor": "black",
        "fontheight_px": "6", "footerheight_px": "31", "scale": "1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("[vignette]", "[other]", "x.txt: [vignette]: has no section that can be read"),
        ("gamma=1", "gamma=x", "x.txt: gamma: is 'x', no number"),
        ("gamma=1", "gamma=0", "x.txt: gamma: is 0"),
        ("gamma=1\n", "", "x.txt: gamma: is missing"),
        ("footerheight_px=31", "footerheight_px=3", "x.txt: footerheight_px: has no room for the bar"),
        ("fontcolor=black", "fontcolor=red", "x.txt: fontcolor: is 'red'"),
        ("Pixel_Size=73", "Pixel_Size=large", "x.txt: Pixel_Size: is 'large', no number"),
    ],
)
def test_bad_settings_are_named(old, new, sentence):
    with pytest.raises(InputError) as caught:
        read_settings(UVP6.replace(old, new), "x.txt")
    assert sentence in str(caught.value)
