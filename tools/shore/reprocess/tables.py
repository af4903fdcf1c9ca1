"""Results as tables: objects, frames and bins of each source as Parquet, its profile as netCDF.

The same Arrow schema for every source of a run, so that a folder opens as one data set, partitioned by unit
and dive. The same input gives the same bytes. Needs pyarrow (the scale extra).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from edge.frame import FrameOutcome, Phase
from edge.inference.bundle import Bundle
from edge.inference.classifier import Answers
from edge.log_reader import LogReader
from edge.logged import codebook_in
from edge.telemetry.decoded import DecodedDive
from edge.vision.morphology import MEASURES
from tools.shore.exports.tidy_csv import COLUMNS, rows
from tools.shore.reprocess.sources import Fault

_WORD = pa.dictionary(pa.int32(), pa.string())
_BOX = {
    "box_x_px": "x_px", "box_y_px": "y_px", "width_px": "width_px", "height_px": "height_px",
    "area_px": "area_px", "esd_um": "esd_um", "on_border": "on_border",
}  # fmt: skip
"""Columns that the log has beside the measures, and what they are called there."""
_PLAIN = tuple(one.name for one in MEASURES if one.name not in _BOX)
OBJECTS = pa.schema(
    [
        ("source", pa.string()), ("object", pa.int32()), ("frame", pa.int32()), ("file", pa.string()),
        ("time", pa.timestamp("ms", tz="UTC")), ("phase", _WORD), ("pressure_dbar", pa.float64()),
        *((name, pa.bool_() if name == "on_border" else pa.int32()) for name in _BOX),
        ("taxon", _WORD), ("taxon_before", _WORD), ("top_taxon", _WORD), ("score", pa.float32()),
        ("evidence", pa.float32()), ("scores", pa.list_(pa.float32())),
        *((name, pa.float64()) for name in _PLAIN),
    ]
)  # fmt: skip
FRAMES = pa.schema(
    [
        ("source", pa.string()), ("frame", pa.int32()), ("file", pa.string()),
        ("time", pa.timestamp("ms", tz="UTC")), ("phase", _WORD), ("pressure_dbar", pa.float64()),
        ("lit", pa.bool_()), ("outcome", _WORD), ("particles", pa.int64()), ("temperature_c", pa.float64()),
        ("note", pa.string()),
    ]
)  # fmt: skip
_RENAMED = {"unit": "value_unit"}
"""Columns of profile.csv that have another name here: `unit` is the instrument's."""
_TEXTS = ("phase", "bin_unit", "quantity", "name", "value_unit", "provenance")
_BIN_COLUMNS = tuple(_RENAMED.get(name, name) for name in COLUMNS)
BINS = pa.schema(
    [
        ("source", pa.string()),
        *((name, _WORD if name in _TEXTS else pa.float64()) for name in _BIN_COLUMNS if name != "dive"),
    ]
)
FAULTS = pa.schema([(name, pa.string()) for name in Fault._fields])


def partition(unit: str, label: str) -> str:
    """Folder of a source within a table, as data sets are partitioned."""
    return f"unit={quote(unit or 'unknown', safe='')}/dive={quote(label, safe='')}"


def parquet_of(table: Any) -> bytes:
    """A table as the bytes of a Parquet file."""
    data = io.BytesIO()
    pq.write_table(table, data, compression="zstd")
    return data.getvalue()


def objects_of(log: LogReader, source: str, before: Sequence[str]) -> Any:
    """Every named particle of a dive; `before`: what an earlier model took each for, if there was one."""
    counted = [taxon.label for taxon in codebook_in(log).taxa]
    files = {row["frame"]: row["source"] for row in log.frames()}
    where = {number: (phase.name.lower(), dbar) for number, phase, dbar in log.places()}
    times = dict(zip(files, log.times_ms().tolist(), strict=True))
    found = list(log.particles())
    n = len(found)
    column = {name: i for i, name in enumerate(log.meta("measures"))}
    measures = np.stack([one.measures for one in found]) if n else np.zeros((0, len(column)))
    scores = np.stack([one.scores for one in found]) if n else np.zeros((0, 1), dtype=np.float32)
    return _table(
        OBJECTS,
        {
            "source": [source] * n,
            "object": np.arange(n),
            "frame": [one.frame for one in found],
            "file": [files[one.frame] for one in found],
            "time": [times[one.frame] for one in found],
            "phase": [where[one.frame][0] for one in found],
            "pressure_dbar": [where[one.frame][1] for one in found],
            **{name: [getattr(one, called) for one in found] for name, called in _BOX.items()},
            "taxon": [counted[one.taxon] for one in found],
            "taxon_before": list(before) or [None] * n,
            "top_taxon": [counted[i] for i in scores.argmax(axis=1).tolist()] if n else [],
            "score": scores.max(axis=1) if n else [],
            "evidence": np.array([one.evidence for one in found], dtype=np.float32),
            "scores": list(scores) if n else [],
            **{name: measures[:, column[name]] for name in _PLAIN if name in column},
        },
    )


def pictures_table(source: str, files: Sequence[str], numbers: Any, answers: Answers, bundle: Bundle) -> Any:
    """Named pictures that are of no dive: what a dive would tell of them is null."""
    counted = [taxon.label for taxon in bundle.counted_taxa]
    n = len(files)
    return _table(
        OBJECTS,
        {
            "source": [source] * n,
            "object": numbers,
            "file": list(files),
            "taxon": [counted[i] for i in answers.decisions.tolist()],
            "top_taxon": [counted[i] for i in answers.taxon_scores.argmax(axis=1).tolist()] if n else [],
            "score": answers.taxon_scores.max(axis=1) if n else [],
            "evidence": answers.evidence,
            "scores": list(answers.taxon_scores),
        },
    )


def frames_of(log: LogReader, source: str) -> Any:
    """Every frame of a dive, with its outcome."""
    found = log.frames()
    return _table(
        FRAMES,
        {
            "source": [source] * len(found),
            "frame": [row["frame"] for row in found],
            "file": [row["source"] for row in found],
            "time": [row["time_ms"] for row in found],
            "phase": [Phase(row["phase"]).name.lower() for row in found],
            "pressure_dbar": [row["pressure_dbar"] for row in found],
            "lit": [bool(row["lit"]) for row in found],
            "outcome": [FrameOutcome(row["outcome"]).label for row in found],
            "particles": [row["n_particles"] for row in found],
            "temperature_c": [row["temperature_c"] for row in found],
            "note": [row["note"] or None for row in found],
        },
    )


def bins_of(dive: DecodedDive, source: str) -> Any:
    """The rows of profile.csv that are numbers."""
    found = [row for row in rows(dive) if not (isinstance(row[7], str) and row[7])]
    columns = list(zip(*found, strict=True)) or [()] * len(COLUMNS)
    told = {
        name: [str(cell) if name in _TEXTS else None if cell == "" else float(cell) for cell in column]
        for name, column in zip(_BIN_COLUMNS, columns, strict=True)
        if name != "dive"
    }
    return _table(BINS, {"source": [source] * len(found), **told})


def faults_table(faults: Sequence[Fault]) -> Any:
    """What could not be used, sorted."""
    ordered = sorted(faults)
    return _table(FAULTS, {name: [getattr(one, name) for one in ordered] for name in Fault._fields})


def _table(schema: Any, columns: dict[str, Any]) -> Any:
    """A table of this schema; columns that are not given are null, and so is NaN."""
    n = max((len(column) for column in columns.values()), default=0)
    arrays = []
    for field in schema:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(n, field.type))
        elif pa.types.is_dictionary(field.type):
            arrays.append(pa.array(values, pa.string()).dictionary_encode())
        else:
            arrays.append(pa.array(values, field.type, from_pandas=True))
    return pa.Table.from_arrays(arrays, schema=schema)
