"""Training: batches, schedule, loss, epochs. Keras alone, so any of its backends can do it.

Every chance comes from the seed; batches are made in the same thread, so that they come in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from training.augment import augment, to_input


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long and how fast.

    Attributes
    ----------
    epochs, batch
        Passes over the images, and images a step.
    rate
        Highest learning rate of Adam; reached after `warm_up` epochs, then falling to zero as a cosine.
    label_smoothing
        Share of each target spread over all classes.
    balance
        Classes are drawn in proportion to their size to the power `1 - balance`: 0 as they come, 1 all alike.
    """

    epochs: Annotated[int, msgspec.Meta(ge=1)] = 10
    batch: Annotated[int, msgspec.Meta(ge=1)] = 64
    rate: Annotated[float, msgspec.Meta(gt=0)] = 1.5e-3
    warm_up: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    label_smoothing: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.05
    balance: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0


def batches(
    images: NDArray[np.uint8], labels: NDArray[np.int64], schedule: Schedule, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """One epoch of varied batches, all of one size: float32 (batch, side, side, 1) and int64 (batch,)."""
    n = len(labels)
    if schedule.balance:
        counts = np.bincount(labels)
        weight = counts[labels].astype(np.float64) ** -schedule.balance
        order = rng.choice(n, n, p=weight / weight.sum())
    else:
        order = rng.permutation(n)
    size = min(schedule.batch, n)
    for start in range(0, n - size + 1, size):
        chosen = order[start : start + size]
        yield augment(images[chosen], rng), labels[chosen]


def fit(
    model: Any,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    schedule: Schedule,
    seed: int,
    *,
    report: Callable[[int, int, float, float], None] | None = None,
) -> None:
    """Train in place.

    Parameters
    ----------
    model
        From `training.model.build_model`, with free batch.
    images, labels
        uint8 (n, side, side, 1) through `prepare`, and int64 (n,).
    seed
        Of everything random.
    report
        Called after every step with the step, the number of steps, and the mean loss and accuracy of the
        epoch so far.
    """
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    n_classes = model.output_shape[-1]
    size = min(schedule.batch, len(labels))
    steps_an_epoch = len(labels) // size
    n_steps = schedule.epochs * steps_an_epoch
    warm_up = min(int(schedule.warm_up * steps_an_epoch), n_steps // 2)
    model.compile(
        optimizer=keras.optimizers.Adam(schedule.rate),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=schedule.label_smoothing),
        metrics=["accuracy"],
        jit_compile=False,
    )
    targets = np.eye(n_classes, dtype=np.float32)
    step = 0
    for _ in range(schedule.epochs):
        total = np.zeros(2)
        for done, (x, y) in enumerate(batches(images, labels, schedule, rng), start=1):
            model.optimizer.learning_rate = schedule.rate * _rate_factor(step, warm_up, n_steps)
            logs = model.train_on_batch(x, targets[y], return_dict=True)
            step += 1
            total += float(logs["loss"]), float(logs["accuracy"])
            if report is not None:
                report(step, n_steps, total[0] / done, total[1] / done)


def _rate_factor(step: int, warm_up: int, n_steps: int) -> float:
    """Rises to 1 over the warm-up, then falls to 0 as a half cosine."""
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + float(np.cos(np.pi * (step - warm_up) / max(1, n_steps - warm_up))))


def predict(model: Any, images: NDArray[np.uint8], batch: int = 256) -> NDArray[np.float32]:
    """Logits of prepared images, float32 (n, k)."""
    parts = [
        np.asarray(model.predict_on_batch(to_input(images[i : i + batch])), dtype=np.float32)
        for i in range(0, len(images), batch)
    ]
    return np.concatenate(parts)
