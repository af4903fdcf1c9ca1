"""Carbon of a particle from its size, after published conversions by group. Pure; they are in relations.toml.

A taxon without a conversion has none: its carbon is unknown, never 0.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np

from tools.shore.science.flux import FluxRelation, Positive
from tools.shore.science.spectra import Floats, sphere_mm3

NO_CONVERSION = "no conversion"


class Measure(enum.StrEnum):
    """What a conversion takes."""

    AREA_MM2 = "area_mm2"
    VOLUME_MM3 = "volume_mm3"
    VOLUME_UM3 = "volume_um3"


class Unit(enum.StrEnum):
    """What a conversion gives, before `carbon_share`."""

    UG_DRY = "ug dry weight"
    UG_C = "ug C"
    MG_C = "mg C"
    PG_C = "pg C"


_UG = {Unit.UG_DRY: 1.0, Unit.UG_C: 1.0, Unit.MG_C: 1e3, Unit.PG_C: 1e-6}


class Conversion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One published conversion: a * x**b in `unit`, times `carbon_share` where it is dry weight.

    Attributes
    ----------
    name
        The group, unique.
    labels
        Names that a model may give its taxa, in small letters; what stands behind ``<`` or ``__`` in a label
        is not looked at.
    x, a, b, unit, carbon_share
        As above.
    source, carbon_source, checked, note
        Where `a` and `b` are from, and the share; who else states the same numbers; what to bear in mind.
    """

    name: str
    labels: tuple[str, ...]
    x: Measure
    a: Positive
    b: float
    unit: Unit
    carbon_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    source: str
    carbon_source: str = ""
    checked: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if (self.unit is Unit.UG_DRY) != bool(self.carbon_source):
            raise ValueError("carbon_share and carbon_source belong to a dry weight, and to nothing else")


class Relations(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file relations.toml."""

    flux: tuple[FluxRelation, ...] = ()
    carbon: tuple[Conversion, ...] = ()

    def with_own(self, own: Relations) -> Relations:
        """These and others, which win where a name or a label stands in both."""
        names = {one.name for one in own.flux}
        labels = {label for one in own.carbon for label in one.labels}
        kept = [
            msgspec.structs.replace(one, labels=tuple(label for label in one.labels if label not in labels))
            for one in self.carbon
        ]
        flux = (*(one for one in self.flux if one.name not in names), *own.flux)
        return Relations(flux, (*kept, *own.carbon))


def conversion_of(label: str, conversions: Sequence[Conversion]) -> Conversion | None:
    """The conversion of a taxon by its label, or None."""
    bare = re.split(r"<|__", label, maxsplit=1)[0].strip().casefold()
    return next((one for one in conversions if bare in one.labels), None)


def carbon_ug(conversion: Conversion, esd_um: Floats) -> Floats:
    """Carbon of one particle of each size, ug C."""
    esd = np.asarray(esd_um, dtype=np.float64)
    x = {
        Measure.AREA_MM2: np.pi / 4 * (esd / 1000) ** 2,
        Measure.VOLUME_MM3: sphere_mm3(esd),
        Measure.VOLUME_UM3: sphere_mm3(esd) * 1e9,
    }[conversion.x]
    return np.asarray(conversion.a * x**conversion.b * _UG[conversion.unit] * conversion.carbon_share)
