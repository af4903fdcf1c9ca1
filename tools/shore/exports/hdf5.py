"""netCDF-4 files of the same bytes whenever they are written: HDF5 would put the time into the root group."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_dataset(data: Any, path: Path, encoding: Mapping[str, Mapping[str, Any]]) -> None:
    """Write an `xarray.Dataset` as `to_netcdf` with h5netcdf does, without the time of writing."""
    import h5netcdf
    import h5py
    from xarray.backends import H5NetCDFStore

    how = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    how.set_obj_track_times(False)
    in_order = h5py.h5p.CRT_ORDER_TRACKED | h5py.h5p.CRT_ORDER_INDEXED  # netCDF-C asks for both
    how.set_link_creation_order(in_order)
    how.set_attr_creation_order(in_order)
    made = h5py.h5f.create(bytes(path), h5py.h5f.ACC_TRUNC, fcpl=how)
    with h5py.File(made) as file, h5netcdf.File(file, "w") as container:
        data.dump_to_store(H5NetCDFStore(container), encoding=dict(encoding))
