"""Before the labels: a network learns from unsorted images what stays the same when a particle is seen again.

Two variations of each image go in; of all variations in the batch, the network must find the other one of the
same image (SimCLR: Chen et al. 2020, arXiv 2002.05709, equation 1). The layers that compare are thrown away
afterwards. No label is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from training.augment import Variation, augment, to_input
from training.duplicates import find_duplicates
from training.fit import (
    EpochEnd,
    Examples,
    Progress,
    keep_memory,
    mark_of,
    rate_factor,
    resume,
    save_state,
)
from training.unsorted import Unsorted

HIDDEN, COMPARED = 512, 128
"""Units of the two layers that follow the pooled features, in pretraining alone."""


class Pretraining(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is learnt from before the labels, and how.

    Attributes
    ----------
    images
        Folder, zip or dive with images that need not be sorted; "" for none. `data.polarity` is theirs, too.
    licence
        Of these, as the card should say it.
    epochs, batch
        Passes over the images, and images a step; each is seen twice.
    rate, warm_up, decay
        As in `Schedule`.
    temperature
        By which likeness (the cosine) is divided: the lower, the more the nearest strangers count.
    variation
        How much two views of one image differ: more than in training with labels.
    """

    images: str = ""
    licence: str = "not stated"
    epochs: Annotated[int, msgspec.Meta(ge=0)] = 5
    batch: Annotated[int, msgspec.Meta(ge=2)] = 64
    rate: Annotated[float, msgspec.Meta(gt=0)] = 1e-3
    warm_up: Annotated[float, msgspec.Meta(ge=0)] = 0.5
    decay: Annotated[float, msgspec.Meta(ge=0)] = 0.01
    temperature: Annotated[float, msgspec.Meta(gt=0)] = 0.2
    variation: Variation = Variation(
        scale=(0.6, 1.3),
        gain=(0.6, 1.4),
        shift=0.12,
        blurred=0.3,
        noisy=0.3,
        cut=0.3,
        blur_px=1.5,
        noise_grey=10.0,
    )


def not_held_back(
    unsorted: Unsorted, held_back: NDArray[np.uint8], hashes: tuple[bytes, ...]
) -> NDArray[np.uint8]:
    """Those of the images that show no held-back particle, by `find_duplicates`: uint8 (n, side, side, 1).

    Parameters
    ----------
    unsorted
        What might be learnt from.
    held_back, hashes
        Held-back images, uint8 (m, side, side, 1), and their `image_hash`.
    """
    gone = set(hashes)
    stays = np.array([one not in gone for one in unsorted.hashes], dtype=np.bool_)
    n = len(unsorted.images)
    pairs = find_duplicates(np.concatenate([unsorted.images, held_back]), (*unsorted.hashes, *hashes))
    stays[pairs[(pairs[:, 0] < n) & (pairs[:, 1] >= n), 0]] = False
    return unsorted.images[stays]


def pretrain(
    model: Any,
    images: NDArray[np.uint8],
    how: Pretraining,
    seed: int,
    *,
    state: Path | None = None,
    report: Callable[[Progress], None] | None = None,
    epoch_end: Callable[[EpochEnd], None] | None = None,
) -> None:
    """Train the convolutions in place; what follows the pooled features is left as it is.

    Parameters
    ----------
    model
        From `training.model.build_model`, with free batch.
    images
        uint8 (n, side, side, 1), at least two.
    how, seed
        The settings, and of everything random.
    state, report, epoch_end
        As in `training.fit.fit`; accuracy is the share of views whose twin was found.

    Raises
    ------
    OSError
        When `state` cannot be written.
    """
    keep_memory()
    keras.utils.set_random_seed(seed)
    size = min(how.batch, len(images))
    steps_an_epoch = len(images) // size
    n_steps = how.epochs * steps_an_epoch
    warm_up = min(int(how.warm_up * steps_an_epoch), n_steps // 2)
    learner = _learner(model, size, how)
    nothing = np.zeros((0, 0), dtype=np.uint8), np.zeros(0, dtype=np.int64)
    mark = mark_of(how, seed, Examples(images, *nothing), learner, how.variation)
    twins = np.roll(np.arange(2 * size), size)
    first = resume(learner, state, mark) if state is not None else 0
    for epoch in range(first, how.epochs):
        rng = np.random.default_rng((seed, epoch))
        order = rng.permutation(len(images))
        total = np.zeros(2)
        step = epoch * steps_an_epoch
        for done in range(1, steps_an_epoch + 1):
            chosen = images[order[(done - 1) * size : done * size]]
            views = np.concatenate([augment(chosen, rng, how.variation)[0] for _ in range(2)])
            learner.optimizer.learning_rate = how.rate * rate_factor(step, warm_up, n_steps)
            logs = learner.train_on_batch(to_input(views), twins, return_dict=True)
            step += 1
            total += float(logs["loss"]), float(logs["accuracy"])
            if report is not None:
                report(Progress(step, n_steps, epoch, total[0] / done, total[1] / done))
        if state is not None:
            save_state(learner, state, mark, epoch + 1)
        if epoch_end is not None:
            mean = total / steps_an_epoch
            rate = how.rate * rate_factor(step - 1, warm_up, n_steps)
            epoch_end(EpochEnd(epoch, mean[0], mean[1], math.nan, rate))


def _learner(model: Any, size: int, how: Pretraining) -> Any:
    """The network from 2 `size` views to how alike each is to each of them, (2 size, 2 size)."""
    layers, ops = keras.layers, keras.ops
    x = layers.Dense(HIDDEN, use_bias=False)(model.get_layer("pool").output)
    x = layers.BatchNormalization()(x)
    x = layers.Dense(COMPARED)(layers.ReLU()(x))
    x = ops.normalize(x, axis=1)
    itself = np.float32(1e9) * np.eye(2 * size, dtype=np.float32)
    alike = ops.matmul(x, ops.transpose(x)) / how.temperature - itself
    learner = keras.Model(model.inputs[0], alike)
    optimizer = keras.optimizers.AdamW(how.rate, weight_decay=how.decay)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias", "limit"])
    learner.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=False,
    )
    return learner
