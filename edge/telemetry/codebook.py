"""What both ends of the link know before a dive: the schema of its messages. Pure.

The schema is the bit budget, as in DCCL: which taxa in which order, size classes, bins, optics. Messages
carry the start of its hash instead; a shore that lacks the codebook can say which one it needs.
"""

from __future__ import annotations

import functools
import hashlib

import msgspec

from edge.config import ProfileConfig
from edge.errors import MessageError
from edge.frame import Phase
from edge.optics import Optics
from edge.taxonomy import Taxon

FORMAT = 1
"""Version of codebook and messages; see docs/wire-format.md."""
ID_BYTES = 2
"""Bytes of the codebook's hash in every message."""
MAX_BINS = 1 << 14
"""Most bins a phase may have."""


class Codebook(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything needed to read the messages of an instrument.

    Attributes
    ----------
    taxa
        Counted taxa in the order of the profile's columns.
    profile
        Bins of descent and ascent, and length of a park bin.
    optics
        Image volume and size classes; and, for the record, how particles were sized.
    bundle_sha256
        Hash of the model bundle that named the taxa, hexadecimal; "" when nothing was classified.
    platform
        Name or serial number of the instrument, so that two instruments alike do not share a codebook.
    climatology_sha256
        Hash of the climatology that messages may be coded with, hexadecimal; "" when there is none.
    format
        Version of the codebook and of the messages made with it.
    """

    taxa: tuple[Taxon, ...]
    profile: ProfileConfig
    optics: Optics
    bundle_sha256: str = ""
    platform: str = ""
    climatology_sha256: str = ""
    format: int = FORMAT

    def __post_init__(self) -> None:
        if len(self.taxa) > 255:
            raise ValueError("taxa holds more than 255 taxa")
        labels = [taxon.label for taxon in self.taxa]
        if len(set(labels)) != len(labels):
            raise ValueError("taxa holds the same label twice")
        if self.format != FORMAT:
            raise ValueError(f"format is {self.format}, {FORMAT} is the one known here")

    def to_json(self) -> bytes:
        """Canonical JSON: sorted keys, numbers as their types have them; the hash is of these bytes."""
        normal = msgspec.json.decode(msgspec.json.encode(self), type=Codebook)
        return msgspec.json.encode(normal, order="sorted")

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON, hexadecimal."""
        return _sha256(self)

    @property
    def id(self) -> bytes:
        """Start of the hash, as messages carry it."""
        return bytes.fromhex(self.sha256)[:ID_BYTES]

    def edges(self, phase: Phase, n_bins: int) -> tuple[int, ...]:
        """Edges of the first `n_bins` bins of a phase, dbar, or s since the park began."""
        if phase is Phase.PARK:
            return tuple(i * self.profile.park_bin_s for i in range(n_bins + 1))
        return _edges_dbar(self.profile)[: n_bins + 1]

    def max_bins(self, phase: Phase) -> int:
        """Most bins a phase can have."""
        return MAX_BINS if phase is Phase.PARK else len(_edges_dbar(self.profile)) - 1


def load_codebook(data: bytes, *, file: str | None = None) -> Codebook:
    """Codebook from its JSON; `MessageError` names what is wrong with it."""
    try:
        return msgspec.json.decode(data, type=Codebook)
    except msgspec.DecodeError as cause:
        problem = str(cause)
        raise MessageError(
            f"is not a codebook ({problem[0].lower() + problem[1:]})",
            file=file,
            remedy="use the codebook.json written beside the messages",
        ) from None


@functools.lru_cache(maxsize=64)
def _sha256(codebook: Codebook) -> str:
    return hashlib.sha256(codebook.to_json()).hexdigest()


@functools.lru_cache(maxsize=64)
def _edges_dbar(profile: ProfileConfig) -> tuple[int, ...]:
    return tuple(profile.edges_dbar())
