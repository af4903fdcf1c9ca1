"""Pictures of a dive for the shore, from its log: a pure replay, as its messages are. It sends nothing."""

from __future__ import annotations

import math
from array import array

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
    taxon, permille, esd, frames = array("q"), array("q"), array("q"), array("q")
    has_picture, evidence = bytearray(), array("f")
    for number, particle in enumerate(log.particles()):
        score = math.floor(1000 * float(particle.scores.max()) + 0.5) if particle.scores.size else 0
        taxon.append(column[particle.taxon])
        permille.append(min(max(score, 0), 1000))
        esd.append(particle.esd_um)
        has_picture.append(number in kept and not particle.on_border)
        evidence.append(particle.evidence)
        frames.append(particle.frame)
    candidates = Candidates(
        number=np.arange(len(taxon)),
        taxon=np.array(taxon, dtype=np.int64),
        score_permille=np.array(permille, dtype=np.int64),
        evidence=np.array(evidence, dtype=np.float32),
        esd_um=np.array(esd, dtype=np.int64),
        has_picture=np.frombuffer(bytes(has_picture), dtype=np.bool_),
    )
    chosen = choose(candidates, [taxon.living is True for taxon in taxa], n_pictures)
    wanted = {frames[number] for number, _ in chosen}
    pressures_dbar = {frame: dbar for frame, _, dbar in log.places() if frame in wanted}
    found = []
    for number, reason in chosen:
        try:
            pixels = decode_vignette(log.vignette(number))
        except ValueError:
            continue  # a damaged picture is not sent; it stops nothing
        pressure_dbar = pressures_dbar.get(frames[number], math.nan)
        found.append(
            Picture(
                taxon[number],
                reason,
                None if math.isnan(pressure_dbar) else min(max(math.floor(pressure_dbar + 0.5), 0), 12_000),
                esd[number],
                permille[number],
                max(pixels.shape),
                pixels,
            )
        )
    return tuple(found)
