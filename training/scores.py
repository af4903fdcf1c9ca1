"""Everything that is measured on held-back images, as a bundle's manifest takes it."""

from __future__ import annotations

from typing import Any, NamedTuple

from training.bootstrap import Groups, class_rates, draw, score_intervals
from training.calibration import Counting, Judged, decision_scores
from training.evaluate import (
    Floats,
    HeldBack,
    Ints,
    bray_curtis,
    calibration_error,
    confusion_matrix,
    plain,
    reliability,
    summarize,
)


class Scored(NamedTuple):
    """What was measured.

    Attributes
    ----------
    confusion
        int64 (k, k), by true class and by the class with the highest score.
    scores
        By model ("int8", and "float" where there is one) and name.
    facts
        Numbers of images and groups, intervals, rates of the classes; with a calibration also reliability,
        and whether it was crossed. JSON, rounded.
    """

    confusion: Ints
    scores: dict[str, dict[str, float]]
    facts: dict[str, Any]


def score_classes(held_back: HeldBack) -> Scored:
    """What needs no calibration: highest scores against true classes, of at least one image."""
    labels, groups = held_back.labels, Groups(held_back.groups)
    confusion, scores, intervals, classes = _score_model(held_back.int8_logits, labels, groups)
    found, spans = {"int8": scores}, {"int8": intervals}
    if held_back.float_logits is not None:
        _, found["float"], spans["float"], _ = _score_model(held_back.float_logits, labels, groups)
    facts = {"images": len(held_back), "groups": groups.n_groups, "intervals": spans, "classes": classes}
    return Scored(confusion, plain(found), plain(facts))


def _score_model(
    logits: Floats, labels: Ints, groups: Groups
) -> tuple[Ints, dict[str, float], dict[str, Any], dict[str, Any]]:
    """Confusion, scores, their intervals, and the rates of the classes."""
    k, said = logits.shape[1], logits.argmax(axis=1)
    confusion, drawn = confusion_matrix(labels, said, k, k), draw(labels, said, k, groups)
    classes: dict[str, Any] = {"held_back": confusion.sum(axis=1)}
    for name, rates in zip(("recall", "precision"), class_rates(confusion, drawn), strict=True):
        parts = {name: rates.rate, f"{name}_low": rates.low, f"{name}_high": rates.high}
        classes |= plain(parts, 3)
    scores = summarize(confusion) | {"bray_curtis": bray_curtis(labels, said)}
    return confusion, scores, dict(score_intervals(drawn)), classes


def score(held_back: HeldBack, judged: Judged, counting: Counting) -> Scored:
    """Score a model on at least one image, with what depends on its calibration.

    Parameters
    ----------
    held_back
        Logits, labels, groups of N images.
    judged
        Answers to the same N images, from `training.calibration`.
    counting
        How classes become taxa.
    """
    found, labels = score_classes(held_back), held_back.labels
    calibrated = {"calibration_error": calibration_error(judged.answers.scores, labels)}
    calibrated |= decision_scores(judged, counting.taxa_of(labels), counting)
    found.scores["int8"].update(plain(calibrated))
    n, certain, right = reliability(judged.answers.scores, labels)
    found.facts["reliability"] = plain({"n": n, "score": certain, "right": right})
    found.facts["crossed"] = judged.crossed
    return found


def decision_matrix(judged: Judged, taxa: Ints, counting: Counting) -> Ints:
    """Counts by true taxon, int64 (N,), and by decision, int64 (n, m)."""
    return confusion_matrix(
        taxa, judged.answers.decisions, counting.tree.n_labels, len(counting.tree.counted)
    )
