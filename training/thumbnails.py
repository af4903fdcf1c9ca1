"""Fit the law of pictures: `python -m training.thumbnails DATA` writes `edge/telemetry/thumbnail_weights.py`.

Learns from the images that training may learn from, rounded as the encoder rounds them with the law before;
so run it until it gains nothing. A new law is a new wire format: what is at sea cannot be read with it.
"""

from __future__ import annotations

import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edge.telemetry.thumbnail_weights as weights_module
from edge.inference.bundle import load_bundle
from edge.telemetry.thumbnail import N_STEPS, Analysis, Quantiser, shrink, trace
from edge.telemetry.thumbnail_law import (
    COST_ONE,
    HIDDEN_BITS,
    LEVEL_BITS,
    MAX_MAGNITUDE,
    N_FEATURES,
    N_LEVELS,
    N_PHASES,
    N_ROOTS,
    N_SIGN_FEATURES,
    N_SIGN_LEVELS,
    ROOT_VALUES,
    SIGN_BITS,
    SIGN_ONE,
    BandContext,
    Law,
    costs_of,
    pack,
    shipped,
)
from edge.telemetry.wavelet import Ints

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

IMAGES, SEED = 600, 2
N_HIDDEN, EPOCHS, BATCH, RATE = 12, 12, 2048, 6e-3
SIDES_PX = (32, 40, 48, 56, 64, 72, 80, 96)
BITS = (700, 2700)
"""Pictures are coded in between so many bits."""
_LEAK = 0.125
_SIGN_STEP = 0.25
"""Log odds between two levels of the sign."""


class Watcher(Quantiser):
    """A quantiser that keeps, by turn, features, sign features, details, and whether along both sides."""

    def __init__(self, analysis: Analysis, law: Law) -> None:
        super().__init__(analysis, law)
        self.seen: list[list[tuple[Ints, Ints, Ints, bool]]] = [[] for _ in range(N_PHASES)]

    def details(self, kind: int, depth: int, phase: int, context: BandContext, step: int) -> Ints:
        """See `Source`."""
        features, sign_features = context.features(phase)
        found = super().details(kind, depth, phase, context, step)
        self.seen[phase].append((features, sign_features, found, kind == 2))
        return found


class Examples:
    """Details of one turn: features (n, N_FEATURES), sign features; values, magnitudes, bands, (n,)."""

    def __init__(self, seen: list[tuple[Ints, Ints, Ints, bool]]) -> None:
        self.features = np.concatenate([one[0] for one in seen]).astype(np.float32)
        self.sign_features = np.concatenate([one[1] for one in seen])
        self.values = np.concatenate([one[2] for one in seen])
        self.both = np.concatenate([np.full(len(one[2]), one[3]) for one in seen])
        self.magnitudes = np.minimum(np.abs(self.values), MAX_MAGNITUDE)


def gather(source: Path, law: Law) -> tuple[list[Examples], Ints]:
    """Details of pictures of the training side, as `watch` gives them."""
    from training.datasets import read_dataset
    from training.split import split_dataset

    bundle = load_bundle("darkfield")
    data = read_dataset(source, bundle.preprocessing, taxonomy=bundle.manifest, keep_pixels=True)
    assert data.pixels is not None
    rng = np.random.default_rng(SEED)
    rows = np.flatnonzero(split_dataset(data).train)
    share = 1 / np.sqrt(np.bincount(data.labels[rows])[data.labels[rows]])  # rare classes count for more
    rows = rng.choice(rows, min(IMAGES, len(rows)), replace=False, p=share / share.sum())
    return watch([data.pixels[row] for row in rows.tolist()], law, rng)


def watch(pictures: list[Pixels], law: Law, rng: np.random.Generator) -> tuple[list[Examples], Ints]:
    """Code pictures, turned or mirrored, at many sides and lengths.

    Returns
    -------
    Their details by turn; and how often each share of the root's values came, int64 (N_ROOTS,).
    """
    seen: list[list[tuple[Ints, Ints, Ints, bool]]] = [[] for _ in range(N_PHASES)]
    roots = np.ones(N_ROOTS, dtype=np.int64)
    for picture in pictures:
        pixels = picture.T if rng.random() < 0.5 else picture[:, ::-1]
        analysis = Analysis(np.ascontiguousarray(shrink(pixels, int(rng.choice(SIDES_PX)))))
        wanted = float(np.exp(rng.uniform(*np.log(BITS))))
        low, high = 0, N_STEPS - 1
        while low < high:
            middle = (low + high) // 2
            tried = Quantiser(analysis, law)
            trace(analysis.height, analysis.width, middle, tried)
            low, high = (low, middle) if tried.cost < wanted * COST_ONE else (middle + 1, high)
        watcher = Watcher(analysis, law)
        trace(analysis.height, analysis.width, low, watcher)
        for phase in range(N_PHASES):
            seen[phase] += watcher.seen[phase]
        roots += np.bincount(np.array(analysis.root) // (ROOT_VALUES // N_ROOTS), minlength=N_ROOTS)
    return [Examples(one) for one in seen], roots


def fit_network(examples: list[Examples], law: Law) -> Law:
    """Fit the network and the tables of the magnitudes.

    A magnitude goes on from m to m + 1 with odds exp(slope_m * u - limit_m), u what the network says; in
    the law u is a level, and each level has the frequencies that were seen at it.
    """
    import tensorflow as tf

    tf.random.set_seed(SEED)
    rng = np.random.default_rng(SEED)
    # The third turn is the first that has known details on all sides.
    mean = examples[2].features.mean(axis=0)
    scale = np.maximum(examples[2].features.std(axis=0), 4)
    nets = [
        [
            tf.Variable((rng.standard_normal((N_FEATURES, N_HIDDEN)) * 0.13).astype(np.float32)),
            tf.Variable(np.full(N_HIDDEN, 0.1, dtype=np.float32)),
            tf.Variable((rng.random((N_HIDDEN, 1)) * 0.3).astype(np.float32)),
            tf.Variable(np.full(1, -3, dtype=np.float32)),
        ]
        for _ in range(N_PHASES)
    ]
    slope = tf.Variable(np.zeros(MAX_MAGNITUDE, dtype=np.float32))
    limit = tf.Variable(np.linspace(0, 6, MAX_MAGNITUDE).astype(np.float32))
    every = [one for net in nets for one in net] + [slope, limit]
    n_batches = EPOCHS * (len(examples[0].magnitudes) // BATCH)
    rate = tf.keras.optimizers.schedules.CosineDecay(RATE, n_batches * N_PHASES)
    optimizer = tf.keras.optimizers.Adam(rate)
    optimizer.build(every)
    reached = tf.range(MAX_MAGNITUDE, dtype=tf.int64)

    def learner(net: list[tf.Variable]) -> tf.types.experimental.PolymorphicFunction:
        @tf.function  # type: ignore[untyped-decorator]
        def learn(features: tf.Tensor, magnitudes: tf.Tensor) -> None:
            first, first_bias, second, second_bias = net
            with tf.GradientTape() as tape:
                u = tf.nn.leaky_relu(features @ first + first_bias, _LEAK) @ second + second_bias
                odds = u * tf.exp(slope) - tf.cumsum(tf.nn.softplus(limit))
                told = tf.cast(magnitudes[:, None] >= reached, tf.float32)
                more = tf.cast(magnitudes[:, None] > reached, tf.float32)
                loss = tf.nn.sigmoid_cross_entropy_with_logits(more, odds) * told
                total = tf.reduce_mean(tf.reduce_sum(loss, axis=1)) + 1e-5 * tf.reduce_sum(first**2)
            gradients = zip(tape.gradient(total, every), every, strict=True)
            optimizer.apply_gradients([pair for pair in gradients if pair[0] is not None])

        return learn

    learners = [learner(net) for net in nets]
    for _ in range(n_batches):
        for learn, one in zip(learners, examples, strict=True):
            rows = rng.integers(0, len(one.magnitudes), BATCH)
            learn((one.features[rows] - mean) / scale, one.magnitudes[rows])
    numbers = [[np.asarray(one, dtype=np.float64) for one in net] for net in nets]
    slopes, limits = np.exp(slope.numpy()), np.cumsum(np.log1p(np.exp(limit.numpy())))
    return _in_integers(examples, law, numbers, mean, scale, slopes, limits)


def _in_integers(
    examples: list[Examples],
    law: Law,
    nets: list[list[Floats]],
    mean: Floats,
    scale: Floats,
    slopes: Floats,
    limits: Floats,
) -> Law:
    """Bring a fitted network to integers: first weights of 8 bits, levels over the range of u in use."""
    said = []
    for one, (first, first_bias, second, second_bias) in zip(examples, nets, strict=True):
        hidden = (one.features - mean) / scale @ first + first_bias
        said.append((np.maximum(hidden, _LEAK * hidden) @ second + second_bias)[:, 0])
    u = np.concatenate(said)
    something = 1 / (1 + np.exp(limits[0] - slopes[0] * u))
    lowest = float(np.quantile(u[something > 8e-4], 0.001))  # below, a detail is all but surely zero
    levels_per_u = N_LEVELS / (float(np.quantile(u, 0.9998)) - lowest)
    arrays: list[list[Floats]] = [[], [], [], []]
    for first, first_bias, second, second_bias in nets:
        weights = first / scale[:, np.newaxis]
        size = 127 / np.maximum(np.abs(weights).max(axis=0), 1e-9)
        arrays[0].append((weights * size).T)
        arrays[1].append((first_bias - mean @ weights) * size)
        arrays[2].append(second[:, 0] * levels_per_u * (1 << (LEVEL_BITS + HIDDEN_BITS)) / size)
        arrays[3].append((second_bias[0] - lowest) * levels_per_u * (1 << LEVEL_BITS))
    whole = [np.rint(np.array(one)).astype(np.int64) for one in arrays]
    law = replace(law, first=whole[0], first_bias=whole[1], second=whole[2], second_bias=whole[3])
    seen = np.zeros((N_LEVELS, MAX_MAGNITUDE + 1))
    for phase, one in enumerate(examples):
        np.add.at(seen, (law.level(phase, one.features.astype(np.int64)), one.magnitudes), 1)
    rows = []
    for level in range(N_LEVELS):
        on = 1 / (1 + np.exp(limits - slopes * (lowest + (level + 0.5) / levels_per_u)))
        model = np.append(1.0, np.cumprod(on)) * np.append(1 - on, 1.0)
        rows.append(_bounds(seen[level] + (20 + 1e-4 * seen[level].sum()) * model, 1 << 14))
    bounds = np.array(rows)
    return replace(law, bounds=bounds, costs=costs_of(bounds))


def fit_signs(examples: list[Examples], law: Law) -> Law:
    """Fit what tells a sign, by logistic regression without a constant, and the table of each level."""
    sign = np.zeros((2, N_PHASES, N_SIGN_FEATURES), dtype=np.int64)
    seen = np.zeros((N_SIGN_LEVELS, 2))
    for phase, one in enumerate(examples):
        for both in (0, 1):
            rows = (one.values != 0) & (one.both == bool(both))
            told, negative = one.sign_features[rows] / SIGN_ONE, one.values[rows] < 0
            weights = np.zeros(N_SIGN_FEATURES)
            for _ in range(30):  # Newton's steps
                chance = 1 / (1 + np.exp(-told @ weights))
                curvature = (told * (chance * (1 - chance))[:, np.newaxis]).T @ told + np.eye(len(weights))
                weights += np.linalg.solve(curvature, told.T @ (negative - chance) - weights)
            sign[both, phase] = np.rint(weights / _SIGN_STEP * (1 << SIGN_BITS) / SIGN_ONE)
            law = replace(law, sign=sign)
            np.add.at(seen, (law.sign_level(phase, bool(both), one.sign_features[rows]), negative * 1), 1)
    odds = np.exp(-_SIGN_STEP * (np.arange(N_SIGN_LEVELS) + 0.5 - N_SIGN_LEVELS / 2))
    model = np.stack((odds / (1 + odds), 1 / (1 + odds)), axis=1)
    bounds = np.array([_bounds(row, 1 << 12) for row in seen + 10 * model])
    return replace(law, sign_bounds=bounds, sign_costs=costs_of(bounds))


def _bounds(frequencies: Floats, total: int) -> Ints:
    """Cumulative whole frequencies, each at least 1, adding up to `total`."""
    share = frequencies / frequencies.sum()
    whole = np.maximum(np.rint(share * (total - len(share))).astype(np.int64), 1)
    whole[whole.argmax()] += total - whole.sum()
    return np.append(0, whole.cumsum())


def bits_per_detail(examples: list[Examples], law: Law) -> float:
    """Mean cost of a detail under a law, bits."""
    cost, n = 0, 0
    for phase, one in enumerate(examples):
        levels = law.level(phase, one.features.astype(np.int64))
        cost += int(law.costs[levels, one.magnitudes].sum())
        for both in (0, 1):
            rows = (one.values != 0) & (one.both == bool(both))
            signs = law.sign_level(phase, bool(both), one.sign_features[rows])
            cost += int(law.sign_costs[signs, (one.values[rows] < 0) * 1].sum())
        n += len(levels)
    return cost / COST_ONE / n


def write(law: Law, file: Path) -> None:
    """Put a law into the module that ships it, keeping what the module says of itself."""
    head = file.read_text(encoding="utf-8").split("WEIGHTS = (")[0]
    lines = "\n".join(f'    "{line}"' for line in textwrap.wrap(pack(law), 100))
    file.write_text(f"{head}WEIGHTS = (\n{lines}\n)\n", encoding="utf-8")


def main(source: Path, into: Path) -> None:
    """Fit a law on a data set and write it."""
    before = shipped()
    examples, roots = gather(source, before)
    after = fit_signs(examples, fit_network(examples, before))
    after = replace(after, root_bounds=np.append(0, roots.cumsum()))
    told = ", ".join(
        f"{name} {bits_per_detail(examples, law):.4f}" for name, law in (("before", before), ("after", after))
    )
    sys.stdout.write(f"bits a detail: {told}\n")
    write(after, into)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("python -m training.thumbnails DATA [MODULE]")
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) == 3 else weights_module.__file__))
