"""A picture's message body comes back with its facts, and the choice follows its rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InputError, MessageError
from edge.telemetry.picture import (
    MIN_PICTURE_BYTES,
    UNCLASSIFIED,
    Candidates,
    Picture,
    Reason,
    choose,
    decode_picture,
    encode_picture,
)
from edge.telemetry.thumbnail import decode_thumbnail, encode_thumbnail
from tests.edge.telemetry.test_thumbnail import particle

pytestmark = pytest.mark.board
PICTURE = Picture(3, Reason.RAREST, 412, 1530, 871, 90, particle())
FACTS = ("taxon", "reason", "pressure_dbar", "esd_um", "score_permille", "side_px")


@settings(deadline=None, max_examples=40)
@given(st.data(), st.integers(0, 60), st.integers(MIN_PICTURE_BYTES, 340))
def test_round_trip(data, n_taxa, max_bytes):
    picture = Picture(
        data.draw(st.integers(UNCLASSIFIED, n_taxa - 1)),
        data.draw(st.sampled_from(Reason)),
        data.draw(st.one_of(st.none(), st.integers(0, 12_000))),
        data.draw(st.integers(0, (1 << 24) - 1)),
        data.draw(st.integers(0, 1000)),
        data.draw(st.integers(1, (1 << 24) - 1)),
        particle(data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60))),
    )
    body = encode_picture(picture, max_bytes, n_taxa)
    assert len(body) <= max_bytes
    found = decode_picture(body, n_taxa)
    assert [getattr(found, name) for name in FACTS] == [getattr(picture, name) for name in FACTS]
    assert max(found.pixels.shape) <= max(picture.pixels.shape)


def test_the_facts_take_few_bytes_and_the_rest_shows_the_particle():
    found = decode_picture(encode_picture(PICTURE, 140, 20), 20)
    alone = decode_thumbnail(encode_thumbnail(PICTURE.pixels, 140 - 9))
    assert found.pixels.size >= alone.size


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=340), st.integers(0, 60))
def test_any_body_is_a_picture_or_a_message_error(body, n_taxa):
    try:
        found = decode_picture(body, n_taxa)
    except MessageError:
        return
    assert UNCLASSIFIED <= found.taxon < n_taxa
    assert found.pressure_dbar is None or 0 <= found.pressure_dbar <= 12_000


def test_out_of_range_names_the_field():
    for field, value in (
        ("taxon", 20), ("taxon", -2), ("pressure_dbar", 12_001), ("esd_um", -1), ("score_permille", 1001),
        ("side_px", 0),
    ):  # fmt: skip
        with pytest.raises(InputError, match=f"{field}: is {value}, not in"):
            encode_picture(replace(PICTURE, **{field: value}), 340, 20)
    with pytest.raises(InputError, match="max_bytes: is 23, the smallest is 24"):
        encode_picture(PICTURE, 23, 20)


def candidates(rows):
    """Rows of taxon, score, evidence, ESD, has a picture."""
    taxon, score, evidence, esd_um, has = (np.array(column) for column in zip(*rows, strict=True))
    return Candidates(
        np.arange(len(rows)), taxon.astype(np.int64), score.astype(np.int64), evidence.astype(np.float32),
        esd_um.astype(np.int64), has.astype(np.bool_),
    )  # fmt: skip


def test_the_reasons_take_turns_and_no_particle_comes_twice():
    given_rows = candidates(
        [
            (0, 990, 9.0, 900, True),  # surest of the common taxon
            (0, 950, 8.0, 5000, True),  # largest
            (0, 300, 7.0, 700, True),  # least sure
            (1, 850, 6.0, 800, True),  # rarest
            (2, 999, 1.0, 600, True),  # rarer still, but not alive; and the most novel
            (UNCLASSIFIED, 310, 2.0, 650, True),
        ]
    )
    assert choose(given_rows, [True, True, False], 9) == [
        (3, Reason.RAREST),
        (2, Reason.LEAST_SURE),
        (4, Reason.MOST_NOVEL),
        (1, Reason.LARGEST),
        (0, Reason.RAREST),
        (5, Reason.LEAST_SURE),
    ]
    assert choose(given_rows, [True, True, False], 2) == [(3, Reason.RAREST), (2, Reason.LEAST_SURE)]


def test_an_unsure_answer_makes_no_rarity_and_objects_without_picture_count():
    given_rows = candidates(
        [
            (0, 900, 5.0, 700, True),
            (1, 790, 5.0, 700, True),  # the rarest, but not confident
            (2, 900, 5.0, 700, True),
            (2, 900, 5.0, 700, False),
            (2, 900, 5.0, 700, False),
        ]
    )
    assert choose(given_rows, [True] * 3, 1) == [(0, Reason.RAREST)]
    rarest = [row for row, reason in choose(given_rows, [True] * 3, 9) if reason is Reason.RAREST]
    assert 1 not in rarest


def test_ties_go_by_number_and_unknown_evidence_is_not_novel():
    nan = float("nan")
    given_rows = candidates([(UNCLASSIFIED, 500, nan, 700, True)] * 5)
    assert choose(given_rows, [], 9) == [
        (0, Reason.LEAST_SURE),
        (1, Reason.LARGEST),
        (2, Reason.LEAST_SURE),
        (3, Reason.LARGEST),
        (4, Reason.LEAST_SURE),
    ]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(-1, 4), st.integers(0, 1000), st.floats(-9, 9), st.integers(0, 9), st.booleans()
        ),
        min_size=1,
        max_size=30,
    ),
    st.integers(0, 40),
)
def test_every_choice_can_be_sent_once(rows, n_pictures):
    found = choose(candidates(rows), [True, True, False, True, True], n_pictures)
    chosen = [row for row, _ in found]
    assert len(chosen) == len(set(chosen)) == min(n_pictures, sum(row[4] for row in rows))
    assert all(rows[row][4] for row in chosen)
    assert choose(candidates(rows), [True, True, False, True, True], n_pictures) == found
