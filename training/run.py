"""The steps of a run, each of which can be stopped and gone on with: train, then quantize into a bundle.

The order is the thought here; each step is a module of its own. A run is a folder: `run.toml`, the float
weights, TensorBoard's log, the held-back answers, the bundle, its card, and examples of its errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.inference.bundle import SUFFIX, Bundle
from edge.inference.manifest import Provenance, Source
from edge.optics import Polarity
from training.bundle_export import Trained, make_bundle, packages, publish_bundle
from training.datasets import Dataset, read_dataset
from training.drawn_set import drawn_dataset
from training.evaluate import HeldBack
from training.fit import EpochEnd, Examples, Progress, batches, fit, network_inputs, predict
from training.layers import release_limits, restore_limits, round_kernels, set_limits
from training.model import HEAD
from training.parity import ParityLimits, compare, require_parity
from training.pretrain import not_held_back, pretrain
from training.quantize import choose_calibration, convert, int8_logits, reestimate_normalisation
from training.recipe import RUN_FILE, Recipe, read_recipe, write_recipe
from training.split import Split, split_dataset
from training.unknown import leave_out, measure_unknown
from training.unsorted import read_unsorted
from training.weights import WEIGHTS, begin, save_weights, teacher_of, trained_network

FLOAT_ANSWERS, INT8_ANSWERS = "float_held_back.npz", "int8_held_back.npz"
TRAINING_STATE, SETTLING_STATE = "training-state.npz", "settling-state.npz"
PRETRAINING_STATE = "pretraining-state.npz"


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told what happens; every function may do nothing.

    Attributes
    ----------
    stage
        A new stage begins: its name.
    step, epoch
        After every step and every epoch of a training.
    """

    stage: Callable[[str], None] = lambda _: None
    step: Callable[[Progress], None] = lambda _: None
    epoch: Callable[[str, EpochEnd], None] = lambda *_: None


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Data of a run, read and split; `unknown` are the images of classes that are not learnt."""

    data: Dataset
    split: Split
    unknown: Examples | None = None

    def examples(self, which: NDArray[np.bool_]) -> Examples:
        """Images where `which`, bool (n,), is true."""
        return Examples(self.data.images[which], self.data.numbers[which], self.data.labels[which])

    @property
    def train(self) -> Examples:
        """What is learnt from."""
        return self.examples(self.split.train)

    @property
    def held_back(self) -> Examples:
        """What is not."""
        return self.examples(self.split.held_back)

    def counts(self) -> NDArray[np.int64]:
        """Training images a class, int64 (k,)."""
        k = len(self.data.taxonomy.classes)
        return np.bincount(self.data.labels[self.split.train], minlength=k).astype(np.int64)


def prepare_data(recipe: Recipe) -> Prepared:
    """Read and split the data of a run; raises `InputError` when they cannot be used."""
    section = recipe.data
    if section.dataset:
        data = read_dataset(
            section.dataset,
            recipe.preprocessing,
            invert=section.polarity == Polarity.BRIGHT_FIELD,
            taxonomy=section.taxonomy or None,
            all_statuses=section.all_statuses,
        )
    else:
        data = drawn_dataset(
            section.drawn_per_kind, recipe.preprocessing, recipe.seed, taxonomy=section.taxonomy or None
        )
    unknown = None
    if section.leave_out:
        data, unknown = leave_out(data, section.leave_out)
    return Prepared(data, split_dataset(data, section.held_back), unknown)


def train(recipe: Recipe, out: Path, watcher: Watcher, *, may_lack: bool = False) -> Prepared:
    """Train the float network and write it into the folder `out`; goes on where a former call was stopped.

    Parameters
    ----------
    may_lack
        Whether a class may be without training images, as in some folds of a cross-validation.

    Raises
    ------
    InputError
        When data, weights or taxonomy cannot be used, or the folder cannot be written.
    """
    cv2.setNumThreads(1)
    watcher.stage("reading images")
    prepared = prepare_data(recipe)
    _require_images(recipe, prepared, may_lack)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / RUN_FILE).write_text(write_recipe(recipe), encoding="utf-8")
        model, sources = begin(recipe, prepared)
        if recipe.pretraining.images:
            source, faults = _learn_unsorted(model, recipe, prepared, out, watcher)
            sources = (*sources, source)
            data = replace(prepared.data, faults=(*prepared.data.faults, *faults))
            prepared = replace(prepared, data=data)
        watcher.stage("training")
        with _EventLog(out / "tensorboard", "training") as events:

            def ended(told: EpochEnd) -> None:
                events.add(told)
                watcher.epoch("training", told)

            fit(
                model,
                prepared.train,
                recipe.schedule,
                recipe.seed,
                variation=recipe.variation,
                teacher=teacher_of(recipe, prepared),
                watch=prepared.held_back if prepared.split.held_back.any() else None,
                state=out / TRAINING_STATE,
                report=watcher.step,
                epoch_end=ended,
            )
        use = "training" if recipe.data.held_back else "training, all images"
        source = Source(
            name=prepared.data.name,
            licence=recipe.data.licence,
            use=use,
            images=int(prepared.split.train.sum()),
        )
        # A data set learnt from in several runs stands there once.
        others = (one for one in sources if (one.name, one.use) != (source.name, source.use))
        save_weights(model, out / WEIGHTS, (*others, source), prepared.data.taxonomy.classes)
        if prepared.split.held_back.any():
            _save_answers(out / FLOAT_ANSWERS, prepared, predict(model, prepared.held_back))
    except OSError as cause:
        raise _unwritable(out, cause) from cause
    return prepared


def _learn_unsorted(
    model: Any, recipe: Recipe, prepared: Prepared, out: Path, watcher: Watcher
) -> tuple[Source, tuple[str, ...]]:
    """Pretrain on unsorted images but those held back; returns what they were, and what was left out."""
    how = recipe.pretraining
    watcher.stage("reading unsorted images")
    invert = recipe.data.polarity == Polarity.BRIGHT_FIELD
    unsorted = read_unsorted(how.images, recipe.preprocessing, invert=invert)
    which = np.flatnonzero(prepared.split.held_back)
    hashes = tuple(prepared.data.hashes[i] for i in which)
    images = not_held_back(unsorted, prepared.data.images[which], hashes)
    if len(images) < 2:
        raise InputError(
            "holds fewer than two images that are not held back",
            file=how.images,
            remedy="give more images, or leave --pretrain away",
        )
    watcher.stage("pretraining")
    with _EventLog(out / "tensorboard", "pretraining") as events:
        pretrain(
            model,
            images,
            how,
            recipe.seed,
            state=out / PRETRAINING_STATE,
            report=watcher.step,
            epoch_end=events.add,
        )
    use = f"pretraining without labels (images {unsorted.sha256[:12]})"
    return Source(name=unsorted.name, licence=how.licence, use=use, images=len(images)), unsorted.faults


def quantize(out: Path, command: str, watcher: Watcher, prepared: Prepared | None = None) -> Bundle:
    """Turn the trained network of a run into an int8 bundle, and refuse one that lost too much.

    Parameters
    ----------
    out
        Folder of a run that `train` finished.
    command
        As typed, for the card.
    prepared
        Data of the run, when they are at hand.

    Raises
    ------
    InputError
        When the run is not trained or held nothing back; `BundleError` when int8 fails the gate.
    """
    recipe = read_recipe(out)
    if not recipe.data.held_back:
        raise InputError(
            "held nothing back, so nothing can be proven of a bundle",
            file=out / RUN_FILE,
            field="data.held_back",
            remedy="train again with a fold held back",
        )
    if prepared is None:
        watcher.stage("reading images")
        prepared = prepare_data(recipe)
    held_back, model_bytes, sources = answer_held_back(out, watcher, prepared)
    data, split = prepared.data, prepared.split
    which = np.flatnonzero(split.held_back)
    parity = compare(held_back, data.taxonomy.classes, [data.files[i] for i in which])
    try:
        (out / "parity.json").write_bytes(parity.to_json())
    except OSError as cause:
        raise _unwritable(out, cause) from cause
    section = recipe.quantization
    require_parity(
        parity,
        ParityLimits(
            agreement=section.least_agreement,
            accuracy_loss=section.most_loss,
            balanced_accuracy_loss=section.most_loss,
        ),
    )
    facts: dict[str, Any] = {}
    if prepared.unknown is not None:
        unknown = int8_logits(
            model_bytes, prepared.unknown.images, prepared.unknown.numbers, views=recipe.preprocessing.views
        )
        keep = recipe.decision.keep
        facts["unknown"] = measure_unknown(held_back, unknown, recipe.data.leave_out, keep)
    trained = Trained(
        name=recipe.name,
        model=model_bytes,
        taxonomy=data.taxonomy,
        preprocessing=recipe.preprocessing,
        held_back=held_back,
        training_hashes=tuple(data.hashes[i] for i in np.flatnonzero(split.train)),
        held_back_hashes=tuple(data.hashes[i] for i in which),
        training_counts=prepared.counts(),
        parity=parity.facts(),
        provenance=Provenance(
            sources=sources, split=split.rule, seed=recipe.seed, command=command, packages=packages()
        ),
        run=write_recipe(recipe, names_only=True),
        facts=facts,
    )
    watcher.stage("writing the bundle")
    packed = make_bundle(trained, precision=recipe.decision.precision, keep=recipe.decision.keep)
    bundle = publish_bundle(packed, out / f"{recipe.name}{SUFFIX}")
    try:
        (out / "card.md").write_text(bundle.card, encoding="utf-8")
    except OSError as cause:
        raise _unwritable(out, cause) from cause
    return bundle


def answer_held_back(
    out: Path, watcher: Watcher, prepared: Prepared
) -> tuple[HeldBack, bytes, tuple[Source, ...]]:
    """Let the trained network of a run settle, convert it, and ask it for the held-back images.

    Returns
    -------
    What the int8 model and the float network before settling say, the TFLite model, and what it learnt from.
    """
    cv2.setNumThreads(1)
    recipe = read_recipe(out)
    train_examples, held_back = prepared.train, prepared.held_back
    section = recipe.quantization
    try:
        n_classes = len(prepared.data.taxonomy.classes)
        (teacher, _), (model, sources) = (trained_network(out, recipe, n_classes) for _ in range(2))
        prior = prepared.counts()
        float_logits = _views(model, held_back, recipe) - _prior_shift(prior, recipe.decision.prior_power)
        watcher.stage("settling")
        rng = np.random.default_rng((recipe.seed, 1))
        spread = choose_calibration(train_examples.labels, rng)
        set_limits(
            model,
            network_inputs(model, train_examples.images[spread], train_examples.numbers[spread]),
            section.bound_permille,
        )
        round_kernels(model, True)
        with _EventLog(out / "tensorboard", "settling") as events:

            def ended(told: EpochEnd) -> None:
                events.add(told)
                watcher.epoch("settling", told)

            fit(
                model,
                train_examples,
                section.settling,
                recipe.seed + 1,
                variation=recipe.variation,
                teacher=teacher,
                watch=held_back,
                state=out / SETTLING_STATE,
                report=watcher.step,
                epoch_end=ended,
            )
        watcher.stage("re-estimating normalisation")
        reestimate_normalisation(model, _varied(model, train_examples, recipe, rng))
        _shift_head(model, _prior_shift(prior, recipe.decision.prior_power))
        watcher.stage("converting")
        fourth = Examples(train_examples.images[::4], train_examples.numbers[::4], train_examples.labels[::4])
        model_bytes = convert(model, recipe.architecture, predict(model, fourth))
        watcher.stage("classifying the held-back images")
        answers = int8_logits(
            model_bytes, held_back.images, held_back.numbers, views=recipe.preprocessing.views
        )
        _save_answers(
            out / INT8_ANSWERS,
            prepared,
            answers,
            float_logits=float_logits,
            settled_logits=_exact(model, held_back, recipe),
        )
        (out / "model.tflite").write_bytes(model_bytes)
    except OSError as cause:
        raise _unwritable(out, cause) from cause
    groups = tuple(prepared.split.groups[i] for i in np.flatnonzero(prepared.split.held_back))
    return HeldBack(answers, float_logits, held_back.labels, groups, held_back.numbers), model_bytes, sources


def _require_images(recipe: Recipe, prepared: Prepared, may_lack: bool) -> None:
    lacking = [prepared.data.taxonomy.classes[i] for i in np.flatnonzero(prepared.counts() == 0)]
    nothing_held_back = bool(recipe.data.held_back) and not prepared.split.held_back.any()
    if (lacking and not may_lack) or nothing_held_back:
        raise InputError(
            f"leaves {', '.join(lacking) or 'the held-back part'} without images after the split",
            file=recipe.data.dataset,
            remedy="add images from other acquisitions, or drop or merge the class in the taxonomy",
        )


def _views(model: Any, examples: Examples, recipe: Recipe) -> NDArray[np.float64]:
    """Logits of the float network, the mean of as many views as int8 will take."""
    from edge.inference.engine import views

    n = recipe.preprocessing.views
    ways = [views(image, n) for image in examples.images]
    total = np.zeros((len(examples.labels), model.output_shape[-1]))
    for i in range(n):
        total += predict(model, examples._replace(images=np.stack([way[i] for way in ways])))
    return total / n


def _exact(model: Any, examples: Examples, recipe: Recipe) -> NDArray[np.float64]:
    """Logits of the settled network in exact arithmetic: what int8 costs it alone."""
    release_limits(model)
    round_kernels(model, False)
    logits = _views(model, examples, recipe)
    restore_limits(model)
    round_kernels(model, True)
    return logits


def _prior_shift(counts: NDArray[np.int64], power: float) -> NDArray[np.float32]:
    """What is taken off the logits so that rare classes are not passed over, float32 (k,)."""
    share = np.maximum(counts, 1) / counts.sum()
    return np.asarray(power * np.log(share), dtype=np.float32)


def _shift_head(model: Any, shift: NDArray[np.float32]) -> None:
    """In the head's bias it costs nothing at sea."""
    bias = model.get_layer(HEAD).bias
    bias.assign(np.asarray(bias) - shift)


def _varied(model: Any, examples: Examples, recipe: Recipe, rng: np.random.Generator) -> Iterator[Any]:
    """As many varied batches of training images as the recipe wants, as the network takes them."""

    def endless() -> Iterator[Any]:
        while True:
            for grey, numbers, _ in batches(examples, recipe.schedule, rng, recipe.variation):
                yield network_inputs(model, grey, numbers)

    return islice(endless(), recipe.quantization.normalisation_batches)


def _save_answers(path: Path, prepared: Prepared, logits: NDArray[Any], **more: NDArray[Any]) -> None:
    which = np.flatnonzero(prepared.split.held_back)
    stored: dict[str, Any] = {
        "files": np.array([prepared.data.files[i] for i in which]),
        "labels": prepared.data.labels[which],
        "classes": np.array(prepared.data.taxonomy.classes),
        "logits": np.asarray(logits),
        **more,
    }
    np.savez(path, **stored)


def _unwritable(out: Path, cause: OSError) -> InputError:
    return InputError(
        f"cannot be written ({cause.strerror or cause})", file=out, remedy="give a folder on a disk with room"
    )


class _EventLog:
    """TensorBoard's log of one stage; without the package there is none."""

    def __init__(self, folder: Path, stage: str) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder / stage))

    def __enter__(self) -> _EventLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def add(self, told: EpochEnd) -> None:
        for name, value in told._asdict().items():
            if name != "epoch" and np.isfinite(value):
                self._writer.add_scalar(name, value, told.epoch)
        self._writer.flush()
