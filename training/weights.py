"""The weights of a run: what it begins with, who teaches it, and what it leaves.

A former run's `weights.npz` says what it learnt from and which classes its last layer tells apart.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.inference.manifest import Source
from training.from_bundle import begin_with_bundle
from training.model import HEAD, arrays, build_model, load_arrays
from training.recipe import RUN_FILE, Recipe, read_recipe

if TYPE_CHECKING:
    from training.run import Prepared

WEIGHTS = "weights.npz"
SOURCES, CLASSES = "sources", "classes"


def begin(recipe: Recipe, prepared: Prepared) -> tuple[Any, tuple[Source, ...]]:
    """The network a run begins with, and what its weights learnt from."""
    keras.utils.set_random_seed(recipe.seed)
    classes = prepared.data.taxonomy.classes
    model = build_model(recipe.preprocessing.size_px, len(classes), recipe.architecture)
    if recipe.begin.bundle:
        return model, begin_with_bundle(model, recipe.begin.bundle, recipe.architecture, prepared)
    if not recipe.begin.weights:
        return model, ()
    path = Path(recipe.begin.weights)
    stored = _read_weights(path)
    try:
        # A former run's last layer is of use where the classes are the same.
        told = [str(name) for name in stored[CLASSES]] if CLASSES in stored else []
        n_set = load_arrays(model, stored, head=told == list(classes))
        if SOURCES in stored:
            sources = msgspec.json.decode(stored[SOURCES].tobytes(), type=tuple[Source, ...])
        else:
            sources = (
                Source(name=path.name, licence=recipe.begin.weights_source, use="weights to begin with"),
            )
    except (ValueError, msgspec.MsgspecError) as cause:
        raise _no_weights(path, cause) from cause
    if n_set == 0:
        raise InputError("holds no weights of this network", file=path, remedy="give an .npz of its family")
    return model, sources


def teacher_of(recipe: Recipe, prepared: Prepared) -> Any:
    """The network that teaches, or None; raises `InputError` when it does not fit.

    It may have another side: it then gets the pictures of its pupil, resized.
    """
    if not recipe.begin.teacher:
        return None
    folder = Path(recipe.begin.teacher)
    theirs = read_recipe(folder)
    side = recipe.preprocessing.size_px
    if msgspec.structs.replace(theirs.preprocessing, size_px=side) != recipe.preprocessing:
        raise InputError(
            "sees other pictures than the network it should teach",
            file=folder / RUN_FILE,
            field="preprocessing",
            remedy="train both with the same preprocessing",
        )
    told = _read_weights(folder / WEIGHTS)
    if [str(name) for name in told.get(CLASSES, ())] != list(prepared.data.taxonomy.classes):
        raise InputError(
            "tells other classes apart than the network it should teach",
            file=folder / WEIGHTS,
            field=CLASSES,
            remedy="train both with the same data and taxonomy",
        )
    if theirs.data.polarity != recipe.data.polarity:
        raise InputError(
            f"learnt from {theirs.data.polarity} images, its pupil from {recipe.data.polarity} ones",
            file=folder / RUN_FILE,
            field="data.polarity",
            remedy="correct the polarity of the one that is wrong",
        )
    teacher = trained_network(folder, theirs, len(prepared.data.taxonomy.classes))[0]
    return teacher if theirs.preprocessing.size_px == side else seeing_side(teacher, side)


def seeing_side(model: Any, side_px: int) -> Any:
    """The same network for pictures of another side, (batch, side_px, side_px, 1): it resizes them first."""
    inputs = [keras.Input((side_px, side_px, 1)), *(keras.Input(more.shape[1:]) for more in model.inputs[1:])]
    own = model.inputs[0].shape[1]
    resized = [keras.layers.Resizing(own, own)(inputs[0]), *inputs[1:]]
    return keras.Model(inputs, model(resized if len(resized) > 1 else resized[0]))


def trained_network(
    out: Path, recipe: Recipe, n_classes: int | None = None
) -> tuple[Any, tuple[Source, ...]]:
    """The float network that `train` left in a run, and what it learnt from.

    Parameters
    ----------
    out, recipe
        Folder of the run, and its recipe.
    n_classes
        Of the data; None for as many as the weights have.

    Raises
    ------
    InputError
        When there are no weights, or they are of another network.
    """
    path = out / WEIGHTS
    if not path.is_file():
        raise InputError("is not there", file=path, remedy="finish `seston train` first")
    stored = _read_weights(path)
    keras.utils.set_random_seed(recipe.seed)
    try:
        if n_classes is None:
            n_classes = len(stored[f"{HEAD}/bias"])
        model = build_model(recipe.preprocessing.size_px, n_classes, recipe.architecture)
        load_arrays(model, stored)
        return model, msgspec.json.decode(stored[SOURCES].tobytes(), type=tuple[Source, ...])
    except (ValueError, KeyError, msgspec.MsgspecError) as cause:
        raise _no_weights(path, cause) from cause


def save_weights(model: Any, path: Path, sources: tuple[Source, ...], classes: tuple[str, ...]) -> None:
    """Write all weights, and what a later run must know of them; raises `OSError`."""
    stored: dict[str, Any] = arrays(model) | {
        SOURCES: np.frombuffer(msgspec.json.encode(sources), dtype=np.uint8),
        CLASSES: np.array(classes),
    }
    np.savez(path, **stored)


def _read_weights(path: Path) -> Mapping[str, NDArray[np.float32]]:
    try:
        with path.open("rb") as file, np.load(file) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as cause:
        raise _no_weights(path, cause) from cause


def _no_weights(path: Path, cause: Exception) -> InputError:
    return InputError(
        f"cannot be used as weights ({cause})", file=path, remedy="give an .npz of the same architecture"
    )
