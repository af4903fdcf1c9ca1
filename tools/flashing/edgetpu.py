"""The library of an Edge TPU, out of a Debian package or as it is; refused when it is for another machine."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from edge.errors import InputError
from edge.inference.edgetpu_library import LIBRARY, architecture_of

AR = b"!<arch>\n"


def library_of(file: Path, arch: str) -> bytes:
    """Bytes of libedgetpu.so.1; raises `InputError` for what is none, or for another machine."""
    try:
        data = file.read_bytes()
    except OSError as cause:
        raise InputError(f"cannot be read ({cause.strerror})", file=file, remedy="check the path") from None
    if data.startswith(AR):
        data = _from_package(data, file)
    if architecture_of(data) != arch:
        raise InputError(
            f"is no library for {arch}",
            file=file,
            remedy=f"give the {LIBRARY} or libedgetpu1-std package for {arch}",
        )
    return data


def _from_package(data: bytes, file: Path) -> bytes:
    """The library in a Debian package: an ar archive with a tar in it."""
    position = len(AR)
    while position + 60 <= len(data):
        header = data[position : position + 60]
        name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), header[48:58].strip()
        if not size.isdigit():
            break
        begin = position + 60
        if name.startswith("data.tar"):
            try:
                with tarfile.open(fileobj=io.BytesIO(data[begin : begin + int(size)])) as inside:
                    for member in inside:
                        found = inside.extractfile(member) if member.isfile() else None
                        if found is not None and Path(member.name).name.startswith(LIBRARY):
                            return found.read()
            except (tarfile.TarError, EOFError, OSError) as cause:
                raise InputError(
                    f"cannot be unpacked ({cause})", file=file, remedy=f"give {LIBRARY} itself"
                ) from cause
            break
        position = begin + int(size) + int(size) % 2
    raise InputError(f"has no {LIBRARY} inside", file=file, remedy="give the package libedgetpu1-std")
