"""One run from sorted images to a bundle: read, split, fit, round and re-estimate, convert, gate, export.

`seston train` fills in a recipe and runs it. The order is the thought here; each step is a module of its own.
"""

from __future__ import annotations

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
from training.bundle_export import Trained, make_bundle, packages, publish_bundle, read_taxonomy
from training.datasets import Dataset, class_counts, read_dataset
from training.drawn_set import drawn_dataset
from training.evaluate import score_logits
from training.fit import Schedule, batches, fit, predict
from training.model import HEAD, Architecture, arrays, build_model, load_arrays
from training.quantize import (
    choose_calibration,
    convert,
    int8_outputs,
    reestimate_normalisation,
    require_agreement,
    round_kernels,
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
    prior_power
        The logits are lowered by this times the logarithm of the class's share of the training images, so
        that rare classes are not passed over (Menon et al. 2021, arXiv 2007.07314).
    precision
        Wanted of decisions: sets the thresholds.
    least_agreement
        Share of held-back images on which int8 and float model must agree.
    normalisation_batches
        Batches that re-estimate the statistics after rounding.
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
    prior_power: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.25
    precision: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.7
    least_agreement: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.85
    normalisation_batches: Annotated[int, msgspec.Meta(ge=1)] = 80
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
    out.mkdir(parents=True, exist_ok=True)

    keras.utils.set_random_seed(recipe.seed)
    model = build_model(recipe.preprocessing.size_px, len(taxa), recipe.architecture)
    sources = _begin_with(model, recipe)

    def stepped(step: int, n_steps: int, loss: float, accuracy: float) -> None:
        report(f"training: loss {loss:.3f}, accuracy {accuracy:.3f}", step, n_steps)

    fit(model, train.images, train.labels, recipe.schedule, recipe.seed, report=stepped)
    use = "training" if recipe.hold_back else "training, all images"
    source = Source(name=data.name, licence=recipe.licence, use=use, images=len(train.labels))
    sources = (*sources, source)
    stored: dict[str, Any] = arrays(model) | {
        SOURCES: np.frombuffer(msgspec.json.encode(sources), dtype=np.uint8)
    }
    np.savez(out / "weights.npz", **stored)
    (out / "recipe.json").write_bytes(msgspec.json.format(msgspec.json.encode(recipe)))
    if not recipe.hold_back:
        return Result(data.faults, None, {})

    _prefer_rare(model, counts, recipe.prior_power)
    float_logits = predict(model, test.images)
    rng = np.random.default_rng((recipe.seed, 1))
    calibration = train.images[choose_calibration(train.labels, rng)]
    report("converting as it is", 0, 3)
    plain, plain_scale = int8_outputs(convert(model, recipe.architecture, calibration), test.images)
    report("rounding kernels, re-estimating normalisation", 1, 3)
    round_kernels(model)
    reestimate_normalisation(model, _varied(train, recipe, rng))
    report("converting", 2, 3)
    int8_model = convert(model, recipe.architecture, calibration)
    outputs, scale = int8_outputs(int8_model, test.images)
    int8_logits = outputs.astype(np.float64) * scale
    report("done", 3, 3)
    require_agreement(float_logits, int8_logits, least=recipe.least_agreement)
    scores = {
        "float": score_logits(float_logits, test.labels),
        "int8 without re-estimation": score_logits(plain * plain_scale, test.labels),
    }
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
        scores=scores,
        provenance=Provenance(
            sources=sources, split=split, seed=recipe.seed, command=command, packages=packages()
        ),
    )
    data_bytes = make_bundle(trained, precision=recipe.precision)
    bundle = publish_bundle(data_bytes, out / f"{recipe.name}{SUFFIX}")
    return Result(data.faults, bundle, bundle.manifest.scores)


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
        with np.load(path) as archive:
            stored: Mapping[str, NDArray[np.float32]] = {name: archive[name] for name in archive.files}
        n_set = load_arrays(model, stored, head=False)
        if SOURCES in stored:
            sources = msgspec.json.decode(stored[SOURCES].tobytes(), type=tuple[Source, ...])
        else:
            sources = (Source(name=path.name, licence=recipe.weights_source, use="weights to begin with"),)
    except (OSError, ValueError, EOFError, msgspec.MsgspecError) as cause:
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
