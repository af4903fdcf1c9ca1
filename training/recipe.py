"""One run from sorted images to a bundle: read, split, fit, settle, re-estimate, convert, gate, export.

`seston train` fills in a recipe and runs it. The order is the thought here; each step is a module of its own.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import cv2
import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.config import Section
from edge.errors import InputError
from edge.inference.bundle import SUFFIX, Bundle, Provenance, Source
from edge.inference.preprocessing import Preprocessing
from edge.optics import Polarity
from training.augment import to_input
from training.bundle_export import Trained, make_bundle, packages, publish_bundle, read_taxonomy
from training.datasets import Dataset, class_counts, read_dataset
from training.drawn_set import drawn_dataset
from training.evaluate import score_logits
from training.fit import Schedule, batches, fit, predict
from training.model import HEAD, Architecture, arrays, build_model, load_arrays, set_limits
from training.quantize import (
    choose_calibration,
    convert,
    int8_outputs,
    reestimate_normalisation,
    require_agreement,
    require_scores,
)
from training.split import HELD_BACK_FOLD, folds

SOURCES = "sources"
Report = Callable[[str, int, int], None]
"""Called with what is being done, the steps done, and the steps in all."""


class Recipe(Section, frozen=True):
    """What a run is made of.

    Attributes
    ----------
    name
        Of the bundle.
    dataset
        Folder or zip of class folders; None to draw.
    drawn_per_kind
        Drawn images of each kind, where there is no data set.
    polarity
        Of the images.
    taxonomy
        TOML with the living flag, parents and limits.
    licence
        Of the data set, as the card should say it.
    weights, weights_source
        `.npz` to begin with (ImageNet's, or a former run's), and what it is; a former run's says so itself.
    preprocessing, architecture, schedule
        See there.
    settling
        Of a second, short training with bounded activations, in which the network gets used to int8.
    bound_permille
        Share of the activations, in thousandths, that lie within the bounds.
    prior_power
        The logits are lowered by this times the logarithm of the class's share of the training images, so
        that rare classes are not passed over (Menon et al. 2021, arXiv 2007.07314).
    precision
        Wanted of decisions: sets the thresholds.
    least_agreement
        Share of held-back images on which the int8 model and the network it was made from must agree.
    most_loss
        Accuracy and balanced accuracy that int8 may cost at most.
    normalisation_batches
        Batches that re-estimate the statistics before conversion.
    seed
        Of all chance.
    hold_back
        False trains on everything and makes no bundle: for weights that another run begins with.
    """

    name: str
    dataset: str | None = None
    drawn_per_kind: Annotated[int, msgspec.Meta(ge=5)] = 1000
    polarity: Polarity = Polarity.DARK_FIELD
    taxonomy: str | None = None
    licence: str = "not stated"
    weights: str | None = None
    weights_source: str = "not stated"
    preprocessing: Preprocessing = Preprocessing()
    architecture: Architecture = Architecture()
    schedule: Schedule = Schedule()
    settling: Schedule = Schedule(epochs=3, rate=6e-4, warm_up=0.3)
    bound_permille: Annotated[float, msgspec.Meta(gt=500, le=1000)] = 999.5
    prior_power: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    precision: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.7
    least_agreement: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.8
    most_loss: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.02
    normalisation_batches: Annotated[int, msgspec.Meta(ge=1)] = 60
    seed: Annotated[int, msgspec.Meta(ge=0)] = 1
    hold_back: bool = True


class Result(NamedTuple):
    """What a run left: the images that could not be used, the bundle, and held-back scores by stage."""

    faults: tuple[str, ...]
    bundle: Bundle | None
    scores: dict[str, dict[str, float]]


def run_recipe(recipe: Recipe, out: Path, command: str, report: Report) -> Result:
    """Train, convert and write ``weights.npz``, ``recipe.json`` and the bundle into the folder `out`.

    Raises
    ------
    InputError
        When data, weights or taxonomy cannot be used, or the int8 model fails the gate.
    """
    cv2.setNumThreads(1)
    data = _read(recipe)
    taxa, parents, limits = read_taxonomy(recipe.taxonomy, data.classes)
    fold_of, split = folds(data.files)
    held_back = (fold_of == HELD_BACK_FOLD) & recipe.hold_back
    train, test = data.select(~held_back), data.select(held_back)
    counts = class_counts(train.labels, data.classes)
    if (counts == 0).any() or (recipe.hold_back and len(test.labels) == 0):
        lacking = [data.classes[i].label for i in np.flatnonzero(counts == 0)]
        raise InputError(
            f"leaves {', '.join(lacking) or 'the held-back part'} without images after the split",
            file=recipe.dataset,
            remedy="add images from other acquisitions, or drop the class",
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise _unwritable(out, cause) from cause

    keras.utils.set_random_seed(recipe.seed)
    model = build_model(recipe.preprocessing.size_px, len(taxa), recipe.architecture)
    sources = _begin_with(model, recipe)

    def stepped(what: str) -> Callable[[int, int, float, float], None]:
        def say(step: int, n_steps: int, loss: float, accuracy: float) -> None:
            report(f"{what}: loss {loss:.3f}, accuracy {accuracy:.3f}", step, n_steps)

        return say

    fit(model, train.images, train.labels, recipe.schedule, recipe.seed, report=stepped("training"))
    use = "training" if recipe.hold_back else "training, all images"
    source = Source(name=data.name, licence=recipe.licence, use=use, images=len(train.labels))
    sources = (*sources, source)
    stored: dict[str, Any] = arrays(model) | {
        SOURCES: np.frombuffer(msgspec.json.encode(sources), dtype=np.uint8)
    }
    try:
        np.savez(out / "weights.npz", **stored)
        (out / "recipe.json").write_bytes(msgspec.json.format(msgspec.json.encode(recipe)))
    except OSError as cause:
        raise _unwritable(out, cause) from cause
    if not recipe.hold_back:
        return Result(data.faults, None, {})

    float_scores = score_logits(predict(model, test.images), test.labels)
    rng = np.random.default_rng((recipe.seed, 1))
    spread = to_input(train.images[choose_calibration(train.labels, rng)])
    set_limits(model, spread, recipe.bound_permille)
    fit(model, train.images, train.labels, recipe.settling, recipe.seed + 1, report=stepped("settling"))
    report("re-estimating normalisation", 0, 2)
    reestimate_normalisation(model, _varied(train, recipe, rng))
    _prefer_rare(model, counts, recipe.prior_power)
    report("converting", 1, 2)
    int8_model = convert(model, recipe.architecture, predict(model, train.images[::4]))
    outputs, scale = int8_outputs(int8_model, test.images)
    int8_logits = outputs.astype(np.float64) * scale
    report("done", 2, 2)
    require_agreement(predict(model, test.images), int8_logits, least=recipe.least_agreement)
    require_scores(float_scores, score_logits(int8_logits, test.labels), most_loss=recipe.most_loss)
    trained = Trained(
        name=recipe.name,
        model=int8_model,
        taxa=taxa,
        parents=parents,
        limits=limits,
        preprocessing=recipe.preprocessing,
        int8_logits=int8_logits,
        held_back_labels=test.labels,
        training_hashes=train.hashes,
        training_counts=counts,
        scores={"float": float_scores},
        provenance=Provenance(
            sources=sources, split=split, seed=recipe.seed, command=command, packages=packages()
        ),
    )
    data_bytes = make_bundle(trained, precision=recipe.precision)
    bundle = publish_bundle(data_bytes, out / f"{recipe.name}{SUFFIX}")
    return Result(data.faults, bundle, bundle.manifest.scores)


def _unwritable(out: Path, cause: OSError) -> InputError:
    return InputError(
        f"cannot be written ({cause.strerror})", file=out, remedy="give a folder on a disk with room"
    )


def _read(recipe: Recipe) -> Dataset:
    if recipe.dataset is None:
        return drawn_dataset(recipe.drawn_per_kind, recipe.preprocessing, recipe.seed)
    invert = recipe.polarity is Polarity.BRIGHT_FIELD
    return read_dataset(recipe.dataset, recipe.preprocessing, invert=invert)


def _begin_with(model: Any, recipe: Recipe) -> tuple[Source, ...]:
    """Load the weights that the recipe begins with; returns what they learnt from."""
    if recipe.weights is None:
        return ()
    path = Path(recipe.weights)
    try:
        with path.open("rb") as file, np.load(file) as archive:
            stored: Mapping[str, NDArray[np.float32]] = {name: archive[name] for name in archive.files}
        n_set = load_arrays(model, stored, head=False)
        if SOURCES in stored:
            sources = msgspec.json.decode(stored[SOURCES].tobytes(), type=tuple[Source, ...])
        else:
            sources = (Source(name=path.name, licence=recipe.weights_source, use="weights to begin with"),)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, msgspec.MsgspecError) as cause:
        raise InputError(
            f"cannot be used as weights ({cause})",
            file=path,
            remedy="give an .npz of the same architecture",
        ) from cause
    if n_set == 0:
        raise InputError(
            "holds no weights of this network", file=path, remedy="give an .npz of a MobileNetV2"
        )
    return sources


def _prefer_rare(model: Any, counts: NDArray[np.int64], power: float) -> None:
    """Take `power` times the log prior off the logits, in the head's bias: it costs nothing at sea."""
    bias = model.get_layer(HEAD).bias
    log_prior = np.log(counts / counts.sum())
    bias.assign(np.asarray(bias) - np.float32(power) * log_prior.astype(np.float32))


def _varied(data: Dataset, recipe: Recipe, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """As many varied batches of training images as the recipe wants."""

    def endless() -> Iterator[NDArray[np.float32]]:
        while True:
            for images, _ in batches(data.images, data.labels, recipe.schedule, rng):
                yield images

    return islice(endless(), recipe.normalisation_batches)
