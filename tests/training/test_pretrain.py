"""Pretraining learns to find the other view of an image, and goes on where it was stopped."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the train extra")

import keras
import msgspec

from training.model import HEAD, Architecture, arrays, build_model
from training.pretrain import Pretraining, not_held_back, pretrain
from training.unsorted import Unsorted

HOW = Pretraining(epochs=3, batch=16, rate=3e-3)
SIDE = 32


def shapes(n: int, seed: int = 3) -> np.ndarray:
    """Each a few discs and bars of its own: easy to find again, turned or not."""
    rng = np.random.default_rng(seed)
    images = np.zeros((n, SIDE, SIDE, 1), dtype=np.uint8)
    for image in images:
        for _ in range(int(rng.integers(1, 5))):
            y, x, h, w = rng.integers(6, 20, 4) // (1, 1, 2, 2)
            image[y : y + h, x : x + w] = rng.integers(60, 255)
    return images


def network():
    keras.utils.set_random_seed(5)
    return build_model(SIDE, 3, Architecture(alpha=0.1, stages=2, features=16, hidden=4, momentum=0.8))


def test_it_learns_to_find_the_other_view():
    model, told = network(), []
    before = arrays(model)
    pretrain(model, shapes(64), msgspec.structs.replace(HOW, epochs=12), 1, epoch_end=told.append)
    after = arrays(model)
    assert told[-1].loss < min(told[0].loss, math.log(2 * HOW.batch - 1)) - 0.2
    same = {name for name in before if np.array_equal(before[name], after[name])}
    assert {name for name in before if name.startswith((HEAD, "hidden"))} <= same
    assert "Conv1/kernel" not in same


class StoppedError(Exception):
    """Raised in the middle of a pretraining."""


def test_stopped_it_goes_on_to_the_same_network(tmp_path):
    def stop(told):
        if told.epoch == 1:
            raise StoppedError

    whole, stopped, later = network(), network(), network()
    images, state = shapes(32), tmp_path / "state.npz"
    pretrain(whole, images, HOW, 1)
    with pytest.raises(StoppedError):
        pretrain(stopped, images, HOW, 1, state=state, epoch_end=stop)
    epochs = []
    pretrain(later, images, HOW, 1, state=state, epoch_end=lambda told: epochs.append(told.epoch))
    assert epochs == [2]
    mine, theirs = arrays(whole), arrays(later)
    assert all(np.array_equal(mine[name], theirs[name]) for name in mine)
    epochs.clear()
    pretrain(network(), shapes(32, seed=4), HOW, 1, state=state, epoch_end=epochs.append)
    assert len(epochs) == HOW.epochs  # other images: it begins anew


def test_what_is_held_back_is_not_learnt_from():
    rng = np.random.default_rng(8)
    images = rng.integers(0, 255, (6, SIDE, SIDE, 1), dtype=np.uint8)
    hashes = tuple(bytes([i] * 5) for i in range(6))
    nearly = images[2].copy()
    nearly[3, 3] ^= 1
    held_back = np.stack([nearly, rng.integers(0, 255, (SIDE, SIDE, 1), dtype=np.uint8)])
    kept = not_held_back(Unsorted("x", images, hashes, ()), held_back, (b"other", hashes[4]))
    assert np.array_equal(kept, images[[0, 1, 3, 5]])
