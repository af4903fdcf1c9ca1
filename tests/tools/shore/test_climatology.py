"""Learning what a region holds: from dives that lack something, or hold very much."""

from __future__ import annotations

import numpy as np
import pytest

from edge.errors import InputError
from edge.frame import Phase
from edge.telemetry.climatology import MAX_MEAN, load_climatology
from tests.edge.telemetry.dives import FIVE_DBAR, make_codebook, make_phase
from tools.shore.climatology import fit_climatology


def dive(n_taxa=3, phase=Phase.DESCENT, times=1):
    book = make_codebook(n_taxa, FIVE_DBAR, max_dbar=100)
    ones = np.ones((20, n_taxa), dtype=np.int64)
    sizes = np.ones((20, 18), dtype=np.int64) * times
    return book, (make_phase(book, phase, ones, sizes, np.ones((20, 11), dtype=np.int64)),)


def test_means_are_those_of_the_dives():
    learned = fit_climatology([dive(), dive()], "even")
    assert learned.n_dives == 2
    assert set(learned.taxa) == {"taxon 0", "taxon 1", "taxon 2"}
    assert all(step == pytest.approx(1000, abs=2) for step in learned.taxa["taxon 0"])
    assert load_climatology(learned.to_json()) == learned


def test_dives_without_taxa_teach_their_sizes():
    learned = fit_climatology([dive(n_taxa=0)], "sizes")
    assert learned.taxa == {}
    assert len(learned.sizes) == 18


def test_counts_beyond_a_mean_that_can_be_kept_are_the_largest():
    learned = fit_climatology([dive(times=1 << 39)], "a bloom")
    assert learned.sizes[0][5] == MAX_MEAN


def test_dives_that_only_park_teach_nothing():
    with pytest.raises(InputError, match="no descent and no ascent"):
        fit_climatology([dive(phase=Phase.PARK)], "park")
