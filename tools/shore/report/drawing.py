"""All plots of a dive by the id of their place on the page. Pure; `figures` says what each looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.frame import Phase
from edge.telemetry.decoded import DecodedDive
from tools.shore.exports.tables import DataMode, DiveTables
from tools.shore.report import dive_figures, figures
from tools.shore.report.curves import Curves, CurveSet, Source, frame_curves, noise_curves
from tools.shore.report.style import Figure

Sets = Mapping[Source, CurveSet]


@dataclass(frozen=True, slots=True)
class Panel:
    """One place in the grid of profiles: all particles of a kind, or one taxon, by its index."""

    name: str
    label: str
    total: float
    taxon: int | None = None


def panels(dive: DecodedDive, shown: Sequence[str]) -> list[Panel]:
    """Profiles to draw: all sized particles, all classified ones, then the counted taxa of `shown`."""
    column = {taxon.label: i for i, taxon in enumerate(dive.codebook.taxa)}
    totals = dive.taxa().tolist()
    return [
        Panel("sized", "all sized particles", float(dive.lpm().sum())),
        Panel("classified", "all classified particles", float(sum(totals))),
        *(
            Panel(f"taxon-{i}", label, float(totals[column[label]]), column[label])
            for i, label in enumerate(name for name in shown if name in column)
        ),
    ]


def draw(
    tables: DiveTables, sets: Sets, wanted: Sequence[Panel], width_dbar: int | None
) -> dict[str, Figure]:
    """Every plot but the track, with descent and ascent in bins of about `width_dbar` (None: as recorded)."""
    optics, frames = tables.codebook.optics, frame_curves(tables.decoded)
    pooled = {source: found.pooled(width_dbar) for source, found in sets.items()}
    deepest = _deepest(sets)
    # Where messages stand alone there is room for the interval of their counts; where particles were left
    # unnamed, counts are those of the named ones times a factor, and have none of this kind.
    is_alone = tables.mode is DataMode.REAL_TIME
    banded = {one for one in tables.decoded.phases if is_alone and not tables.decoded.has_unnamed(one)}
    plots: dict[str, Figure] = {}
    for panel in wanted:
        curves = _curves(pooled, panel)
        if not curves:  # totals alone came
            continue
        plots[f"profile-{panel.name}"] = figures.profile(curves, deepest=deepest, banded=banded)
        park = figures.park(curves)
        if park is not None:
            plots[f"park-{panel.name}"] = park
    shown = spectra(pooled)
    span = figures.colour_span([curves for _, curves in shown.values()])
    for phase, (_, found) in shown.items():
        plots[f"sizes-{phase.name.lower()}"] = figures.sizes(found, optics, span, deepest=deepest)
    if shown:
        plots["mean-sizes"] = figures.mean_sizes(spectra(sets), noise_curves(tables.decoded), optics)
        plots["volumes"] = dive_figures.volumes(pooled[finest(sets)], deepest=deepest)
    if frames:
        plots["frames"] = dive_figures.frames_by_depth(frames, deepest=deepest, width_dbar=width_dbar)
    others = {
        "frames-park": dive_figures.frames_by_time(frames),
        "temperature": dive_figures.temperatures(tables, deepest=deepest),
    }
    return plots | {place: plot for place, plot in others.items() if plot is not None}


def spectra(sets: Sets) -> dict[Phase, tuple[Source, Curves]]:
    """Size spectrum of each phase: the shore's where it has all of it, else the board's."""
    shown: dict[Phase, tuple[Source, Curves]] = {}
    source = finest(sets)
    for phase, best in sets[source].spectrum.items():
        shore = sets[Source.SHORE].spectrum.get(phase)
        known = shore is not None and shore.is_known
        shown[phase] = (Source.SHORE, shore) if shore is not None and known else (source, best)
    return shown


def tells_all(shore: CurveSet, board: CurveSet) -> bool:
    """Whether the shore has every table of every phase, so that its curves may stand alone."""
    return all(
        phase in found and found[phase].is_known
        for found, wanted in ((shore.taxa, board.taxa), (shore.spectrum, board.spectrum))
        for phase in wanted
    )


def finest(sets: Sets) -> Source:
    """Who knows the most: the board, where its log is at hand."""
    return Source.BOARD if sets[Source.BOARD].spectrum else Source.SHORE


def _curves(sets: Sets, panel: Panel) -> dict[Source, dict[Phase, Curves]]:
    """What each source has of a panel, one column a phase."""
    if panel.name == "sized":
        tables = {s: {p: c.total() for p, c in found.spectrum.items()} for s, found in sets.items()}
    elif panel.taxon is None:
        tables = {s: {p: c.total() for p, c in found.taxa.items()} for s, found in sets.items()}
    else:
        tables = {s: {p: c.column(panel.taxon) for p, c in found.taxa.items()} for s, found in sets.items()}
    return {source: table for source, table in tables.items() if table}


def _deepest(sets: Sets) -> float:
    """End of every pressure axis of the page, so that panels can be compared by eye."""
    ends = [
        float(curves.edges[-1])
        for found in sets.values()
        for table in (found.taxa, found.spectrum)
        for phase, curves in table.items()
        if phase is not Phase.PARK
    ]
    return max(ends, default=1.0)
