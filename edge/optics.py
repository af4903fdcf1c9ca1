"""Optics of one unit: pixel, calibration, volume, threshold, size classes. Pure.

Area to size after the UVP6: area_um2 = Aa * area_px ** Exp, ESD = 2 * sqrt(area / pi) (Picheral et al.
2022, Limnol. Oceanogr. Methods 20, doi 10.1002/lom3.10475; HW_CONF of the instrument).
"""

from __future__ import annotations

import enum
import functools
import itertools
import math
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

UVP6_LIMITS_UM = (
    50.8, 64.0, 80.6, 102.0, 128.0, 161.0, 203.0, 256.0, 323.0,
    406.0, 512.0, 645.0, 813.0, 1020.0, 1290.0, 1630.0, 2050.0, 2580.0,
)  # fmt: skip
"""Lower ESD limits of the UVP6's size classes, firmware 2022 and later, um; the last class is open."""


class Polarity(enum.StrEnum):
    """How particles look: bright on black, or dark on white."""

    DARK_FIELD = "dark-field"
    BRIGHT_FIELD = "bright-field"


Positive = Annotated[float, msgspec.Meta(gt=0)]


class Optics(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything needed to turn pixels into sizes and frames into litres.

    Attributes
    ----------
    pixel_um
        Uncalibrated pixel in the scene, um.
    aa_um2, exp
        Calibration of area: area_um2 = aa_um2 * area_px ** exp. By default the plain pixel's area.
    image_volume_l
        Volume seen by one frame, litres.
    threshold
        Foreground is strictly above it (grey 0-255, after inversion for bright field).
    polarity
        `dark-field` or `bright-field`.
    size_class_limits_um
        Lower ESD limits of the size classes, um, rising; the last class is open.
    """

    pixel_um: Positive
    image_volume_l: Positive
    threshold: Annotated[int, msgspec.Meta(ge=0, le=254)]
    polarity: Polarity = Polarity.DARK_FIELD
    aa_um2: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    exp: Annotated[float, msgspec.Meta(ge=0.5, le=2)] = 1.0
    size_class_limits_um: tuple[Positive, ...] = UVP6_LIMITS_UM

    def __post_init__(self) -> None:
        limits = self.size_class_limits_um
        if not 1 <= len(limits) <= 32 or any(b <= a for a, b in itertools.pairwise(limits)):
            raise ValueError("size_class_limits_um must hold 1 to 32 rising values")

    @property
    def area_unit_um2(self) -> float:
        """Area of one pixel after calibration, um2 (`aa_um2`, or `pixel_um` squared when it is 0)."""
        return self.aa_um2 or self.pixel_um**2

    @property
    def n_size_classes(self) -> int:
        """Number of size classes."""
        return len(self.size_class_limits_um)

    @property
    def image_volume_ul(self) -> int:
        """Volume of one frame in whole microlitres: volumes add up as integers."""
        return round(self.image_volume_l * 1e6)

    def esd_um(self, area_px: NDArray[np.int64] | float) -> NDArray[np.float64]:
        """Equivalent spherical diameter of an area in pixels, um, float64, any shape.

        To a millionth of a um: the last bit of a power differs between processors.
        """
        area = np.asarray(area_px, dtype=np.float64)
        return np.round(2.0 * np.sqrt(self.area_unit_um2 * area**self.exp / math.pi), 6)

    def min_area_px(self, esd_um: float) -> int:
        """Smallest whole area in pixels whose ESD is at least `esd_um` (1 or more)."""
        guess = math.pow(math.pi * esd_um**2 / 4 / self.area_unit_um2, 1 / self.exp)
        area = max(1, math.floor(guess) - 1)
        while float(self.esd_um(area)) < esd_um:
            area += 1
        return area

    def size_class(self, area_px: NDArray[np.integer]) -> NDArray[np.int64]:
        """Size class of each area, int64, same shape; -1 below the first limit."""
        return np.searchsorted(_class_areas(self), np.asarray(area_px), side="right") - 1


@functools.lru_cache(maxsize=16)
def _class_areas(optics: Optics) -> NDArray[np.int64]:
    """Smallest area of each class: particles are then sorted by comparing integers alone."""
    return np.array([optics.min_area_px(limit) for limit in optics.size_class_limits_um], dtype=np.int64)
