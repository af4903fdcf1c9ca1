"""The dive behind the golden messages, made in integers alone, and the plans that are kept of it."""

from __future__ import annotations

import functools
import random

import msgspec
import numpy as np

from edge.frame import N_OUTCOMES, Phase
from edge.profile import Profile
from edge.telemetry.climatology import Climatology
from edge.telemetry.health import Health
from edge.telemetry.picture import Picture, Reason
from edge.telemetry.planner import plan
from edge.telemetry.replies import Reply, Verdict
from edge.telemetry.summary import DiveSummary
from tests.edge.telemetry.dives import FIVE_DBAR, make_codebook, make_phase

KINDS = {
    "flat": {"budget_bytes": 900, "message_bytes": 340},
    "regional": {"budget_bytes": 900, "message_bytes": 340, "regional": True},
    "short": {"budget_bytes": 400, "message_bytes": 31},
    "totals": {"budget_bytes": 40, "message_bytes": 51},
    "parity": {"budget_bytes": 1200, "message_bytes": 200, "n_parity": 2},
    "layered": {"budget_bytes": 10**6, "message_bytes": 340, "layered": True},
    "lossless": {"budget_bytes": 10**6, "message_bytes": 340},
    "pictures": {"budget_bytes": 10**6, "message_bytes": 340, "with_pictures": True},
}
"""Options of the plans."""
_BINS, _TAXA, _CLASSES = 60, 8, 10


def _table(r: random.Random, columns: int, bits: int) -> np.ndarray:
    rows = [
        [r.getrandbits(1 + r.randrange(bits)) * (r.random() < 0.6) for _ in range(columns)]
        for _ in range(_BINS)
    ]
    return np.array(rows, dtype=np.int64)


@functools.cache
def golden_region() -> Climatology:
    """A climatology of round numbers."""
    taxa = {f"taxon {k}": tuple(1 + 100 * (k + 1) * (60 - i) for i in range(60)) for k in range(_TAXA - 1)}
    book = make_codebook(_TAXA, FIVE_DBAR, _CLASSES, max_dbar=5 * _BINS)
    return Climatology(
        name="golden",
        n_dives=1,
        taxa=taxa,
        size_class_limits_um=book.optics.size_class_limits_um,
        sizes=tuple(tuple(30_000 >> k for _ in range(60)) for k in range(_CLASSES)),
    )


@functools.cache
def golden_dive() -> DiveSummary:
    """Three phases, and all that only some dives have."""
    r = random.Random(11)
    book = make_codebook(_TAXA, FIVE_DBAR, _CLASSES, max_dbar=5 * _BINS)
    book = msgspec.structs.replace(book, climatology_sha256=golden_region().sha256)
    parts = tuple(
        make_phase(book, phase, _table(r, _TAXA, 4), _table(r, _CLASSES, 9), _table(r, N_OUTCOMES, 3))
        for phase in Phase
    )
    profile = Profile(parts)
    count = profile.taxa()
    quantiles = np.full((_TAXA, 5), 0, dtype=np.int64)
    quantiles[1] = (100, 104, 110, 120, 130)
    return DiveSummary(
        4711,
        book,
        profile,
        1_700_000_000_000,
        1_700_090_000_500,
        corrected=np.stack([count, count - count // 5, count + 3]),
        doubt=count // 9,
        health=Health(battery_mv=11_800, restarts=2),
        replies=(Reply(7, Verdict.DONE, 0),),
    )


def _picture() -> Picture:
    pixels = np.fromfunction(
        lambda y, x: (x * 5 + y * 3) % 200 * ((x - 20) ** 2 + (y - 24) ** 2 < 300), (48, 40)
    )
    return Picture(1, Reason.RAREST, 123, 900, 812, 48, pixels.astype(np.uint8))


@functools.cache
def golden_messages(kind: str) -> tuple[bytes, ...]:
    """Messages of a plan."""
    options = dict(KINDS[kind])
    region = golden_region() if options.pop("regional", False) else None
    pictures = (_picture(),) if options.pop("with_pictures", False) else ()
    messages = plan(
        golden_dive(),
        int(options["budget_bytes"]),
        int(options["message_bytes"]),
        climatology=region,
        n_parity=int(options.get("n_parity", 0)),
        pictures=pictures,
        is_layered=bool(options.get("layered", False)),
    ).messages
    return messages[-1:] if pictures else messages
