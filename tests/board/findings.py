"""What one machine makes of given frames, vignettes and dive logs, as arrays to be compared with another's.

Run by itself on both machines. The inputs were made on one of them alone, and so nothing here differs but
what the processor does: `seston simulate` of a recording, what segmentation and measures find, what networks
say of the vignettes in a log, and what a replay of that log sends.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.config import Background, VisionConfig
from edge.divelog import DiveLog
from edge.images import read_image
from edge.inference.bundle import Bundle, load_bundle, shipped_bundles
from edge.inference.classifier import describe_for
from edge.inference.engine import Engine
from edge.inference.litert import Kernels
from edge.inference.preprocessing import prepare
from edge.logged import correct_dive, drift_in, plan_messages, summarise
from edge.optics import Polarity
from edge.recording import open_recording
from edge.vision.background import BackgroundRemover
from edge.vision.morphology import MEASURES, measure
from edge.vision.segmentation import Regions, segment
from edge.vision.vignette import cut_vignette, decode_vignette, encode_vignette
from tests.board.hashes import hashes
from tools.simulate import complete_config, parse_pressure, simulate_dive

Array = NDArray[Any]
MEASURED = 200
"""Particles of a frame that are measured: the largest."""
CLASSIFIED = 60
"""Vignettes of a log that are classified by both kinds of kernels, evenly spread."""
BY_SCORE = {"taxon", "top", "score", "scores", "evidence", "worth", "checksum"}
"""Columns of a log that depend on what a network said, which may differ by one unit."""


class Input(msgspec.Struct, frozen=True):
    """A recording beside this description, and how it is replayed."""

    bundle: str
    fps: float | None = None
    pressure: str | None = None
    threshold: int | None = None


def main() -> None:
    """`python -m tests.board.findings INPUTS DIVES OUT`: simulate into DIVES, and find."""
    find(*map(Path, sys.argv[1:]))


def find(inputs: Path, dives: Path | None, out: Path) -> None:
    """Write all that this machine finds in the inputs; without `dives` in the dives that lie beside them."""
    found = {f"telemetry/{name}": np.array(digest) for name, digest in hashes().items()}
    for folder in sorted(one.parent for one in inputs.glob("*/input.json")):
        name = folder.name
        how = msgspec.json.decode((folder / "input.json").read_bytes(), type=Input)
        dive = folder / "dive" if dives is None else dives / name
        if dives is not None:
            simulate(folder, how, dive)
        parts = {
            "vision": look_at(folder, how),
            "log": dict(read_log(dive / "dive.sqlite")),
            "replay": replay(folder / "dive"),
        }
        found |= {f"{part}/{name}/{key}": one for part, told in parts.items() for key, one in told.items()}
        click.echo(f"  {name}: {', '.join(parts)}", err=True)
    for name in shipped_bundles():
        found |= {f"{key}/{name}": one for key, one in classify(load_bundle(name), inputs).items()}
        click.echo(f"  {name}: classification", err=True)
    np.savez(out, **found)  # type: ignore[arg-type]


def simulate(folder: Path, how: Input, out: Path) -> None:
    """`seston simulate` of an input into a new folder."""
    recording = open_recording(folder / "recording", fps=how.fps, pressure=parse_pressure(how.pressure))
    config, _ = complete_config(None, recording.info, bundle=how.bundle, threshold=how.threshold)
    out.mkdir(parents=True)
    simulate_dive(recording, config, load_bundle(how.bundle), out)


def look_at(folder: Path, how: Input) -> dict[str, Array]:
    """Segmentation, measures and vignettes of every frame, without a background and in two with one."""
    recording = open_recording(folder / "recording", fps=how.fps, pressure=parse_pressure(how.pressure))
    optics = complete_config(None, recording.info, threshold=how.threshold)[0].optics
    assert optics is not None
    plain, median = VisionConfig(), VisionConfig(background=Background.RUNNING_MEDIAN, median_frames=3)
    bright = msgspec.structs.replace(optics, polarity=Polarity.BRIGHT_FIELD)
    found: dict[str, list[Array]] = {}
    removers = {
        "plain": BackgroundRemover(plain, optics),
        "median": BackgroundRemover(median, optics),
        "bright": BackgroundRemover(median, bright),
    }
    for frame in recording.frames():
        if frame.pixels is None:
            continue
        for name, remover in removers.items():
            pixels = remover.remove(255 - frame.pixels if name == "bright" else frame.pixels)
            regions = segment(pixels, optics.threshold)
            told = {"pixels_sum": pixels.sum(axis=1, dtype=np.int64), **_regions(regions)}
            if name == "plain":
                told |= _measures(pixels, regions, optics)
            for key, one in told.items():
                found.setdefault(f"{name} {key}", []).append(np.atleast_1d(one))
    return {key: np.concatenate(parts) for key, parts in found.items()}


def _regions(regions: Regions) -> dict[str, Array]:
    told = {one.name: getattr(regions, one.name) for one in dataclasses.fields(Regions)}
    return {**told, "mean_grey": regions.mean_grey, "sd_grey": regions.sd_grey}


def _measures(pixels: NDArray[np.uint8], regions: Regions, optics: Any) -> dict[str, Array]:
    """Measures by column, vignettes as PNG, and the sharpness, of the largest particles."""
    largest = np.sort(np.argsort(-regions.area_px, kind="stable")[:MEASURED])
    rows, vignettes = [], []
    for i in largest.tolist():
        x, y, mask = int(regions.x_px[i]), int(regions.y_px[i]), regions.mask(i)
        grey = pixels[y : y + mask.shape[0], x : x + mask.shape[1]]
        rows.append(measure(mask, grey, x, y, optics))
        vignettes.append(encode_vignette(cut_vignette(pixels, regions, i, VisionConfig())))
    table = np.array(rows).reshape(-1, len(MEASURES))
    told: dict[str, Array] = {
        f"measure {one.name}": column for one, column in zip(MEASURES, table.T, strict=True)
    }
    told["vignettes"] = np.frombuffer(b"".join(vignettes), dtype=np.uint8)
    told["esd_um"] = optics.esd_um(regions.area_px)
    told["size_class"] = optics.size_class(regions.area_px)
    return told


def read_log(file: Path) -> Iterator[tuple[str, Array]]:
    """Columns of a log's tables; those that a network decided under a name of their own."""
    db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    for table in ("frames", "particles", "vignettes", "inputs", "messages", "meta"):
        cursor = db.execute(f"SELECT * FROM {table}")
        names = [column[0] for column in cursor.description]
        for name, column in zip(names, zip(*cursor, strict=True), strict=False):
            kind = "by score " if name in BY_SCORE else ""
            yield f"{kind}{table}.{name}", np.array([repr(value) for value in column])
    db.close()


def replay(dive: Path) -> dict[str, Array]:
    """Profile, messages and all else that comes of a log made elsewhere."""
    with DiveLog.open(dive) as log:
        found = dict(_flat("summary", summarise(log)))
        messages, sent = plan_messages(log).messages, log.messages()
        corrected = correct_dive(log)
        drift = drift_in(log)
    assert sent, "the dive sent nothing"
    found["messages"] = np.frombuffer(b"".join(messages), dtype=np.uint8)
    found["messages are those that were sent"] = np.array(list(messages) == sent)
    found["corrected anew"] = np.array(corrected)
    found["drift"] = np.array(repr(drift))
    return found


def _flat(name: str, value: Any) -> Iterator[tuple[str, Array]]:
    """Every array and every plain value within dataclasses and structs."""
    if dataclasses.is_dataclass(value):
        for one in dataclasses.fields(value):
            yield from _flat(f"{name}.{one.name}", getattr(value, one.name))
    elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
        for i, one in enumerate(value):
            yield from _flat(f"{name}.{i}", one)
    else:
        yield name, value if isinstance(value, np.ndarray) else np.array(repr(value))


def classify(bundle: Bundle, inputs: Path) -> dict[str, Array]:
    """Prepared pictures, and what both kinds of kernels say of them, int8 (N, k)."""
    vignettes = [np.asarray(one) for one in bundle.golden_inputs]
    for file in sorted(inputs.glob("*/dive/dive.sqlite")):
        with DiveLog.open(file.parent) as log:
            if log.meta("bundle")["name"] == bundle.name:
                pngs = [one.vignette_png for one in log.particles(with_vignettes=True) if one.vignette_png]
                vignettes += [decode_vignette(png) for png in pngs[:: max(1, len(pngs) // CLASSIFIED)]]
    for file in sorted((inputs / "vignettes" / bundle.name).glob("*")):
        pixels = read_image(file)
        vignettes.append(255 - pixels if bundle.name == "shadowgraph" else pixels)
    ready = [prepare(one, bundle.preprocessing) for one in vignettes]
    numbers = [describe_for(bundle, one) for one in vignettes]
    found: dict[str, Array] = {"prepared": np.array(ready), "numbers": np.array(numbers)}
    kinds: tuple[Kernels, ...] = ("reference", "xnnpack")
    for kernels in kinds:
        engine = Engine(bundle.model, bundle.preprocessing.views, kernels=kernels)
        assert _delegated(engine) == (kernels == "xnnpack"), f"{kernels} kernels are not what computes"
        found[kernels] = np.array([engine.infer(*one) for one in zip(ready, numbers, strict=True)])
    return found


def _delegated(engine: Engine) -> bool:
    """Whether XNNPACK has really taken the network over; it does not say so itself."""
    operations: list[Mapping[str, Any]] = engine.model._interpreter._get_ops_details()
    return any(one["op_name"] == "DELEGATE" for one in operations)


if __name__ == "__main__":
    main()
