"""A plan in words: the layers of a dive with their resolution, and what a larger budget changes. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from edge.frame import Phase
from edge.telemetry import WHOLE_DIVE, Codebook, Quantity
from edge.telemetry.count_law import STEPS
from edge.telemetry.message import Segment
from edge.telemetry.planned import Plan, PlannedLayer

COLUMNS = ("table", "phase", "height", "resolution", "cells", "bytes", "exact")


def rows(plan: Plan, codebook: Codebook) -> list[tuple[str, ...]]:
    """One row a layer, in the order of sending, by `COLUMNS`; cells are those of one column of the table."""
    return [
        (
            layer.quantity.name.lower(),
            scope_name(layer.scope),
            "" if layer.height is None else str(layer.height),
            resolution(layer, codebook),
            f"{layer.n_cells} of {layer.n_bins}",
            str(layer.n_bytes),
            exactness(layer),
        )
        for layer in plan.layers
    ]


def scope_name(scope: int) -> str:
    """The name of a phase, or `dive`."""
    return "dive" if scope == WHOLE_DIVE else Phase(scope).name.lower()


def resolution(layer: PlannedLayer, codebook: Codebook) -> str:
    """Widths of the cells in dbar or s, "not sent" where nothing is; the narrowest and the widest."""
    if layer.height is None:
        return "not sent"
    if layer.scope == WHOLE_DIVE or not layer.quantity.has_bins:
        return "total"
    phase = Phase(layer.scope)
    edges = codebook.edges(phase, layer.last)
    cells = Segment(layer.quantity, layer.scope, layer.last, 0, layer.first, layer.last, layer.height).cells
    widths = [edges[b] - edges[a] for a, b in itertools.pairwise(cells)]
    # The last cell may be cut short by the end of the profile: it is no finer resolution.
    widths = widths[:-1] or widths
    unit = "s" if phase is Phase.PARK else "dbar"
    low, high = min(widths), max(widths)
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def exactness(layer: PlannedLayer) -> str:
    """Whether shore gets what the board counted: "yes", "to a step" (means), "in cells", or "".

    Companded counts are within a share of the standard deviation of chance.
    """
    if layer.height is None:
        return ""
    if layer.is_refined:
        return "yes, in two layers"
    if layer.step:
        within = f"within {1 / STEPS[layer.step]:g} sd"
        return within if layer.n_cells == layer.n_bins else f"in cells, {within}"
    if not layer.is_lossless:
        return "in cells"
    return "to a step" if layer.quantity.is_mean else "yes"


def changes(before: Plan, after: Plan, codebook: Codebook) -> list[str]:
    """What a second plan sends otherwise than a first one, a line a layer: finer ones first."""
    old = {_key(layer): layer for layer in before.layers}
    finer, coarser = [], []
    for layer in after.layers:
        was = old.get(_key(layer))
        line = f"{layer.quantity.name.lower()} of the {scope_name(layer.scope)}: "
        was_words = "not sent" if was is None else _fineness(was, codebook)
        line += f"{was_words} -> {_fineness(layer, codebook)}"
        rank, was_rank = _rank(layer), _rank(was)
        if rank < was_rank:
            finer.append(line)
        elif rank > was_rank:
            coarser.append(line + " (coarser)")
    gone = [layer for key, layer in old.items() if key not in set(map(_key, after.layers))]
    coarser += [
        f"{layer.quantity.name.lower()} of the {scope_name(layer.scope)}: no longer sent by itself"
        for layer in gone
        if layer.height is not None
    ]
    return finer + coarser


def _fineness(layer: PlannedLayer, codebook: Codebook) -> str:
    exact = exactness(layer) if layer.step or layer.n_cells == layer.n_bins else ""
    return resolution(layer, codebook) + (f" ({exact})" if exact.startswith("within") else "")


def _key(layer: PlannedLayer) -> tuple[Quantity, int, tuple[int, ...], int]:
    return layer.quantity, layer.scope, layer.columns, layer.first


def _rank(layer: PlannedLayer | None) -> int:
    return (
        1 << 10
        if layer is None or layer.height is None
        else 4 * layer.height + (0 if layer.is_refined else layer.step)
    )


def is_lossless(layers: Sequence[PlannedLayer]) -> bool:
    """Whether every table is sent bin by bin."""
    return all(layer.is_lossless for layer in layers)
