"""What science writes: tidy tables, one row an observation, and the relations that were used."""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import InputError
from edge.structs import read_toml
from tools.shore.science.analysis import Science
from tools.shore.science.biomass import carbon_total
from tools.shore.science.carbon import Relations, conversion_of
from tools.shore.science.layers import Scope
from tools.shore.science.water import derived

SCOPE_COLUMNS = ("scope", "top_dbar", "bottom_dbar", "from_h", "to_h")


def shipped_relations() -> Relations:
    """The published relations that come with seston."""
    with as_file(files("tools.shore.science") / "relations.toml") as file:
        return read_toml(file, Relations, error=InputError)


def read_relations(own: Path | None) -> Relations:
    """The shipped relations with a person's own; raises `InputError` for a file that is none."""
    shipped = shipped_relations()
    return shipped if own is None else shipped.with_own(read_toml(own, Relations, error=InputError))


def tables(science: Science) -> dict[str, tuple[list[str], list[list[Any]]]]:
    """Every table by file name: header and rows."""
    named = science.seen.named
    found = {
        "spectra.csv": _spectra(science),
        "flux.csv": (
            [
                *SCOPE_COLUMNS,
                "relation",
                "from_um",
                "to_um",
                "flux_mg_c_m2_d",
                "flux_low",
                "flux_high",
                "particles",
            ],
            [
                [*_where(scope), one.name, one.from_um, one.to_um, f.value, f.low, f.high, f.particles]
                for scope, one, f in science.fluxes
            ],
        ),
        "slope.csv": (
            [
                *SCOPE_COLUMNS,
                "method",
                "slope",
                "slope_low",
                "slope_high",
                "per_l_mm_at_1mm",
                "classes",
                "particles",
            ],
            [[*_where(scope), *slope] for scope, slope in science.slopes],
        ),
        "taxa.csv": _taxa(science),
        "relations.csv": _relations(science),
        "frames.csv": _frames(science),
    }
    if science.orientation:
        header = [
            *SCOPE_COLUMNS,
            "taxon",
            "particles",
            "mean_axis_deg",
            "resultant_length",
            "rayleigh_p",
            "mean_from_vertical_deg",
        ]
        found["orientation.csv"] = (
            header,
            [[*_where(scope), label or "all", *axes] for scope, label, axes in science.orientation],
        )
    if science.shapes is not None and named is not None:
        space, places = science.shapes.space, science.shapes.places
        pcs = [f"pc{i + 1}" for i in range(places.shape[1])]
        found["morphospace.csv"] = (
            ["particle", "frame", "taxon", "esd_um", *pcs],
            [
                [
                    int(named.number[i]),
                    int(named.frame[i]),
                    science.seen.labels[named.taxon[i]],
                    float(named.esd_um[i]),
                    *place,
                ]
                for i, place in zip(science.shapes.which.tolist(), places.tolist(), strict=True)
            ],
        )
        found["morphospace_axes.csv"] = (
            ["component", "share_of_variance", *space.names],
            [
                [pc, share, *row]
                for pc, share, row in zip(pcs, space.share.tolist(), space.axes.tolist(), strict=True)
            ],
        )
    return found


def write_tables(science: Science, folder: Path) -> list[Path]:
    """Write every table and summary.json into a folder; raises `InputError` when that cannot be written."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, (header, rows) in tables(science).items():
            written.append(_put(folder / name, _csv(header, rows)))
        summary = json.dumps(_summary(science), indent=1, ensure_ascii=False) + "\n"
        written.append(_put(folder / "summary.json", summary.encode()))
    except OSError as cause:
        raise InputError(
            f"cannot be written ({cause.strerror or cause})",
            file=folder,
            field="--out",
            remedy="choose another folder",
        ) from cause
    return written


def _put(file: Path, data: bytes) -> Path:
    part = file.with_name(file.name + ".part")
    part.write_bytes(data)
    part.replace(file)
    return file


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(one) for one in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """Six digits; an unknown number is an empty cell."""
    if isinstance(value, float | np.floating):
        return f"{value:.6g}" if math.isfinite(value) else ("" if math.isnan(value) else str(value))
    return value


def _where(scope: Scope) -> list[Any]:
    park = scope.name == "park"
    dbar = [math.nan] * 2 if park else [scope.top, scope.bottom]
    return [
        scope.name + (" layer" if scope.is_layer else ""),
        *dbar,
        *([scope.top, scope.bottom] if park else [math.nan] * 2),
    ]


def _spectra(science: Science) -> tuple[list[str], list[list[Any]]]:
    header = [
        *SCOPE_COLUMNS,
        "esd_from_um",
        "esd_to_um",
        "count",
        "volume_l",
        "per_l",
        "per_l_low",
        "per_l_high",
        "per_l_mm",
        "mm3_per_l",
        "mm3_per_l_low",
        "mm3_per_l_high",
    ]
    rows = []
    for scope, s in science.spectra:
        columns = zip(
            s.edges_um[:-1].tolist(),
            s.edges_um[1:].tolist(),
            s.count.tolist(),
            s.per_l.tolist(),
            s.per_l_low.tolist(),
            s.per_l_high.tolist(),
            s.per_l_mm.tolist(),
            s.mm3_per_l.tolist(),
            s.mm3_per_l_low.tolist(),
            s.mm3_per_l_high.tolist(),
            strict=True,
        )
        for low, high, count, *rest in columns:
            rows.append([*_where(scope), low, high, count, s.volume_l, *rest])
    return header, rows


def _taxa(science: Science) -> tuple[list[str], list[list[Any]]]:
    rows, header = [], [*SCOPE_COLUMNS]
    for scope, of in science.taxa:
        for row in of:
            told = asdict(row)
            header = [*SCOPE_COLUMNS, "taxon", *list(told)[1:]]
            rows.append([*_where(scope), *told.values()])
    return header, rows


def _relations(science: Science) -> tuple[list[str], list[list[Any]]]:
    """Each relation, and the taxa of this dive that it was used for."""
    used: dict[str, list[str]] = {}
    for label in science.seen.labels:
        one = conversion_of(label, science.relations.carbon)
        used.setdefault("no conversion" if one is None else one.name, []).append(label)
    header = ["kind", "group", "formula", "unit", "taxa", "source", "checked", "note"]
    rows: list[list[Any]] = [
        [
            "flux",
            one.name,
            f"{one.a:g} * d_mm**{one.b:g}, {one.from_um:g} to {one.to_um:g} um",
            "mg C m-2 d-1 per particle per L",
            "",
            one.source,
            one.checked,
            one.note,
        ]
        for one in science.relations.flux
    ]
    for one in science.relations.carbon:
        share = f" * {one.carbon_share:g}" if one.carbon_source else ""
        unit = "ug C" if one.carbon_source else one.unit.value
        source = f"{one.source}; {one.carbon_source}" if one.carbon_source else one.source
        rows.append(
            [
                "carbon",
                one.name,
                f"{one.a:g} * {one.x.value}**{one.b:g}{share}",
                unit,
                ", ".join(used.get(one.name, [])),
                source,
                one.checked,
                one.note,
            ]
        )
    rows.append(
        [
            "carbon",
            "no conversion",
            "",
            "",
            ", ".join(used.get("no conversion", [])),
            "",
            "",
            "their carbon is unknown, not 0",
        ]
    )
    return header, rows


def _frames(science: Science) -> tuple[list[str], list[list[Any]]]:
    columns = dict(science.seen.frames)
    if not columns:
        return ["frame"], []
    columns |= derived(columns, science.seen.latitude_deg, science.seen.longitude_deg)
    times = [_utc(int(one)) for one in columns.pop("time_ms").tolist()]
    ordered: Mapping[str, Any] = {"frame": columns.pop("frame").tolist(), "time_utc": times} | {
        name: values.tolist() for name, values in columns.items()
    }
    return list(ordered), [list(row) for row in zip(*ordered.values(), strict=True)]


def _utc(time_ms: int) -> str:
    moment = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(milliseconds=time_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03d}Z"


def _summary(science: Science) -> dict[str, Any]:
    """What a person reads first, and what could not be had."""
    seen = science.seen
    whole = [(one, f) for scope, one, f in science.fluxes if scope.phase is None]
    total, share = carbon_total(science.taxa[0][1])
    shapes = science.shapes
    told = {
        "dive": seen.name,
        "started": None if seen.started_ms is None else _utc(seen.started_ms),
        "volume_l": science.spectra[0][1].volume_l,
        "flux_mg_c_m2_d": {one.name: [_plain(f.value), _plain(f.low), _plain(f.high)] for one, f in whole},
        "slope": {
            s.method: [_plain(s.value), _plain(s.low), _plain(s.high)]
            for scope, s in science.slopes
            if scope.phase is None
        },
        "carbon_ug_per_l": _plain(total),
        "share_of_named_with_conversion": _plain(share),
        "morphospace_share": None if shapes is None else [_plain(one) for one in shapes.space.share.tolist()],
        "remarks": list(science.remarks),
    }
    return told


def _plain(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
