"""Dives as one Ocean Data View spreadsheet: generic ODV format, a station a profile, Argo's quality flags.

After the ODV User's Guide, section "Generic ODV Spreadsheet Format": lines that begin with // tell encoding
and variables, one line the labels, then a line a sample, columns separated by tabs; a column QV:ARGO stands
behind its variable. Every line repeats the station, so that other readers need not fill it in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import numpy as np

from edge.errors import InputError
from edge.frame import CLASSIFIED_OUTCOMES, SIZED_OUTCOMES, Phase
from edge.telemetry.summary import Quantity
from tools.shore.ecotaxa.depth import depth_m
from tools.shore.ecotaxa.dive import software
from tools.shore.exports.qc import Flag, PhaseQc, Reasons, flags_of
from tools.shore.exports.tables import DiveTables, Floats, PhaseTables, sample_name

META = (
    ("Cruise", "METACRUISE", "INDEXED_TEXT"), ("Station", "METASTATION", "INDEXED_TEXT"),
    ("Type", "METATYPE", "TEXT:2"), ("yyyy-mm-ddThh:mm:ss.sss", "", ""),
    ("Longitude [degrees_east]", "METALONGITUDE", "DOUBLE"),
    ("Latitude [degrees_north]", "METALATITUDE", "DOUBLE"), ("Bot. Depth [m]", "METABOTDEPTH", "FLOAT"),
)  # fmt: skip
FLAGS = "QV:ARGO"
_LETTERS = {Phase.DESCENT: "DES", Phase.PARK: "PAR", Phase.ASCENT: "ASC"}
"""As the makers of floats name phases."""


@dataclass(frozen=True, slots=True)
class OdvFile:
    """What was written: stations, samples, variables, and what was left out, in words."""

    stations: int
    samples: int
    columns: int
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Scope:
    """What a column looks at: a phase of a dive, and its flags."""

    dive: DiveTables
    phase: PhaseTables
    qc: PhaseQc


_Of = Callable[[_Scope], tuple[Floats, Reasons]]


@dataclass(frozen=True, slots=True)
class Column:
    """A variable: its label with unit, words, and values with reasons of a phase's samples, (n,) each."""

    label: str
    words: str
    of: _Of


def write_odv(dives: Sequence[DiveTables], path: Path, facts: Mapping[str, str] | None = None) -> OdvFile:
    """Write dives into one spreadsheet; `facts` are who made them and so on, by ACDD's names.

    The park of a dive known from messages is left out: they do not tell at which pressure it was.

    Raises `InputError` when nothing is left, or the file cannot be written; `ImportError` without gsw.
    """
    columns = _columns(dives)
    remarks: list[str] = []
    lines = _header(columns, dives, facts or {})
    stations = samples = 0
    for dive in dives:
        for phase in dive.phases:
            is_park = phase.phase is Phase.PARK
            if is_park and not np.isfinite(phase.pressure_dbar).any():
                remarks.append(f"{dive.name}: the park is left out, for messages do not tell its pressure.")
                continue
            rows = _rows(dive, phase, columns)
            lines += rows
            samples += len(rows)
            stations += len(rows) if is_park else 1
    if not samples:
        raise InputError(
            "holds no sample along depth", file=", ".join(one.name for one in dives),
            remedy="give dives of which a descent or an ascent is known",
        )  # fmt: skip
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
        partial.replace(path)
    except OSError as cause:
        raise InputError(
            f"cannot be written ({cause.strerror or cause})",
            file=path,
            field="--out",
            remedy="choose another",
        ) from cause
    return OdvFile(stations, samples, len(columns), tuple(remarks))


def _header(columns: Sequence[Column], dives: Sequence[DiveTables], facts: Mapping[str, str]) -> list[str]:
    source = "; ".join(f"{one.name}: {one.source}, mode {one.mode.value}" for one in dives)
    lines = [
        "//<Encoding>UTF-8</Encoding>",
        "//<Version>ODV Spreadsheet V4.6</Version>",
        *_who(facts),
        f"//<Software>{software()}</Software>",
        f"//<Source>{escape(_plain(source))}</Source>",
        "//<DataField>Ocean</DataField>",
        "//<DataType>Profiles</DataType>",
        "//<MissingValueIndicators></MissingValueIndicators>",
        "//Flags: Argo reference table 2. A missing value was not measured or not sent; it is never zero.",
        "//A count known only together with other bins is shared over them; its flag is 8, estimated.",
    ]
    lines += [
        f'//<MetaVariable>label="{label}" var_type="{kind}" value_type="{value}" qf_schema="" comment=""'
        "</MetaVariable>"
        for label, kind, value in META
        if kind
    ]
    for i, column in enumerate(columns):
        lines.append(
            f'//<DataVariable>label="{column.label}" value_type="FLOAT" qf_schema="ARGO" '
            f'is_primary_variable="{"F" if i else "T"}" comment="{escape(column.words)}"</DataVariable>'
        )
    labels = [label for label, _, _ in META]
    for column in columns:
        labels += [column.label, FLAGS]
    return [*lines, "\t".join(labels)]


def _who(facts: Mapping[str, str]) -> list[str]:
    """Creator and owner as EcoPart's spreadsheets have them; what ODV has no tag for is a comment."""
    told = {name: _plain(value) for name, value in facts.items()}
    mail = f" ({told['creator_email']})" if "creator_email" in told else ""
    lines = []
    if "creator_name" in told or mail:
        lines.append(f"//<Creator>{escape(told.get('creator_name', 'unknown') + mail)}</Creator>")
    if "institution" in told:
        lines.append(f"//<Owner1>{escape(told['institution'])}</Owner1>")
    rest = ("title", "project", "license", "acknowledgement")
    return lines + [f"//{name}: {told[name]}" for name in rest if name in told]


def _rows(dive: DiveTables, phase: PhaseTables, columns: Sequence[Column]) -> list[str]:
    is_park = phase.phase is Phase.PARK
    station = f"{sample_name(dive)}-{_LETTERS[phase.phase]}"
    position = dive.position_of(phase)
    place = [
        f"{value:.6f}" if np.isfinite(value) else ""
        for value in (position.longitude_deg, position.latitude_deg)
    ]
    cells: list[list[str]] = []
    scope = _Scope(dive, phase, PhaseQc(dive, phase))
    for column in columns:
        values, reasons = column.of(scope)
        flags = flags_of(reasons)
        flags[np.isnan(values)] = Flag.MISSING
        if column.of is _position:  # its flag is the position's, where its error is not known too
            flags[:] = position.flag
        cells += [
            ["" if np.isnan(value) else f"{value:.7g}" for value in values.tolist()],
            [str(int(flag)) for flag in flags.tolist()],
        ]
    own = phase.start_s if phase.phase is Phase.DESCENT else phase.end_s
    rows = []
    for i, row in enumerate(zip(*cells, strict=True)):
        when = phase.start_s + float(phase.middles[i]) if is_park else own
        name = f"{station}-{i + 1:04d}" if is_park else station
        meta = [_plain(dive.cruise) or "unknown", name, "*", _time(when), *place, ""]
        rows.append("\t".join((*meta, *row)))
    return rows


def _columns(dives: Sequence[DiveTables]) -> list[Column]:
    """Variables of all dives: those of one name are one column."""
    columns = [
        Column("Pressure [dbar]", "sea pressure in the middle of the bin", _pressure),
        Column("Depth [m]", "from pressure by TEOS-10", _depth),
        Column("Temperature [degC]", "mean temperature of the water", _temperature),
        Column(
            "Images sized [1]", "images in which every particle was counted",
            lambda one: _unflagged(one.phase.frames(SIZED_OUTCOMES)),
        ),
        Column(
            "Images classified [1]", "images in which the larger particles were named",
            lambda one: _unflagged(one.phase.frames(CLASSIFIED_OUTCOMES)),
        ),
        Column(
            "Volume sized [L]", "water in which every particle was counted",
            lambda one: _unflagged(one.phase.volume_sized_l),
        ),
        Column(
            "Volume classified [L]", "water in which the larger particles were named",
            lambda one: _unflagged(one.phase.volume_classified_l),
        ),
    ]  # fmt: skip
    if any(phase.position is not None for dive in dives for phase in dive.phases):
        words = "radius of the error of the position; its flag is that of the position"
        columns.append(Column("Position uncertainty [km]", words, _position))
    classes = dict.fromkeys(name for dive in dives for name in _classes(dive))
    taxa = dict.fromkeys(taxon.label for dive in dives for taxon in dive.codebook.taxa)
    for quantity, names, what in ((Quantity.SIZES, classes, "particles"), (Quantity.TAXA, taxa, "taxon")):
        for name in names:
            label = f"Particles {name} um" if quantity is Quantity.SIZES else _plain(name)
            words = f"{what} {name}"
            columns.append(
                Column(f"{label} [1/L]", f"concentration, {words}", _of(quantity, name, per_l=True))
            )
            columns.append(
                Column(f"{label} count [1]", f"number counted, {words}", _of(quantity, name, per_l=False))
            )
    seen: dict[str, int] = {}
    unique = []
    for column in columns:
        seen[column.label] = seen.get(column.label, 0) + 1
        n = seen[column.label]
        label = column.label if n == 1 else column.label.replace(" [", f" {n} [")
        unique.append(Column(label, column.words, column.of))
    return unique


def _classes(dive: DiveTables) -> list[str]:
    """Size classes as people name them: 50.8-64, ... 2580-."""
    limits = dive.codebook.optics.size_class_limits_um
    ends = [*(f"{one:g}" for one in limits[1:]), ""]
    return [f"{low:g}-{high}" for low, high in zip(limits, ends, strict=True)]


def _unflagged(values: Floats) -> tuple[Floats, Reasons]:
    return values, np.zeros(values.shape, dtype=np.int64)


def _position(one: _Scope) -> tuple[Floats, Reasons]:
    return _unflagged(np.full(one.phase.n, one.dive.position_of(one.phase).radius_km))


def _pressure(one: _Scope) -> tuple[Floats, Reasons]:
    return one.phase.pressure_dbar, one.qc.of_pressure()


def _depth(one: _Scope) -> tuple[Floats, Reasons]:
    return depth_m(one.phase.pressure_dbar, one.dive.place.latitude_deg), one.qc.of_pressure()


def _temperature(one: _Scope) -> tuple[Floats, Reasons]:
    quantity = Quantity.TEMPERATURE
    return one.phase.cells[quantity].values[:, 0], one.qc.of(quantity)[:, 0]


def _of(quantity: Quantity, name: str, *, per_l: bool) -> _Of:
    """A column of a table by the name that a person gives it."""

    def of(one: _Scope) -> tuple[Floats, Reasons]:
        phase, is_size = one.phase, quantity is Quantity.SIZES
        names = _classes(one.dive) if is_size else [taxon.label for taxon in one.dive.codebook.taxa]
        if name not in names or quantity not in phase.cells:
            return _unflagged(np.full(phase.n, np.nan))
        column = names.index(name)
        litres = phase.volume_sized_l if is_size else phase.volume_classified_l
        # Nothing counted where nothing was looked at is no count.
        values = np.where(litres == 0, np.nan, phase.cells[quantity].values[:, column])
        with np.errstate(invalid="ignore", divide="ignore"):
            return (values / litres if per_l else values), one.qc.of(quantity)[:, column]

    return of


def _plain(text: str) -> str:
    """Text that is no column's end and no unit."""
    return re.sub(r'[\t\r\n"]+', " ", text).replace("[", "(").replace("]", ")").strip()


def _time(seconds: float) -> str:
    if not np.isfinite(seconds):
        return ""
    at = datetime.fromtimestamp(seconds, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}"
