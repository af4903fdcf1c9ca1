"""Numbers of dives against time: bytes, health, drift. Pure, as `figures`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from edge.telemetry.health import CONDITION_FIELDS, HEALTH_FIELDS, HealthField
from tools.shore.report.digest import Digest
from tools.shore.report.style import Figure, layout, plain_list

COLOURS = ("#0072b2", "#c2500a", "#007f5f", "#cc79a7", "#5a6b75", "#a6761d", "#7a0f3d", "#1c2226")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")
TOLD = (
    "battery_mv",
    "board_temperature_max_c",
    "disk_free_mb",
    "worst_sharpness",
    "lit_grey_centi",
    "dirt_permille",
    "memory_mb",
    "restarts",
)
"""What is told of health, where at least one dive knows it."""


def when(dive: Digest) -> str | None:
    """Start of a dive as plots take it, or None."""
    if dive.started_ms is None:
        return None
    return str(np.datetime64(dive.started_ms, "ms").astype("datetime64[s]"))


def by_platform(dives: Sequence[Digest]) -> list[tuple[str, list[Digest]]]:
    """Dives whose time is known, by float."""
    timed = [d for d in dives if d.started_ms is not None]
    return [
        (name, [d for d in timed if d.platform == name]) for name in dict.fromkeys(d.platform for d in timed)
    ]


def taxa_of(dives: Sequence[Digest]) -> list[str]:
    """Every taxon that any of the dives has seen, the most frequent first."""
    total: dict[str, int] = {}
    for dive in dives:
        for row in dive.science.taxa[0][1]:
            total[row.label] = total.get(row.label, 0) + row.count
    return sorted((label for label, n in total.items() if n), key=lambda label: (-total[label], label))


def over_time(
    dives: Sequence[Digest],
    value: Callable[[Digest], float | None],
    title: str,
    *,
    height: int = 220,
    log: bool = False,
) -> Figure | None:
    """A number of each dive against time, a line a platform; None where no dive knows it."""
    traces = []
    for i, (platform, mine) in enumerate(by_platform(dives)):
        pairs = [(d, v) for d in mine if (v := value(d)) is not None and math.isfinite(v)]
        if pairs:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": platform,
                    "x": [when(d) for d, _ in pairs],
                    "y": plain_list([v for _, v in pairs]),
                    "text": [f"dive {d.number}" for d, _ in pairs],
                    "line": {"color": COLOURS[i % len(COLOURS)], "width": 1.4},
                    "marker": {
                        "size": 6,
                        "color": COLOURS[i % len(COLOURS)],
                        "symbol": SYMBOLS[i % len(SYMBOLS)],
                    },
                    "hovertemplate": "%{text}: %{y:.4g}<extra>" + platform + "</extra>",
                }
            )
    if not traces:
        return None
    plot = layout(height=height)
    plot["xaxis"] |= {"type": "date"}
    plot["yaxis"] |= {"title": {"text": title}} | ({"type": "log", "exponentformat": "power"} if log else {})
    return {"data": traces, "layout": plot}


def budgets(dives: Sequence[Digest]) -> Figure | None:
    """Bytes of each dive against time, and what was allowed."""
    sent = over_time(dives, lambda d: float(d.sent_bytes), "bytes", height=260)
    if sent is None:
        return None
    allowed = over_time(dives, lambda d: None if d.budget_bytes is None else float(d.budget_bytes), "bytes")
    for trace in [] if allowed is None else allowed["data"]:
        trace |= {
            "mode": "lines",
            "name": f"{trace['name']}, allowed",
            "line": trace["line"] | {"dash": "3px,2px", "shape": "hv"},
        }
        del trace["marker"]
        sent["data"].append(trace)
    sent["layout"]["yaxis"] |= {"rangemode": "tozero"}
    return sent


def health(dives: Sequence[Digest]) -> dict[str, tuple[str, Figure]]:
    """By name of the field: its words, and its plot."""
    found = {}
    for field in (*HEALTH_FIELDS, *CONDITION_FIELDS):
        if field.name in TOLD:
            figure = over_time(dives, _reader(field), _unit(field))
            if figure is not None:
                found[field.name] = (field.words, figure)
    return found


def drift(dives: Sequence[Digest]) -> Figure | None:
    """How far the particles of each dive are from what its model was tested on."""

    def value(dive: Digest) -> float | None:
        found = None if dive.condition is None else dive.condition.drift_permille
        return None if found is None else found / 1000

    return over_time(dives, value, "drift, 0 to 1", height=260)


def _reader(field: HealthField) -> Callable[[Digest], float | None]:
    scale = {"mV": 1000, "MB": 1000, "‰": 1000, "grey": 100}.get(field.unit, 1)

    def read(dive: Digest) -> float | None:
        for record in (dive.health, dive.condition):
            value = None if record is None else getattr(record, field.name, None)
            if value is not None:
                return float(value) / scale
        return None

    return read


def _unit(field: HealthField) -> str:
    return {"mV": "V", "MB": "GB", "‰": "share", "grey": "grey, of 255", "": "number"}.get(
        field.unit, field.unit
    )
