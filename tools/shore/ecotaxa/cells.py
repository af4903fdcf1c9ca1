"""One cell, as EcoTaxa's importer reads it: numbers, places, dates, times. Pure; `rules` says where from."""

from __future__ import annotations

import datetime
import math
import re

_DEGREES = re.compile(r"(-?\d+)°(\d+) (\d+)")
_NOTHING = ("nan", "na")
_TIME = re.compile(r"\d{2}:\d{2}:\d{2}|\d{1,6}")


def number(text: str) -> float | None:
    """A number, or None for what is none; minus infinity is none, infinity is one (and no database minds)."""
    try:
        value = float(text)
    except ValueError:
        return None
    return None if value == -math.inf else value


def is_empty_number(text: str) -> bool:
    """Whether a cell of numbers counts as empty."""
    return not text or text.lower() in _NOTHING


def degrees(text: str) -> float | None:
    """Degrees from a number, or from degrees, minutes and seconds as UVPapp has them ("43°0 0")."""
    found = _DEGREES.search(text)
    if found is None:
        return number(text)
    whole, minutes, seconds = map(float, found.groups())
    return whole + (minutes + seconds / 60) / 60


def is_date(text: str) -> bool:
    """Whether it is YYYYMMDD or YYYY-MM-DD and a day of the calendar; what follows is not looked at."""
    dashed = text[4:5] == text[7:8] == "-"
    parts = (text[0:4], text[5:7], text[8:10]) if dashed else (text[0:4], text[4:6], text[6:8])
    try:
        datetime.date(*map(int, parts))
    except ValueError:
        return False
    return True


def read_time(text: str) -> datetime.time | None:
    """Time of HHMM[SS], without leading zeros too, or HH:MM:SS, whatever follows; None for others.

    As the importer does it, which takes 2025-03-04T12:00 for 20:25:00.
    """
    if text[2:3] == text[5:6] == ":":
        parts = text[0:2], text[3:5], text[6:8]
    else:
        text = text.zfill(4).ljust(6, "0") if len(text) < 6 else text
        parts = text[0:2], text[2:4], text[4:6]
    try:
        hour, minute, second = map(int, parts)
        return datetime.time(hour, minute, second)
    except ValueError:
        return None


def has_more_than_time(text: str) -> bool:
    """Whether a time holds more than the importer reads: a zone, or parts of a second."""
    return _TIME.fullmatch(text) is None


def is_garbled(text: str) -> bool:
    """Whether text that was read as Latin-1 is UTF-8 really."""
    if text.isascii():
        return False
    try:
        text.encode("latin-1").decode("utf-8")
    except ValueError:
        return False
    return True
