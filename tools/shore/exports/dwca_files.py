"""The files of a Darwin Core Archive: three tables, meta.xml, eml.xml, one zip of the same bytes every time.

After the Darwin Core Text Guide (dwc.tdwg.org/text) and GBIF's profile of EML 1.1; the rows are `dwca`'s.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

from edge.errors import InputError
from tools.shore.ecotaxa.dive import software
from tools.shore.exports.netcdf_facts import now

DWC, OBIS = "http://rs.tdwg.org/dwc/terms/", "http://rs.iobis.org/obis/terms/"
EVENT = (
    "eventID", "parentEventID", "eventType", "eventDate", "decimalLatitude", "decimalLongitude",
    "geodeticDatum", "coordinateUncertaintyInMeters", "georeferenceRemarks", "minimumDepthInMeters",
    "maximumDepthInMeters", "sampleSizeValue", "sampleSizeUnit", "samplingProtocol", "eventRemarks",
)  # fmt: skip
OCCURRENCE = (
    "eventID", "occurrenceID", "basisOfRecord", "occurrenceStatus", "scientificName", "scientificNameID",
    "individualCount", "verbatimIdentification", "identificationVerificationStatus", "identifiedBy",
    "identificationReferences", "occurrenceRemarks",
)  # fmt: skip
MEASUREMENT = (
    "eventID", "occurrenceID", "measurementType", "measurementTypeID", "measurementValue",
    "measurementAccuracy", "measurementUnit", "measurementUnitID", "measurementRemarks",
)  # fmt: skip
TABLES = (
    ("event.txt", EVENT, f"{DWC}Event"), ("occurrence.txt", OCCURRENCE, f"{DWC}Occurrence"),
    ("extendedmeasurementorfact.txt", MEASUREMENT, f"{OBIS}ExtendedMeasurementOrFact"),
)  # fmt: skip
"""File, columns and row type of each table; the first is the core, all rows begin with its key."""
_OF_OBIS = {"measurementTypeID", "measurementUnitID"}
_LICENSED = "This work is licensed under a "
_LICENCES = {
    "CC0-1.0": (
        "To the extent possible under law, the publisher has waived all rights to these data and has "
        "dedicated them to the ",
        "Public Domain (CC0 1.0)", "http://creativecommons.org/publicdomain/zero/1.0/legalcode",
    ),
    "CC-BY-4.0": (
        _LICENSED, "Creative Commons Attribution (CC-BY) 4.0 License",
        "http://creativecommons.org/licenses/by/4.0/legalcode",
    ),
    "CC-BY-NC-4.0": (
        _LICENSED, "Creative Commons Attribution Non Commercial (CC-BY-NC) 4.0 License",
        "http://creativecommons.org/licenses/by-nc/4.0/legalcode",
    ),
}  # fmt: skip
"""By SPDX, in the words and links that GBIF's registry and publishing tool look for."""
Row = Mapping[str, str]
Extent = tuple[float, float, float, float]


def write_archive(
    path: Path,
    tables: Sequence[Iterable[Row]],
    facts: Mapping[str, str],
    extent: Extent | None,
    dates: tuple[str, str] | None,
) -> None:
    """Write the zip whole or not at all.

    Parameters
    ----------
    tables
        Rows of `TABLES`.
    facts
        What a person says, by ACDD's names: title, summary, creator_name, creator_email, creator_url,
        institution, project, license.
    extent
        West, east, south, north, degrees; None where no place is known.
    dates
        First and last day, YYYY-MM-DD.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            _add(archive, "meta.xml", meta_xml())
            _add(archive, "eml.xml", eml_xml(facts, extent, dates))
            for (name, columns, _), rows in zip(TABLES, tables, strict=True):
                _add(archive, name, _table(columns, rows))
        partial.replace(path)
    except OSError as cause:
        raise InputError(
            f"cannot be written ({cause.strerror or cause})",
            file=path,
            field="--out",
            remedy="choose another",
        ) from cause


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)


def _table(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    out = io.StringIO(newline="")
    out.write("\t".join(columns) + "\n")
    for row in rows:
        out.write("\t".join(" ".join(row.get(name, "").split()) for name in columns) + "\n")
    return out.getvalue().encode()


def meta_xml() -> bytes:
    """What the archive holds, in the words of the text guide."""
    root = Xml.Element("archive", xmlns="http://rs.tdwg.org/dwc/text/", metadata="eml.xml")
    for i, (name, columns, row_type) in enumerate(TABLES):
        part = Xml.SubElement(
            root, "extension" if i else "core", encoding="UTF-8", fieldsTerminatedBy="\\t",
            linesTerminatedBy="\\n", fieldsEnclosedBy="", ignoreHeaderLines="1", rowType=row_type,
        )  # fmt: skip
        Xml.SubElement(Xml.SubElement(part, "files"), "location").text = name
        Xml.SubElement(part, "coreid" if i else "id", index="0")
        for index, column in enumerate(columns):
            if i and index == 0:
                continue  # it is the core's key
            term = (OBIS if column in _OF_OBIS else DWC) + column
            Xml.SubElement(part, "field", index=str(index), term=term)
    return _bytes(root)


def eml_xml(facts: Mapping[str, str], extent: Extent | None, dates: tuple[str, str] | None) -> bytes:
    """What the data set is, as far as anybody said."""
    space = "eml://ecoinformatics.org/eml-2.1.1"
    Xml.register_namespace("eml", space)
    root = Xml.Element(
        f"{{{space}}}eml",
        {"packageId": facts.get("id", "unregistered"), "system": "http://gbif.org", "scope": "system"},
    )
    data = Xml.SubElement(root, "dataset")
    _text(data, "title", facts.get("title", "Plankton counted in situ by a camera on an autonomous float"))
    _person(data, "creator", facts)
    _person(data, "metadataProvider", facts)
    _text(data, "pubDate", now()[:10])
    _text(data, "language", "en")
    _text(Xml.SubElement(data, "abstract"), "para", facts.get("summary", "Counts by taxon and depth."))
    _rights(Xml.SubElement(Xml.SubElement(data, "intellectualRights"), "para"), facts.get("license", ""))
    coverage = Xml.SubElement(data, "coverage")
    if extent is not None:
        where = Xml.SubElement(coverage, "geographicCoverage")
        _text(where, "geographicDescription", "Where the dives were.")
        box = Xml.SubElement(where, "boundingCoordinates")
        for side, value in zip(("west", "east", "north", "south"), _sides(extent), strict=True):
            _text(box, f"{side}BoundingCoordinate", f"{value:.6f}")
    if dates is not None:
        days = Xml.SubElement(Xml.SubElement(coverage, "temporalCoverage"), "rangeOfDates")
        for name, day in zip(("beginDate", "endDate"), dates, strict=True):
            _text(Xml.SubElement(days, name), "calendarDate", day)
    _person(data, "contact", facts)
    methods = Xml.SubElement(data, "methods")
    step = Xml.SubElement(Xml.SubElement(methods, "methodStep"), "description")
    _text(
        step, "para",
        "Images taken in situ; particles found, measured and named on board by a neural network; names were "
        f"not checked by a person. Archive made by {software()}.",
    )  # fmt: skip
    if told := facts.get("project"):
        project = Xml.SubElement(data, "project")
        _text(project, "title", told)
        _person(Xml.SubElement(project, "personnel"), "", facts)
    return _bytes(root)


def _rights(para: Xml.Element, told: str) -> None:
    """The licence as GBIF and OBIS read it, where it is one of the three that they take."""
    lead, title, link = _LICENCES.get(told.upper().replace(" ", "-"), ("", "", ""))
    para.text = lead or told or "Not stated: ask the creator."
    if not link:
        return
    at = Xml.SubElement(para, "ulink", url=link)
    _text(at, "citetitle", title)
    at.tail = "."


def _sides(extent: Extent) -> tuple[float, float, float, float]:
    west, east, south, north = extent
    return west, east, north, south


def _person(parent: Xml.Element, role: str, facts: Mapping[str, str]) -> None:
    who = Xml.SubElement(parent, role) if role else parent
    if name := facts.get("creator_name"):
        _text(Xml.SubElement(who, "individualName"), "surName", name)
    _text(who, "organizationName", facts.get("institution", "unknown"))
    if mail := facts.get("creator_email"):
        _text(who, "electronicMailAddress", mail)
    if link := facts.get("creator_url"):
        _text(who, "onlineUrl", link)
    if not role:
        _text(who, "role", "principalInvestigator")


def _text(parent: Xml.Element, name: str, text: str) -> None:
    Xml.SubElement(parent, name).text = text


def _bytes(root: Xml.Element) -> bytes:
    Xml.indent(root)
    text: str = Xml.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()
