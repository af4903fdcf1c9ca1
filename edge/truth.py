"""What is known to be in a recording: truth.csv beside its frames, and truth_frames.csv. Read only.

`tools.composing` writes them; `simulate` compares a dive with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.frame import FrameOutcome
from edge.tables import read_table

TRUTH_FILE, TRUTH_FRAMES_FILE = "truth.csv", "truth_frames.csv"
TRUTH_COLUMNS = ("file", "x_px", "y_px", "width_px", "height_px", "area_px", "esd_um", "taxon", "source")
TRUTH_FRAMES_COLUMNS = ("file", "outcome")


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known to be in a recording: arrays over n particles.

    Attributes
    ----------
    frame
        Index of the frame in the recording, int64 (n,), not falling.
    x_px, y_px, width_px, height_px, area_px
        Box (upper left corner) and area above the threshold as planted, int64 (n,).
    esd_um
        float64 (n,).
    taxon
        Index into `taxa`, -1 for the small particles that nobody names, int64 (n,).
    taxa
        Labels that occur, sorted.
    source
        n texts: where each came from (a vignette's file, `drawn`, `blob`).
    frame_outcome
        What should become of each frame, `FrameOutcome` as int64 (n_frames,); -1 where the truth is silent.
    """

    frame: NDArray[np.int64]
    x_px: NDArray[np.int64]
    y_px: NDArray[np.int64]
    width_px: NDArray[np.int64]
    height_px: NDArray[np.int64]
    area_px: NDArray[np.int64]
    esd_um: NDArray[np.float64]
    taxon: NDArray[np.int64]
    taxa: tuple[str, ...]
    source: Sequence[str]
    frame_outcome: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frame)


def read_truth(folder: Path, names: Sequence[str]) -> Truth:
    """Read the truth of a recording whose frames are `names`; `RecordingError` names row and column."""
    index = {name: i for i, name in enumerate(names)}
    table = read_table(folder / TRUTH_FILE, required=TRUTH_COLUMNS, known=TRUTH_COLUMNS)

    def ints(column: str) -> NDArray[np.int64]:
        return table.numbers(column).astype(np.int64)

    for row, name in enumerate(table.columns["file"]):
        if name not in index:
            raise table.fault(row, "file", f"names {name}, which is no frame", "compose the recording again")
    taxa = tuple(sorted(set(table.columns["taxon"]) - {""}))
    numbers = {"": -1, **{label: i for i, label in enumerate(taxa)}}
    outcomes = np.full(len(names), -1, dtype=np.int64)
    if (folder / TRUTH_FRAMES_FILE).is_file():
        known = {outcome.label: outcome for outcome in FrameOutcome}
        frames = read_table(
            folder / TRUTH_FRAMES_FILE, required=TRUTH_FRAMES_COLUMNS, known=TRUTH_FRAMES_COLUMNS
        )
        for row, (name, word) in enumerate(
            zip(frames.columns["file"], frames.columns["outcome"], strict=True)
        ):
            if name not in index or word not in known:
                raise frames.fault(
                    row, "outcome", f"says {word!r} of {name!r}", f"write one of {', '.join(known)}"
                )
            outcomes[index[name]] = known[word]
    frame = np.array([index[name] for name in table.columns["file"]], dtype=np.int64)
    order = np.argsort(frame, kind="stable")
    taxon = np.array([numbers[label] for label in table.columns["taxon"]], dtype=np.int64)
    source = table.columns["source"]
    return Truth(
        frame=frame[order],
        x_px=ints("x_px")[order],
        y_px=ints("y_px")[order],
        width_px=ints("width_px")[order],
        height_px=ints("height_px")[order],
        area_px=ints("area_px")[order],
        esd_um=table.numbers("esd_um")[order],
        taxon=taxon[order],
        taxa=taxa,
        source=[source[i] for i in order],
        frame_outcome=outcomes,
    )
