"""A particle's picture as the body of a message, with what a taxonomist asks first; and which to send. Pure.

How the picture itself is coded is `edge.telemetry.thumbnail`; header and CRC of the message come elsewhere.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError, MessageError
from edge.telemetry.range_coder import Coder, RangeDecoder, RangeEncoder
from edge.telemetry.thumbnail import Pixels, read_thumbnail, write_thumbnail

Ints = NDArray[np.int64]

UNCLASSIFIED = -1
"""Taxon of a picture whose particle was not classified."""
MIN_PICTURE_BYTES = 24
"""Any picture fits in a body of this size, however coarse it then is."""
SURE_PERMILLE = 800
"""An answer with this score or more is a confident one."""
_MAX_PRESSURE_DBAR = 12_000
_MAX_BITS = 24
"""Lengths are below 2 ** 24."""


class Reason(enum.IntEnum):
    """Why a picture was chosen. The numbers travel in messages: never renumber."""

    RAREST = 0
    """A confident answer of the living taxon with the fewest objects in the dive."""
    LEAST_SURE = 1
    """The lowest score."""
    MOST_NOVEL = 2
    """The least like what the model has seen."""
    LARGEST = 3
    """The largest ESD."""

    @property
    def label(self) -> str:
        """The reason as people write it, e.g. ``least sure``."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A particle's picture.

    Attributes
    ----------
    taxon
        Column of the counted taxa, or `UNCLASSIFIED`.
    reason
        Why it was chosen.
    pressure_dbar
        Whole dbar, or None when it was not known.
    esd_um
        ESD, um.
    score_permille
        The highest score, 0 to 1000.
    side_px
        Longest side of the vignette as the camera saw it.
    pixels
        uint8 (h, w), white on black: the vignette, or what is left of it after sending.
    """

    taxon: int
    reason: Reason
    pressure_dbar: int | None
    esd_um: int
    score_permille: int
    side_px: int
    pixels: Pixels


def encode_picture(picture: Picture, max_bytes: int, n_taxa: int) -> bytes:
    """Body of a message with one picture.

    Parameters
    ----------
    picture
        With the whole vignette.
    max_bytes
        At most so many; `MIN_PICTURE_BYTES` or more.
    n_taxa
        Counted taxa that are not `unclassified`.

    Raises
    ------
    InputError
        When a field is out of range, or there is no room.
    """
    if max_bytes < MIN_PICTURE_BYTES:
        raise InputError(
            f"is {max_bytes}, the smallest is {MIN_PICTURE_BYTES}",
            field="max_bytes",
            remedy="allow more bytes",
        )
    for field, value, low, high in (
        ("taxon", picture.taxon, UNCLASSIFIED, n_taxa - 1),
        ("pressure_dbar", picture.pressure_dbar or 0, 0, _MAX_PRESSURE_DBAR),
        ("esd_um", picture.esd_um, 0, (1 << _MAX_BITS) - 1),
        ("score_permille", picture.score_permille, 0, 1000),
        ("side_px", picture.side_px, 1, (1 << _MAX_BITS) - 1),
    ):
        if not low <= value <= high:
            raise InputError(f"is {value}, not in {low}..{high}", field=field, remedy="leave the picture out")
    coder = RangeEncoder()
    _code_facts(coder, n_taxa, picture)
    write_thumbnail(coder, picture.pixels, max_bytes)
    return coder.finish()


def decode_picture(body: bytes, n_taxa: int) -> Picture:
    """The picture that a body holds, smaller and coarser than it was.

    Raises
    ------
    MessageError
        When no picture is coded like this.
    """
    coder = RangeDecoder(body)
    taxon, reason, pressure, esd_um, score, side_px = _code_facts(coder, n_taxa, None)
    pixels = read_thumbnail(coder)
    if not coder.exhausted:
        raise MessageError("goes on after its picture", remedy="leave it out")
    return Picture(
        taxon - 1, Reason(reason), pressure - 1 if pressure else None, esd_um, score, side_px, pixels
    )


def _code_facts(coder: Coder, n_taxa: int, known: Picture | None) -> tuple[int, int, int, int, int, int]:
    pressure = 0
    if known is not None and known.pressure_dbar is not None:
        pressure = known.pressure_dbar + 1
    return (
        coder.uniform(n_taxa + 1, known.taxon + 1 if known else 0),
        coder.uniform(len(Reason), known.reason if known else 0),
        coder.uniform(_MAX_PRESSURE_DBAR + 2, pressure),
        _code_length(coder, known.esd_um if known else 0),
        coder.uniform(1001, known.score_permille if known else 0),
        _code_length(coder, known.side_px if known else 0),
    )


def _code_length(coder: Coder, value: int) -> int:
    """A number below 2 ** 24: how many bits it has, and the bits."""
    bits = coder.uniform(_MAX_BITS + 1, value.bit_length())
    if bits < 2:
        return bits
    return 1 << (bits - 1) | coder.uniform(1 << (bits - 1), value & ((1 << (bits - 1)) - 1))


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The classified particles of a dive.

    Attributes
    ----------
    number
        int64 (n,), by which ties are broken.
    taxon
        int64 (n,), column of the counted taxa, or `UNCLASSIFIED`.
    score_permille
        int64 (n,), of the highest score.
    evidence
        float32 (n,), of `edge.inference.classifier.evidence`, low for what is new; NaN where it is not known.
    esd_um
        int64 (n,).
    has_picture
        bool (n,): whether it can be sent. The others count as objects of their taxa.
    """

    number: Ints
    taxon: Ints
    score_permille: Ints
    evidence: NDArray[np.float32]
    esd_um: Ints
    has_picture: NDArray[np.bool_]


def choose(
    candidates: Candidates, living: Sequence[bool], n_pictures: int, sure_permille: int = SURE_PERMILLE
) -> list[tuple[int, Reason]]:
    """Which particles to send, the most wanted first: each reason in turn names its next one.

    Parameters
    ----------
    candidates
        All classified particles.
    living
        Whether each counted taxon is an organism.
    n_pictures
        At most so many.
    sure_permille
        Least score of a confident answer.

    Returns
    -------
    Rows of `candidates` with the reason of each, none twice.
    """
    queues = {
        Reason.RAREST: _rarest(candidates, living, sure_permille),
        Reason.LEAST_SURE: np.lexsort((candidates.number, candidates.score_permille)),
        Reason.MOST_NOVEL: _most_novel(candidates),
        Reason.LARGEST: np.lexsort((candidates.number, -candidates.esd_um)),
    }
    waiting = {reason: iter(rows[candidates.has_picture[rows]].tolist()) for reason, rows in queues.items()}
    taken: dict[int, Reason] = {}
    while len(taken) < n_pictures and waiting:
        for reason in tuple(waiting):
            row = next((row for row in waiting[reason] if row not in taken), None)
            if row is None:
                del waiting[reason]
            elif len(taken) < n_pictures:
                taken[row] = reason
    return list(taken.items())


def _rarest(candidates: Candidates, living: Sequence[bool], sure_permille: int) -> Ints:
    """The surest of each living taxon, the rarest taxon first; then the second surest of each, and so on."""
    objects = np.bincount(candidates.taxon[candidates.taxon >= 0], minlength=len(living))
    alive = np.append(np.array(living, dtype=np.bool_), False)  # the last is that of `UNCLASSIFIED`
    wanted = alive[candidates.taxon] & (candidates.score_permille >= sure_permille) & candidates.has_picture
    rows = np.flatnonzero(wanted)
    taxon, number = candidates.taxon[rows], candidates.number[rows]
    by_taxon = rows[np.lexsort((number, -candidates.score_permille[rows], taxon))]
    taxon = candidates.taxon[by_taxon]
    place = np.arange(len(by_taxon)) - np.searchsorted(taxon, taxon)
    return np.asarray(by_taxon[np.lexsort((taxon, objects[taxon], place))])


def _most_novel(candidates: Candidates) -> Ints:
    rows = np.flatnonzero(np.isfinite(candidates.evidence))
    return np.asarray(rows[np.lexsort((candidates.number[rows], candidates.evidence[rows]))])
