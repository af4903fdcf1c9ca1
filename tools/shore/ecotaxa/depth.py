"""Depth from pressure by TEOS-10, the sea's equation of state (IOC et al. 2010, manual 56), with `gsw`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MIDDLE_LATITUDE_DEG = 45.0
"""Taken where latitude is not known: depth is then wrong by 0.3 % at most (gravity at equator and poles)."""


def depth_m(pressure_dbar: NDArray[np.float64], latitude_deg: float | None) -> NDArray[np.float64]:
    """Depth, m, positive downwards, 0 above the surface, NaN where pressure is; same shape.

    Raises `ImportError` when gsw is missing: ``pip install 'seston[shore]'``.
    """
    import gsw

    latitude = MIDDLE_LATITUDE_DEG if latitude_deg is None else latitude_deg
    depth = -np.asarray(gsw.z_from_p(pressure_dbar, latitude), dtype=np.float64)
    return np.maximum(depth, 0.0)
