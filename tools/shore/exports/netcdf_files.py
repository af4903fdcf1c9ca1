"""netCDF files of many dives on disk: what replaces what, and what a delayed-mode file says it changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import InputError
from tools.shore.decode import dive_folders
from tools.shore.dives import open_log
from tools.shore.exports.about import About
from tools.shore.exports.compare import Change, compare, compare_files
from tools.shore.exports.dives import Source, sha256_of
from tools.shore.exports.from_log import frame_tables, read_frames
from tools.shore.exports.netcdf import (
    FRAMES,
    NAMES,
    PROFILE,
    frames_dataset,
    profile_dataset,
    write_netcdf,
)
from tools.shore.exports.netcdf_save import facts_of, save
from tools.shore.exports.tables import DataMode


@dataclass(frozen=True, slots=True)
class Written:
    """Files of one dive; what a delayed-mode one changed of the messages; the file that it replaced, or "".

    `since` is what it changed of a delayed-mode file that was there, in words.
    """

    source: Source
    files: tuple[Path, ...]
    changes: tuple[Change, ...]
    replaced: str
    since: tuple[str, ...] = ()


def write_dives(
    sources: Sequence[Source], out: Path, about: About, extra: Mapping[str, str], *, with_frames: bool
) -> Iterator[Written | InputError]:
    """Write each dive into `out`, or into a folder of its own there when they are several.

    `about` says who made them; `extra` are more global attributes, which win.

    A refusal takes the place of a dive that cannot be written.
    """
    folders = dive_folders([one.dive.decoded for one in sources], out)
    for source, folder in zip(sources, folders, strict=True):
        try:
            facts = about.of(source.dive.codebook.platform) | dict(extra)
            yield _write(source, folder, facts, with_frames=with_frames)
        except InputError as refused:
            yield refused
        except OSError as cause:
            yield InputError(
                f"cannot be written ({cause.strerror or cause})", file=folder, remedy="choose another --out"
            )


def _write(source: Source, folder: Path, extra: Mapping[str, str], *, with_frames: bool) -> Written:
    dive = source.dive
    folder.mkdir(parents=True, exist_ok=True)
    before = _facts_of(folder / PROFILE)
    more: dict[str, Any] = dict(extra)
    replaced = ""
    since: tuple[str, ...] = ()
    if dive.mode is DataMode.DELAYED:
        more["log_frames"] = dive.n_frames
    if before:
        _refuse_foreign(source, folder / PROFILE, before)
        if before.get("data_mode") == DataMode.DELAYED:
            variables = [name.variable for name in NAMES.values()]
            since = compare_files(folder / PROFILE, profile_dataset(dive, more), variables)
            more["comparison_with_replaced"] = "\n".join(since)
        replaced = f"{before.get('id', '')} sha256 {sha256_of(folder / PROFILE)}"
        more["history"] = "\n".join(
            one for one in (more.get("history", ""), before.get("history", "")) if one
        )
    changes: list[Change] = []
    if dive.mode is DataMode.DELAYED and source.said is not None:
        names = {quantity: name.variable for quantity, name in NAMES.items()}
        changes = compare(source.said, dive, names)
        more["comparison_with_real_time"] = "\n".join(one.sentence(50) for one in changes)
        more["comparison_messages"] = source.said.missing_sentence() or "all messages"
    if replaced and dive.mode is DataMode.DELAYED:
        more["replaces"] = replaced
    files = write_netcdf(dive, folder, more)
    if dive.mode is DataMode.DELAYED and with_frames:
        with open_log(source.path) as log:
            frames = read_frames(log)
        tables = frame_tables(frames, dive.codebook.optics.image_volume_ul / 1e6)
        save(frames_dataset(dive, frames, tables, more), folder / FRAMES)
        files.append(folder / FRAMES)
    return Written(source, tuple(files), tuple(changes), replaced, since)


def _facts_of(path: Path) -> dict[str, Any]:
    """Global attributes of a file of ours that is there; {} when there is none."""
    if not path.exists():
        return {}
    try:
        return facts_of(path)
    except (OSError, ValueError, KeyError) as cause:
        raise InputError(
            f"is no netCDF file that can be read ({cause})",
            file=path,
            remedy="move it away, or choose another --out",
        ) from cause


def _refuse_foreign(source: Source, path: Path, before: Mapping[str, Any]) -> None:
    """A file of another dive is not replaced, nor one from the log by one from messages."""
    dive = source.dive
    number, book = before.get("dive_number"), before.get("codebook_sha256")
    if number is None or int(number) != dive.decoded.dive_number or book != dive.codebook.sha256:
        what = "no dive of seston's" if number is None else f"dive {int(number)} of {before.get('platform')}"
        raise InputError(f"holds {what}", file=path, remedy="choose another --out")
    if before.get("data_mode") != DataMode.DELAYED:
        return
    had = int(before.get("log_frames", 0))
    if dive.mode is DataMode.DELAYED and had > dive.n_frames:
        raise InputError(
            f"was made from a log with {had:,} frames, this one has {dive.n_frames:,}", file=path,
            field="log_frames", remedy="give the more complete log, or choose another --out",
        )  # fmt: skip
    if dive.mode is DataMode.REAL_TIME:
        raise InputError(
            "was made from the log of this dive, which knows more than its messages", file=path,
            field="data_mode", remedy="choose another --out for the real-time file",
        )  # fmt: skip
