"""The versions on a board: folders that are whole or are not there, and one link that says which runs.

A folder counts once it has its mark, which is written last, after everything else is on the disk. One without
is what a cut of power left, and is removed at the next installation; nothing ever points to it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

from tools.flashing.on_board import places

MARK = "complete"
SUMS = "files.sha256"
"""As `sha256sum -c` reads it, in the version's folder."""
LEFT_CONFIG = "float.toml.left"
"""The configuration that the version ran with when another took its place."""


def complete() -> list[Path]:
    """Versions that may run."""
    return [one for one in sorted(places.VERSIONS.glob("*")) if (one / MARK).is_file()]


def named(name: str) -> list[Path]:
    """Whole versions of a name, the one that runs first: one that was damaged had another made beside it."""
    now = current()
    found = [one for one in complete() if re.sub(r"(-cp\d+)\.\d+$", r"\1", one.name) == name]
    return sorted(found, key=lambda one: one != now)


def current() -> Path | None:
    """The version that runs, or would."""
    return _target(places.CURRENT)


def previous() -> Path | None:
    """The version to go back to: where the link says, or else any other that is whole."""
    now, said = current(), _target(places.PREVIOUS)
    if said is not None and said != now:
        return said
    return next((one for one in complete() if one != now), None)


def switch(version: Path, *, is_mended: bool = False) -> None:
    """Let `version` be the one that runs. Cut off at any point, one whole version runs and one is beside.

    `is_mended`: what ran is the same one, damaged. One does not go back to that, but to what was before it.
    """
    before = current()
    if before is not None and before != version and not is_mended:
        places.link(places.PREVIOUS, before.relative_to(places.HOME))
    places.link(places.CURRENT, version.relative_to(places.HOME))


def begin(before: Path | None) -> None:
    """Note what is left, before the switch: until `finish` the new version has not shown that it runs."""
    places.write(places.SWITCHING, f"{before.name if before else ''}\n".encode())


def finish() -> None:
    """The version that was switched to runs."""
    places.SWITCHING.unlink(missing_ok=True)


def is_switching() -> bool:
    """Whether an installation was cut off after its switch."""
    return places.SWITCHING.is_file()


def left() -> Path | None:
    """What ran before that switch."""
    name = places.SWITCHING.read_text().strip()
    return next((one for one in complete() if one.name == name), None)


def remove_halves() -> None:
    """Remove what a cut of power left."""
    for one in places.VERSIONS.glob("*"):
        if not (one / MARK).is_file():
            remove(one)


def prune() -> list[str]:
    """Remove all versions but the current and the previous; names of those removed."""
    kept = {current(), previous()}
    gone = [one for one in complete() if one not in kept]
    for one in gone:
        remove(one)
    return [one.name for one in gone]


def remove(version: Path) -> None:
    """Remove a version, its mark first: half removed it is as one half installed."""
    (version / MARK).unlink(missing_ok=True)
    shutil.rmtree(version, ignore_errors=True)


def seal(version: Path, epoch_s: int) -> None:
    """Write the sums of all files, bring everything to the disk, then write the mark; dated `epoch_s`."""
    lines = [f"{_sum(version / name)}  {name}\n" for name in _files(version)]
    sums = "".join(lines).encode()
    places.write(version / SUMS, sums)
    os.sync()
    places.write(version / MARK, (hashlib.sha256(sums).hexdigest() + "\n").encode())
    for one in (version / SUMS, version / MARK, version):
        os.utime(one, (epoch_s, epoch_s))


def damaged(version: Path) -> str | None:
    """Name of a file that is not as it was installed, or nothing."""
    try:
        sums = (version / SUMS).read_bytes()
        if (version / MARK).read_text().strip() != hashlib.sha256(sums).hexdigest():
            return SUMS
        for line in sums.decode().splitlines():
            digest, _, name = line.partition("  ")
            if _sum(version / name) != digest:
                return name
    except (OSError, UnicodeDecodeError) as cause:
        return str(getattr(cause, "filename", None) or SUMS)
    return None


def _files(version: Path) -> list[str]:
    found = [one for one in version.rglob("*") if one.is_file() and not one.is_symlink()]
    return sorted(str(one.relative_to(version)) for one in found)


def _sum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _target(link: Path) -> Path | None:
    if not link.is_symlink():
        return None
    place = places.HOME / os.readlink(link)
    return place if (place / MARK).is_file() else None
