"""Layers: stretches of a dive whose frames are put together. `reading` fills them. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from edge.frame import Phase
from edge.optics import Optics
from edge.quantification import EstimatedCounts
from edge.taxonomy import Taxon
from tools.shore.science.morphospace import MEASURED
from tools.shore.science.spectra import Floats, Ints, Particles


class Scope(NamedTuple):
    """A part of a dive: its phase (None: the whole dive), and from where to where along it.

    `top` and `bottom` are dbar in descent and ascent, hours in the park, NaN in the whole dive.
    """

    phase: Phase | None
    top: float = math.nan
    bottom: float = math.nan
    is_layer: bool = False

    @property
    def name(self) -> str:
        """``dive``, ``descent``, ``park``, ``ascent``."""
        return "dive" if self.phase is None else self.phase.name.lower()


@dataclass(frozen=True, slots=True)
class Named:
    """Particles that the model named, in the order of the log; arrays of n.

    Attributes
    ----------
    number, frame
        int64: as the log counts them, and the number of its frame.
    layer
        int64: index of its layer; -1 where its frame has none.
    taxon
        int64: the decision, index of the counted taxa.
    esd_um
        float64, from the area: not rounded.
    measures
        float64 (n, len(MEASURED)); NaN where the log's measures are of another version.
    angle_deg
        float64, of the major axis from the x axis, counter-clockwise.
    on_border
        bool.
    scores
        float32 (n, taxa of the model), or None where the log has not one length of them.
    has_vignette
        bool.
    """

    number: Ints
    frame: Ints
    layer: Ints
    taxon: Ints
    esd_um: Floats
    measures: Floats
    angle_deg: Floats
    on_border: np.ndarray
    scores: np.ndarray | None
    has_vignette: np.ndarray

    def measure(self, name: str) -> Floats:
        """One measure, float64 (n,)."""
        return np.asarray(self.measures[:, MEASURED.index(name)])


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer.

    Attributes
    ----------
    scope
        Where.
    frames
        In which every particle was counted.
    sized
        Particles of at least the smallest area taken, in the water of those frames.
    named, unnamed
        Larger particles that were named, and that were not.
    frames_named_l
        Water of the frames in which the larger ones were named.
    taxa
        int64 (taxa,): named ones, as counted.
    """

    scope: Scope
    frames: int
    sized: Particles
    named: int
    unnamed: int
    frames_named_l: float
    taxa: Ints

    @property
    def named_l(self) -> float:
        """The share of that water that the named ones stand for."""
        return (
            self.frames_named_l * self.named / (self.named + self.unnamed)
            if self.unnamed
            else self.frames_named_l
        )


@dataclass(frozen=True, slots=True)
class SeenDive:
    """All that science knows of one dive.

    Attributes
    ----------
    name, number, platform, started_ms, latitude_deg, longitude_deg
        As logged; None where nobody knows.
    optics, taxa
        Of the instrument, and what it counts.
    layers
        In the order of the dive: phase by phase, shallow to deep or early to late.
    least_um, edges_um
        Smaller ones were left out; classes that are seen whole.
    named
        Particles one by one; None where only messages are at hand.
    corrected
        Of the whole dive, as the board or the log has it; None where nothing was corrected.
    correction
        (implied, usual, spread) with which parts of the dive are corrected alike, or None.
    frames
        Columns of the table of frames, all of one length.
    cannot
        What cannot be had of this dive, a sentence each.
    """

    name: str
    number: int
    platform: str
    started_ms: int | None
    latitude_deg: float | None
    longitude_deg: float | None
    optics: Optics
    taxa: tuple[Taxon, ...]
    layers: tuple[Layer, ...]
    least_um: float
    edges_um: Floats
    named: Named | None
    corrected: EstimatedCounts | None
    correction: tuple[Floats, Floats, float] | None = None
    frames: dict[str, np.ndarray] = field(default_factory=dict)
    cannot: tuple[str, ...] = ()

    @property
    def labels(self) -> list[str]:
        """Counted taxa."""
        return [taxon.label for taxon in self.taxa]


def put_together(layers: tuple[Layer, ...], scope: Scope) -> Layer:
    """One layer of several."""
    sized = [one.sized for one in layers]
    return Layer(
        scope,
        sum(one.frames for one in layers),
        Particles(
            np.concatenate([np.zeros(0), *(one.esd_um for one in sized)]),
            np.concatenate([np.zeros(0, dtype=np.int64), *(one.count for one in sized)]),
            sum(one.volume_l for one in sized),
        ),
        sum(one.named for one in layers),
        sum(one.unnamed for one in layers),
        sum(one.frames_named_l for one in layers),
        np.sum([one.taxa for one in layers], axis=0, dtype=np.int64)
        if layers
        else np.zeros(0, dtype=np.int64),
    )


def scopes(layers: tuple[Layer, ...]) -> list[tuple[Layer, Ints]]:
    """The dive, its phases, then its layers: each put together, with the indices of the layers in it."""
    found = [(put_together(layers, Scope(None)), np.arange(len(layers), dtype=np.int64))]
    for phase in Phase:
        mine = [i for i, one in enumerate(layers) if one.scope.phase is phase]
        if mine:
            of = tuple(layers[i] for i in mine)
            scope = Scope(phase, of[0].scope.top, of[-1].scope.bottom)
            found.append((put_together(of, scope), np.array(mine, dtype=np.int64)))
    # What is known of the whole dive alone is no layer besides.
    own = [(i, one) for i, one in enumerate(layers) if one.scope.phase is not None]
    return found + [(one, np.array([i], dtype=np.int64)) for i, one in own]
