"""int8 against float: what is compared, and what is refused."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from rich.console import Console

from edge.errors import BundleError
from training.evaluate import HeldBack, score_logits
from training.parity import ParityLimits, compare, parity_table, require_parity

CLASSES = ("Calanus", "Oithona", "Snow")


def some(n: int = 300, noise: float = 0.3, seed: int = 1) -> HeldBack:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    logits = rng.normal(0, 1, (n, 3))
    logits[np.arange(n), labels] += 1.5
    return HeldBack(
        logits + rng.normal(0, noise, (n, 3)), logits, labels, tuple(f"group {i // 4}" for i in range(n))
    )


def files(held_back: HeldBack) -> list[str]:
    return [f"{i:04d}.png" for i in range(len(held_back))]


def parity(held_back: HeldBack):
    return compare(held_back, CLASSES, files(held_back))


def test_the_same_model_is_at_par():
    found = parity(some(noise=0))
    assert (found.agreement, found.agreement_interval) == (1, (1, 1))
    assert all((row.change, row.low, row.high) == (0, 0, 0) for row in found.scores.values())
    assert found.facts()["recall_change"] == {}
    require_parity(found, ParityLimits(agreement=1, accuracy_loss=0, balanced_accuracy_loss=0))


def test_scores_are_of_each_model_and_their_difference_is_drawn_pair_by_pair():
    held_back = some()
    found = parity(held_back)
    for name, row in found.scores.items():
        assert row.of_int8 == pytest.approx(score_logits(held_back.int8_logits, held_back.labels)[name])
        assert row.of_float == pytest.approx(score_logits(held_back.float_logits, held_back.labels)[name])
        assert row.change == row.of_int8 - row.of_float
        assert row.low <= row.change <= row.high
        # Both see the same images: far narrower than the interval of a score, some 0.08 here.
        assert row.high - row.low < 0.06
    same = held_back.int8_logits.argmax(axis=1) == held_back.float_logits.argmax(axis=1)
    assert found.agreement == same.mean()
    assert found.agreement_interval[0] < same.mean() < found.agreement_interval[1]
    assert (found.n_images, found.n_groups) == (300, 75)


def test_recall_by_class_leaves_out_what_has_no_images():
    held_back = some()
    held_back = dataclasses.replace(held_back, labels=np.where(held_back.labels == 1, 0, held_back.labels))
    found = parity(held_back)
    assert [row.name for row in found.classes] == ["Calanus", "Snow"]
    row = found.classes[1]
    snow = held_back.labels == 2
    assert row.n == snow.sum()
    assert row.of_int8 == pytest.approx((held_back.int8_logits[snow].argmax(axis=1) == 2).mean())


def test_the_worst_vignettes_are_named_in_the_json_and_nowhere_else():
    held_back = some(noise=0.05)
    held_back.int8_logits[17] = held_back.float_logits[17]
    held_back.int8_logits[17, held_back.labels[17]] -= 9
    held_back.int8_logits[42, held_back.labels[42]] -= 4
    found = parity(held_back)
    assert [one.file for one in found.worst[:2]] == ["0017.png", "0042.png"]
    assert len(found.worst) == 20
    worst = found.worst[0]
    assert worst.truth == CLASSES[held_back.labels[17]]
    assert worst.int8_answer != worst.truth
    assert worst.int8_probability < 0.01 < worst.float_probability
    told = json.loads(found.to_json())
    assert told["worst"][0]["file"] == "0017.png"
    assert "png" not in json.dumps(found.facts(), allow_nan=False)


def refused(found, **limits) -> str:
    with pytest.raises(BundleError) as caught:
        require_parity(found, ParityLimits(**limits))
    return str(caught.value)


def test_what_lost_too_much_is_refused_in_one_sentence():
    found = parity(some(noise=2.0))
    loss = -found.scores["accuracy"].change
    assert loss > 0.02
    text = refused(found, agreement=0.95, accuracy_loss=0.01, balanced_accuracy_loss=1)
    assert "int8 and float agree on" in text
    assert f"the accuracy falls from {found.scores['accuracy'].of_float:.4f}" in text
    assert "balanced" not in text
    assert text.count(". ") == 0
    assert "balanced accuracy" in refused(found, agreement=0, accuracy_loss=1, balanced_accuracy_loss=0.01)
    require_parity(found, ParityLimits(agreement=0.1, accuracy_loss=loss, balanced_accuracy_loss=1))


def test_the_limits_are_those_of_the_house():
    limits = ParityLimits()
    assert (limits.accuracy_loss, limits.balanced_accuracy_loss) == (0.01, 0.01)


def test_better_is_no_loss():
    held_back = some()
    swapped = dataclasses.replace(
        held_back, int8_logits=held_back.float_logits, float_logits=held_back.int8_logits
    )
    found = parity(swapped)
    assert found.scores["accuracy"].change > 0
    require_parity(found, ParityLimits(agreement=0.5, accuracy_loss=0, balanced_accuracy_loss=0))


@pytest.mark.parametrize("lacking", ["float", "images"])
def test_without_anything_to_compare_there_is_a_sentence(lacking):
    held_back = some()
    if lacking == "float":
        held_back = dataclasses.replace(held_back, float_logits=None)
    else:
        held_back = HeldBack(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, dtype=np.int64), ())
    with pytest.raises(BundleError, match="to compare int8 with; train one first"):
        parity(held_back)


def test_the_table_says_it_all():
    console = Console(width=200, record=True, file=None, quiet=False)
    with console.capture() as caught:
        console.print(parity_table(parity(some()), n_classes=2))
    text = caught.get()
    for words in ("agreement", "balanced accuracy", "macro-F1", "300 held-back images of 75 groups", ".png"):
        assert words in text
