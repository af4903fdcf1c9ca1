"""What the named particles of a dive say of their taxa: how large they are, how many names are wrong. Pure.

In integers from the logged ESD and scores, so that every machine sends the same numbers from the same log.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.taxonomy import UNCLASSIFIED, Taxon
from edge.telemetry.means import to_log_step
from edge.telemetry.summary import ESD_PERCENTS, NO_ESD, living_taxa

Ints = NDArray[np.int64]

_ONE = 1 << 16
"""A probability of 1, as it is added up."""


def esd_quantiles(taxa: Ints, esd_um: Ints, counted: Sequence[Taxon]) -> Ints:
    """Quantiles of the ESD of the particles of every living taxon, as log steps, int64 (n_living, 5).

    By nearest rank (Hyndman and Fan 1996, The American Statistician 50, 361: definition 1): of n sizes in
    rising order the p % quantile is number ceil(n * p / 100), so it is the size of a particle that was
    there. Steps are those of `edge.telemetry.means.to_log_step`, 16 an octave. A row of a taxon without
    particles is `NO_ESD`.

    Parameters
    ----------
    taxa, esd_um
        Of every particle: index of its counted taxon, and ESD in whole um, int64 (n,).
    counted
        The counted taxa; the rows are those of them that live, in their order.
    """
    living = living_taxa(counted)
    found = np.full((len(living), len(ESD_PERCENTS)), NO_ESD, dtype=np.int64)
    for row, taxon in enumerate(living):
        sizes = np.sort(esd_um[taxa == taxon])
        if sizes.size:
            ranks = [-(-sizes.size * percent // 100) for percent in ESD_PERCENTS]
            found[row] = [to_log_step(int(sizes[rank - 1])) for rank in ranks]
    return found


def expected_wrong(taxa: Ints, scores: NDArray[np.floating], counted: Sequence[Taxon]) -> Ints:
    """How many of the names given are expected to be wrong, by taxon, to the nearest object, int64 (n_taxa,).

    The sum over the particles counted for a taxon of 1 less the probability of that very answer: the score of
    the taxon, with those of all taxa below it, as where an unsure answer rolled up to a parent.
    `unclassified` claims nothing and is never wrong.

    It assumes that the scores are probabilities: calibrated, of particles like the held-back images that the
    bundle was tested on, from water in which taxa are as common as there. What belongs to no taxon of the
    model is expected nowhere, so in strange water more names are wrong than this says. It tells how sure the
    model was; it is no error bar of a count, in which wrong names given and wrong names taken partly cancel.

    Parameters
    ----------
    taxa
        Index of the counted taxon of every particle, int64 (n,).
    scores
        Calibrated probabilities, (n, k), of the first k of the counted taxa: those of the model. NaN is 0.
    counted
        The counted taxa: the model's, parents, `unclassified`.
    """
    given = np.zeros((len(counted), scores.shape[1]), dtype=np.int64)
    add_given(given, taxa, scores)
    return wrong_of(given, np.bincount(taxa, minlength=len(counted)), counted)


def add_given(given: Ints, taxa: Ints, scores: NDArray[np.floating]) -> None:
    """Add the scores of some particles to those of their taxa, int64 (n_taxa, k), in parts of `_ONE`."""
    clean = np.clip(np.nan_to_num(np.asarray(scores, dtype=np.float64)), 0, 1)
    np.add.at(given, taxa, np.rint(clean * _ONE).astype(np.int64))


def wrong_of(given: Ints, n_by_taxon: Ints, counted: Sequence[Taxon]) -> Ints:
    """`expected_wrong` of all particles whose scores were added up by `add_given`."""
    right = (given * _below(counted)[:, : given.shape[1]]).sum(axis=1)
    total = _ONE * np.asarray(n_by_taxon, dtype=np.int64)
    total[[taxon.label == UNCLASSIFIED for taxon in counted]] = 0
    return np.asarray((np.maximum(total - right, 0) + _ONE // 2) // _ONE, dtype=np.int64)


def _below(counted: Sequence[Taxon]) -> Ints:
    """1 where the second taxon is the first or lies below it, int64 (n_taxa, n_taxa)."""
    index = {taxon.label: i for i, taxon in enumerate(counted)}
    below = np.eye(len(counted), dtype=np.int64)
    for i in range(len(counted)):
        above, seen = counted[i].parent, {i}
        while above in index and index[above] not in seen:
            seen.add(index[above])
            below[index[above], i] = 1
            above = counted[index[above]].parent
    return below
