"""Writes a dataset as netCDF-4, whole or not at all, and the same bytes for the same data.

HDF5 stamps objects with the time they were made unless it is told not to, which neither xarray nor h5netcdf
can tell it: the file is therefore made here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def save(data: Any, path: Path) -> None:
    """Write an `xarray.Dataset`, compressed.

    Raises `ImportError` where xarray or h5netcdf is not installed.
    """
    import h5netcdf
    import h5py
    import xarray as xr
    from xarray.backends.common import ArrayWriter

    coded: dict[str, dict[str, Any]] = {}
    for name, variable in data.variables.items():
        coded[name] = {"_FillValue": None}
        if variable.dtype.kind in "iuf":
            coded[name] |= {"zlib": bool(variable.ndim), "complevel": 4}
            if variable.dtype.kind == "f" and np.isnan(variable.values).any():
                coded[name]["_FillValue"] = np.nan
    in_order = h5py.h5p.CRT_ORDER_TRACKED | h5py.h5p.CRT_ORDER_INDEXED  # netCDF-4 asks for it
    how = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    how.set_obj_track_times(False)
    how.set_link_creation_order(in_order)
    how.set_attr_creation_order(in_order)
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V18, h5py.h5f.LIBVER_LATEST)
    partial = path.with_suffix(".partial")
    made = h5py.h5f.create(bytes(partial), h5py.h5f.ACC_TRUNC, fcpl=how, fapl=access)
    with h5py.File(made) as file, h5netcdf.File(file, "a") as netcdf:
        store: Any = xr.backends.H5NetCDFStore(netcdf)
        writer = _flushing(ArrayWriter, netcdf)
        data.dump_to_store(store, encoding=coded, writer=writer)
        store.sync()
    partial.replace(path)


def _flushing(base: type[Any], file: Any) -> Any:
    """A writer of xarray's that has a variable's numbers in the file before the next one's come.

    HDF5 gives them their place when they leave its cache, which in a process of several threads is not always
    in the order of writing.
    """

    class Flushing(base):  # type: ignore[misc]
        def add(self, *what: Any, **more: Any) -> None:
            super().add(*what, **more)
            file.flush()

    return Flushing()


def facts_of(path: Path) -> dict[str, Any]:
    """Global attributes of a file; raises `OSError` or `ValueError` when it is no netCDF-4."""
    import h5netcdf

    with h5netcdf.File(path, "r") as file:
        return dict(file.attrs)


def is_delayed(path: Path) -> bool:
    """Whether a file is there that was made from the log of a dive: no real-time one takes its place.

    One that cannot be read may have been.
    """
    try:
        return path.exists() and facts_of(path).get("data_mode") == "D"
    except (OSError, ValueError, KeyError):
        return True
