"""What the shore knows of a dive: messages decoded, what each one holds, what did not arrive. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.errors import MessageError
from edge.frame import Phase
from edge.telemetry import WHOLE_DIVE, Codebook, DecodedDive, Provenance, Quantity, decode_messages
from edge.telemetry.climatology import Climatology
from edge.telemetry.decoded import DecodedPhase, DecodedTable
from edge.telemetry.expectation import Expectation
from edge.telemetry.header import MessageKind, unpack
from edge.telemetry.health import Condition, Health
from edge.telemetry.message import read_body
from edge.telemetry.picture import decode_picture
from edge.telemetry.replies import Reply
from edge.telemetry.summary import n_columns
from edge.telemetry.whole_dive import (
    SizesOfTaxon,
    condition_of,
    doubt_of,
    esd_quantiles_of,
    health_of,
    replies_of,
)
from tools.shore.report.curves import CurveSet, axis_edges, curves_of
from tools.shore.report.gallery import SentPicture, sent_pictures

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
    Quantity.CORRECTED: "corrected counts by taxon",
    Quantity.ESD_QUANTILES: "sizes within living taxa",
    Quantity.DOUBT: "names expected to be wrong",
    Quantity.HEALTH: "health of the instrument",
    Quantity.CONDITION: "condition of camera, model and process",
    Quantity.REPLIES: "replies to commands",
    Quantity.UNNAMED: "larger particles not classified",
    Quantity.REMAINDER: "what makes the size classes exact",
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
    """One table of the dive, and how finely it arrived in each scope of `ShoreView.scopes`."""

    table: str
    states: Sequence[str]


@dataclass(frozen=True, slots=True)
class ShoreView:
    """What the shore knows.

    Attributes
    ----------
    curves
        Counts along the bins.
    taxa, outcomes
        Counts of the dive by taxon, and frames by outcome; None when not all of the dive is known.
    corrected
        Of each taxon the corrected count and both ends of its 90 % interval, None where it did not arrive or
        is surely nothing;
        None when nothing was corrected or none arrived.
    messages, scopes, layers
        Rows for the tables of the page, and the columns of the second.
    missing
        Sentences about what did not arrive, or was not used.
    doubt
        Of each taxon how many names are expected to be wrong, None where it did not arrive.
    sizes
        Sizes within every living taxon, those that arrived.
    health, condition, replies
        Of the instrument, as far as they arrived.
    pictures
        Of particles, those that arrived.
    """

    curves: CurveSet
    taxa: Sequence[int] | None
    outcomes: Sequence[int] | None
    messages: Sequence[MessageRow]
    scopes: Sequence[str]
    layers: Sequence[LayerRow]
    missing: Sequence[str]
    corrected: Sequence[tuple[int, int, int] | None] | None = None
    doubt: Sequence[int | None] | None = None
    sizes: Sequence[SizesOfTaxon] = ()
    health: Health | None = None
    condition: Condition | None = None
    replies: Sequence[Reply] = ()
    pictures: Sequence[SentPicture] = ()


def look_from_shore(
    messages: Mapping[str, bytes],
    codebook: Codebook,
    dive_number: int,
    n_sent: int,
    climatology: Climatology | None = None,
) -> ShoreView:
    """Decode messages, by name, of one dive; anything else among them is listed and left out.

    `n_sent` is how many the log says were sent.
    """
    names = list(messages)
    known = () if climatology is None else (climatology,)
    decoding = decode_messages(messages.values(), [codebook], known)
    faults = {names[position]: reason for position, reason in decoding.refused}
    rows, said = [], []
    for name, data in messages.items():
        fault = faults.get(name, "")
        if not fault and not unpack(data)[0].is_of(dive_number):
            fault = f"is of dive {unpack(data)[0].dive_number}; it is not used here"
        rows.append(MessageRow(name, len(data), "" if fault else _holds(data, codebook, climatology), fault))
    bad = sum(bool(row.fault) for row in rows)
    if bad:
        said.append(f"{bad} of {len(rows)} messages could not be used: see the table of messages.")
    if decoding.duplicates:
        said.append(f"{decoding.duplicates} messages came more than once and count once.")
    dive = next((one for one in decoding.dives if one.is_of(dive_number)), None)
    if dive is None:
        said.append(
            f"No message of this dive is at hand ({n_sent} were sent): the shore knows nothing of it."
        )
        return ShoreView(CurveSet(), None, None, rows, [], [], said)
    if not dive.is_complete:
        sentence = dive.missing_sentence()
        said.append(
            f"{sentence[0].upper()}{sentence[1:]}: what only they hold is a gap or a dash on this page."
        )
    scopes, layers = _layers(dive)
    taxa, outcomes = dive.totals(Quantity.TAXA), dive.totals(Quantity.FRAMES)
    if Quantity.FRAMES in dive.whole and not dive.phases:
        said.append("Only totals of the whole dive are on shore: there it is not known by depth or time.")
    coarse = _coarse_share(dive)
    if coarse:
        said.append(
            f"{coarse:.0%} of the bins of taxa and size classes came to shore in wider cells, to keep within "
            "the budget: there the curve on shore is one step over the cell, and no finer number is made up."
        )
    return ShoreView(
        curves_of(dive),
        taxa[0].tolist() if taxa[1] else None,
        outcomes[0].tolist() if outcomes[1] else None,
        rows,
        scopes,
        layers,
        said,
        _corrected(dive),
        doubt_of(dive),
        [sizes for sizes in esd_quantiles_of(dive) if sizes.is_known],
        health_of(dive),
        condition_of(dive),
        replies_of(dive),
        sent_pictures(dive.pictures, [taxon.label for taxon in codebook.taxa], codebook.optics.pixel_um),
    )


def _corrected(dive: DecodedDive) -> list[tuple[int, int, int] | None] | None:
    found = dive.corrected()
    if found is None:
        return None
    counts, known = found
    return [
        # A parent and `unclassified` are corrected to nothing: their particles are among the taxa.
        (int(count), int(low), int(high)) if there and high else None
        for count, low, high, there in zip(*counts, known, strict=True)
    ]


def _holds(data: bytes, codebook: Codebook, climatology: Climatology | None) -> str:
    """Tables in a message, in words."""
    try:
        header, body = unpack(data)
        if header.kind is MessageKind.PARITY:
            return f"parity {header.part + 1} of the {header.n_parts} messages before it"
        if header.kind is MessageKind.PICTURE:
            picture = decode_picture(body, len(codebook.taxa))
            label = codebook.taxa[picture.taxon].label if picture.taxon >= 0 else "unclassified"
            return f"picture {header.part + 1} of {header.n_parts}: {label}, {picture.reason.label}"
        regional = climatology if header.kind is MessageKind.REGIONAL else None
        segments = [segment for segment, _ in read_body(body, Expectation(codebook, regional))]
    except MessageError as error:  # decoded once already: only a message of another codebook comes here
        return str(error)
    tables: dict[Quantity, dict[int, set[int]]] = {}
    for segment in segments:
        tables.setdefault(segment.quantity, {}).setdefault(segment.scope, set()).update(
            range(segment.column, max(segment.stop, segment.column + 1))
        )
    parts = []
    for quantity, scopes in tables.items():
        of = n_columns(codebook, quantity)
        places = [
            _scope(scope) + (f" {len(columns)} of {of}" if len(columns) < of else "")
            for scope, columns in scopes.items()
        ]
        parts.append(WORDS[quantity] + (f" ({', '.join(places)})" if quantity is not Quantity.DIVE else ""))
    return f"part {header.part + 1} of {header.n_parts}: {'; '.join(parts)}"


def _scope(scope: int) -> str:
    return "whole dive" if scope == WHOLE_DIVE else Phase(scope).name.lower()


def _layers(dive: DecodedDive) -> tuple[list[str], list[LayerRow]]:
    """Scopes of the dive, and of every table how it arrived in each of them."""
    scopes: list[tuple[str, Mapping[Quantity, DecodedTable], DecodedPhase | None]] = [
        (_scope(phase), part.tables, part) for phase, part in dive.phases.items()
    ]
    if dive.whole:
        scopes.append((_scope(WHOLE_DIVE), dive.whole, None))
    rows = []
    for quantity in Quantity:
        states = [_state(tables[quantity], part) if quantity in tables else "–" for _, tables, part in scopes]
        if quantity is not Quantity.DIVE and any(state != "–" for state in states):
            rows.append(LayerRow(WORDS[quantity], states))
    return [name for name, _, _ in scopes], rows


def _state(table: DecodedTable, part: DecodedPhase | None) -> str:
    """How fine a table is, in words."""
    if part is None or not table.quantity.has_bins:
        return "totals"
    _, provenance, _ = table.dense()
    known = float((provenance != Provenance.MISSING).mean()) if provenance.size else 0.0
    some = "" if known == 1 else f", {known:.0%} of it"
    widths = table.last - table.first
    if not (widths > 1).any():
        exact = "exact" if table.is_exact else "companded"
        return ("bin by bin, rounded" if table.quantity.is_mean else f"bin by bin, {exact}") + some
    some += "" if table.is_exact else ", companded"
    if int(widths.max()) == table.n_bins:
        return f"one cell over the phase{some}"
    edges = axis_edges(part.phase, part.edges)
    unit = "h" if part.phase is Phase.PARK else "dbar"
    return f"cells of up to {float((edges[table.last] - edges[table.first]).max()):g} {unit}{some}"


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
