"""Pictures of a dive for the shore, from its log: a pure replay, as its messages are. It sends nothing."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from edge.log_reader import LogReader
from edge.taxonomy import UNCLASSIFIED as UNCLASSIFIED_LABEL
from edge.taxonomy import Taxon
from edge.telemetry.picture import UNCLASSIFIED, Candidates, Picture, choose
from edge.vision.vignette import decode_vignette


def pictures_of(log: LogReader, n_pictures: int = 16) -> tuple[Picture, ...]:
    """The pictures of a dive that are worth most, the most wanted first.

    Particles cut off by the frame's border are left out, and those whose vignette the log did not keep, or is
    damaged.

    Parameters
    ----------
    log
        Of a dive whose particles are committed.
    n_pictures
        At most so many.
    """
    taxa = msgspec.convert(log.meta("codebook")["taxa"], tuple[Taxon, ...])
    column = {i: UNCLASSIFIED if taxon.label == UNCLASSIFIED_LABEL else i for i, taxon in enumerate(taxa)}
    kept = log.vignette_numbers()
    frames: list[int] = []
    rows: list[tuple[int, int, int, bool]] = []
    evidence: list[float] = []
    for number, particle in enumerate(log.particles()):
        score = math.floor(1000 * float(particle.scores.max()) + 0.5) if particle.scores.size else 0
        has_picture = number in kept and not particle.on_border
        rows.append((column[particle.taxon], min(max(score, 0), 1000), particle.esd_um, has_picture))
        evidence.append(particle.evidence)
        frames.append(particle.frame)
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    candidates = Candidates(
        number=np.arange(len(table)),
        taxon=table[:, 0],
        score_permille=table[:, 1],
        evidence=np.array(evidence, dtype=np.float32),
        esd_um=table[:, 2],
        has_picture=table[:, 3].astype(np.bool_),
    )
    chosen = choose(candidates, [taxon.living is True for taxon in taxa], n_pictures)
    pressures_dbar = {row["frame"]: row["pressure_dbar"] for row in log.frames()} if chosen else {}
    found = []
    for number, reason in chosen:
        try:
            pixels = decode_vignette(log.vignette(number))
        except ValueError:
            continue  # a damaged picture is not sent; it stops nothing
        pressure_dbar = pressures_dbar.get(frames[number])
        taxon, score_permille, esd_um, _ = rows[number]
        found.append(
            Picture(
                taxon,
                reason,
                None if pressure_dbar is None else min(max(math.floor(pressure_dbar + 0.5), 0), 12_000),
                esd_um,
                score_permille,
                max(pixels.shape),
                pixels,
            )
        )
    return tuple(found)
