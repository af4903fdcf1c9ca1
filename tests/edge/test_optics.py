"""Area to size: the UVP6's own numbers, and integers at the class limits."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.optics import UVP6_LIMITS_UM, Optics

pytestmark = pytest.mark.board
UVP6 = Optics(pixel_um=73, image_volume_l=0.71, threshold=22, aa_um2=2300, exp=1.136)


@pytest.mark.parametrize(("area_px", "esd_um"), [(73, 620), (78, 645), (1, 54.1)])
def test_sizes_of_the_uvp6(area_px, esd_um):
    assert float(UVP6.esd_um(area_px)) == pytest.approx(esd_um, rel=5e-3)


def test_without_calibration_a_pixel_is_its_square():
    assert float(Optics(pixel_um=50, image_volume_l=1, threshold=20).esd_um(4)) == pytest.approx(
        2 * np.sqrt(4 * 50**2 / np.pi)
    )


@given(st.floats(10, 20_000))
def test_min_area_is_the_smallest(esd_um):
    area = UVP6.min_area_px(esd_um)
    assert float(UVP6.esd_um(area)) >= esd_um
    assert area == 1 or float(UVP6.esd_um(area - 1)) < esd_um


def test_size_class_agrees_with_the_limits():
    areas = np.arange(1, 5000)
    expected = np.searchsorted(UVP6_LIMITS_UM, UVP6.esd_um(areas), side="right") - 1
    assert np.array_equal(UVP6.size_class(areas), expected)
    coarse = Optics(pixel_um=10, image_volume_l=1, threshold=20)
    assert coarse.size_class(np.array([1]))[0] == -1


@pytest.mark.parametrize("limits", [(), (100.0, 100.0), (200.0, 100.0), tuple(range(1, 40))])
def test_nonsense_limits_are_refused(limits):
    with pytest.raises((ValueError, msgspec.ValidationError), match="size_class_limits_um"):
        Optics(pixel_um=73, image_volume_l=1, threshold=20, size_class_limits_um=limits)
