"""Curves of a dive with overload: the same on board and on shore, and as dense as if all had been named."""

from __future__ import annotations

import numpy as np
import pytest

from edge.frame import Phase
from edge.inference.bundle import load_bundle
from edge.logged import codebook_in, summarise
from edge.telemetry import decode_messages
from tests.edge.test_overload import dive
from tools.shore.dives import lossless_dive
from tools.shore.exports.netcdf import profile_dataset
from tools.shore.exports.tables import from_messages
from tools.shore.report.curves import curves_of


def test_cells_of_a_dive_with_overload_can_be_added_up(tmp_path):
    bundle = load_bundle("demo")
    _, _, everyone = dive(tmp_path, bundle, "all.sqlite")
    _, plan, log = dive(tmp_path, bundle, "some.sqlite", per_second=1.5, backlog_s=1.0)
    (shore,) = decode_messages(plan.messages, [codebook_in(log)]).dives
    summary = summarise(log)
    profile = summary.profile
    board, sent = curves_of(lossless_dive(summary)).taxa[Phase.DESCENT], curves_of(shore).taxa[Phase.DESCENT]
    np.testing.assert_allclose(board.counts, sent.counts, rtol=1e-5)
    np.testing.assert_allclose(board.volume_l, sent.volume_l)
    truth = curves_of(lossless_dive(summarise(everyone))).taxa[Phase.DESCENT]
    np.testing.assert_allclose(board.counts.sum(axis=1), truth.counts.sum(axis=1), rtol=1e-5)
    found, wanted = board.pooled(50).total(), truth.pooled(50).total()
    np.testing.assert_allclose(found.concentration_per_l(), wanted.concentration_per_l(), rtol=1e-5)
    data = profile_dataset(from_messages(shore))
    (part,) = profile.phases
    assert data.not_classified_count.values.tolist() == part.unnamed.tolist()
    np.testing.assert_allclose(data.volume_classified, part.volume_classified_ul / 1e6)
    np.testing.assert_allclose(data.volume_sized, part.volume_sized_ul / 1e6)
    named_l = part.volume_classified_ul[:, None] / 1e6
    np.testing.assert_allclose(board.concentration_per_l() * named_l, part.taxa)


def test_a_cell_in_which_none_was_named_is_not_known(tmp_path):
    _, _, log = dive(tmp_path, load_bundle("demo"), "some.sqlite", per_second=0.05, backlog_s=1.0)
    summary = summarise(log)
    (part,) = summary.profile.phases
    none_named = (part.taxa.sum(axis=1) == 0) & (part.unnamed > 0)
    assert none_named.any()
    board = curves_of(lossless_dive(summary)).taxa[Phase.DESCENT]
    assert np.isnan(board.counts[none_named]).all()


pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
