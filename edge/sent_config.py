"""A configuration as it is sent: what a person wrote, without comments, as small as it goes.

JSON of the file's keys, those of its optics file in place of that file's name, in one order, by zlib. Keys
that are not written have the defaults of the seston that reads it, as in a file.
"""

from __future__ import annotations

import json
import tomllib
import zlib
from pathlib import Path
from typing import Any

import msgspec

from edge.config import Config, load_config
from edge.errors import ConfigError
from edge.structs import to_struct

MAX_BYTES = 1 << 16
"""Largest configuration, unpacked."""


def pack_config(file: Path) -> bytes:
    """The bytes of a configuration file; raises `ConfigError` when it is none."""
    config = load_config(file)
    told: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    if told.pop("optics_file", None) is not None:
        for name in ("optics", "calibration"):
            told[name] = msgspec.to_builtins(getattr(config, name))
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    data = zlib.compress(text.encode(), 9)
    if unpack_config(data, file) != msgspec.structs.replace(config, optics_file=None):
        raise ConfigError("cannot be sent", file=file, remedy="write it with plain numbers and texts")
    return data


def unpack_config(data: bytes, file: Path) -> Config:
    """The configuration in some bytes; any bytes give it or a `ConfigError`. `file` stands in errors."""
    remedy = "send it again with seston update config"
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(data, MAX_BYTES)
        if not unpacker.eof or unpacker.unused_data:
            raise ConfigError("is cut off, goes on behind its end, or is too long", file=file, remedy=remedy)
        told = json.loads(text)
    except (zlib.error, ValueError, RecursionError) as cause:
        raise ConfigError(f"is no configuration that was sent ({cause})", file=file, remedy=remedy) from None
    if not isinstance(told, dict):
        raise ConfigError("is no configuration that was sent", file=file, remedy=remedy)
    if "optics_file" in told:
        raise ConfigError("names a file on shore", file=file, field="optics_file", remedy=remedy)
    return to_struct(told, Config, file=file, error=ConfigError)
