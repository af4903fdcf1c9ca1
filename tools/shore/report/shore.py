"""What the shore knows of a dive: messages decoded, what each one holds, what did not arrive. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge.errors import MessageError
from edge.frame import Phase
from edge.telemetry import WHOLE_DIVE, Codebook, DecodedDive, Quantity, decode_messages
from edge.telemetry.decoder import DecodedTable
from edge.telemetry.message import Segment, read_body, unpack
from tools.shore.report.curves import CurveSet, axis_edges, shore_curves

WORDS = {
    Quantity.DIVE: "facts of the dive",
    Quantity.FRAMES: "frames by outcome",
    Quantity.UNPLACED: "frames without pressure",
    Quantity.TAXA: "taxa",
    Quantity.SIZES: "size classes",
    Quantity.NOISE: "noise",
    Quantity.TEMPERATURE: "temperature",
    Quantity.GREY: "mean grey",
    Quantity.ESD: "mean ESD",
}


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One message: what it holds, or why it could not be used."""

    name: str
    n_bytes: int
    holds: str
    fault: str = ""


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One table of one phase, and how finely it arrived."""

    table: str
    scope: str
    state: str


@dataclass(frozen=True, slots=True)
class ShoreView:
    """What the shore knows.

    Attributes
    ----------
    curves
        Counts along the bins.
    taxa, outcomes
        Counts of the dive by taxon, and frames by outcome; None when not all of the dive is known.
    messages, layers
        Rows for the tables of the page.
    missing
        Sentences about what did not arrive, or was not used.
    """

    curves: CurveSet
    taxa: Sequence[int] | None
    outcomes: Sequence[int] | None
    messages: Sequence[MessageRow]
    layers: Sequence[LayerRow]
    missing: Sequence[str]


def look_from_shore(
    messages: Mapping[str, bytes], codebook: Codebook, dive_number: int, n_sent: int
) -> ShoreView:
    """Decode messages, by name, of one dive; anything else among them is listed and left out.

    `n_sent` is how many the log says were sent.
    """
    names = list(messages)
    decoding = decode_messages(messages.values(), [codebook])
    faults = {names[position]: reason for position, reason in decoding.refused}
    rows, said = [], []
    for name, data in messages.items():
        fault = faults.get(name, "")
        if not fault and unpack(data)[0].dive_number != dive_number:
            fault = f"is of dive {unpack(data)[0].dive_number}; it is not used here"
        rows.append(MessageRow(name, len(data), "" if fault else _holds(data, codebook), fault))
    bad = sum(bool(row.fault) for row in rows)
    if bad:
        said.append(f"{bad} of {len(rows)} messages could not be used: see the table of messages.")
    if decoding.duplicates:
        said.append(f"{decoding.duplicates} messages came more than once and count once.")
    dive = next((one for one in decoding.dives if one.dive_number == dive_number), None)
    if dive is None:
        said.append(
            f"No message of this dive is at hand ({n_sent} were sent): the shore knows nothing of it."
        )
        return ShoreView(CurveSet(), None, None, rows, [], said)
    if not dive.is_complete:
        sentence = dive.missing_sentence()
        said.append(
            f"{sentence[0].upper()}{sentence[1:]}: what only they hold is a gap or a dash on this page."
        )
    layers = _layers(dive)
    taxa, outcomes = dive.totals(Quantity.TAXA), dive.totals(Quantity.FRAMES)
    coarse = _coarse_share(dive)
    if coarse:
        said.append(
            f"{coarse:.0%} of the bins of taxa and size classes came to shore in wider cells, to keep within "
            "the budget: there the curve on shore is one step over the cell, and no finer number is made up."
        )
    return ShoreView(
        shore_curves(dive),
        taxa[0].tolist() if taxa[1] else None,
        outcomes[0].tolist() if outcomes[1] else None,
        rows,
        layers,
        said,
    )


def _holds(data: bytes, codebook: Codebook) -> str:
    """Tables in a message, in words."""
    try:
        header, body = unpack(data)
        segments = [segment for segment, _ in read_body(body, codebook)]
    except MessageError as error:  # decoded once already: only a message of another codebook comes here
        return str(error)
    tables: dict[tuple[Quantity, int], list[Segment]] = {}
    for segment in segments:
        tables.setdefault((segment.quantity, segment.scope), []).append(segment)
    parts = [
        f"{WORDS[quantity]} ({_scope(scope)}{_columns(found)})"
        if quantity is not Quantity.DIVE
        else WORDS[quantity]
        for (quantity, scope), found in tables.items()
    ]
    return f"part {header.part + 1} of {header.n_parts}: {', '.join(parts)}"


def _columns(segments: Sequence[Segment]) -> str:
    n = len({segment.column for segment in segments})
    if not segments[0].quantity.has_bins or n <= 1:
        return ""
    return f", {n} columns"


def _scope(scope: int) -> str:
    return "whole dive" if scope == WHOLE_DIVE else Phase(scope).name.lower()


def _layers(dive: DecodedDive) -> list[LayerRow]:
    """Every table that arrived, and every one of a count that a phase should have."""
    rows = [LayerRow(WORDS[quantity], "whole dive", "totals") for quantity in sorted(dive.whole)]
    for phase, part in dive.phases.items():
        for quantity in Quantity:
            table = part.tables.get(quantity)
            if table is not None and quantity.has_bins:
                rows.append(LayerRow(WORDS[quantity], phase.name.lower(), _state(table, phase, part.edges)))
            elif table is not None:
                rows.append(LayerRow(WORDS[quantity], phase.name.lower(), "all"))
            elif quantity.has_bins and quantity is not Quantity.DIVE:
                rows.append(LayerRow(WORDS[quantity], phase.name.lower(), "not sent, or missing"))
    return rows


def _state(table: DecodedTable, phase: Phase, edges: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> str:
    """How fine a table is, in words."""
    _, provenance, _ = table.dense()
    known = float((provenance > 0).mean()) if provenance.size else 0.0
    wide = table.last - table.first > 1
    part = "" if known == 1 else f", {known:.0%} of it"
    if not wide.any():
        return ("means, bin by bin" if table.quantity.is_mean else "bin by bin, exact") + part
    span = axis_edges(phase, edges)
    widest = float(np.max(span[table.last] - span[table.first]))
    unit = "h" if phase is Phase.PARK else "dbar"
    if int((table.last - table.first).max()) == table.n_bins:
        return f"one cell over the phase{part}"
    return f"cells of up to {widest:g} {unit}{part}"


def _coarse_share(dive: DecodedDive) -> float:
    """Share of the bins of taxa and sizes that arrived in wider cells."""
    coarse = total = 0
    for part in dive.phases.values():
        for quantity in (Quantity.TAXA, Quantity.SIZES):
            if quantity in part.tables:
                table = part.tables[quantity]
                widths = table.last - table.first
                coarse += int(widths[widths > 1].sum())
                total += int(widths.sum())
    return coarse / total if total else 0.0
