"""How good answers are, with intervals; how long they take; and whether the first contender is better."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.comparing.contenders import Contender
from tools.comparing.contest import Contest, Vignettes
from training.bootstrap import Drawn, draw, interval
from training.evaluate import Floats, Ints, bray_curtis

COUNT_DRAWS = 200
"""Draws behind the interval of the Bray-Curtis distance; it takes longer than the other scores."""
TIMED, ROUNDS = 100, 3
"""Vignettes whose time is taken, and how often; the best round counts."""

Scores = dict[str, dict[str, tuple[float, float, float]]]
"""Score and both ends of its interval, by group of classes and name; NaN where it cannot be known."""


def answer(contender: Contender, images: Vignettes, classes: Sequence[str]) -> Ints:
    """Answers, int64 (n,), index into the k classes of the data set; k for a class of the contender's own."""
    scores, k = contender.probabilities(images), len(classes)
    summed = np.zeros((len(images), k + 1))
    for column, name in enumerate(contender.classes):
        if name in classes:
            summed[:, classes.index(name)] += scores[:, column]
        else:
            summed[:, k] = np.maximum(summed[:, k], scores[:, column])
    return np.asarray(summed.argmax(axis=1), dtype=np.int64)


def score(answers: Ints, contest: Contest) -> tuple[Scores, Floats]:
    """Scores of answers, (n,), by group of classes, and the balanced accuracy of every draw."""
    labels, k = contest.test.labels, len(contest.taxonomy.classes)
    drawn = draw(labels, answers, k + 1, contest.groups)
    right, true, answered = (
        np.bincount(x, minlength=k + 1)[np.newaxis].astype(float)
        for x in (labels[labels == answers], labels, answers)
    )
    exact = Drawn(right, true, answered, drawn.groups)
    scores: Scores = {"all": {}, "living": {}, "rare": {}}
    every = np.ones(k, dtype=bool)
    for group, which in zip(scores, (every, contest.living, contest.rare), strict=True):
        mask = np.append(which, False)
        held = drawn.true[:, mask].sum(axis=1) > 0  # a draw may hold none of these classes
        if not held.any():
            continue
        spread = _only(drawn, mask, held).scores()
        for name, value in _only(exact, mask, np.ones(1, dtype=bool)).scores().items():
            scores[group][name] = (float(value[0]), *interval(spread[name]))
        scores[group]["mean_recall"] = scores[group]["balanced_accuracy"]
    rng = np.random.default_rng(contest.groups.seed)
    sizes = np.bincount(contest.groups.codes, minlength=contest.groups.n_groups)
    members = np.split(np.argsort(contest.groups.codes, kind="stable"), np.cumsum(sizes)[:-1])
    distances = []
    for _ in range(COUNT_DRAWS):
        chosen = rng.integers(0, len(members), len(members))
        images = np.concatenate([members[i] for i in chosen])
        distances.append(bray_curtis(labels[images], answers[images]))
    scores["all"]["bray_curtis"] = (bray_curtis(labels, answers), *interval(np.array(distances)))
    return scores, drawn.scores()["balanced_accuracy"]


def _only(drawn: Drawn, classes: NDArray[np.bool_], draws: NDArray[np.bool_]) -> Drawn:
    """Some classes of some draws."""
    at = np.ix_(draws, classes)
    return Drawn(drawn.hits[at], drawn.true[at], drawn.answered[at], drawn.groups)


def score_all(contest: Contest, contenders: Sequence[Contender]) -> list[dict[str, Any]]:
    """Scores, size and time of each contender, and the chance that the first is better."""
    rows: list[dict[str, Any]] = []
    first: Floats | None = None
    for contender in contenders:
        scores, balanced = score(answer(contender, contest.test, contest.taxonomy.classes), contest)
        better = None
        if first is not None:
            better = float(np.mean(first > balanced) + np.mean(first == balanced) / 2)
        first = balanced if first is None else first
        ms = _ms(contender, contest.test) if contender.timed else None
        row = {"name": contender.name, "size_bytes": contender.size_bytes, "ms": ms, "scores": scores}
        rows.append(row | {"first_is_better": better})
    return rows


def _ms(contender: Contender, images: Vignettes) -> float:
    """Best time of a round over some vignettes, ms a vignette, from pixels to probabilities."""
    few = images.select(np.arange(len(images)) % max(1, len(images) // TIMED) == 0)
    best = math.inf
    for _ in range(ROUNDS):
        start = time.perf_counter()
        contender.probabilities(few)
        best = min(best, time.perf_counter() - start)
    return 1000 * best / len(few)
