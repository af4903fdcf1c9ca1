"""Every measure against scikit-image, the embedded classifier's definitions, real exports, or geometry."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from skimage.measure import perimeter_crofton, regionprops

from edge.optics import Optics
from edge.vision.morphology import MEASURES, UVP6_FEATURES, measure
from edge.vision.segmentation import segment
from tests.edge.vision.shapes import SHAPES

pytestmark = pytest.mark.board

OPTICS = Optics(pixel_um=73, image_volume_l=0.6, threshold=21, aa_um2=2300, exp=1.136)
UVP6_ORDER = re.findall(
    r"\S+",
    """
    area width height mean stddev mode min max x y xm ym major minor angle eccentricity intden median
    histcum1 histcum3 esd range meanpos cv sr bbox_area extent
    central_moment-2-0 central_moment-1-1 central_moment-0-2
    central_moment-3-0 central_moment-2-1 central_moment-1-2 central_moment-0-3
    hu_moment-1 hu_moment-2 hu_moment-3 hu_moment-4 hu_moment-5 hu_moment-6 hu_moment-7
    gray_central_moment-2-0 gray_central_moment-1-1 gray_central_moment-0-2
    gray_central_moment-3-0 gray_central_moment-2-1 gray_central_moment-1-2 gray_central_moment-0-3
    gray_hu_moment-1 gray_hu_moment-2 gray_hu_moment-3 gray_hu_moment-4
    gray_hu_moment-5 gray_hu_moment-6 gray_hu_moment-7
    """,
)


def measured(mask: NDArray[Any], grey: NDArray[np.uint8] | None = None) -> dict[str, float]:
    mask = np.asarray(mask, dtype=np.bool_)
    grey = np.full(mask.shape, 100, dtype=np.uint8) if grey is None else grey
    values = measure(mask, grey, 11, 13, OPTICS)
    assert values.shape == (len(MEASURES),)
    assert values.dtype == np.float64
    assert np.isfinite(values).all()
    return {item.name: float(value) for item, value in zip(MEASURES, values, strict=True)}


def disk(radius: float) -> NDArray[np.bool_]:
    r = math.ceil(radius)
    y, x = np.mgrid[-r : r + 1, -r : r + 1]
    return trimmed(x * x + y * y <= radius * radius)


def trimmed(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    y, x = np.nonzero(mask)
    return mask[y.min() : y.max() + 1, x.min() : x.max() + 1]


@st.composite
def particles(draw: st.DrawFn) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """A particle and the grey of its box, others in the box too, as segmentation gives it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(1, 48)), draw(st.integers(1, 48))
    name = draw(st.sampled_from([*sorted(set(SHAPES) - {"empty"}), "noise"]))
    mask = rng.random(size) < 0.5 if name == "noise" else SHAPES[name](*size)
    top = draw(st.integers(22, 255))
    pixels = np.where(mask, rng.integers(22, top + 1, size), rng.integers(0, 22, size)).astype(np.uint8)
    regions = segment(pixels, 21)
    if not len(regions):
        return np.ones((1, 1), dtype=np.bool_), np.full((1, 1), top, dtype=np.uint8)
    i = int(np.argmax(regions.area_px)) if draw(st.booleans()) else draw(st.integers(0, len(regions) - 1))
    y, x = int(regions.y_px[i]), int(regions.x_px[i])
    mask = regions.mask(i)
    return mask, pixels[y : y + mask.shape[0], x : x + mask.shape[1]]


def uvp6_features(mask: NDArray[np.bool_], grey: NDArray[np.uint8]) -> dict[str, float]:
    """The embedded classifier's features by their definitions, from scikit-image and plain loops."""
    region = regionprops(mask.astype(np.uint8), grey)[0]
    values = np.sort(grey[mask])
    n = len(values)
    central, weighted = region.moments_central, region.moments_weighted_central
    hu, weighted_hu = region.moments_hu, region.moments_weighted_hu
    spread = float(values[-1]) - float(values[0])
    mean, sd = values.mean(), values.std()
    expected = {
        "area": n,
        "width": mask.shape[1],
        "height": mask.shape[0],
        "mean": mean,
        "stddev": sd,
        "mode": np.bincount(values).argmax(),
        "min": values[0],
        "max": values[-1],
        "x": region.centroid_local[1],
        "y": region.centroid_local[0],
        "xm": region.centroid_weighted_local[1],
        "ym": region.centroid_weighted_local[0],
        "major": region.axis_major_length,
        "minor": region.axis_minor_length,
        "angle": 0.5 * math.atan2(2 * central[1, 1], central[0, 2] - central[2, 0]),
        "eccentricity": region.eccentricity,
        "intden": values.sum(),
        # More than half of the pixels are at or below: the sorted value just behind the half.
        "median": values[n // 2],
        "histcum1": values[n // 4],
        "histcum3": values[3 * n // 4],
        "esd": region.equivalent_diameter_area,
        "range": spread,
        "meanpos": (mean - values[0]) / spread if spread else 0,
        "cv": 100 * sd / mean,
        "sr": 100 * sd / spread if spread else 0,
        "bbox_area": region.area_bbox,
        "extent": region.extent,
    }
    for prefix, moments, invariants in (("", central, hu), ("gray_", weighted, weighted_hu)):
        for p, q in ((2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3)):
            expected[f"{prefix}central_moment-{p}-{q}"] = moments[q, p]
        for i in range(7):
            expected[f"{prefix}hu_moment-{i + 1}"] = invariants[i] * (-1 if i == 6 else 1)
    return expected


def test_the_table_begins_with_the_uvp6_list_in_its_order() -> None:
    assert len(UVP6_ORDER) == UVP6_FEATURES == 55
    assert [item.uvp6 for item in MEASURES[:UVP6_FEATURES]] == UVP6_ORDER
    assert all(item.uvp6 is None for item in MEASURES[UVP6_FEATURES:])


def test_every_measure_says_what_it_is() -> None:
    for names in ([item.name for item in MEASURES], [item.ecotaxa for item in MEASURES]):
        assert len(set(names)) == len(names)
    for item in MEASURES:
        assert item.ecotaxa.startswith("object_")
        assert item.ecotaxa == item.ecotaxa.lower()
        assert item.definition
        assert item.source
        for unit in ("px", "grey", "um", "deg", "rad", "percent"):
            if item.name.endswith(f"_{unit}"):
                assert item.unit == ("%" if unit == "percent" else unit)


@settings(deadline=None, max_examples=200)
@given(particles())
def test_the_uvp6_features_are_the_embedded_classifier_s(
    particle: tuple[NDArray[np.bool_], NDArray[np.uint8]],
) -> None:
    mask, grey = particle
    ours = measured(mask, grey)
    expected = uvp6_features(mask, grey)
    area = expected["area"]
    size = max(mask.shape)
    # Where a shape is symmetric these are differences that cancel: what is left is the reference's rounding.
    absolute = {
        "major": 1e-6,
        "minor": 1e-6,
        "eccentricity": 1e-6,
        **{f"central_moment-{i}-{2 - i}": 1e-10 * area * size**2 for i in range(3)},
        **{f"central_moment-{i}-{3 - i}": 1e-10 * area * size**3 for i in range(4)},
        **{f"gray_central_moment-{i}-{2 - i}": 1e-8 * area * size**2 for i in range(3)},
        **{f"gray_central_moment-{i}-{3 - i}": 1e-8 * area * size**3 for i in range(4)},
    }
    for prefix in ("", "gray_"):
        for i, power in enumerate((1, 2, 3, 3, 6, 4, 6), start=1):  # of the first, which each scales with
            absolute[f"{prefix}hu_moment-{i}"] = 1e-9 * expected[f"{prefix}hu_moment-1"] ** power
    for item in MEASURES[:UVP6_FEATURES]:
        assert item.uvp6 is not None
        if item.uvp6 == "angle":
            # Upright is pi / 2 and -pi / 2 alike, and something round has no direction but by rounding.
            if ours["moment_major_px"] - ours["moment_minor_px"] > 1e-3:
                assert math.sin(ours[item.name] - expected["angle"]) == pytest.approx(0, abs=1e-6)
            assert -math.pi / 2 <= ours[item.name] <= math.pi / 2
            continue
        assert ours[item.name] == pytest.approx(
            expected[item.uvp6], rel=1e-7, abs=absolute.get(item.uvp6, 1e-12)
        ), item


@settings(deadline=None, max_examples=150)
@given(particles())
def test_shape_measures_against_plain_geometry(
    particle: tuple[NDArray[np.bool_], NDArray[np.uint8]],
) -> None:
    mask, grey = particle
    ours = measured(mask, grey)
    filled = ndimage.binary_fill_holes(mask)
    assert ours["area_filled_px"] == filled.sum()
    assert ours["area_percent"] == pytest.approx(100 * mask.sum() / filled.sum())
    assert ours["perimeter_px"] == pytest.approx(perimeter_crofton(filled, directions=4))
    assert ours["circularity"] == pytest.approx(4 * math.pi * mask.sum() / ours["perimeter_px"] ** 2)
    y, x = np.nonzero(mask)
    corners = np.unique(
        np.concatenate([np.stack((x + i, y + j), axis=1) for i in (0, 1) for j in (0, 1)]), axis=0
    )
    hull = ConvexHull(corners)
    assert ours["convex_area_px"] == pytest.approx(hull.volume)
    assert ours["convex_perimeter_px"] == pytest.approx(hull.area)
    assert ours["solidity"] == pytest.approx(mask.sum() / hull.volume)
    assert ours["feret_px"] == pytest.approx(pdist(corners[hull.vertices].astype(float)).max())
    values = grey[mask].astype(np.float64)
    if values.std() > 0:
        score = (values - values.mean()) / values.std()
        assert ours["skewness"] == pytest.approx((score**3).mean(), abs=1e-7)
        assert ours["kurtosis"] == pytest.approx((score**4).mean() - 3, abs=1e-7)
    else:
        assert ours["skewness"] == ours["kurtosis"] == 0
    assert ours["esd_um"] == float(OPTICS.esd_um(int(mask.sum())))
    assert (ours["box_x_px"], ours["box_y_px"]) == (11, 13)


@settings(deadline=None, max_examples=150)
@given(particles())
def test_the_ellipse_has_the_area_and_the_moments_of_the_pixels(
    particle: tuple[NDArray[np.bool_], NDArray[np.uint8]],
) -> None:
    mask, grey = particle
    ours = measured(mask, grey)
    major, minor, angle = ours["major_px"], ours["minor_px"], math.radians(ours["angle_deg"])
    assert math.pi / 4 * major * minor == pytest.approx(mask.sum())
    assert ours["elongation"] == pytest.approx(major / minor)
    assert 0 <= ours["angle_deg"] < 180
    # Finely divided pixels are what a pixel as a square means.
    y, x = np.nonzero(np.kron(mask, np.ones((9, 9))))
    covariance = np.cov(np.stack((x, -y)), bias=True)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    along = turn @ covariance @ turn.T
    scale = covariance.trace()
    assert along[0, 1] == pytest.approx(0, abs=3e-3 * scale)
    assert math.sqrt(along[0, 0] / along[1, 1]) == pytest.approx(major / minor, rel=2e-2)


def test_one_pixel_is_finite() -> None:
    ours = measured([[1]])
    crofton = math.pi / 8 * (4 + 4 / math.sqrt(2))
    expected = {
        "area_px": 1, "mean_grey": 100, "sd_grey": 0, "mode_grey": 100, "x_px": 0, "y_px": 0,
        "moment_major_px": 0, "moment_minor_px": 0, "moment_angle_rad": 0, "eccentricity": 0,
        "median_grey": 100, "histcum1_grey": 100, "histcum3_grey": 100, "range_grey": 0, "meanpos": 0,
        "cv_percent": 0, "sr_percent": 0, "extent": 1, "central_moment_20": 0, "hu_moment_1": 0,
        "grey_hu_moment_1": 0,
        "area_filled_px": 1, "area_percent": 100, "perimeter_px": crofton,
        "circularity": 4 * math.pi / crofton**2, "major_px": 2 / math.sqrt(math.pi),
        "minor_px": 2 / math.sqrt(math.pi), "angle_deg": 0, "elongation": 1, "feret_px": math.sqrt(2),
        "convex_area_px": 1, "convex_perimeter_px": 4, "solidity": 1, "skewness": 0, "kurtosis": 0,
    }  # fmt: skip
    for name, value in expected.items():
        assert ours[name] == pytest.approx(value), name


@pytest.mark.parametrize("length", [2, 7, 100])
def test_a_line_of_one_pixel_is_finite(length: int) -> None:
    for mask, angle in ((np.ones((1, length)), 0), (np.ones((length, 1)), 90)):
        ours = measured(mask)
        assert ours["eccentricity"] == 1
        assert ours["moment_minor_px"] == 0
        assert ours["angle_deg"] == pytest.approx(angle)
        assert ours["feret_px"] == pytest.approx(math.hypot(length, 1))
        assert ours["convex_area_px"] == length
        assert ours["solidity"] == 1
        assert ours["elongation"] == pytest.approx(length)
    for mask, angle in ((np.eye(length), 135), (np.eye(length)[::-1], 45)):
        ours = measured(mask)
        assert ours["angle_deg"] == pytest.approx(angle)
        assert ours["eccentricity"] == pytest.approx(1)
        assert ours["moment_minor_px"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("radius", [6.3, 18, 40.5, 300])
def test_disks(radius: float) -> None:
    """A radius of 300 px passes what doubles hold, and takes the path of whole numbers."""
    ours = measured(disk(radius))
    assert ours["perimeter_px"] == pytest.approx(2 * math.pi * radius, rel=0.03)
    assert ours["circularity"] == pytest.approx(1, abs=0.06)
    assert ours["feret_px"] == pytest.approx(2 * radius, abs=2.5)
    assert ours["esd_px"] == pytest.approx(2 * radius, rel=0.02)
    assert ours["major_px"] == pytest.approx(ours["minor_px"], rel=1e-6)
    assert ours["major_px"] == pytest.approx(ours["esd_px"])
    assert 1 - 2 / radius < ours["solidity"] < 1  # the hull spans the steps of the rim, each below a pixel
    assert ours["hu_moment_1"] == pytest.approx(1 / (2 * math.pi), rel=1e-2)
    assert ours["area_percent"] == 100


def test_both_ways_of_summing_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = disk(30)
    grey = np.random.default_rng(1).integers(22, 256, mask.shape, dtype=np.uint8)
    in_doubles = measure(mask, grey, 0, 0, OPTICS)
    monkeypatch.setattr("edge.vision.morphology._EXACT", 0)
    np.testing.assert_array_equal(measure(mask, grey, 0, 0, OPTICS), in_doubles)


@pytest.mark.parametrize("degrees", range(0, 180, 15))
def test_ellipses_keep_their_axes_and_angle(degrees: int) -> None:
    size, semi_major, semi_minor = 121, 50.0, 20.0
    y, x = np.mgrid[:size, :size] - size // 2
    turn = math.radians(degrees)  # counter-clockwise as one sees it: y points down
    along, across = (
        x * math.cos(turn) - y * math.sin(turn),
        x * math.sin(turn) + y * math.cos(turn),
    )
    ours = measured(trimmed((along / semi_major) ** 2 + (across / semi_minor) ** 2 <= 1))
    assert ours["major_px"] == pytest.approx(2 * semi_major, rel=0.01)
    assert ours["minor_px"] == pytest.approx(2 * semi_minor, rel=0.01)
    assert (ours["angle_deg"] - degrees + 90) % 180 - 90 == pytest.approx(0, abs=0.5)
    assert ours["eccentricity"] == pytest.approx(math.sqrt(1 - (20 / 50) ** 2), rel=0.01)
    ramanujan = math.pi * (3 * 70 - math.sqrt((3 * 50 + 20) * (50 + 3 * 20)))
    assert ours["perimeter_px"] == pytest.approx(ramanujan, rel=0.04)


def test_squares_are_exact() -> None:
    ours = measured(np.ones((10, 10)))
    assert ours["convex_area_px"] == 100
    assert ours["convex_perimeter_px"] == 40
    assert ours["solidity"] == ours["extent"] == 1
    assert ours["feret_px"] == pytest.approx(10 * math.sqrt(2))


def test_holes_that_corners_close_are_filled_and_not_outlined() -> None:
    ring = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=bool)
    ours = measured(ring)
    assert ours["area_px"] == 4
    assert ours["area_filled_px"] == 5
    assert ours["area_percent"] == 80
    solid = ring.copy()
    solid[1, 1] = True
    assert ours["perimeter_px"] == measured(solid)["perimeter_px"]


def test_mirroring_turns_the_sign_of_the_seventh_invariant_alone() -> None:
    mask = np.zeros((20, 30), dtype=bool)
    mask[:5] = mask[:, :4] = mask[12:16, :11] = True
    ours, mirrored = measured(mask), measured(mask[:, ::-1])
    assert abs(ours["hu_moment_7"]) > 1e-9
    assert ours["hu_moment_7"] == pytest.approx(-mirrored["hu_moment_7"])
    for i in range(1, 7):
        assert ours[f"hu_moment_{i}"] == pytest.approx(mirrored[f"hu_moment_{i}"])


def test_neighbours_in_the_box_do_not_count() -> None:
    mask = np.eye(6, dtype=bool)
    grey = np.random.default_rng(2).integers(22, 256, (6, 6), dtype=np.uint8)
    alone = np.where(mask, grey, 0).astype(np.uint8)
    np.testing.assert_array_equal(measure(mask, grey, 0, 0, OPTICS), measure(mask, alone, 0, 0, OPTICS))


def exported(shared: Path) -> list[tuple[dict[str, str], NDArray[np.uint8]]]:
    """Rows of a real export of UVPapp, with their vignettes."""
    with zipfile.ZipFile(shared / "data" / "ecotaxa" / "b_da_19_Images.zip") as archive:
        names = archive.namelist()
        table = next(name for name in names if name.endswith(".tsv"))
        lines = csv.DictReader(io.StringIO(archive.read(table).decode("latin-1")), delimiter="\t")
        rows = [row for row in lines if row["img_file_name"].endswith(".png")]
        found = []
        for row in rows:
            data = archive.read(next(name for name in names if name.endswith(row["img_file_name"])))
            pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
            found.append((row, np.asarray(pixels, dtype=np.uint8)))
    return found


def test_real_exports(shared: Path) -> None:
    """UVPapp measures the particle with its holes filled, on black and white exchanged."""
    rows = exported(shared)
    assert len(rows) == 15
    for row, pixels in rows:
        regions = segment(pixels, int(row["acq_threshold"]))
        i = int(np.argmax(regions.area_px))
        y, x = int(regions.y_px[i]), int(regions.x_px[i])
        mask = regions.mask(i)
        box = pixels[y : y + mask.shape[0], x : x + mask.shape[1]]
        ours = measured(mask, box)
        real = {name: float(row[f"object_{name}"]) for name in ("area", "%area", "width", "height", "feret")}
        assert ours["area_filled_px"] == real["area"]
        assert ours["area_percent"] == pytest.approx(real["%area"], abs=5e-4)
        assert (ours["width_px"], ours["height_px"]) == (real["width"], real["height"])
        assert real["feret"] < ours["feret_px"] < real["feret"] + 1.6
        filled = measured(ndimage.binary_fill_holes(mask), (255 - box).astype(np.uint8))
        for name in ("major", "minor", "angle", "mean", "median", "mode", "min", "max", "intden", "range"):
            item = next(item for item in MEASURES if item.ecotaxa == f"object_{name}")
            assert filled[item.name] == pytest.approx(float(row[item.ecotaxa]), rel=1e-4, abs=1e-3), name
        for name, value in itertools.zip_longest(("skew", "kurt"), ("skewness", "kurtosis")):
            assert filled[value] == pytest.approx(float(row[f"object_{name}"]), abs=1e-3)
        n = real["area"]
        assert filled["sd_grey"] * math.sqrt(n / (n - 1)) == pytest.approx(
            float(row["object_stddev"]), abs=1e-3
        )
