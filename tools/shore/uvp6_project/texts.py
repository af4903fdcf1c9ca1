"""Texts in the files of a project: letters, numbers, times, positions, `name = value` files.

People edit these files with what is at hand: both encodings, both decimal signs and several ways to write a
position are understood, and what should have been written otherwise is said.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping

LOST = "�"
"""A letter that somebody read with a wrong encoding and wrote again: it is gone."""
MOST_TEXT = 250
"""Characters that EcoTaxa keeps of a text."""
_DEGREES = re.compile(r"\s*([+-]?)(\d{1,3})\s*[^\d\s.,+-]+\s*(\d{1,2})(?:\D+(\d{1,2}(?:\.\d+)?))?\D*")


def decode(data: bytes) -> tuple[str, str]:
    """Text and its encoding: UTF-8, with its mark or without, else latin-1."""
    if data.startswith(b"\xef\xbb\xbf"):
        try:
            return data.decode("utf-8-sig"), "utf-8-sig"
        except UnicodeDecodeError:
            pass
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"


def encode(text: str, encoding: str = "latin-1") -> bytes:
    """Text in latin-1, as EcoPart reads headers and tables, or in what can hold it."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode("utf-8")


def number(text: str) -> float | None:
    """A number, or None; a comma before its decimals is understood, NaN is none."""
    try:
        found = float(text.strip().replace(",", ".", 1))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def has_comma(text: str) -> bool:
    """Whether a number is written with a comma before its decimals."""
    return "," in text and number(text) is not None


def is_blank(text: str) -> bool:
    """Whether a cell says nothing: UVPapp writes `nan` where it has no value."""
    return text.strip().lower() in ("", "nan", "na")


def degrees(text: str) -> float | None:
    """Decimal degrees, or degrees, minutes and seconds as UVPapp writes them (``43°48 08``); None for others.

    The sign of the degrees counts for all of it, also where they are 0.
    """
    plain = number(text)
    if plain is not None:
        return plain
    match = _DEGREES.fullmatch(text)
    if match is None:
        return None
    sign, whole, minutes, seconds = match.groups()
    if int(minutes) >= 60 or float(seconds or 0) >= 60:
        return None
    found = int(whole) + int(minutes) / 60 + float(seconds or 0) / 3600
    return round(-found if sign == "-" else found, 5)


def instant(text: str) -> tuple[datetime.datetime, str] | str:
    """UTC of a time and a remark on how it is written, or a sentence on why it is none.

    A UVP6 writes ``20220518-042127``, then ``-284`` for milliseconds or ``-3`` for the number of the image in
    the second; all of it is UTC. People write ISO 8601.
    """
    known = re.fullmatch(r"(\d{8})-(\d{6})(?:-(\d{1,6}))?", text.strip())
    try:
        if known:
            day, clock, more = known.groups()
            moment = datetime.datetime.strptime(day + clock, "%Y%m%d%H%M%S").replace(tzinfo=datetime.UTC)
            return moment + datetime.timedelta(milliseconds=int(more) if more and len(more) == 3 else 0), ""
        moment = datetime.datetime.fromisoformat(text.strip())
        in_utc = moment.replace(tzinfo=moment.tzinfo or datetime.UTC).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return f"holds {text!r}, which is no time YYYYMMDD-HHMMSS"
    if moment.tzinfo is None:
        return in_utc, f"holds {text!r}, a time without zone, taken for UTC"
    return in_utc, ""


def read_values(text: str, comment: str = "//") -> dict[str, str]:
    """Values by name of a file of ``name = value`` lines (HW_*.txt and the like); the last of two counts."""
    values = {}
    for line in text.splitlines():
        name, sign, value = line.partition("=")
        if sign and not line.lstrip().startswith((comment, "[", ";", "#")):
            values[name.strip()] = value.strip()
    return values


def read_sections(text: str) -> dict[str, dict[str, str]]:
    """Values by name by section of an .ini file (metadata.ini, compute_vignette.txt)."""
    sections: dict[str, dict[str, str]] = {}
    values: dict[str, str] = {}
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("[") and bare.endswith("]"):
            values = sections.setdefault(bare[1:-1], {})
            continue
        name, sign, value = bare.partition("=")
        if sign and not bare.startswith((";", "#")):
            values[name.strip()] = value.strip()
    return sections


def write_sections(sections: Mapping[str, Mapping[str, str]]) -> str:
    """An .ini file as UVPapp writes it."""
    parts = [
        "".join(f"{line}\r\n" for line in (f"[{name}]", *(f"{key}={value}" for key, value in values.items())))
        for name, values in sections.items()
    ]
    return "\r\n".join(parts)
