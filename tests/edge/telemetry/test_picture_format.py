"""docs/picture-format.md is enough to read pictures: a decoder made from it alone sees the same pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import MessageError
from edge.telemetry.picture import MIN_PICTURE_BYTES, Picture, Reason, decode_picture, encode_picture
from edge.telemetry.thumbnail_weights import WEIGHTS
from tests.edge.telemetry import second_picture as second
from tests.edge.telemetry.second_decoder import RefusedError
from tests.edge.telemetry.test_thumbnail import particle, pictures

DOCUMENT = Path(__file__).parents[3] / "docs" / "picture-format.md"
FEW = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
LAW = second.Weights(WEIGHTS)


def test_the_document_names_the_weights_by_their_hash():
    assert LAW.digest in DOCUMENT.read_text(encoding="utf-8")


def compare(body, n_taxa):
    """Both read the same, or both refuse."""
    try:
        found = decode_picture(body, n_taxa)
    except MessageError:
        found = None
    try:
        facts, pixels = second.read_picture(body, n_taxa, LAW)
    except RefusedError:
        assert found is None
        return None
    assert facts == (
        found.taxon, found.reason, found.pressure_dbar, found.esd_um, found.score_permille, found.side_px,
    )  # fmt: skip
    np.testing.assert_array_equal(found.pixels, np.array(pixels))
    return found


@FEW
@given(pictures(), st.integers(MIN_PICTURE_BYTES, 340), st.none() | st.integers(0, 6000))
def test_a_second_decoder_sees_the_same(pixels, max_bytes, pressure_dbar):
    picture = Picture(2, Reason.LARGEST, pressure_dbar, 1234, 987, max(pixels.shape), pixels)
    assert compare(encode_picture(picture, max_bytes, 9), 9) is not None


@FEW
@given(st.binary(min_size=1, max_size=200), st.integers(0, 40))
def test_a_second_decoder_reads_and_refuses_the_same_bytes(body, n_taxa):
    compare(body, n_taxa)


def test_a_large_picture_in_few_and_in_many_bytes():
    for max_bytes in (40, 120, 330, 1900):
        picture = Picture(-1, Reason.RAREST, None, 0, 0, 200, particle(200, 180))
        found = compare(encode_picture(picture, max_bytes, 0), 0)
        assert max_bytes < 100 or min(found.pixels.shape) >= 32
