"""A UVP6 project in memory: configurations, samples, sequences, and what else lies there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tools.shore.uvp6_project.files import Archive
from tools.shore.uvp6_project.rows import DataFile
from tools.shore.uvp6_project.tables import TextTable

HEADER_NAME = "meta/uvp6_header_{}.txt"
PARTICLES, METADATA = "particules.csv", "metadata.ini"


@dataclass(frozen=True, slots=True)
class Particles:
    """A `<sample>_Particule.zip`: the sample's images, and the text of `metadata.ini`, perhaps empty.

    `place` is what its images are called in sentences.
    """

    name: str
    data: DataFile
    metadata: str = ""
    place: str = PARTICLES


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample (EcoTaxa's word; a profile or a time series).

    Attributes
    ----------
    id
        Its `profileid`.
    about
        What is said of it by the header's columns, else by metadata.ini.
    line
        Its line in the header; 0 where no header has it.
    particles
        Its images as UVPapp cut them out of the sequence, or None.
    images
        Its vignettes (`*_Images.zip`), or None.
    ctd
        Its CTD cast, or None.
    """

    id: str
    about: Mapping[str, str] = field(default_factory=dict)
    line: int = 0
    particles: Particles | None = None
    images: Archive | None = None
    ctd: TextTable | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """A project; what of it could not be used is in `faults`.

    Attributes
    ----------
    place
        What it is called in sentences.
    texts
        HW_*.txt, ACQ_*.txt, TAXO_*.txt, compute_vignette.txt and cruise_info.txt: content by name.
    header
        Name of the header, and its table; None where there is none.
    samples
        Those of the header in its order, then those that only have files.
    sequences
        `_data.txt` files by name.
    ctds
        CTD casts by name.
    others
        Files that are only carried along: how to read each, by name.
    faults
        What is wrong, a sentence each.
    """

    place: str
    texts: Mapping[str, bytes] = field(default_factory=dict)
    header: tuple[str, TextTable] | None = None
    samples: tuple[Sample, ...] = ()
    sequences: Mapping[str, DataFile] = field(default_factory=dict)
    ctds: Mapping[str, TextTable] = field(default_factory=dict)
    others: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
