"""EcoPart's real-time files of a float: `<sample>_<SN>_<DEPTH|TIME>_{META,LPM,BLACK,TAXO2,CTD}.txt`.

Tab-separated, latin-1. META is `key tab value`: HW_CONF by the vendor's names, then `category_name_n`, the
EcoTaxa id of class n. LPM and BLACK have a row a slice: time, pressure, position, images, temperature,
particles an image and mean grey by size class. TAXO2 has time, pressure, images, then objects and mean ESD
(mm, for that reader stores SIZE as `avgesd`, which EcoPart exports in mm) by class.

After ecotaxa/ecopart, `uvp6remote_sample_import.py`, which reads them, and the float makers' tools, which
write them. What that reader does not say, and is worked around here:

- it takes the first size class to begin at 40.3 um whatever META says, and no cell may be empty;
- it parts a file's name at every underscore, so that a sample's id may have none;
- particles are those of an image, objects those of the slice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from edge.errors import RecordingError
from firmware_bridge.uvp6.lines import HW_FIELDS, N_CLASSES, N_TAXA, Generation
from tools.shore.uvp6_project.files import Files
from tools.shore.uvp6_project.tables import TextTable, make_table, read_text_table, write_text_table
from tools.shore.uvp6_project.texts import decode, encode, has_comma, is_blank, number

LIMITS_UM = (
    40.3, 50.8, 64.0, 80.6, 102.0, 128.0, 161.0, 203.0, 256.0, 323.0, 406.0, 512.0, 645.0, 813.0, 1020.0,
    1290.0, 1630.0, 2050.0,
)  # fmt: skip
"""Lower ESD limits of the size classes as EcoPart reads LPM files, um; its class 17 is the first."""
KINDS = ("META", "LPM", "BLACK", "TAXO2", "CTD")
DEPTH, TIME = "DEPTH", "TIME"
FILE_NAME = re.compile(r"([^_]+)_([^_]+)_([^_]+)_([^_]+)\.txt")
_WHERE = ("DATE_TIME", "PRES_decibar", "LATITUDE_decimal_degree", "LONGITUDE_decimal_degree")
COUNT, GREY = "NB_SIZE_SPECTRA_PARTICLES_class_{}", "GREY_SIZE_SPECTRA_PARTICLES_class_{}"
OBJECTS, SIZE, CATEGORY = "NB_PLANKTON_cat_{}", "SIZE_PLANKTON_cat_{}", "category_name_{}"
IMAGES, TEMPERATURE, IMAGES_PLANKTON = "IMAGE_NUMBER_PARTICLES", "TEMP_PARTICLES", "IMAGE_NUMBER_PLANKTON"
_CLASSES, _TAXA = range(1, N_CLASSES + 1), range(1, N_TAXA + 1)
LPM_COLUMNS = (*_WHERE, IMAGES, TEMPERATURE, *map(COUNT.format, _CLASSES), *map(GREY.format, _CLASSES))
TAXO_COLUMNS = (
    *_WHERE, IMAGES_PLANKTON, *(name.format(n) for n in _TAXA for name in (OBJECTS, SIZE)),
)  # fmt: skip
NEEDED = {
    "LPM": ("DATE_TIME", *_WHERE[1:], IMAGES, *map(COUNT.format, _CLASSES)),
    "BLACK": ("DATE_TIME", "PRES_decibar", IMAGES),
    "TAXO2": ("DATE_TIME", "PRES_decibar", IMAGES_PLANKTON),
}
_TIME = re.compile(r"(\d{8})T(\d{6})")


@dataclass(frozen=True, slots=True)
class RemoteSample:
    """The files of one sample.

    Attributes
    ----------
    id, unit
        Of the sample, without underscores; serial number.
    kind
        DEPTH or TIME.
    meta
        META by key.
    tables
        The others by kind.
    place
        Where it was read, for sentences.
    """

    id: str
    unit: str
    kind: str
    meta: Mapping[str, str]
    tables: Mapping[str, TextTable] = field(default_factory=dict)
    place: str = ""

    def name(self, what: str) -> str:
        """Name of one of its files."""
        return f"{self.id}_{self.unit}_{self.kind}_{what}.txt"

    @property
    def limits_um(self) -> tuple[float, ...]:
        """Lower limits of the size classes that META says, um; empty where it does not."""
        told = {key.lower(): text for key, text in self.meta.items()}
        found = [number(told.get(f"lower_limit_size_class_{n}", "")) for n in _CLASSES]
        return tuple(limit for limit in found if limit is not None)


def is_remote(path: Path) -> bool:
    """Whether a folder or zip holds a float's files; nothing is read but names."""
    names = Files(path).names if path.is_dir() or path.suffix.lower() == ".zip" else ()
    return any(name.endswith(("_META.txt", "_LPM.txt")) for name in names)


def read_remote(path: Path) -> tuple[list[RemoteSample], list[str]]:
    """Samples in a folder or zip, and what is wrong, a sentence each.

    Raises
    ------
    RecordingError
        When there is no file of this kind.
    """
    files = Files(path)
    faults = list(files.faults)
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for name in files.names:
        base = PurePosixPath(name).name
        match = FILE_NAME.fullmatch(base)
        if match and match[4] in KINDS:
            found.setdefault((match[1], match[2], match[3]), {})[match[4]] = name
        elif base.endswith(tuple(f"_{kind}.txt" for kind in KINDS)):
            faults.append(
                f"{files.place(name)}: is not named <sample>_<SN>_<DEPTH|TIME>_<kind>.txt, where no part has "
                "an underscore, so EcoPart passes it over; rename it."
            )
    if not found and not faults:
        raise RecordingError(
            "holds no *_META.txt or *_LPM.txt", file=path, remedy="give the folder of a float's files"
        )
    samples = []
    for (sample, unit, kind), names in sorted(found.items()):
        meta = read_meta(decode(files.read(names["META"]))[0]) if "META" in names else {}
        tables = {what: read_text_table(files.read(names[what]), "\t") for what in KINDS[1:] if what in names}
        samples.append(RemoteSample(sample, unit, kind, meta, tables, str(path)))
    return samples, faults


def read_meta(text: str) -> dict[str, str]:
    """META by key."""
    cells = (line.split("\t") for line in text.splitlines())
    return {row[0].strip(): row[1].strip() for row in cells if len(row) == 2}


def write_remote(sample: RemoteSample) -> dict[str, bytes]:
    """The files of a sample by name; what was read is written with the same bytes, blank lines apart."""
    meta = "".join(f"{key}\t{value}\n" for key, value in sample.meta.items())
    files = {sample.name("META"): encode(meta)}
    return files | {sample.name(what): write_text_table(table) for what, table in sample.tables.items()}


def check_remote(sample: RemoteSample) -> tuple[list[str], list[str]]:
    """Faults and remarks on a sample, a sentence each."""
    faults: list[str] = []
    remarks: list[str] = []

    def place(what: str) -> str:
        return f"{sample.place}/{sample.name(what)}"

    if sample.kind not in (DEPTH, TIME):
        faults.append(f"{place('LPM')}: its sample type is {sample.kind!r}; name it {DEPTH} or {TIME}.")
    if not sample.meta:
        faults.append(f"{place('META')}: is missing; EcoPart needs it: write the values of HW_CONF.")
    told = {key.lower(): text for key, text in sample.meta.items()}
    for key in ("aa", "exp", "pixel_size", "image_volume"):
        text = told.get(key, "")
        if sample.meta and number(text) is None:
            faults.append(f"{place('META')}: {key}: holds {text!r}, which is no number; write it.")
        elif has_comma(text):
            faults.append(f"{place('META')}: {key}: holds {text!r}, with a comma; write a point.")
    if sample.meta and "TAXO2" in sample.tables and not any(_is_id(told, n) for n in _TAXA):
        faults.append(f"{place('META')}: names no category_name_n for TAXO2; write EcoTaxa's ids.")
    if "LPM" not in sample.tables:
        faults.append(f"{place('LPM')}: is missing; EcoPart needs it.")
    for what, table in sample.tables.items():
        if what in NEEDED:
            faults += _table_faults(place(what), what, table)
    limits = sample.limits_um
    if limits and limits[0] != LIMITS_UM[0]:
        remarks.append(
            f"{place('META')}: its first size class begins at {limits[0]:g} um: EcoPart takes it for "
            f"{LIMITS_UM[0]:g} um, and every class for the one before."
        )
    return faults, remarks


def _is_id(told: Mapping[str, str], n: int) -> bool:
    found = number(told.get(CATEGORY.format(n), ""))
    return found is not None and found > 0


def _table_faults(place: str, what: str, table: TextTable) -> Iterator[str]:
    names = {name.replace(" ", "") for name in table.columns}
    for column in NEEDED[what]:
        if column not in names:
            yield f"{place}: column {column}: is missing; write it."
    for line, cells in zip(table.lines, table.rows, strict=True):
        if len(cells) != len(table.columns):
            yield f"{place}: line {line}: has {len(cells)} cells of {len(table.columns)}; complete it."
        for column, text in zip(table.columns, cells, strict=False):
            where = f"{place}: line {line}, column {column}"
            if column == "DATE_TIME":
                if not _TIME.fullmatch(text.strip()):
                    yield f"{where}: holds {text!r}; write UTC as YYYYMMDDTHHMMSS, without a zone."
            elif has_comma(text):
                yield f"{where}: holds {text!r}, with a comma for its decimal point; write a point."
            elif is_blank(text):
                if what == "LPM" and column in NEEDED["LPM"]:
                    yield f"{where}: is empty, which EcoPart cannot read; write 0 or the number."
            elif number(text) is None:
                yield f"{where}: holds {text!r}, which is no number; write the number."


@dataclass(frozen=True, slots=True)
class Slice:
    """Images that are reduced to one row.

    Attributes
    ----------
    time
        YYYYMMDDTHHMMSS, UTC, of its first image.
    pressure_dbar, temperature_c
        Means, NaN where nothing is known.
    n_images
        In which particles were counted, or, in TAXO2, named (a share of one too).
    counts, greys
        By size class: particles of all images, and their mean grey.
    objects, esd_mm
        By class: objects of all images, and their mean ESD.
    """

    time: str
    pressure_dbar: float
    temperature_c: float
    n_images: float
    counts: Sequence[int] = ()
    greys: Sequence[float] = ()
    objects: Sequence[int] = ()
    esd_mm: Sequence[float] = ()


def lpm_table(slices: Sequence[Slice], position: tuple[float, float]) -> TextTable:
    """LPM, or BLACK. Particles an image are written so that times the images they are whole again."""
    rows = [
        [
            *_where(one, position), f"{one.n_images:g}", _cell(one.temperature_c, 2),
            *(repr(count / max(1, one.n_images)) for count in one.counts),
            *(f"{grey:.2f}" for grey in one.greys),
        ]
        for one in slices
    ]  # fmt: skip
    return make_table(LPM_COLUMNS, rows, "\t")


def taxo_table(slices: Sequence[Slice], position: tuple[float, float]) -> TextTable:
    """TAXO2; classes beyond those that are there are 0."""
    rows = []
    for one in slices:
        pairs = [(str(n), f"{esd:.4f}" if n else "0") for n, esd in zip(one.objects, one.esd_mm, strict=True)]
        pairs += [("0", "0")] * (N_TAXA - len(pairs))
        rows.append(
            [*_where(one, position), f"{one.n_images:.6g}", *(cell for pair in pairs for cell in pair)]
        )
    return make_table(TAXO_COLUMNS, rows, "\t")


def counts_in(table: TextTable) -> list[list[int]]:
    """Particles by size class of each row of an LPM table, as EcoPart reads them."""
    found = []
    for record in table.records():
        n_images = number(record.get(IMAGES.lower(), "")) or 0
        cells = [number(record.get(COUNT.format(n).lower(), "")) or 0 for n in _CLASSES]
        found.append([round(cell * n_images) for cell in cells])
    return found


def _where(one: Slice, position: tuple[float, float]) -> list[str]:
    return [one.time, _cell(one.pressure_dbar, 2), f"{position[0]:.5f}", f"{position[1]:.5f}"]


def _cell(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def meta_of(hardware: Mapping[str, str], taxa: Sequence[int]) -> dict[str, str]:
    """META: HW_CONF of the newest firmware by name, with the limits that EcoPart takes, and EcoTaxa ids."""
    names = {f"Lower_limit_size_class_{n}_um": f"Lower_limit_size_class_{n}" for n in _CLASSES}
    meta = {names.get(name, name): hardware.get(name, "0") for name in HW_FIELDS[Generation.V2022_02]}
    meta |= {
        f"Lower_limit_size_class_{n}": f"{limit:g}" for n, limit in zip(_CLASSES, LIMITS_UM, strict=True)
    }
    return meta | {CATEGORY.format(n): str(one) for n, one in enumerate(taxa, start=1)}
