"""How optics were found: what `seston calibrate` writes beside them, and what the dive log keeps.

Not the fitting itself (that is `tools.calibrating`): the board only carries the record.
"""

from __future__ import annotations

import datetime
from typing import Annotated

import msgspec

from edge.optics import Optics


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one part of the optics was found.

    Attributes
    ----------
    date
        UTC.
    method, version
        In words, and the version of seston.
    found, standard_errors
        Values and standard errors by name with unit; those that are keys of the optics stand there too.
    residuals
        What is left, a row a bead size, size class or picture.
    conditions
        Settings that the result holds for: with others it has to be found again.
    sources
        SHA-256 of the files, by name; of a folder, that of its files' names and sums.
    previous
        What stood in the optics before.
    remarks
        What somebody should know.
    """

    date: Annotated[datetime.datetime, msgspec.Meta(tz=True)]
    method: str
    version: str
    found: dict[str, float]
    standard_errors: dict[str, float] = {}
    residuals: tuple[dict[str, float | str], ...] = ()
    conditions: dict[str, float | str] = {}
    sources: dict[str, str] = {}
    previous: dict[str, float] = {}
    remarks: tuple[str, ...] = ()


class OpticsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A complete optics file: the optics, and how each part of them was found."""

    optics: Optics
    calibration: dict[str, Calibration] = {}
