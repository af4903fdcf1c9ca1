"""Pictures that came by message, as the report shows them."""

from __future__ import annotations

import base64
from dataclasses import replace

import cv2
import numpy as np

from edge.telemetry.picture import UNCLASSIFIED, Picture, Reason, decode_picture, encode_picture
from tests.edge.telemetry.test_thumbnail import particle
from tools.shore.report.gallery import sent_pictures

PICTURE = Picture(1, Reason.LEAST_SURE, 412, 1530, 371, 200, particle(200, 150))


def test_a_sent_picture_is_shown_at_the_scale_of_the_camera():
    sent = decode_picture(encode_picture(PICTURE, 100, 2), 2)
    small, whole = sent_pictures([sent, replace(PICTURE, side_px=200)], ["copepod", "bell"], 50.0)
    assert small.detail_px == max(sent.pixels.shape) < whole.detail_px == 200
    # The same 2 mm are as long on the page against the particle, however few pixels came.
    assert small.bar_text == whole.bar_text
    assert abs(small.bar_px / small.height_px - whole.bar_px / whole.height_px) < 0.02
    assert (small.label, small.reason, small.score, small.pressure_dbar) == ("bell", "least sure", 0.371, 412)
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(small.png_base64), np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(pixels, sent.pixels)


def test_a_picture_without_a_taxon_is_unclassified():
    (shown,) = sent_pictures([replace(PICTURE, taxon=UNCLASSIFIED, pressure_dbar=None)], ["copepod"], 50.0)
    assert shown.label == "unclassified"
    assert shown.pressure_dbar is None
