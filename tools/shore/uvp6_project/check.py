"""What is wrong with a UVP6 project, a sentence a fault: which file, which line, which field, what to do.

Faults are what makes EcoPart or EcoTaxa refuse or misread it. Remarks are what they get wrong of a project
that is right (ecotaxa/ecopart, `uvp_sample_import.py`).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from edge.errors import InputError
from firmware_bridge.uvp6.lines import Configuration
from tools.shore.uvp6_project.cast import images_of, optics_in
from tools.shore.uvp6_project.model import Project, Sample
from tools.shore.uvp6_project.rows import EMPTY_IMAGE, DataFile, parse_head, spectrum_of
from tools.shore.uvp6_project.tables import CTD_PRESSURE, CTD_TIME, HEADER_COLUMNS, TextTable
from tools.shore.uvp6_project.texts import (
    LOST,
    MOST_TEXT,
    decode,
    degrees,
    has_comma,
    instant,
    is_blank,
    number,
    read_sections,
    read_values,
)
from tools.shore.uvp6_project.vignettes import Vignettes, read_objects
from training.ecotaxa import EcotaxaRow

NUMBERS = (
    "bottomdepth", "firstimage", "volimage", "aa", "exp", "winddir", "windspeed", "seastate",
    "nebuloussness", "endimg", "integrationtime", "pixelsize", "constantdepth",
)  # fmt: skip
NEEDED = ("filename", "profileid", "latitude", "longitude", "sampletype")
SAMPLE_TYPES = ("P", "T")
"""Of depth (pressure), and of time."""
OF_HARDWARE = {
    "volimage": ("Image_volume", 1.0),
    "aa": ("Aa", 1e-6),
    "exp": ("Exp", 1.0),
    "pixelsize": ("Pixel_Size", 1.0),
}
MOST_ALIKE = 20
"""Faults of one kind in one file that are told one by one."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check found: faults and remarks, a sentence each."""

    faults: tuple[str, ...]
    remarks: tuple[str, ...] = ()


def check_project(project: Project) -> Findings:
    """Check everything; what was wrong when the project was read comes first."""
    faults = list(project.faults)
    remarks: list[str] = []
    faults += _text_faults(project)
    if project.header is None:
        if any(sample.particles is None for sample in project.samples) or not project.samples:
            faults.append(f"{project.place}: has no header; write meta/uvp6_header_<project>.txt.")
        else:
            remarks.append(f"{project.place}: has no header; samples are known by their metadata.ini alone.")
    else:
        name, table = project.header
        faults += _header_faults(f"{project.place}/{name}", table)
    for sample in project.samples:
        found, told = _sample_findings(project, sample)
        faults += found
        remarks += told
    return Findings(tuple(_shortened(faults)), tuple(remarks))


def _shortened(faults: list[str]) -> Iterator[str]:
    """Faults; of more than `MOST_ALIKE` in one file the first, and how many more there are."""
    by_file = itertools.groupby(faults, key=lambda fault: fault.split(": ")[0])
    for place, group in by_file:
        alike = list(group)
        yield from alike[:MOST_ALIKE]
        if len(alike) > MOST_ALIKE:
            yield f"{place}: has {len(alike) - MOST_ALIKE} faults more; correct these first."


def _text_faults(project: Project) -> Iterator[str]:
    """Configuration files."""
    for name, content in project.texts.items():
        text, _ = decode(content)
        place = f"{project.place}/{name}"
        if LOST in text:
            yield f"{place}: has letters that were read with a wrong encoding; write them again."
        if not read_values(text) and not read_sections(text):
            yield f"{place}: holds no `name = value`; copy it from the instrument again."


def _header_faults(place: str, table: TextTable) -> Iterator[str]:
    lower = [column.lower() for column in table.columns]
    for column in HEADER_COLUMNS:
        if column not in lower:
            yield f"{place}: column {column}: is missing; add it, empty where nothing is known."
    for column in lower:
        if column not in HEADER_COLUMNS:
            yield f"{place}: column {column}: is not known here; take it away, or correct its name."
    if not table.rows:
        yield f"{place}: has no samples; write a row each."
    for line, about in zip(table.lines, table.records(), strict=True):
        yield from _about_faults(f"{place}: line {line}", about)


def _about_faults(place: str, about: dict[str, str]) -> Iterator[str]:
    """What a row of the header, or a metadata.ini, says of a sample."""

    def fault(column: str, problem: str, remedy: str) -> str:
        return f"{place}, column {column}: {problem}; {remedy}."

    for column, text in about.items():
        if LOST in text:
            yield fault(
                column, f"{text!r} has lost a letter to a wrong encoding", "write it again, in latin-1"
            )
        if len(text) > MOST_TEXT:
            yield fault(column, f"is {len(text)} characters long, EcoTaxa takes {MOST_TEXT}", "shorten it")
        if column in NUMBERS and not is_blank(text):
            if has_comma(text):
                yield fault(column, f"holds {text!r}, with a comma for its decimal point", "write a point")
            elif number(text) is None:
                yield fault(column, f"holds {text!r}, which is no number", "write a number, or nothing")
    for column in NEEDED:
        if column != "profileid" and is_blank(about.get(column, "")):
            yield fault(column, "is empty", "write it")
    for column, most in (("latitude", 90.0), ("longitude", 360.0)):
        text = about.get(column, "")
        found = degrees(text)
        if is_blank(text):
            continue
        if found is None or not -min(most, 180.0) <= found <= most:
            yield fault(column, f"holds {text!r}, which is no {column}", "write 43°48 08, or decimal degrees")
        elif has_comma(text):
            yield fault(column, f"holds {text!r}, with a comma for its decimal point", "write a point")
    kind = about.get("sampletype", "")
    if kind and kind not in SAMPLE_TYPES:
        yield fault("sampletype", f"is {kind!r}, not one of {', '.join(SAMPLE_TYPES)}", "write P or T")
    integration = number(about.get("integrationtime", ""))
    if kind == "T" and not (integration or 0) > 0:
        yield fault("integrationtime", "is not above 0, which a time series needs", "write seconds, as 3600")
    if not is_blank(about.get("sampledatetime", "")):
        moment = instant(about["sampledatetime"])
        if isinstance(moment, str):
            yield fault("sampledatetime", moment, "write UTC, YYYYMMDD-HHMMSS")
        elif moment[1]:
            yield fault("sampledatetime", moment[1], "write UTC, YYYYMMDD-HHMMSS")
    first, last = number(about.get("firstimage", "")), number(about.get("endimg", ""))
    if first is not None and last is not None and last < first:
        yield fault("endimg", f"is {last:g}, before firstimage, {first:g}", "correct them")


def _sample_findings(project: Project, sample: Sample) -> tuple[list[str], list[str]]:
    faults: list[str] = []
    remarks: list[str] = []
    if sample.line == 0 and sample.particles is not None:
        place = sample.particles.place.replace("particules.csv", "metadata.ini")
        if project.header is not None:
            remarks.append(f"{place}: its sample {sample.id} is not in the header; EcoPart will not find it.")
        if sample.particles.metadata:
            faults += _about_faults(place, dict(sample.about))
    try:
        place, data = images_of(project, sample)
    except InputError as error:
        return [*faults, str(error)], remarks
    faults += _image_faults(place, data)
    faults += _agreement_faults(place, sample, data)
    empty = sum(row.body == EMPTY_IMAGE and row.is_lit for row in data.rows)
    lit = sum(row.is_lit for row in data.rows)
    if empty:
        remarks.append(
            f"{place}: {empty} of {lit} lit images are empty: EcoPart leaves their volume out, so its "
            f"concentrations come out {100 * empty / max(1, lit - empty):.1f} % too high."
        )
    if sample.images is not None:
        faults += _vignette_faults(sample, data)
    if sample.ctd is not None:
        (name,) = (name for name, table in project.ctds.items() if table is sample.ctd)
        faults += ctd_faults(f"{project.place}/{name}", sample.ctd, sample.about.get("sampletype", ""))
    return faults, remarks


def _image_faults(place: str, data: DataFile) -> Iterator[str]:
    if "HW_CONF" in data.configurations:
        try:
            optics_in(data.configurations["HW_CONF"], place)
        except InputError as error:
            yield str(error)
    times: dict[str, int] = {}
    before: tuple[float, int] | None = None
    for row in data.rows:
        found = spectrum_of(row.body)
        if isinstance(found, str):
            yield f"{place}: line {row.line}: {found}; it counts as corrupt."
        if row.time in times:
            yield f"{place}: line {row.line}: is of {row.time}, as line {times[row.time]} is; keep one."
        times.setdefault(row.time, row.line)
        moment = instant(row.time)
        if not isinstance(moment, str) and moment[1]:
            yield f"{place}: line {row.line}: {moment[1]}; write UTC, YYYYMMDD-HHMMSS."
        time_s = parse_head(row)[0]
        if before is not None and time_s < before[0] - 1:
            yield (
                f"{place}: line {row.line}: is {before[0] - time_s:.0f} s before line {before[1]}; "
                "put images in the order of capture."
            )
        before = time_s, row.line


def _agreement_faults(place: str, sample: Sample, data: DataFile) -> Iterator[str]:
    """Whether what is said of a sample is what its images say."""
    about = sample.about
    first, last = number(about.get("firstimage", "")), number(about.get("endimg", ""))
    n = len(data.rows) + sum(line.is_image for line in data.bad)
    if first is not None and last is not None and n != last - first + 1 and first > 0:
        yield (
            f"{place}: has {n} images, and the header says {first:g} to {last:g}, that is "
            f"{last - first + 1:g}; copy it again, or correct the header."
        )
    hardware = data.configuration("HW_CONF")
    if isinstance(hardware, Configuration):
        for column, (name, unit) in OF_HARDWARE.items():
            said, real = number(about.get(column, "")), hardware.number(name)
            if said is not None and real is not None and abs(said - real * unit) > 1e-6 * abs(real * unit):
                yield (
                    f"{place}: HW_CONF: {name} is {real:g}, and the header's {column} is {said:g} where "
                    f"{real * unit:g} would be the same; correct one."
                )


def _vignette_faults(sample: Sample, data: DataFile) -> Iterator[str]:
    archive = sample.images
    assert archive is not None
    objects, faults = read_objects(archive)
    yield from faults
    vignettes = Vignettes(archive)
    yield from vignettes.faults
    images = {row.time for row in data.rows}
    strange = sorted(vignettes.images - images)
    if strange:
        yield (
            f"{archive.place}: has vignettes of {len(strange)} images that the sample does not have, such as "
            f"{strange[0]}; copy the vignettes of this sample."
        )
    ids = Counter(row.object_id for row in objects if row.object_id and row.rank <= 1)
    for row in objects:
        if ids.get(row.object_id, 0) > 1:
            problem = f"{row.object_id} is there twice; give it another id"
            yield f"{archive.place}: {row}, column object_id: {problem}."
            del ids[row.object_id]
        yield from _cell_faults(archive.place, row)


def _cell_faults(place: str, row: EcotaxaRow) -> Iterator[str]:
    for column, text in row.values.items():
        where = f"{place}: {row}, column {column}"
        if len(text) > MOST_TEXT:
            yield f"{where}: is {len(text)} characters long, EcoTaxa takes {MOST_TEXT}; shorten it."
        if LOST in text:
            yield f"{where}: {text!r} has lost a letter to a wrong encoding; write it again."
        if column.startswith("object_") and has_comma(text):
            yield f"{where}: holds {text!r}, with a comma for its decimal point; write a point."


def ctd_faults(place: str, table: TextTable, sample_type: str) -> Iterator[str]:
    """What is wrong with a CTD cast of a sample of depth (P) or time (T)."""
    lower = [column.lower() for column in table.columns]
    wanted = CTD_TIME if sample_type == "T" else CTD_PRESSURE
    if wanted not in lower:
        yield f"{place}: column {wanted}: is missing; add it."
    for line, record in zip(table.lines, table.records(), strict=True):
        for column, text in record.items():
            where = f"{place}: line {line}, column {column}"
            if column == CTD_TIME:
                if not is_blank(text) and not (text.isdigit() and len(text) == 17):
                    yield f"{where}: holds {text!r}, which is no time YYYYMMDDHHMMSSmmm; write UTC so."
            elif has_comma(text):
                yield f"{where}: holds {text!r}, with a comma for its decimal point; write a point."
            elif not is_blank(text) and number(text) is None:
                yield f"{where}: holds {text!r}, which is no number; write a number, or nothing."
