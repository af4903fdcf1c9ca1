"""Training: batches, schedule, loss, epochs, and going on after an interruption. Keras alone, any backend.

Every chance comes from the seed and the number of the epoch; batches are made in the same thread, in the same
order. After every epoch all that the next one needs is on disk: a run that was stopped goes
on and ends with the model that an uninterrupted one ends with.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.inference.classifier import softmax
from training.augment import Variation, augment, augment_numbers, to_input

Floats = NDArray[np.float32]


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long and how fast.

    Attributes
    ----------
    epochs, batch
        Passes over the images, and images a step.
    rate
        Highest learning rate of AdamW; reached after `warm_up` epochs, then falling to zero as a cosine.
    decay
        Weight decay of the kernels, decoupled from the gradient (Loshchilov & Hutter 2019, arXiv 1711.05101).
    label_smoothing
        Share of each target spread over all classes.
    balance
        Classes are drawn in proportion to their size to the power `1 - balance`: 0 as they come, 1 all alike.
    class_weight
        The loss of an image is weighted with its class's size to the power `-class_weight`.
    distil
        Share of each target that a teacher gives, where there is one (Hinton et al. 2015, arXiv 1503.02531).
    mixup
        Every image is laid over another one of its batch, and their targets with them, in a share drawn from
        a beta distribution with both parameters at this; 0 leaves images alone (Zhang et al. 2018,
        arXiv 1710.09412).
    adjust
        This times the log of the class's share is added to the logits in the loss, so that the network need
        not learn which classes are common (Menon et al. 2021, arXiv 2007.07314).
    """

    epochs: Annotated[int, msgspec.Meta(ge=0)] = 10
    batch: Annotated[int, msgspec.Meta(ge=1)] = 64
    rate: Annotated[float, msgspec.Meta(gt=0)] = 1.5e-3
    warm_up: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    decay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    label_smoothing: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.05
    balance: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    class_weight: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    mixup: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    adjust: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    distil: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0


class Examples(NamedTuple):
    """What a network learns from.

    Attributes
    ----------
    images
        uint8 (n, side, side, 1), through `prepare`.
    numbers
        uint8 (n, N_NUMBERS), from `describe`.
    labels
        int64 (n,).
    """

    images: NDArray[np.uint8]
    numbers: NDArray[np.uint8]
    labels: NDArray[np.int64]


class Progress(NamedTuple):
    """Where a training stands: steps done and in all, and mean loss and accuracy of the epoch so far."""

    step: int
    n_steps: int
    epoch: int
    loss: float
    accuracy: float


class EpochEnd(NamedTuple):
    """What one pass over the images gave; `balanced_accuracy` is that of the watched images, or NaN."""

    epoch: int
    loss: float
    accuracy: float
    balanced_accuracy: float
    rate: float


def takes_numbers(model: Any) -> bool:
    """Whether a network has the second input."""
    return len(model.inputs) == 2


def network_inputs(model: Any, images: NDArray[Any], numbers: NDArray[Any]) -> list[Floats] | Floats:
    """Grey and numbers 0 to 255 as this network takes them."""
    return [to_input(images), to_input(numbers)] if takes_numbers(model) else to_input(images)


def batches(
    examples: Examples,
    schedule: Schedule,
    rng: np.random.Generator,
    variation: Variation | None = None,
) -> Iterator[tuple[Floats, Floats, NDArray[np.int64]]]:
    """One epoch of varied batches, all of one size: grey and numbers, 0 to 255 as float32, and labels."""
    variation = variation or Variation()
    labels = examples.labels
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
        varied, scale, gain = augment(examples.images[chosen], rng, variation)
        yield varied, augment_numbers(examples.numbers[chosen], scale, gain, rng), labels[chosen]


def fit(
    model: Any,
    examples: Examples,
    schedule: Schedule,
    seed: int,
    *,
    variation: Variation | None = None,
    teacher: Any = None,
    watch: Examples | None = None,
    state: Path | None = None,
    report: Callable[[Progress], None] | None = None,
    epoch_end: Callable[[EpochEnd], None] | None = None,
) -> None:
    """Train in place.

    Parameters
    ----------
    model
        From `training.model.build_model`, with free batch.
    seed
        Of everything random.
    teacher
        A network with the same inputs and outputs; it looks at the same varied images.
    watch
        Images whose balanced accuracy is told after every epoch; nothing is chosen by it.
    state
        File that holds where the training stands; one that fits is gone on from. Written after every epoch.
    report, epoch_end
        Called after every step, and after every epoch.

    Raises
    ------
    OSError
        When `state` cannot be written.
    """
    labels = examples.labels
    keep_memory()
    keras.utils.set_random_seed(seed)
    n_classes = model.output_shape[-1]
    size = min(schedule.batch, len(labels))
    steps_an_epoch = len(labels) // size
    n_steps = schedule.epochs * steps_an_epoch
    warm_up = min(int(schedule.warm_up * steps_an_epoch), n_steps // 2)
    counts = np.maximum(np.bincount(labels, minlength=n_classes), 1)
    _compile(model, schedule, counts)
    smooth = schedule.label_smoothing
    targets = (1 - smooth) * np.eye(n_classes, dtype=np.float32) + np.float32(smooth / n_classes)
    weight = counts.astype(np.float32) ** -schedule.class_weight
    weight /= np.float32(weight[labels].mean())
    mark = mark_of(schedule, seed, examples, model, variation, teacher)
    first = resume(model, state, mark) if state is not None else 0
    for epoch in range(first, schedule.epochs):
        rng = np.random.default_rng((seed, epoch))
        total = np.zeros(2)
        step = epoch * steps_an_epoch
        for done, (*shown, y) in enumerate(batches(examples, schedule, rng, variation), start=1):
            model.optimizer.learning_rate = schedule.rate * rate_factor(step, warm_up, n_steps)
            grey, numbers, target = (*shown, targets[y])
            if schedule.mixup:
                grey, numbers, target = _mixed(rng, schedule.mixup, grey, numbers, target)
            if teacher is not None and schedule.distil:
                taught = softmax(teacher.predict_on_batch(network_inputs(teacher, grey, numbers)))
                target = (1 - schedule.distil) * target + schedule.distil * taught
            logs = model.train_on_batch(
                network_inputs(model, grey, numbers),
                np.asarray(target, dtype=np.float32),
                sample_weight=weight[y],
                return_dict=True,
            )
            step += 1
            total += float(logs["loss"]), float(logs["accuracy"])
            if report is not None:
                report(Progress(step, n_steps, epoch, total[0] / done, total[1] / done))
        if state is not None:
            save_state(model, state, mark, epoch + 1)
        if epoch_end is not None:
            seen = math.nan if watch is None else _balanced_accuracy(predict(model, watch), watch.labels)
            mean = total / steps_an_epoch
            rate = schedule.rate * rate_factor(step - 1, warm_up, n_steps)
            epoch_end(EpochEnd(epoch, mean[0], mean[1], seen, rate))


def _compile(model: Any, schedule: Schedule, counts: NDArray[np.int64]) -> None:
    optimizer = keras.optimizers.AdamW(schedule.rate, weight_decay=schedule.decay)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias", "limit"])
    cross_entropy = keras.losses.CategoricalCrossentropy(from_logits=True, reduction=None)
    shift = (schedule.adjust * np.log(counts / counts.sum())).astype(np.float32)

    def loss(target: Any, logits: Any) -> Any:
        return cross_entropy(target, logits + shift if schedule.adjust else logits)

    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"], jit_compile=False)


def _mixed(rng: np.random.Generator, parameter: float, *arrays: Floats) -> list[Floats]:
    """Each row of the arrays mixed with another, all arrays alike; the larger share stays with its own."""
    n = len(arrays[0])
    drawn = rng.beta(parameter, parameter, n)
    share = np.maximum(drawn, 1 - drawn).astype(np.float32)
    other = rng.permutation(n)
    mixed = []
    for array in arrays:
        own = share.reshape(-1, *(1,) * (array.ndim - 1))
        mixed.append(own * array + (1 - own) * array[other])
    return mixed


def rate_factor(step: int, warm_up: int, n_steps: int) -> float:
    """Rises to 1 over the warm-up, then falls to 0 as a half cosine."""
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + float(np.cos(np.pi * (step - warm_up) / max(1, n_steps - warm_up))))


def _balanced_accuracy(logits: Floats, labels: NDArray[np.int64]) -> float:
    right = logits.argmax(axis=1) == labels
    there = np.unique(labels)
    return float(np.mean([right[labels == label].mean() for label in there]))


def predict(model: Any, examples: Examples, batch: int = 128) -> Floats:
    """Logits of prepared images, float32 (n, k)."""
    parts = [
        np.asarray(
            model.predict_on_batch(
                network_inputs(model, examples.images[i : i + batch], examples.numbers[i : i + batch])
            ),
            dtype=np.float32,
        )
        for i in range(0, len(examples.images), batch)
    ]
    return np.concatenate(parts)


def keep_memory() -> None:
    """Ask glibc to keep freed memory: a training step frees and takes the same large arrays again and again.

    Worth a sixth of the time of a step; where the C library is another, nothing happens.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(mmap_threshold, 1 << 30)
    mallopt(trim_threshold, (1 << 31) - 1)


# Going on after an interruption


def _variables(model: Any) -> list[Any]:
    """Everything that changes in training: weights, statistics, dropout's generator, moments."""
    return [*model.variables, *model.optimizer.variables]


def mark_of(
    schedule: msgspec.Struct,
    seed: int,
    examples: Examples,
    model: Any,
    variation: Variation | None,
    teacher: Any = None,
) -> str:
    """Tells one training from another: what it learns from, how, and the weights it began with."""
    digest = hashlib.sha256(msgspec.json.encode((schedule, seed, variation)))
    networks = (model,) if teacher is None else (model, teacher)
    weights = (np.asarray(variable) for network in networks for variable in network.variables)
    for array in (*examples, *weights):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def save_state(model: Any, state: Path, mark: str, epochs_done: int) -> None:
    """Put on the disk all that the next epoch needs; raises `OSError`."""
    beside = state.with_name(f"{state.name}.part")
    with beside.open("wb") as file:
        values: dict[str, Any] = {
            f"v{i}": np.asarray(variable) for i, variable in enumerate(_variables(model))
        }
        np.savez(file, mark=np.array(mark), epochs_done=np.array(epochs_done), **values)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, state)


def resume(model: Any, state: Path, mark: str) -> int:
    """Load what `save_state` wrote for this very training; returns the epochs done, 0 if it is not there."""
    model.optimizer.build(model.trainable_variables)
    try:
        with state.open("rb") as file, np.load(file) as stored:
            if str(stored["mark"]) != mark:
                return 0
            values = [stored[f"v{i}"] for i in range(len(_variables(model)))]
            epochs_done = int(stored["epochs_done"])
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return 0
    for variable, value in zip(_variables(model), values, strict=True):
        variable.assign(value)
    return epochs_done
