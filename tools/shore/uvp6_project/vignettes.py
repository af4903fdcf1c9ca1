"""Vignettes of a sample: the pictures in a UVP6's `*_Images.zip`, by the image that they were cut from.

A picture is named `<image>_<n>.png` after its image and its object there; UVPapp writes it as the camera gave
it, white on black and without the legend (the inverted copy with a legend is EcoTaxa's own). The greys in
UVPapp's table are those of the inverted picture, and its `object_area` counts holes: measures are taken anew.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError, InputError
from edge.images import IMAGE_SUFFIXES, decode_image
from tools.shore.uvp6_project.files import Archive, is_safe
from training.ecotaxa import EcotaxaArchive, EcotaxaRow

_NAME = re.compile(r"(\d{8}-\d{6}(?:-\d+)?)_\d+")


class Vignettes:
    """Pictures of a sample by image.

    Parameters
    ----------
    archive
        The sample's `*_Images.zip`, or None.

    Attributes
    ----------
    faults
        Pictures whose name tells no image, a sentence for all of them.
    """

    def __init__(self, archive: Archive | None) -> None:
        self._archive = archive
        self._names: dict[str, list[str]] = {}
        self.faults: list[str] = []
        strays = []
        for name in pictures_in(archive) if archive is not None else ():
            found = _NAME.fullmatch(PurePosixPath(name).stem)
            if found is None:
                strays.append(name)
            else:
                self._names.setdefault(found[1], []).append(name)
        if strays and archive is not None:
            self.faults.append(
                f"{archive.place}: {strays[0]}: is not named <image>_<n>, so nobody can say where it is from "
                f"({len(strays)} such); name it as UVPapp does."
            )

    def __len__(self) -> int:
        return sum(map(len, self._names.values()))

    @property
    def images(self) -> frozenset[str]:
        """Images that pictures are of."""
        return frozenset(self._names)

    def of(self, image: str) -> Iterator[NDArray[np.uint8]]:
        """Pictures of an image, each uint8 (height, width); those that cannot be read are passed over."""
        assert self._archive is not None or not self._names
        for name in self._names.get(image, ()):
            try:
                yield read_picture(self._archive, name)
            except InputError as fault:
                self.faults.append(str(fault))


def pictures_in(archive: Archive) -> list[str]:
    """Pictures that are whole."""
    return [
        name
        for name in sorted(archive.names)
        if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES and not archive.is_cut(name)
    ]


def read_picture(archive: Archive | None, name: str) -> NDArray[np.uint8]:
    """A picture, uint8 (height, width); raises `InputError`."""
    assert archive is not None
    return decode_image(archive.read(name), f"{archive.place}/{name}")


def read_objects(archive: Archive) -> tuple[list[EcotaxaRow], list[str]]:
    """Rows of the archive's EcoTaxa table, and what is wrong with it and its pictures, a sentence each."""
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in archive.names:
            if is_safe(name) and not archive.is_cut(name):
                file = Path(folder) / name
                try:
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(archive.read(name))
                except InputError as error:
                    faults.append(str(error))
                except (OSError, ValueError):  # a file where a folder is, or no name for one
                    faults.append(f"{archive.place}: {name!r}: cannot be unpacked; give it another name.")
        try:
            with EcotaxaArchive(folder) as found:
                faults += [f"{archive.place}: {fault}" for fault in found.faults]
                for row in found.rows:
                    if found.image_name(row) is not None:
                        try:
                            found.read_image(row)
                        except ImageError as error:
                            faults.append(
                                f"{archive.place}: {row}: {row.image} {error.problem}; copy it again."
                            )
                return list(found.rows), faults
        except InputError as error:
            where = f"{error.field}: " if error.field else ""
            return [], [*faults, f"{archive.place}: {where}{error.problem}; {error.remedy}."]
