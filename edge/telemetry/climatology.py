"""What dives of a region hold on average, by depth: counts of taxa and of size classes. Pure, in integers.

A file with a hash of its own, which the codebook names: both ends have it or the messages coded with it are
not read. A taxon or depth that it does not know is expected as if nothing were known.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np

from edge.errors import MessageError

MAX_MEAN = 1 << 40
"""Largest mean count of a step, thousandths."""
Mean = Annotated[int, msgspec.Meta(ge=0, le=MAX_MEAN)]
MEAN_ONE = 1000
"""Mean counts are in thousandths."""
MAX_STEPS = 6000


class Climatology(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """Mean counts of a dive of a region, in steps of depth.

    Attributes
    ----------
    name, n_dives
        The region in words, and how many dives it was learned from.
    step_dbar
        Height of a step, from the surface down.
    taxa
        By label of the taxon: mean count of each step, thousandths.
    size_class_limits_um, sizes
        Lower limits of the size classes, and of each class the mean count of each step, thousandths.
    total_spread
        Relative variance of a taxon's total from dive to dive, 65536ths.
    """

    name: str
    n_dives: Annotated[int, msgspec.Meta(ge=1)]
    step_dbar: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 5
    taxa: dict[str, Annotated[tuple[Mean, ...], msgspec.Meta(max_length=MAX_STEPS)]] = {}
    size_class_limits_um: tuple[float, ...] = ()
    sizes: tuple[Annotated[tuple[Mean, ...], msgspec.Meta(max_length=MAX_STEPS)], ...] = ()
    total_spread: Annotated[int, msgspec.Meta(ge=64, le=8 << 16)] = 28000

    def __post_init__(self) -> None:
        if len(self.sizes) != len(self.size_class_limits_um):
            raise ValueError("sizes and size_class_limits_um differ in length")

    def to_json(self) -> bytes:
        """Canonical JSON: sorted keys; the hash is of these bytes."""
        normal = msgspec.json.decode(msgspec.json.encode(self), type=Climatology)
        return msgspec.json.encode(normal, order="sorted")

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of the canonical JSON, hexadecimal."""
        return hashlib.sha256(self.to_json()).hexdigest()


def load_climatology(data: bytes, *, file: str | None = None) -> Climatology:
    """Climatology from its JSON; `MessageError` names what is wrong with it."""
    try:
        return msgspec.json.decode(data, type=Climatology)
    except msgspec.DecodeError as cause:
        problem = str(cause)
        raise MessageError(
            f"is not a climatology ({problem[0].lower() + problem[1:]})",
            file=file,
            remedy="use a file that seston climatology wrote",
        ) from None


def rebin(steps: Sequence[int], step_dbar: int, edges_dbar: Sequence[int], shift: int = 0) -> tuple[int, ...]:
    """Mean counts between edges, thousandths, at least 1 each: a count that was never seen may still come.

    Within a step a count is shared evenly; what lies below the last step holds none. Shifted by some steps,
    the water lies deeper; the first and the last step reach as far as is asked.
    """
    if shift > 0 and steps:
        steps = [steps[0]] * shift + list(steps)
    elif shift < 0 and steps:
        steps = list(steps[-shift:]) + [steps[-1]] * -shift
    counts = np.array((*steps, 0), dtype=np.int64)
    sums = np.concatenate(([0], np.cumsum(counts[:-1])))
    whole, part = np.divmod(np.array(edges_dbar, dtype=np.int64), step_dbar)
    whole = np.minimum(whole, len(steps))
    below = sums[whole] + counts[whole] * part // step_dbar
    return tuple(np.maximum(1, np.diff(below)).tolist())
