"""Fitting the law of pictures: it learns from what it is shown, and what it writes is read again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import edge.telemetry.thumbnail_weights as weights_module
from edge.telemetry.thumbnail_law import pack, shipped
from training.drawn import KINDS, draw_particle
from training.thumbnails import bits_per_detail, fit_signs, watch, write


@pytest.fixture(scope="module")
def examples():
    rng = np.random.default_rng(1)
    pictures = [draw_particle(kind, rng, 40) for kind in KINDS]
    return watch(pictures, shipped(), rng)


def test_signs_learnt_from_pictures_cost_less_on_them(examples):
    after = fit_signs(examples[0], shipped())
    assert bits_per_detail(examples[0], after) < bits_per_detail(examples[0], shipped())


def test_every_root_value_stays_possible(examples):
    assert (examples[1] > 0).all()


def test_what_is_written_is_the_module_again(tmp_path):
    copy = tmp_path / "thumbnail_weights.py"
    shutil.copy(weights_module.__file__, copy)
    write(shipped(), copy)
    assert copy.read_text() == Path(weights_module.__file__).read_text()
    assert pack(shipped()) == weights_module.WEIGHTS
