"""What a dive's messages say, decoded anew into its folder: profile.csv, profile.nc, pictures.

A product is replaced file by file, each whole; messages are only read. Codebooks and climatologies are looked
for beside the dives of a modem, and in the receiver's folder.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from edge.errors import SestonError
from edge.telemetry.whole_dive import replies_of
from tools.shore.decode import CLIMATOLOGIES, CODEBOOKS, ShoreFiles, decode_files
from tools.shore.exports.netcdf_save import is_delayed

_WORK = ".decoding"
PRODUCT = "profile.csv"
PRODUCTS = (".csv", ".nc", ".png")


def decode_dive(dive: Path, shore: ShoreFiles | None = None) -> tuple[str, bool]:
    """Decode what is there of a dive, with what else shore knows.

    Returns
    -------
    sentence
        For a person.
    complete
        False when a message could not be used: a codebook that comes later may change that.
    """
    work = dive / _WORK
    shutil.rmtree(work, ignore_errors=True)
    name = f"{dive.parent.name}/{dive.name}"
    try:
        books, climatologies = known_files(dive, CODEBOOKS), known_files(dive, CLIMATOLOGIES)
        done = decode_files([dive], work, books, climatologies, shore)
        keeps_log = is_delayed(dive / "profile.nc")  # no real-time file takes its place
        before = {file for file in dive.rglob("*") if file.suffix in PRODUCTS and work not in file.parents}
        if keeps_log:
            before = {file for file in before if file.suffix != ".nc"}
        for file in sorted(work.rglob("*")):
            place = dive / file.relative_to(work)
            if file.is_dir():
                place.mkdir(exist_ok=True)
            elif not (keeps_log and file.suffix == ".nc"):
                file.replace(place)
                before.discard(place)
        for stale in before:  # pictures have another number when an earlier one has come
            stale.unlink()
    except (SestonError, OSError) as error:
        return f"{name}: not decoded yet: {error}", False
    finally:
        shutil.rmtree(work, ignore_errors=True)
    parts = [one.missing_sentence() or f"dive {one.dive_number} is complete" for one in done.dives]
    replies = [reply for one in done.dives for reply in replies_of(one)]
    parts += [f"command {reply.counter}: {reply.verdict.label}" for reply in replies]
    if done.refused:
        parts.append(f"{len(done.refused)} messages not used: {done.refused[0][1]}")
    if done.note:
        parts.append(done.note.rstrip("."))
    if keeps_log:
        parts.append(
            "its netCDF stays, for it was made from the log or is damaged; export the log again to compare"
        )
    return f"{name}: {'; '.join(parts)}", not done.refused


def known_files(dive: Path, pattern: str) -> list[Path]:
    """Codebooks or climatologies for a dive, besides those in its own folder."""
    return [file for folder in (dive.parent, dive.parent.parent) for file in sorted(folder.glob(pattern))]


def is_due(dive: Path) -> bool:
    """Whether a message is younger than what was decoded."""
    made_ns = max((file.stat().st_mtime_ns for file in dive.rglob(PRODUCT)), default=-1)
    return any(file.stat().st_mtime_ns >= made_ns for file in dive.glob("*.sbd"))
