"""Files of a folder or a zip, by name, read one at a time. What they mean is not known here.

A UVP6 keeps the vignettes of a profile in a zip of its own (`ecodata/<profile>/<id>_Images.zip`): it is read
like a folder.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Self

from edge.errors import ImageError

NESTED = "images.zip"
_UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError)


class FileStore:
    """Files of a folder or zip: names are paths inside it with forward slashes, sorted, without hidden ones.

    Parameters
    ----------
    path
        Folder or zip.

    Raises
    ------
    ImageError
        When it is neither, or cannot be opened.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._zips: dict[str, zipfile.ZipFile] = {}
        """Open zips by the place they are at; "" for the store itself."""
        try:
            self.names: tuple[str, ...] = tuple(sorted(self._find()))
        except BaseException:
            self.close()
            raise

    def _find(self) -> list[str]:
        if self.path.is_dir():
            found = (file for file in self.path.rglob("*") if file.is_file())
            names = [file.relative_to(self.path).as_posix() for file in found]
        else:
            try:
                self._zips[""] = zipfile.ZipFile(self.path)
            except FileNotFoundError:
                raise ImageError("is not there", file=self.path, remedy="check the path") from None
            except (OSError, zipfile.BadZipFile) as cause:
                raise ImageError(
                    f"is neither a folder nor a readable zip ({cause})",
                    file=self.path,
                    remedy="check the file",
                ) from cause
            names = _members(self._zips[""])
        names = [name for name in names if _is_seen(name)]
        for name in [name for name in names if name.lower().endswith(NESTED)]:
            try:
                inner = self.path / name if "" not in self._zips else io.BytesIO(self._zips[""].read(name))
                self._zips[name] = zipfile.ZipFile(inner)
            except _UNREADABLE as cause:
                raise ImageError(
                    f"is no readable zip ({cause})",
                    file=f"{self.path}/{name}",
                    remedy="copy it again or take it away",
                ) from cause
            names += [f"{name}/{member}" for member in _members(self._zips[name]) if _is_seen(member)]
        return names

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the zips."""
        for one in self._zips.values():
            one.close()

    def read_bytes(self, name: str) -> bytes:
        """Content of one file; raises `ImageError` when it cannot be read."""
        try:
            for place, one in self._zips.items():
                if place and name.startswith(f"{place}/"):
                    return one.read(name[len(place) + 1 :])
            if "" in self._zips:
                return self._zips[""].read(name)
            return (self.path / name).read_bytes()
        except _UNREADABLE as cause:
            raise ImageError(
                f"cannot be read ({cause})", file=f"{self.path}/{name}", remedy="copy it again"
            ) from cause


def _members(one: zipfile.ZipFile) -> list[str]:
    return [info.filename for info in one.infolist() if not info.is_dir()]


def _is_seen(name: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)
