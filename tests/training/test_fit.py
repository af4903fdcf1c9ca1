"""Training learns, the same seed learns the same, and a stopped training ends as an uninterrupted one."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the train extra")

import keras
import msgspec

from training.augment import Variation
from training.fit import EpochEnd, Examples, Schedule, _mixed, batches, fit, predict
from training.model import Architecture, arrays, build_model

SMALL = Architecture(alpha=0.1, stages=2, features=16, momentum=0.8)
WITH_NUMBERS = Architecture(alpha=0.1, stages=2, features=16, momentum=0.8, hidden=8)


def stripes(n: int) -> Examples:
    """Black, a disc, or two: easy."""
    rng = np.random.default_rng(3)
    labels = np.arange(n) % 3
    images = rng.integers(0, 12, (n, 24, 24, 1), dtype=np.uint8)
    images[labels >= 1, 9:15, 4:9] = 220
    images[labels == 2, 9:15, 15:20] = 220
    return Examples(images, np.full((n, 5), 100, np.uint8), labels)


def network(architecture=SMALL):
    keras.utils.set_random_seed(5)
    return build_model(24, 3, architecture)


def same(one, other) -> bool:
    mine, theirs = arrays(one), arrays(other)
    return all(np.array_equal(mine[name], theirs[name]) for name in mine)


def test_it_learns_and_the_same_seed_learns_the_same():
    examples, schedule = stripes(120), Schedule(epochs=8, batch=24, rate=1e-2)
    learnt, told, ends = [], [], []
    for _ in range(2):
        model = network()
        fit(model, examples, schedule, 5, watch=examples, report=told.append, epoch_end=ends.append)
        learnt.append(model)
    assert [one.step for one in told] == [*range(1, 41)] * 2
    assert told[39].n_steps == 40
    assert told[39].loss < 0.7 * told[4].loss
    assert [one.epoch for one in ends] == [*range(8)] * 2
    assert ends[7].balanced_accuracy > 0.8
    assert (predict(learnt[0], examples).argmax(axis=1) == examples.labels).mean() > 0.8
    assert same(*learnt)


@pytest.mark.parametrize("architecture", [SMALL, WITH_NUMBERS], ids=["picture", "picture and numbers"])
def test_a_stopped_training_ends_as_an_uninterrupted_one(architecture, tmp_path):
    examples, schedule = stripes(60), Schedule(epochs=4, batch=20, rate=1e-2, decay=0.02)
    whole = network(architecture)
    fit(whole, examples, schedule, 5)

    class StopError(Exception):
        pass

    def stop(told: EpochEnd) -> None:
        if told.epoch == 1:
            raise StopError

    state = tmp_path / "state.npz"
    with pytest.raises(StopError):
        fit(network(architecture), examples, schedule, 5, state=state, epoch_end=stop)
    seen = []
    again = network(architecture)
    fit(again, examples, schedule, 5, state=state, epoch_end=seen.append)
    assert [told.epoch for told in seen] == [2, 3]
    assert same(whole, again)
    once_more = network(architecture)
    fit(once_more, examples, schedule, 5, state=state, epoch_end=seen.append)
    assert len(seen) == 2
    assert same(whole, once_more)


def test_the_state_of_another_training_and_a_damaged_one_are_not_gone_on_from(tmp_path):
    examples, schedule = stripes(60), Schedule(epochs=2, batch=20, rate=1e-2)
    state = tmp_path / "state.npz"
    fit(network(), examples, schedule, 5, state=state)
    data = state.read_bytes()
    for changed, other, seed in (
        (data, examples._replace(images=examples.images // 2), 5),
        (data, examples, 6),
        (data[: len(data) // 2], examples, 5),
        (b"", examples, 5),
    ):
        state.write_bytes(changed)
        seen = []
        fit(network(), other, schedule, seed, state=state, epoch_end=seen.append)
        assert [told.epoch for told in seen] == [0, 1]


def test_balanced_batches_draw_rare_classes_more_often():
    labels = np.repeat([0, 1], [360, 40])
    examples = Examples(np.zeros((400, 8, 8, 1), np.uint8), np.zeros((400, 5), np.uint8), labels)
    for balance, low, high in ((0.0, 0.1, 0.1), (0.5, 0.2, 0.3), (1.0, 0.42, 0.58)):
        schedule = Schedule(batch=40, balance=balance)
        drawn = np.concatenate([y for _, _, y in batches(examples, schedule, np.random.default_rng(1))])
        assert len(drawn) == 400
        assert low <= drawn.mean() <= high


def rare_and_common() -> Examples:
    """The same noise under two labels, one nine times as common: only the shares can be learnt."""
    rng = np.random.default_rng(7)
    labels = np.repeat([0, 1], [108, 12])
    images = rng.integers(0, 255, (120, 24, 24, 1), dtype=np.uint8)
    return Examples(images, np.full((120, 5), 100, np.uint8), labels)


@pytest.mark.parametrize("how", [{"adjust": 1.0}, {"class_weight": 1.0}])
def test_weights_and_adjusted_logits_take_the_shares_away(how):
    examples = rare_and_common()
    gaps = []
    for schedule in (
        Schedule(epochs=12, batch=40, rate=5e-3),
        Schedule(epochs=12, batch=40, rate=5e-3, **how),
    ):
        keras.utils.set_random_seed(5)
        model = build_model(24, 2, SMALL)
        fit(model, examples, schedule, 5, variation=Variation(blurred=0, noisy=0, cut=0))
        logits = predict(model, examples)
        gaps.append(float(np.mean(logits[:, 0] - logits[:, 1])))
    assert gaps[0] > 0.8
    assert abs(gaps[1]) < 0.6 * gaps[0]


def test_mixed_rows_keep_most_of_their_own():
    n = 64
    names = np.eye(n, dtype=np.float32)
    pictures = np.broadcast_to(np.arange(n, dtype=np.float32).reshape(n, 1, 1, 1), (n, 4, 4, 1))
    mixed, targets = _mixed(np.random.default_rng(3), 0.4, pictures, names)
    assert mixed.dtype == targets.dtype == np.float32
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    assert (targets.argmax(axis=1) == np.arange(n)).all()
    assert 0.6 < targets.max(axis=1).mean() < 0.99
    # The pictures were mixed in the very shares of their targets.
    np.testing.assert_allclose(mixed[:, 1, 2, 0], targets @ np.arange(n, dtype=np.float32), rtol=1e-4)


def test_mixing_is_part_of_what_the_seed_decides():
    examples, schedule = stripes(72), Schedule(epochs=1, batch=24, mixup=0.3)
    found = []
    for one in (schedule, schedule, msgspec.structs.replace(schedule, mixup=0.0)):
        model = network()
        fit(model, examples, one, 5)
        found.append(predict(model, examples))
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 1e-3


def test_a_teacher_is_followed():
    examples = stripes(120)
    teacher = network()
    fit(teacher, examples, Schedule(epochs=6, batch=24, rate=1e-2), 5)
    wrong = examples._replace(labels=(examples.labels + 1) % 3)
    learnt = {}
    for share in (0.0, 1.0):
        keras.utils.set_random_seed(8)
        pupil = build_model(24, 3, SMALL)
        schedule = Schedule(epochs=8, batch=24, rate=1e-2, label_smoothing=0.0, distil=share)
        fit(pupil, wrong, schedule, 5, teacher=teacher)
        learnt[share] = predict(pupil, examples).argmax(axis=1)
    taught = predict(teacher, examples).argmax(axis=1)
    assert (learnt[1.0] == taught).mean() > 0.8
    assert (learnt[0.0] == wrong.labels).mean() > 0.8
