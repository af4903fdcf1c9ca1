"""Configuration and keys: a person's, never overwritten by a new version; what is new is laid beside.

A configuration that is installed on purpose takes the place of the one there, which is kept. What a version
ran with is kept in its folder, for a way back to a version that does not know what was added since.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.flashing.on_board import places, versions
from tools.flashing.on_board.payload import Payload
from tools.flashing.on_board.refusal import Refusal

OFFERED = "etc"
"""Folder of a version: the configuration it came with."""
MODELS = "models"


class Settings:
    """What configuration will be there after this installation."""

    def __init__(self, payload: Payload, given: Path | None) -> None:
        self._offered = {Path(one.file).name: payload.read(one) for one in payload.manifest.of("etc")}
        self._keys = b"".join(payload.read(one) for one in payload.manifest.of("keys"))
        self._given: bytes | None = None
        self._written: dict[Path, bytes | None] = {}
        """Files that were changed, and what was in them before; nothing where there was none."""
        if given is not None:
            try:
                self._given = given.read_bytes()
            except OSError as cause:
                raise Refusal(f"{given} cannot be read ({cause.strerror}); nothing was changed.") from None

    @contextlib.contextmanager
    def on_trial(self, version: Path) -> Iterator[Path]:
        """The configuration as it will be, in a folder of its own, for the new version to read."""
        folder = version.with_name(f".trial-{version.name}")
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(mode=0o755)
            for name, data in self._offered.items():
                (folder / name).write_bytes(data)
            if places.ETC.is_dir():
                for file in places.ETC.iterdir():
                    if file.is_file():
                        shutil.copyfile(file, folder / file.name)
            if self._given is not None:
                (folder / places.CONFIG.name).write_bytes(self._given)
            # Models are named where they will be; the link there is not switched yet.
            config = folder / places.CONFIG.name
            text = config.read_bytes()
            here, there = str(places.CURRENT / MODELS), str(version / MODELS)
            config.write_bytes(text.replace(here.encode(), there.encode()))
            yield config
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def is_changed(self) -> bool:
        """Whether the service now finds something else than before."""
        return any(place.suffix not in {".old", ".new"} for place in self._written)

    def put_in_place(self) -> None:
        """Write what is not there; lay beside what differs; replace by what was given on purpose."""
        places.ETC.mkdir(parents=True, exist_ok=True)
        before = _read(places.CONFIG)
        if self._given is not None and self._given != before:
            if before is not None:
                self._write(places.CONFIG.with_name(f"{places.CONFIG.name}.old"), before)
            self._write(places.CONFIG, self._given)
        for name, data in self._offered.items():
            self._offer(places.ETC / name, data)
        if self._keys:
            places.DATA.mkdir(parents=True, exist_ok=True)
            self._offer(places.KEYS, self._keys)
            user = pwd.getpwnam(places.USER)
            os.chown(places.KEYS, user.pw_uid, user.pw_gid, follow_symlinks=False)

    def take_back(self) -> None:
        """Let everything be as it was before `put_in_place`."""
        for place, before in self._written.items():
            if before is None:
                place.unlink(missing_ok=True)
            else:
                places.write(place, before)
        self._written.clear()

    def _offer(self, place: Path, data: bytes) -> None:
        """Write a file that is not there, or lay it beside one that differs."""
        there, beside = _read(place), place.with_name(f"{place.name}.new")
        if there is None:
            self._write(place, data)
        elif there != data and _read(beside) != data:
            self._write(beside, data)

    def _write(self, place: Path, data: bytes) -> None:
        self._written.setdefault(place, _read(place))
        places.write(place, data)


def lay_down(payload: Payload, version: Path) -> None:
    """Keep what a version came with in its folder."""
    folder = version / OFFERED
    folder.mkdir(exist_ok=True)
    for one in payload.manifest.of("etc"):
        payload.copy(one, folder)
    for file in (*folder.iterdir(), folder):
        os.utime(file, (payload.manifest.epoch_s, payload.manifest.epoch_s))


def keep_of(version: Path | None) -> None:
    """Keep the configuration that a version ran with, before another takes its place."""
    data = _read(places.CONFIG)
    if version is not None and data is not None:
        places.write(version / versions.LEFT_CONFIG, data)


def fit(version: Path, is_taken: Callable[[Path], bool]) -> None:
    """Let there be a configuration that `version` takes: that of today, or else the one that it ran with."""
    left = version / versions.LEFT_CONFIG
    if not places.CONFIG.is_file() or is_taken(places.CONFIG) or not left.is_file():
        return
    places.write(places.CONFIG.with_name(f"{places.CONFIG.name}.newer"), places.CONFIG.read_bytes())
    places.write(places.CONFIG, left.read_bytes())


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
