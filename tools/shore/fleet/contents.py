"""What a file or folder has for a registry: told by what is in a file, not by its name."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge.errors import ConfigError, InputError, MessageError
from edge.inference.bundle import parse_bundle
from edge.log_reader import LogReader
from edge.logged import climatology_in, codebook_in
from edge.optics import Optics
from edge.structs import to_struct
from edge.telemetry.climatology import Climatology, load_climatology
from edge.telemetry.codebook import Codebook, load_codebook
from firmware_bridge.command_bodies import KEY_BYTES
from tools.keyring import PUBLIC
from tools.shore.fleet.registry import Content, Kind

LOG_FILE, FLEET = "dive.sqlite", "fleet"
SOUGHT = ("*.json", "*.seston", f"*{PUBLIC}", "*.toml", LOG_FILE)
"""What is looked at in a folder; what is none of ours there is passed over."""


def contents_of(path: Path, unit: str = "") -> Iterator[Content]:
    """What a file or a folder holds, however deep.

    `unit` is whose it is; without it a codebook says it, and a key by its name.

    Raises
    ------
    InputError
        When a file that was named is nothing that a registry keeps, or nothing in a folder is.
    """
    if not path.is_dir():
        yield from _of_file(path, unit)
        return
    files = sorted({file for pattern in SOUGHT for file in path.rglob(pattern) if file.is_file()})
    n = 0
    for file in files:
        try:
            found = list(_of_file(file, unit))
        except InputError:
            if file.name == LOG_FILE or file.suffix in (".seston", PUBLIC):
                raise  # it can be nothing else
            continue
        n += len(found)
        yield from found
    if not n:
        raise InputError(
            "holds nothing for a registry",
            file=path,
            remedy="give codebooks, climatologies, bundles, optics, public keys, or dives",
        )


def _of_file(file: Path, unit: str) -> Iterator[Content]:
    if file.suffix == ".sqlite":
        with LogReader.look_into(file) as log:
            yield _codebook(codebook_in(log), unit)
            climatology = climatology_in(log)
            if climatology is not None:
                yield _climatology(climatology, unit)
        return
    try:
        data = file.read_bytes()
    except OSError as cause:
        raise InputError(f"cannot be read ({cause.strerror})", file=file, remedy="check the path") from cause
    if file.suffix == PUBLIC:
        yield Content(Kind.KEY, _key(data, file), file.stem, unit or file.stem)
    elif file.suffix == ".toml":
        _optics(data, file)
        yield Content(Kind.OPTICS, data, file.name, unit)
    elif data[:4] == b"PK\x03\x04":
        yield Content(Kind.BUNDLE, data, parse_bundle(data, file).name, unit)
    else:
        yield _json(data, file, unit)


def _json(data: bytes, file: Path, unit: str) -> Content:
    try:
        return _codebook(load_codebook(data, file=str(file)), unit)
    except MessageError as no_codebook:
        try:
            return _climatology(load_climatology(data, file=str(file)), unit)
        except MessageError as no_climatology:
            raise InputError(
                f"{no_codebook.problem}, and {no_climatology.problem}", file=file,
                remedy="give a codebook, climatology, bundle, optics file, public key (.pub), or dive",
            ) from None  # fmt: skip


def _codebook(book: Codebook, unit: str) -> Content:
    return Content(Kind.CODEBOOK, book.to_json(), f"{len(book.taxa)} taxa", unit or book.platform)


def _climatology(found: Climatology, unit: str) -> Content:
    return Content(Kind.CLIMATOLOGY, found.to_json(), found.name, unit)


def _key(text: bytes, file: Path) -> bytes:
    try:
        public = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        public = b""
    if len(public) != KEY_BYTES:
        raise InputError("holds no public key", file=file, remedy="give a file that `seston keys` made")
    return public


def _optics(data: bytes, file: Path | None) -> Optics:
    try:
        told: dict[str, Any] = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise ConfigError(f"is no TOML ({cause})", file=file, remedy="give a file of optics") from cause
    if "optics" not in told:
        raise ConfigError("is missing", file=file, field="optics", remedy="give a file of optics")
    return to_struct(told["optics"], Optics, file=file, error=ConfigError)


def check_content(kind: Kind, data: bytes) -> None:
    """Raise an error when bytes are not what a registry has them for."""
    if kind is Kind.CODEBOOK:
        load_codebook(data)
    elif kind is Kind.CLIMATOLOGY:
        load_climatology(data)
    elif kind is Kind.BUNDLE:
        parse_bundle(data, Path("bundle"))
    elif kind is Kind.OPTICS:
        _optics(data, None)
    elif len(data) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, this has {len(data)}")
