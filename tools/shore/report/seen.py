"""The words and rows of the section on science, and of what is compared with the dives before. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tools.shore.report.digest import Digest
from tools.shore.report.facts import utc_text
from tools.shore.report.style import short
from tools.shore.science.analysis import Science
from tools.shore.science.biomass import TaxonRow, carbon_total
from tools.shore.science.slope import Slope


@dataclass(frozen=True, slots=True)
class Line:
    """One row for people: a name, a value, and its interval or more about it."""

    name: str
    value: str
    more: str = ""


def ends(value: float, low: float, high: float, unit: str = "") -> tuple[str, str]:
    """A number with its unit, and its interval; a dash where it is not known."""
    if not math.isfinite(value):
        return "–", ""
    interval = f"{short(low)} to {short(high)}" if math.isfinite(low) and math.isfinite(high) else ""
    return f"{short(value)} {unit}".rstrip(), interval


def science_context(science: Science) -> dict[str, Any]:
    """What the section on science needs."""
    whole = science.taxa[0][1]
    named = [row for row in whole if row.count or row.corrected > 0]
    return {
        "lines": _lines(science),
        "taxa": [_taxon(row) for row in sorted(named, key=lambda row: -row.count)],
        "relations": [
            (one.name, f"{one.a:g} · d^{one.b:g}, {one.from_um:g} to {one.to_um:g} µm", one.source, one.note)
            for one in science.relations.flux
        ]
        + [
            (one.name, f"{one.a:g} · {one.x.value}^{one.b:g} {one.unit.value}", one.source, one.note)
            for one in science.relations.carbon
            if any(row.conversion == one.name for row in named)
        ],
        "remarks": science.remarks,
    }


def _lines(science: Science) -> list[Line]:
    found = []
    for scope, relation, flux in science.fluxes:
        if scope.phase is None:
            value, interval = ends(flux.value, flux.low, flux.high, "mg C m⁻² d⁻¹")
            about = f"{interval}; " if interval else ""
            sizes = f"{relation.from_um:g} to {relation.to_um:g} µm"
            found.append(
                Line(f"flux after {relation.name}", value, f"{about}{flux.particles:,} particles of {sizes}")
            )
    for scope, slope in science.slopes:
        if scope.phase is None and slope.method != "weighted regression":
            value, interval = ends(slope.value, slope.low, slope.high)
            found.append(Line(f"slope by {slope.method}", value, interval))
    spectrum = science.spectra[0][1]
    if spectrum.volume_l > 0:
        mm3 = float(spectrum.mm3_per_l.sum())
        found.append(
            Line("biovolume of all sized", f"{short(mm3)} mm³ L⁻¹", "of spheres of the same cross-section")
        )
    total, share = carbon_total(science.taxa[0][1])
    if math.isfinite(share) and share > 0:
        found.append(
            Line(
                "carbon of the named",
                f"{short(total)} mg m⁻³",
                f"of the {share:.0%} that have a conversion",
            )
        )
    axes = science.orientation[0][2] if science.orientation else None
    if axes is not None and axes.n:
        found.append(
            Line(
                "elongated particles lie",
                f"{axes.from_vertical_deg:.0f}° from the vertical",
                f"{axes.n:,} of them; resultant {axes.length:.2f}, by chance p {axes.p:.2g}",
            )
        )
    return found


def _taxon(row: TaxonRow) -> dict[str, str]:
    """Cells of a taxon, per m3."""
    cells = {"label": row.label, "count": f"{row.count:,}", "conversion": row.conversion}
    for name, scale, values in (
        ("per_m3", 1000, (row.per_l, row.per_l_low, row.per_l_high)),
        ("corrected", 1000, (row.corrected_per_l, row.both_low, row.both_high)),
        ("mm3", 1000, (row.mm3_per_l, row.mm3_per_l_low, row.mm3_per_l_high)),
        ("carbon", 1, (row.ug_c_per_l, row.ug_c_per_l_low, row.ug_c_per_l_high)),
    ):
        cells[name], cells[f"{name}_more"] = ends(scale * values[0], scale * values[1], scale * values[2])
    return cells


def dive_row(one: Digest) -> dict[str, Any]:
    """Cells of a dive in a table of dives."""
    science = one.science
    fluxes = {relation.name: flux for scope, relation, flux in science.fluxes if scope.phase is None}
    slope = next(
        (s for scope, s in science.slopes if scope.phase is None and s.method.startswith("max")), None
    )
    first = next(iter(fluxes.values()), None)
    spectrum = science.spectra[0][1]
    named = sum(row.count for row in science.taxa[0][1])
    total, share = carbon_total(science.taxa[0][1])
    seen = science.seen
    return {
        "number": one.number,
        "platform": one.platform,
        "time": "–" if one.started_ms is None else utc_text(one.started_ms),
        "place": "–"
        if seen.latitude_deg is None or seen.longitude_deg is None
        else f"{seen.latitude_deg:.2f}, {seen.longitude_deg:.2f}",
        "from": "log" if one.from_log else "messages",
        "frames": "–" if one.frames is None else f"{one.frames:,}",
        "sized": "–" if not spectrum.volume_l > 0 else short(float(spectrum.count.sum()) / spectrum.volume_l),
        "named": f"{named:,}",
        "flux": "–" if first is None else ends(first.value, first.low, first.high)[0],
        "flux_more": "" if first is None else ends(first.value, first.low, first.high)[1],
        "slope": "–" if slope is None else _slope(slope),
        "carbon": short(total) if math.isfinite(share) and share > 0 else "–",
        "bytes": f"{one.sent_bytes:,}",
        "budget": "–" if one.budget_bytes is None else f"{one.budget_bytes:,}",
        "messages": one.n_messages,
        "battery": "–"
        if one.health is None or one.health.battery_mv is None
        else f"{one.health.battery_mv / 1000:.2f} V",
        "drift": "–"
        if one.condition is None or one.condition.drift_permille is None
        else f"{one.condition.drift_permille / 1000:.3f}",
        "remarks": " ".join(science.seen.cannot),
    }


def _slope(slope: Slope) -> str:
    return ends(slope.value, slope.low, slope.high)[0]


def dive_rows(dives: Sequence[Digest]) -> list[dict[str, Any]]:
    """A row a dive."""
    return [dive_row(one) for one in dives]
