"""Pictures come from the log alone, with the facts of their particles."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from edge.divelog import DiveLog
from edge.pictures import pictures_of
from edge.telemetry.picture import Reason, decode_picture, encode_picture
from edge.vision.vignette import decode_vignette
from tests.tools.made_dive import TAXA, make_dive

pytestmark = pytest.mark.board


@pytest.fixture(scope="module")
def dive(tmp_path_factory):
    return make_dive(tmp_path_factory.mktemp("dive"))


def test_pictures_are_those_of_particles_in_the_log(dive):
    with DiveLog.open(dive) as log:
        pictures = pictures_of(log, 8)
        particles = list(log.particles(with_vignettes=True))
        assert [one.pixels.tobytes() for one in pictures_of(log, 8)] == [
            one.pixels.tobytes() for one in pictures
        ]
    assert len(pictures) == 8
    whole = [one for one in particles if not one.on_border and one.vignette_png is not None]
    largest = next(one for one in pictures if one.reason is Reason.LARGEST)
    assert largest.esd_um == max(one.esd_um for one in whole)
    same = [one for one in whole if one.esd_um == largest.esd_um]
    assert any(np.array_equal(decode_vignette(one.vignette_png), largest.pixels) for one in same)
    for one in pictures:
        back = decode_picture(encode_picture(one, 320, len(TAXA) - 1), len(TAXA) - 1)
        assert (back.taxon, back.pressure_dbar, back.esd_um) == (one.taxon, one.pressure_dbar, one.esd_um)


def test_a_damaged_vignette_is_left_out_and_the_dive_goes(dive):
    with DiveLog.open(dive) as log:
        whole = pictures_of(log, 64)
    with sqlite3.connect(dive / "dive.sqlite") as db:
        db.execute("UPDATE vignettes SET png = x'00' WHERE particle = (SELECT MIN(particle) FROM vignettes)")
    with DiveLog.open(dive) as log:
        assert len(pictures_of(log, 64)) == len(whole) - 1
    with sqlite3.connect(dive / "dive.sqlite") as db:
        db.execute("UPDATE vignettes SET png = x'00'")
    with DiveLog.open(dive) as log:
        assert pictures_of(log, 64) == ()
