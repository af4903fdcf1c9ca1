"""`seston bench telemetry`: bytes of a dive against the oracle, compressors and a CTS5 float; cost; loss.

Dives are generated with known true rates (three loads), and real where casts are at hand. All contenders code
the same counts in the same run; a message counts whole, with its header and CRC, and is decoded before it
counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tools
from edge.telemetry import DiveSummary, Quantity
from edge.telemetry.climatology import Climatology
from tools.planning.sweep import smallest_budget
from tools.telemetry_bench import cost, loss, ours, rivals
from tools.telemetry_bench import dives as made
from tools.telemetry_bench.dives import GeneratedDive

Ints = NDArray[np.int64]
Table = dict[str, Any]
Numbers = dict[str, float]

N_DIVES = 20
SIZES_LOAD = "typical"
_REGIONAL = "ours, climatology"
_STEPS = range(1, len(ours.STEPS_OF_SD))
_CTS5, _WITH_MEANS = "CTS5 TAXO records", "ours with frames, mean ESD and grey"
CASTS = Path(tools.__file__).resolve().parents[2] / "shared" / "data" / "uvp6_casts"
"""Where real casts lie when nobody says: beside the checkout."""


def bench(dives: int = N_DIVES, casts: Path = CASTS) -> dict[str, Any]:
    """Measure everything on so many dives of each load and on the real casts of a folder."""
    generated = {load: made.dives_of(load, 0, dives) for load in made.LOADS}
    training = {
        load: made.dives_of(
            load, made.FIRST_TRAINING_DIVE, made.FIRST_TRAINING_DIVE + rivals.N_TRAINING_DIVES
        )
        for load in made.LOADS
    }
    known = {load: made.climatology_of(load, found) for load, found in training.items()}
    numbers: Numbers = {"dives": dives}
    tables = [_taxa(generated, training, known, numbers), _sizes(generated, training, known, numbers)]
    notes = [
        f"Means of {dives} dives. Oracle: an ideal coder that knows the true rate of every cell. x: times "
        f"the oracle. Ours: independent messages of at most {ours.MESSAGE_BYTES} bytes with header and "
        "CRC, each decoded again and compared; with a climatology learned from the "
        f"{rivals.N_TRAINING_DIVES} dives that trained the dictionary, the shorter of both ways.",
        "Compressors: one stream a dive without checks or message limits, in the best of "
        f"{len(rivals.SERIALISATIONS) * len(rivals.ORDERS)} serialisations (named). Dictionary: "
        f"{rivals.DICTIONARY_BYTES >> 10} KiB trained on {rivals.N_TRAINING_DIVES} other dives of the "
        "region, not counted in bytes.",
        "CTS5: averaged TAXO records, one a bin, without the file's head. They also tell the number of "
        "images, and size and grey of each cell's particles; ours with those added is the row below: the "
        "tables FRAMES and ESD (to 3 %; theirs is a float), and the greys as a table of means in one "
        "stream, for no message has it yet. CTS5 over ours: "
        f"{_ratios(numbers, _REGIONAL)}; with those added: {_ratios(numbers, _WITH_MEANS)}.",
        "Steps: widths in Poisson standard deviations; they add "
        + ", ".join(f"{100 * ours.added_error(step):.1f} %" for step in _STEPS)
        + " to it and are exact for counts below "
        + ", ".join(str(ours.exact_below(step)) for step in _STEPS)
        + f". Load: {SIZES_LOAD}.",
    ]
    found = made.read_casts(casts)
    if found:
        tables.append(_casts(found, numbers))
        notes.append(f"Real casts: {', '.join(found)}, in bins of {made.BIN_DBAR} dbar.")
    else:
        notes.append(f"Real casts were left out: there is no *_Particule.zip in {casts.name}; see --casts.")
    tables += [_totals(generated, known, numbers), _cost(generated, numbers), _loss(generated, numbers)]
    return {"title": "Telemetry", "tables": tables, "notes": notes, "numbers": numbers}


def _taxa(
    generated: dict[str, list[GeneratedDive]],
    training: dict[str, list[GeneratedDive]],
    known: dict[str, Climatology],
    numbers: Numbers,
) -> Table:
    """Bytes of the counts of 20 taxa."""
    columns: dict[str, dict[str, tuple[float, str]]] = {}
    for load, found in generated.items():
        counts = [dive.taxa for dive in found]
        summaries = [made.as_summary(dive) for dive in found]
        cells: dict[str, tuple[float, str]] = {
            "oracle": (_mean(made.oracle_bytes(dive.taxa_rate, dive.taxa) for dive in found), "")
        }
        for name, climatology in (("ours", None), (_REGIONAL, known[load])):
            messages = [_checked(one, [Quantity.TAXA], ours.MESSAGE_BYTES, climatology) for one in summaries]
            in_one = [
                _checked(one, [Quantity.TAXA], ours.ONE_MESSAGE_BYTES, climatology) for one in summaries
            ]
            cells[name] = _mean(map(_size, messages)), _in_messages(messages)
            cells[f"{name}, in one message"] = _mean(map(_size, in_one)), ""
        cells |= _rivals(counts, [dive.taxa for dive in training[load]])
        cells[_CTS5] = (
            _mean(len(_cts5(*pair)) for pair in zip(found, summaries, strict=True)),
            "",
        )
        more = [Quantity.FRAMES, Quantity.TAXA, Quantity.ESD]
        cells[_WITH_MEANS] = (
            _mean(
                _size(_checked(summary, more, ours.MESSAGE_BYTES, known[load]))
                + ours.mean_bytes(Quantity.GREY, made.taxon_greys(dive), dive.taxa)
                for dive, summary in zip(found, summaries, strict=True)
            ),
            "",
        )
        columns[load] = cells
        numbers[f"{load}_objects"] = _mean(float(dive.taxa.sum()) for dive in found)
        numbers[f"{load}_filled"] = _mean(float((dive.taxa > 0).mean()) for dive in found)
    return _bytes_table("Counts of 20 taxa in 400 bins, bytes a dive", "taxa", columns, numbers)


def _cts5(dive: GeneratedDive, summary: DiveSummary) -> bytes:
    """Records of a dive: means from the same sums that ours codes."""
    (part,) = summary.profile.phases
    number = np.maximum(part.taxa, 1)
    esd_px = part.taxa_esd_um_sum / number / summary.codebook.optics.pixel_um
    frames = part.volume_classified_ul // summary.codebook.optics.image_volume_ul
    middle_dbar = (part.edges[:-1] + part.edges[1:]) / 2
    grey = made.taxon_greys(dive) / number / 100
    return rivals.cts5_taxo(part.taxa, frames, middle_dbar, np.pi / 6 * esd_px**3, grey)


def _sizes(
    generated: dict[str, list[GeneratedDive]],
    training: dict[str, list[GeneratedDive]],
    known: dict[str, Climatology],
    numbers: Numbers,
) -> Table:
    """Bytes of the counts of 18 size classes, lossless and companded."""
    found = generated[SIZES_LOAD]
    summaries = [made.as_summary(dive) for dive in found]
    others = [dive.sizes for dive in training[SIZES_LOAD]]
    columns = _size_columns(summaries, others, known[SIZES_LOAD])
    columns["lossless"] = {
        "oracle": (_mean(made.oracle_bytes(dive.size_rate, dive.sizes) for dive in found), "")
    } | columns["lossless"]
    for step in _STEPS:
        oracle = _mean(ours.companded_oracle_bytes(dive.size_rate, dive.sizes, step) for dive in found)
        columns[_step(step)] = {"oracle": (oracle, "")} | columns[_step(step)]
    return _bytes_table("Counts of 18 size classes in 400 bins, bytes a dive", "sizes", columns, numbers)


def _casts(found: dict[str, DiveSummary], numbers: Numbers) -> Table:
    columns = _size_columns(list(found.values()), [], None)
    numbers["casts_bins"] = _mean(summary.profile.phases[0].n_bins for summary in found.values())
    title = f"Counts of 18 size classes of {len(found)} real casts, bytes a cast"
    return _bytes_table(title, "casts", columns, numbers)


def _size_columns(
    summaries: Sequence[DiveSummary], training: Sequence[Ints], climatology: Climatology | None
) -> dict[str, dict[str, tuple[float, str]]]:
    columns: dict[str, dict[str, tuple[float, str]]] = {}
    counts = [summary.profile.phases[0].lpm for summary in summaries]
    ways = [("ours", None)] + ([] if climatology is None else [(_REGIONAL, climatology)])
    cells: dict[str, tuple[float, str]] = {}
    for name, known in ways:
        messages = [_checked(one, [Quantity.SIZES], ours.MESSAGE_BYTES, known) for one in summaries]
        cells[name] = _mean(map(_size, messages)), _in_messages(messages)
    columns["lossless"] = cells | _rivals(counts, training)
    for step in _STEPS:
        cells = {}
        for name, known in ways:
            messages = [ours.code_companded(summary, step, known) for summary in summaries]
            cells[name] = _mean(map(_size, messages)), _in_messages(messages)
        steps, others = ([ours.compand(one, step) for one in many] for many in (counts, training))
        columns[_step(step)] = cells | _rivals(steps, others)
    return columns


def _step(step: int) -> str:
    return f"step {ours.STEPS_OF_SD[step]:g}"


def _rivals(counts: Sequence[Ints], training: Sequence[Ints]) -> dict[str, tuple[float, str]]:
    found = rivals.compress_all(counts, training)
    return {rival.name: (rival.n_bytes, rival.serialisation) for rival in found}


def _totals(
    generated: dict[str, list[GeneratedDive]], known: dict[str, Climatology], numbers: Numbers
) -> Table:
    """Totals of all taxa in one message of a short link, by step of companding."""
    rows = []
    for name, regional in (("ours", False), (_REGIONAL, True)):
        for step, words in enumerate(("lossless", *map(_step, _STEPS))):
            row = [name, words]
            for load, found in generated.items():
                sizes = [
                    ours.code_totals(made.as_summary(dive), known[load] if regional else None)[step]
                    for dive in found
                ]
                numbers[_key("totals", load, name, words)] = _mean(sizes)
                row.append(f"{_mean(sizes):.1f} (at most {max(sizes)})")
            rows.append(row)
    return {
        "title": "Totals of 20 taxa in one message of a short link, bytes with header and CRC",
        "columns": ["", "", *generated],
        "rows": rows,
    }


def _cost(generated: dict[str, list[GeneratedDive]], numbers: Numbers) -> Table:
    """Totals, and what coding a whole dive takes."""
    rows: dict[str, list[str]] = {}
    for load, found in generated.items():
        summaries = [made.as_summary(dive) for dive in found]
        measured = {
            "smallest_plan_bytes": _mean(
                smallest_budget(summary, ours.MESSAGE_BYTES) for summary in summaries
            ),
        } | cost.measure(load)
        for name, (words, form) in _COSTS.items():
            rows.setdefault(words, []).append(format(measured[name], form))
            numbers[f"{load}_{name}"] = measured[name]
    return {
        "title": "Seconds and memory of one whole dive with all its tables, on one core",
        "columns": ["", *generated],
        "rows": [[words, *cells] for words, cells in rows.items()],
    }


_COSTS = {
    "smallest_plan_bytes": ("smallest plan (dive, frames, totals), bytes", ".1f"),
    "dive_bytes": ("all tables without loss, bytes", ".0f"),
    "dive_messages": ("... messages", ".0f"),
    "regional_dive_bytes": ("... with a climatology, bytes", ".0f"),
    "layered_bytes": ("... sizes in two layers, bytes", ".0f"),
    "encode_s": ("plan and encode without loss, CPU s", ".2f"),
    "regional_encode_s": ("... with a climatology, both ways tried, CPU s", ".2f"),
    "small_budget_s": (f"plan and encode in {cost.SMALL_BUDGET_BYTES} bytes, once warm, CPU s", ".2f"),
    "decode_s": ("decode without loss, CPU s", ".2f"),
    "encode_python_mb": ("encode, most that Python allotted, MB", ".1f"),
    "decode_python_mb": ("decode, most that Python allotted, MB", ".1f"),
    "encode_resident_mb": ("encode, growth of the process (RSS), MB", ".1f"),
}
"""What is told of a dive, its words and its format."""


def _loss(generated: dict[str, list[GeneratedDive]], numbers: Numbers) -> Table:
    """What decodes at a loss of one message in twenty."""
    rows: list[list[str]] = []
    for load, found in generated.items():
        for name, quantities in _LOST.items():
            contents = []
            for dive in found:
                summary = made.as_summary(dive)
                messages = ours.code(summary, quantities)
                contents.append(loss.content(messages, summary.codebook, quantities))
            n_messages = _mean(len(one.messages) for one in contents)
            for n_parity in range(loss.MAX_PARITY + 1):
                survival = loss.survive(contents, n_parity)
                shares = ["not here"] * 4
                if survival is not None:
                    shares = [f"{survival.parity_bytes:.0f}"]
                    shares += [f"{100 * s:.1f} %" for s in (survival.cells, survival.objects, survival.whole)]
                    key = f"loss_{load}_{name.replace(' ', '_')}_{n_parity}"
                    numbers |= {
                        f"{key}_cells": survival.cells,
                        f"{key}_objects": survival.objects,
                        f"{key}_whole": survival.whole,
                    }
                rows.append([load, name, f"{n_messages:.1f}", str(n_parity), *shares])
    return {
        "title": f"{100 * loss.LOSS:.0f} % of messages lost at random, {loss.N_DRAWS} draws: what decodes",
        "columns": ["load", "tables", "messages", "parity", "bytes", "cells", "particles", "whole dives"],
        "rows": rows,
    }


_LOST = {"taxa": (Quantity.TAXA,), "taxa and sizes": (Quantity.TAXA, Quantity.SIZES)}


def _bytes_table(
    title: str, key: str, columns: dict[str, dict[str, tuple[float, str]]], numbers: Numbers
) -> Table:
    """Rows by contender; for each column bytes and times the oracle; last, how, where it differs in turn."""
    names = list(dict.fromkeys(name for cells in columns.values() for name in cells))
    has_oracle = "oracle" in names
    rows = []
    for name in names:
        row = [name]
        for column, cells in columns.items():
            if name not in cells:
                row += [""] * (1 + has_oracle)
                continue
            n_bytes = cells[name][0]
            numbers[_key(key, column, name)] = n_bytes
            row += [f"{n_bytes:.0f}", *([f"{n_bytes / cells['oracle'][0]:.3f}"] if has_oracle else [])]
        rows.append([*row, _together([cells[name][1] for cells in columns.values() if name in cells])])
    header = [part for column in columns for part in (column, *(["x"] if has_oracle else []))]
    return {"title": title, "columns": ["", *header, "how"], "rows": rows}


def _key(*words: str) -> str:
    return "_".join((*words, "bytes")).replace(" ", "_").replace(",", "")


def _ratios(numbers: Numbers, name: str) -> str:
    ratios = [numbers[_key("taxa", load, _CTS5)] / numbers[_key("taxa", load, name)] for load in made.LOADS]
    return ", ".join(f"{ratio:.1f}" for ratio in ratios) + " times"


def _together(ways: Sequence[str]) -> str:
    """Ways in turn, with the words at their ends that all have in common said once."""
    if len(set(ways)) == 1:
        return ways[0]
    parts = [way.split() for way in ways]
    common = 0
    while len({tuple(part[-common - 1 :]) for part in parts}) == 1:
        common += 1
    heads = [" ".join(part[: len(part) - common]) for part in parts]
    return " ".join([", ".join(heads), *parts[0][len(parts[0]) - common :]])


def _checked(
    summary: DiveSummary,
    quantities: Sequence[Quantity],
    message_bytes: int,
    climatology: Climatology | None = None,
) -> tuple[bytes, ...]:
    messages = ours.code(summary, quantities, message_bytes, climatology)
    ours.check(summary, quantities, messages, climatology)
    return messages


def _in_messages(messages: Sequence[Sequence[bytes]]) -> str:
    return f"{_mean(map(len, messages)):.1f} messages"


def _size(messages: Sequence[bytes]) -> int:
    return sum(map(len, messages))


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))
