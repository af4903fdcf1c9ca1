"""All of science from one dive: every part put through every method, as rows of tables. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge.quantification import EstimatedCounts, count_from_scores
from tools.shore.science import morphospace, orientation
from tools.shore.science.biomass import TaxonRow, taxon_rows
from tools.shore.science.carbon import Relations
from tools.shore.science.flux import Flux, FluxRelation, flux
from tools.shore.science.layers import Layer, Named, Scope, SeenDive, scopes
from tools.shore.science.morphospace import Morphospace
from tools.shore.science.orientation import Axes
from tools.shore.science.slope import Slope, likelihood, regression
from tools.shore.science.spectra import Floats, Ints, Spectrum, spectrum

SLOPE_FROM_UM, SLOPE_TO_UM = 100.0, 5200.0
"""Sizes between which slopes are fitted, where the dive's classes reach so far."""
LEAST_CORRECTED = 5
"""Fewer named particles are not corrected: their interval would be all of them."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """The morphospace of a dive.

    Attributes
    ----------
    space
        Its axes.
    places
        (n, components) of the particles with measures.
    which
        int64 (n,), their rows in `SeenDive.named`.
    examples
        Row in `SeenDive.named`, and place on the first two axes, of particles with a vignette.
    """

    space: Morphospace
    places: Floats
    which: Ints
    examples: tuple[tuple[int, float, float], ...]


@dataclass(frozen=True, slots=True)
class Science:
    """What a dive says; every list has the dive first, then its phases, then its layers.

    Attributes
    ----------
    seen, relations
        What it was made of.
    spectra
        By scope.
    fluxes
        By scope and relation.
    slopes
        By scope, each by three methods.
    taxa
        By scope, a row a taxon.
    shapes
        None where too few particles were measured.
    orientation
        By scope, and of which taxon (None: all).
    up_deg
        Where up was taken to be in the image.
    remarks
        Sentences to bear in mind.
    """

    seen: SeenDive
    relations: Relations
    spectra: list[tuple[Scope, Spectrum]]
    fluxes: list[tuple[Scope, FluxRelation, Flux]]
    slopes: list[tuple[Scope, Slope]]
    taxa: list[tuple[Scope, list[TaxonRow]]]
    shapes: Shapes | None
    orientation: list[tuple[Scope, str | None, Axes]]
    up_deg: float
    remarks: tuple[str, ...]


def analyse(
    seen: SeenDive, relations: Relations, *, up_deg: float = 90.0, correct_layers: bool = True
) -> Science:
    """Everything of one dive.

    Parameters
    ----------
    seen
        As it was read.
    relations
        Published relations to use.
    up_deg
        Where up is in the image, degrees counter-clockwise from the right.
    correct_layers
        Whether every layer is corrected for what the model confuses, which takes up to a second each.
    """
    spectra, fluxes, slopes, taxa = [], [], [], []
    parts = scopes(seen.layers)
    for layer, inside in parts:
        found = spectrum(layer.sized, seen.edges_um)
        spectra.append((layer.scope, found))
        fluxes += [(layer.scope, one, flux(layer.sized, one)) for one in relations.flux]
        fitted = (seen.edges_um[:-1] >= SLOPE_FROM_UM) & (seen.edges_um[1:] <= SLOPE_TO_UM)
        edges = seen.edges_um[np.flatnonzero(np.append(fitted, False) | np.insert(fitted, 0, False))]
        count, litres = found.count[fitted], layer.sized.volume_l
        slopes += [
            (layer.scope, regression(count, edges, litres)),
            (layer.scope, regression(count, edges, litres, by_counts=True)),
            (layer.scope, likelihood(count, edges, litres)),
        ]
        if seen.named is not None:
            mine = np.isin(seen.named.layer, inside)
            right = None
            if layer.scope.phase is None:
                right = seen.corrected
            elif correct_layers or not layer.scope.is_layer:
                right = _corrected(seen, seen.named, mine)
            rows = taxon_rows(
                seen.labels,
                seen.named.taxon[mine],
                seen.named.esd_um[mine],
                layer.named_l,
                relations.carbon,
                right,
            )
        else:
            right = seen.corrected if layer.scope.phase is None else None
            rows = _counts_alone(seen.labels, layer.taxa, layer.named_l, right)
        taxa.append((layer.scope, rows))
    return Science(
        seen,
        relations,
        spectra,
        fluxes,
        slopes,
        taxa,
        None if seen.named is None else _shapes(seen.named),
        [] if seen.named is None else _orientation(seen, parts, up_deg),
        up_deg,
        tuple(_remarks(seen)),
    )


def _corrected(seen: SeenDive, named: Named, mine: np.ndarray) -> EstimatedCounts | None:
    if seen.correction is None or named.scores is None or int(mine.sum()) < LEAST_CORRECTED:
        return None
    implied, usual, spread = seen.correction
    if named.scores.shape[1] != len(usual):
        return None
    return count_from_scores(named.scores[mine], implied, usual, spread=spread)


def _counts_alone(
    labels: list[str], counts: Ints, litres: float, corrected: EstimatedCounts | None
) -> list[TaxonRow]:
    """Rows of taxa whose particles nobody has one by one: no biovolume, no carbon."""
    rows = []
    every = np.repeat(np.arange(len(labels)), counts)
    for row in taxon_rows(labels, every, np.full(len(every), math.nan), litres, (), corrected):
        values = {name: getattr(row, name) for name in row.__slots__}
        unknown = {name: math.nan for name in values if "mm3" in name or "ug_c" in name}
        rows.append(TaxonRow(**(values | unknown)))
    return rows


def _shapes(named: Named) -> Shapes | None:
    which = np.flatnonzero(np.isfinite(named.measures).all(axis=1) & ~named.on_border)
    space = morphospace.fit(named.measures[which])
    if space is None:
        return None
    places = space.place(named.measures[which])
    usable = np.flatnonzero(named.has_vignette[which])
    shown = morphospace.examples(places, usable)
    return Shapes(space, places, which, tuple((int(which[i]), x, y) for i, x, y in shown))


def _orientation(
    seen: SeenDive, parts: list[tuple[Layer, Ints]], up_deg: float
) -> list[tuple[Scope, str | None, Axes]]:
    named = seen.named
    assert named is not None
    telling = orientation.is_telling(named.measure("elongation"), named.measure("area_px"), named.on_border)
    telling &= np.isfinite(named.angle_deg)
    angle = orientation.from_vertical(named.angle_deg, up_deg)
    found: list[tuple[Scope, str | None, Axes]] = []
    for layer, inside in parts:
        scope = layer.scope
        mine = telling & np.isin(named.layer, inside)
        found.append((scope, None, orientation.axial(angle[mine])))
        if not scope.is_layer:
            for i, label in enumerate(seen.labels):
                of = mine & (named.taxon == i)
                if of.any():
                    found.append((scope, label, orientation.axial(angle[of])))
    return found


def _remarks(seen: SeenDive) -> list[str]:
    said = [
        f"Particles below {seen.least_um:.0f} um are left out as noise; classes are those seen whole.",
        "Intervals hold nine times in ten; of flux, biovolume and carbon they are of counting and naming, "
        "not of the published relation, which may be off by factors.",
    ]
    if seen.named is not None and seen.corrected is None:
        said.append("The log has no corrected counts: what the model confuses is not in the intervals.")
    return [*said, *seen.cannot]
