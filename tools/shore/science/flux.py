"""Vertical flux of carbon from particle sizes, after the published relations of relations.toml. Pure.

F = sum of n * A * d**b: n particles a litre, d mm, F mg C m-2 d-1. Every relation was fitted somewhere, to
some traps; they differ by factors. None knows what a particle is made of, nor how fast these here sink.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from edge.quantification import LEVEL
from tools.shore.science.intervals import weighted
from tools.shore.science.spectra import Floats, Particles

Positive = Annotated[float, msgspec.Meta(gt=0)]


class FluxRelation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One published relation.

    Attributes
    ----------
    name
        Unique.
    a, b
        Of F = n * a * d**b, n a litre, d mm, F mg C m-2 d-1.
    from_um, to_um
        Sizes that it may be used for; others are left out.
    source, checked, note
        Where it is from; who else states the same numbers; how it came to this form, what to bear in mind.
    """

    name: str
    a: Positive
    b: float
    from_um: Positive
    to_um: Positive
    source: str
    checked: str = ""
    note: str = ""


class Flux(NamedTuple):
    """mg C m-2 d-1 with both ends of the counting interval, and how many particles it rests on."""

    value: float
    low: float
    high: float
    particles: int


def each_mg_m2_d(relation: FluxRelation, esd_um: Floats) -> Floats:
    """What one particle a litre of each size carries down, mg C m-2 d-1."""
    return np.asarray(relation.a * (np.asarray(esd_um, dtype=np.float64) / 1000) ** relation.b)


def flux(particles: Particles, relation: FluxRelation, level: float = LEVEL) -> Flux:
    """Flux of the particles within the relation's sizes; NaN without water.

    The interval is of the counting alone (`intervals.weighted`), not of the relation.
    """
    found = particles.between(relation.from_um, relation.to_um)
    if not found.volume_l > 0:
        return Flux(math.nan, math.nan, math.nan, 0)
    each = each_mg_m2_d(relation, found.esd_um)
    largest = each_mg_m2_d(relation, np.array([found.esd_um.max(initial=relation.from_um)]))[0]
    total, squares = float(each @ found.count), float(each**2 @ found.count)
    low, high = weighted(total, squares, largest, level)
    litres = found.volume_l
    return Flux(total / litres, float(low) / litres, float(high) / litres, int(found.count.sum()))
