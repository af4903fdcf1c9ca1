"""The fits of calibration find what was put in, within their errors, and refuse what tells nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import ImageError, InputError
from tests.tools.made_targets import area_of, frame_of, target
from tools.calibrating.beads import Bead, Peak, find_peak, fit_beads
from tools.calibrating.light import COLUMNS, ROWS, judge_light, measure_light
from tools.calibrating.reference import Counted, Reference, fit_reference
from tools.calibrating.sheet import mean_thickness, measure_sheet, volume_of
from tools.calibrating.target import Kind, check_scale, find_points, fit_scale, mean_scale
from tools.shore.uvp6_project.cast import read_cast

COLUMNS_ROWS = (9, 7)
PITCH_UM, PIXEL_UM = 2000.0, 50.0


def scale_of(kind: str, **drawn):
    picture = target(kind, **drawn)
    points = find_points(picture, Kind(kind), *COLUMNS_ROWS, file="target.png")
    scale = fit_scale(points, *COLUMNS_ROWS, PITCH_UM)
    check_scale(scale, picture.shape, points, file="target.png")
    return scale


@pytest.mark.parametrize("kind", ["dots", "chessboard"])
@pytest.mark.parametrize("drawn", [{"degrees": 0.0}, {"degrees": 20.0, "noise": 8.0}, {"bright": True}])
def test_pixel_is_found_within_its_error(kind, drawn):
    scale = scale_of(kind, **drawn)
    assert abs(scale.pixel_um - PIXEL_UM) < 3 * scale.se_um < 0.03
    assert scale.residual_px < 0.1
    assert scale.anisotropy < 1e-3
    assert abs(scale.distortion) < 2e-3


def test_bent_lines_are_told():
    assert scale_of("dots", cushion=0.02).distortion == pytest.approx(0.02, abs=0.002)
    assert scale_of("dots", cushion=-0.02).distortion == pytest.approx(-0.02, abs=0.002)


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        ({"squeeze": 1.05}, "square to the camera"),
        ({"pitch_px": 12.0}, "% of the picture"),
        ({"cushion": 0.08}, "keep the target flat"),
    ],
)
def test_a_target_that_tells_no_pixel_is_refused(drawn, said):
    with pytest.raises(InputError, match=said):
        scale_of("dots", **drawn)


def test_no_target_is_no_pixel():
    noise = np.random.default_rng(1).integers(0, 255, (90, 120), dtype=np.uint8)
    for kind in Kind:
        with pytest.raises(ImageError, match="shows no"):
            find_points(noise, kind, *COLUMNS_ROWS, file="noise.png")


def test_several_pictures_give_the_error_among_them():
    scales = [scale_of("dots", pitch_px=pitch) for pitch in (40.0, 40.4, 39.6)]
    value, se = mean_scale(scales)
    assert value == pytest.approx(PIXEL_UM, rel=1e-3)
    assert se == pytest.approx(np.std([one.pixel_um for one in scales], ddof=1) / math.sqrt(3))


AA, EXP = 2300.0, 1.136


def bead_areas(rng, esd_um, *, n=120, pairs=20, dust=2000, aa=AA, exp=EXP):
    single = area_of(esd_um * (1 + 0.03 * rng.standard_normal(n)), aa, exp)
    touching = 2 * area_of(np.full(pairs, esd_um), aa, exp)
    specks = np.maximum(1, rng.random(dust) ** (-1 / 1.2)).astype(np.int64)
    return np.concatenate((single, touching, specks))


def test_the_single_beads_are_told_from_pairs_and_dust():
    rng = np.random.default_rng(3)
    peak = find_peak(bead_areas(rng, 800.0), 800.0, 73.0, file="beads")
    assert peak.area_px == pytest.approx(float(area_of(np.array([800.0]), AA, EXP)[0]), rel=0.02)
    assert 110 <= peak.n <= 130
    assert 15 <= peak.n_pairs <= 25


@pytest.mark.parametrize(
    ("areas", "said"),
    [
        (lambda rng: bead_areas(rng, 800.0, n=9, pairs=0, dust=0), "20 are needed"),
        (lambda rng: bead_areas(rng, 800.0, n=9, pairs=0), "peak"),
        (lambda rng: np.concatenate([bead_areas(rng, 800.0), bead_areas(rng, 1150.0)]), "two peaks, "),
        (lambda rng: np.concatenate([bead_areas(rng, 800.0), bead_areas(rng, 1300.0)]), "two peaks, at"),
        (lambda rng: rng.integers(30, 600, 5000), "peak"),
    ],
)
def test_beads_that_are_unclear_are_refused(areas, said):
    with pytest.raises(InputError, match=said):
        find_peak(areas(np.random.default_rng(4)), 800.0, 73.0, file="beads")


def beads_at(sizes, aa, exp, noise=0.0, rng=None):
    made = []
    for esd in sizes:
        area = (math.pi / 4 * esd**2 / aa) ** (1 / exp)
        shift = 0.0 if rng is None else noise * rng.standard_normal()
        made.append(Bead(f"{esd:g}", esd, 0.0, Peak(area * math.exp(shift), 0.05, 100, 0, 0)))
    return made


@settings(max_examples=60, deadline=None)
@given(st.floats(1000, 9000), st.floats(0.7, 1.6), st.lists(st.floats(300, 6000), min_size=3, max_size=8))
def test_any_line_is_found_exactly(aa, exp, sizes):
    sizes = [*sizes, 400.0, 1200.0, 4000.0]
    fit = fit_beads(beads_at(sizes, aa, exp))
    assert fit.aa_um2 == pytest.approx(aa, rel=1e-6)
    assert fit.exp == pytest.approx(exp, rel=1e-9)
    assert np.abs(fit.residuals).max() < 1e-9


def test_standard_errors_of_beads_hold():
    rng = np.random.default_rng(5)
    z = []
    for _ in range(200):
        fit = fit_beads(beads_at((400, 600, 1000, 1500, 2000), AA, EXP, 0.02, rng))
        z.append(((fit.exp - EXP) / fit.exp_se, (fit.aa_um2 - AA) / fit.aa_se_um2))
    spread = np.std(z, axis=0)
    assert (spread > 0.8).all()
    assert (spread < 1.6).all()
    assert np.abs(np.mean(z, axis=0)).max() < 0.3


def test_fewer_sizes_fix_exp():
    fit = fit_beads(beads_at((500, 1000), AA, EXP), fixed_exp=EXP)
    assert fit.exp == EXP
    assert fit.exp_se == 0
    assert fit.exp_is_fixed
    assert fit.aa_um2 == pytest.approx(AA)
    with pytest.raises(InputError, match="need 3"):
        fit_beads(beads_at((500, 1000), AA, EXP))
    with pytest.raises(InputError, match="are all between"):
        fit_beads(beads_at((500, 550, 600), AA, EXP))


def test_swapped_and_wrong_beads_are_named():
    beads = beads_at((400, 800, 1600), AA, EXP)
    swapped = [
        Bead("a", 400, 0, beads[2].peak),
        Bead("b", 800, 0, beads[1].peak),
        Bead("c", 1600, 0, beads[0].peak),
    ]
    with pytest.raises(InputError, match="exp: comes out as -"):
        fit_beads(swapped)
    wrong = [*beads_at((400, 700, 1600, 2000), AA, EXP), Bead("odd", 1000, 0, beads[1].peak)]
    with pytest.raises(InputError, match="odd: beads of 1000 um"):
        fit_beads(wrong)


LIMITS_UM = np.array([64, 80.6, 102, 128, 161, 203, 256, 323, 406, 512, 645, 813, 1020.0])


def water(seed, *, aa=AA, exp=EXP, frames=60, litres=0.6, reference_l=30.0, per_l_above_50=4000.0):
    """A power law of size seen by a unit of known calibration, and by a reference."""
    rng = np.random.default_rng(seed)
    n = rng.poisson(per_l_above_50 * litres * frames)
    area = area_of(50.0 * rng.random(n) ** (-1 / 3), aa, exp)
    larger = per_l_above_50 * (LIMITS_UM / 50.0) ** -3
    count = rng.poisson((larger[:-1] - larger[1:]) * reference_l).astype(np.float64)
    counted = Counted(area, rng.integers(0, frames, n), frames, litres)
    return counted, Reference(LIMITS_UM[:-1], LIMITS_UM[1:], count / reference_l, count)


def test_the_reference_gives_aa_and_exp_within_their_errors():
    fits = [fit_reference(*water(seed), start=(73.0**2, 1.0)) for seed in range(2)]
    for fit in fits:
        assert abs(fit.exp - EXP) < 2 * fit.exp_se < 0.15
        assert abs(math.log(fit.aa_um2 / AA)) < 2 * fit.aa_se_um2 / fit.aa_um2
        assert fit.rms_log10 < 0.12
        assert fit.used.sum() >= 5
    again = fit_reference(*water(0), start=(73.0**2, 1.0))
    assert (again.aa_um2, again.exp, again.exp_se) == (fits[0].aa_um2, fits[0].exp, fits[0].exp_se)


def test_half_of_a_real_cast_calibrates_the_other(shared):
    cast = read_cast(shared / "data" / "uvp6_casts" / "01_Particule.zip")
    optics = cast.optics
    lit = np.flatnonzero(cast.lit)[500:1300]
    halves = []
    for half in (lit[::2], lit[1::2]):
        seen = [cast.spectrum(int(i)) for i in half]
        areas = [np.repeat(one.area_px, one.count) for one in seen]
        frame = np.repeat(np.arange(len(areas)), [len(one) for one in areas])
        halves.append(Counted(np.concatenate(areas), frame, len(areas), optics.image_volume_l))
    ours, theirs = halves
    count = np.bincount(np.maximum(optics.size_class(theirs.area_px), 0), minlength=18)[:17].astype(float)
    limits = np.array(optics.size_class_limits_um)
    reference = Reference(limits[:-1], limits[1:], count / theirs.volume_l, count)
    fit = fit_reference(ours, reference, start=(optics.pixel_um**2, 1.0))
    assert abs(fit.exp - optics.exp) < 2 * fit.exp_se < 0.1
    assert abs(fit.aa_um2 - optics.aa_um2) < 2 * fit.aa_se_um2 < 800
    assert fit.rms_log10 < 0.1


EVEN = Reference(LIMITS_UM[:-1], LIMITS_UM[1:], np.full(12, 40.0), np.full(12, 400.0))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: water(1, per_l_above_50=1.0), "200 are needed"),
        (lambda: water(1, reference_l=0.02), "4 are needed"),
        (lambda: (water(1)[0], EVEN), "4 are needed"),
    ],
)  # fmt: skip
def test_water_that_tells_nothing_is_refused(made, said):
    counted, reference = made()
    with pytest.raises(InputError, match=said):
        fit_reference(counted, reference, start=(73.0**2, 1.0))


def gauss(width_mm, n=41, base=0.0):
    x = np.linspace(-40, 40, n)
    return x, 100 * np.exp(-4 * math.log(2) * (x / width_mm) ** 2) + base


def test_a_sheet_ends_at_half_its_light():
    x, light = gauss(25.0)
    sheet = measure_sheet(x[::-1], light[::-1], 0.5, file="sheet.csv")
    assert sheet.thickness_mm == pytest.approx(25.0, abs=0.15)
    assert sheet.equivalent_mm == pytest.approx(25 * math.sqrt(math.pi / math.log(2)) / 2, rel=0.01)
    mean, se = mean_thickness({"a": sheet, "b": measure_sheet(*gauss(27.0), 0.5, file="sheet.csv")})
    assert mean == pytest.approx(26.0, abs=0.2)
    assert se == pytest.approx(1.0, abs=0.1)
    found = volume_of(2464, 2056, 73.0, 0.1, 24.0, 0.5)
    assert found.image_volume_l == pytest.approx(0.179872 * 0.150088 * 0.024 * 1000)
    assert found.se_l == pytest.approx(found.image_volume_l * math.hypot(0.2 / 73, 0.5 / 24))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (gauss(25.0, n=5), "5 points"),
        (gauss(150.0), "measure further out"),
        (gauss(25.0, base=-1.0), "below zero"),
        ((gauss(10.0)[0], gauss(10.0)[1] + np.roll(gauss(10.0)[1], 12)), "4 times"),
        ((np.zeros(9), np.ones(9)), "twice"),
    ],
)
def test_a_sheet_that_tells_no_thickness_is_refused(line, said):
    with pytest.raises(InputError, match=said):
        measure_sheet(*line, 0.5, file="sheet.csv")


def test_wrong_units_make_no_volume():
    with pytest.raises(InputError, match="check the units"):
        volume_of(2464, 2056, 73e-3, 0.0, 2.4, 0.0)


def lit_frames(n=6, *, noise=1.5, haze=6.0, fall=0.0, grey=150, seed=1):
    """Water in uneven light: `fall` is how much less the right side has."""
    rng = np.random.default_rng(seed)
    share = np.linspace(1, 1 - fall, 640)[None, :]
    frames = []
    for _ in range(n):
        water = frame_of(rng.integers(6, 40, 150).tolist(), rng, grey=grey).astype(np.float64)
        ground = haze + noise * rng.standard_normal(water.shape)
        frames.append(np.clip(np.where(water > 12, water * share, ground), 0, 255).astype(np.uint8))
    return frames


def test_the_threshold_lies_above_noise_and_ground():
    rng = np.random.default_rng(2)
    dark = [
        np.clip(np.rint(2 + 2.5 * rng.standard_normal((480, 640))), 0, 255).astype(np.uint8) for _ in range(5)
    ]
    for one in dark:
        one[100, 100:103] = 90
    frames = lit_frames()
    light = measure_light(frames, frames, dark, bright_field=False)
    assert light.noise_grey == pytest.approx(math.sqrt(1.5**2 + 1 / 12), abs=0.1)
    assert light.ground_threshold == math.ceil(light.ground.max() + 5 * light.noise_grey)
    assert light.hot_pixels == 3
    assert np.mean([(one > light.noise_threshold).sum() - 3 for one in dark]) <= 1
    assert np.mean([(one > light.noise_threshold - 1).sum() - 3 for one in dark]) > 1
    assert light.threshold == max(light.ground_threshold, light.noise_threshold)
    assert light.evenness(bright_field=False) > 0.9
    assert light.particles.shape == (ROWS, COLUMNS)
    assert [said for said in judge_light(light, bright_field=False) if "hot pixels" not in said] == []


def test_uneven_and_blinding_light_is_told_and_refused():
    uneven = lit_frames(fall=0.6)
    light = measure_light(uneven, uneven, [], bright_field=False)
    assert light.evenness(bright_field=False) == pytest.approx(0.47, abs=0.06)
    said = judge_light(light, bright_field=False)
    assert "align the lamps" in said[0]
    assert "No unlit frames" in said[-1]
    dim = lit_frames(fall=0.9, grey=250, haze=3.0)
    with pytest.raises(InputError, match="in the dimmest part"):
        judge_light(measure_light(dim, dim, [], bright_field=False), bright_field=False)
    blinding = lit_frames(grey=255)
    with pytest.raises(InputError, match="are white"):
        judge_light(measure_light(blinding, blinding, [], bright_field=False), bright_field=False)
    with pytest.raises(InputError, match="needs a threshold"):
        measure_light(
            lit_frames(haze=205.0, grey=255), lit_frames(haze=205.0, grey=255), [], bright_field=False
        )
