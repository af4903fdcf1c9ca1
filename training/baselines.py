"""What others do with the same images: hand-made features, or a network's, with boosted trees or a forest.

The UVP6's embedded classifier is boosted trees on 55 measures (settings of the public code of ecotaxa/uvpec);
a forest on such measures is what EcoTaxa and ZooScan users know; a forest on 50 components of a MobileNet's
features is the published middle way (Panaiotis et al. 2026, Earth Syst. Sci. Data 18, 945). None of them goes
into a bundle. How good they are is told by `seston compare`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError, InputError
from edge.inference.bundle import image_hash
from edge.optics import Optics
from edge.vision.morphology import UVP6_FEATURES, measure
from edge.vision.segmentation import segment
from training.datasets import ImageStore
from training.taxonomy_file import parse_class

if TYPE_CHECKING:
    import xgboost

Pixels = NDArray[np.uint8]
Features = NDArray[np.float32]
Scores = NDArray[np.float32]
Ints = NDArray[np.int64]

N_TREES, N_COMPONENTS = 300, 50
LEARNING = {
    "eta": 0.2, "max_depth": 5, "subsample": 0.75, "objective": "multi:softprob", "tree_method": "hist"
}  # fmt: skip
"""Of the boosted trees, as uvpec has them."""
MAX_ROUNDS, CV_FOLDS, PATIENCE = 500, 3, 20
"""Most rounds of boosting; parts of the cross-validation that settles their number; rounds without a better
log-loss after which it stops looking."""
THRESHOLDS = (4, 7, 10, 15, 21, 30)
"""Among which `choose_threshold` looks."""
_LOOK_AT, _LOOK_TREES = 1500, 100
_OPTICS = Optics(pixel_um=1.0, image_volume_l=1.0, threshold=0)
"""For `measure`; none of the 55 depends on it."""


@dataclass(frozen=True, slots=True, eq=False)
class Vignettes:
    """Sorted images as their files have them, n of them in k classes.

    Attributes
    ----------
    name
        File name of the source.
    classes
        The k class names.
    files
        Names in the source, n of them, sorted.
    pixels
        uint8 (height, width) each, white on black.
    labels
        int64 (n,), index into `classes`.
    hashes
        `image_hash` of each file's pixels, before inversion.
    faults
        What was left out: a sentence an image.
    """

    name: str
    classes: tuple[str, ...]
    files: tuple[str, ...]
    pixels: tuple[Pixels, ...]
    labels: Ints
    hashes: tuple[bytes, ...]
    faults: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of images."""
        return len(self.files)

    def select(self, which: NDArray[np.bool_]) -> Vignettes:
        """The images where `which`, bool (n,), is true; the classes stay."""
        at = np.flatnonzero(which)
        return replace(
            self,
            files=tuple(self.files[i] for i in at),
            pixels=tuple(self.pixels[i] for i in at),
            labels=self.labels[at],
            hashes=tuple(self.hashes[i] for i in at),
        )


def read_vignettes(
    path: str | PathLike[str], *, invert: bool = False, merge: Mapping[str, str] | None = None
) -> Vignettes:
    """Read a folder or zip of class folders, in the order and with the omissions of `read_dataset`.

    Parameters
    ----------
    path
        Folder or zip.
    invert
        Whether the images are dark on white.
    merge
        New name by pattern (``{"hist_*": "other"}``) for the classes that fit it.

    Raises
    ------
    ImageError
        When there are not two classes with a usable image.
    """
    faults: list[str] = []
    rows = list(_usable(path, faults))
    names = [merged(parse_class(PurePosixPath(file).parent.name).label, merge or {}) for file, _ in rows]
    classes = sorted(set(names))
    if len(classes) < 2:
        raise ImageError(
            "holds fewer than two classes with a usable image",
            file=path,
            remedy="put the images into one folder a class",
        )
    index = {name: i for i, name in enumerate(classes)}
    return Vignettes(
        Path(path).name,
        tuple(classes),
        tuple(file for file, _ in rows),
        tuple(255 - pixels if invert else pixels for _, pixels in rows),
        np.array([index[name] for name in names], dtype=np.int64),
        tuple(image_hash(pixels) for _, pixels in rows),
        tuple(faults),
    )


def merged(name: str, merge: Mapping[str, str]) -> str:
    """Name of a class after merging: that of the first pattern that fits, else its own."""
    return next((new for pattern, new in merge.items() if fnmatchcase(name, pattern)), name)


def _usable(path: str | PathLike[str], faults: list[str]) -> Iterator[tuple[str, Pixels]]:
    with ImageStore(path) as store:
        for name in store.names:
            try:
                pixels = store.read(name)
            except ImageError as error:
                faults.append(str(error))
                continue
            if PurePosixPath(name).parent.name == "":
                faults.append(f"{name}: lies in no class folder; move it into one.")
            elif pixels.min() == pixels.max():
                faults.append(f"{name}: is of one colour; remove it.")
            else:
                yield name, pixels


# --- features -----------------------------------------------------------------------------------------------


def hand_features(vignette: Pixels, threshold: int) -> NDArray[np.float64]:
    """The UVP6's measures of the largest region strictly above the threshold, float64 (55,).

    All 0 where nothing is above it. The first of several largest is taken.
    """
    regions = segment(vignette, threshold)
    if len(regions) == 0:
        return np.zeros(UVP6_FEATURES)
    i = int(regions.area_px.argmax())
    x, y = int(regions.x_px[i]), int(regions.y_px[i])
    grey = vignette[y : y + int(regions.height_px[i]), x : x + int(regions.width_px[i])]
    return measure(regions.mask(i), grey, x, y, _OPTICS)[:UVP6_FEATURES]


def feature_table(pixels: Sequence[Pixels], threshold: int) -> Features:
    """`hand_features` of each of n vignettes, one after the other, float32 (n, 55)."""
    table = np.empty((len(pixels), UVP6_FEATURES), dtype=np.float32)
    for i, vignette in enumerate(pixels):
        table[i] = hand_features(vignette, threshold)
    return table


def choose_threshold(train: Vignettes, seed: int) -> int:
    """Of `THRESHOLDS`, the one that suits the features best, so that the incumbents run at their best.

    Told from training images alone, at most 1500 of them: by the accuracy of a small forest's trees on
    images that they were not grown with. The highest of equals.
    """
    from sklearn.ensemble import RandomForestClassifier

    chosen = np.random.default_rng(seed).permutation(len(train))[:_LOOK_AT]
    pixels = [train.pixels[i] for i in chosen]
    best, found = -1.0, THRESHOLDS[-1]
    for threshold in reversed(THRESHOLDS):
        forest = RandomForestClassifier(_LOOK_TREES, oob_score=True, random_state=seed, n_jobs=1)
        forest.fit(feature_table(pixels, threshold), train.labels[chosen])
        if forest.oob_score_ > best:
            best, found = float(forest.oob_score_), threshold
    return found


# --- what learns from features ------------------------------------------------------------------------------


class Learnt(Protocol):
    """What has learnt from features."""

    @property
    def size_bytes(self) -> int:
        """What it weighs."""

    def predict_proba(self, features: Features) -> Scores:
        """Probabilities of the k classes, float32 (n, k), of features (n, d)."""


@dataclass(frozen=True, slots=True, eq=False)
class BoostedTrees:
    """Gradient boosted trees. Made by `fit_boosted_trees`."""

    booster: xgboost.Booster
    rounds: int

    @property
    def size_bytes(self) -> int:
        """Of XGBoost's binary file."""
        return len(self.booster.save_raw("ubj"))

    def predict_proba(self, features: Features) -> Scores:
        """Probabilities, float32 (n, k)."""
        import xgboost as xgb

        return np.asarray(self.booster.predict(xgb.DMatrix(features, nthread=1)), dtype=np.float32)


def fit_boosted_trees(
    features: Features,
    labels: Ints,
    n_classes: int,
    seed: int,
    *,
    weight_power: float = 0.0,
    max_rounds: int = MAX_ROUNDS,
) -> BoostedTrees:
    """Boosted trees as uvpec grows them, on one thread.

    Parameters
    ----------
    features, labels, n_classes
        (n, d), int64 (n,), and how many classes there are; some may have no image.
    seed
        Of the cross-validation's parts and of the rows that each tree sees.
    weight_power
        An image weighs (images of the largest class / images of its class) to this power.
    max_rounds
        The rounds are those with the least log-loss in a stratified 3-fold cross-validation, at most so many.
    """
    import xgboost as xgb

    settings = LEARNING | {"num_class": n_classes, "nthread": 1, "seed": seed, "eval_metric": "mlogloss"}
    counts = np.bincount(labels, minlength=n_classes)
    weights = (counts.max() / counts[labels]) ** weight_power
    data = xgb.DMatrix(features, label=labels, weight=weights, nthread=1)
    part = _parts(labels, seed)
    history = xgb.cv(
        settings,
        data,
        num_boost_round=max_rounds,
        folds=[(np.flatnonzero(part != i), np.flatnonzero(part == i)) for i in range(CV_FOLDS)],
        early_stopping_rounds=PATIENCE,
        as_pandas=False,
    )
    rounds = int(np.argmin(history["test-mlogloss-mean"])) + 1
    return BoostedTrees(xgb.train(settings, data, num_boost_round=rounds), rounds)


def _parts(labels: Ints, seed: int) -> Ints:
    """Part of each image in the cross-validation: at random, each class spread evenly."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    part = np.empty(len(labels), dtype=np.int64)
    part[order] = np.arange(len(labels)) % CV_FOLDS
    return part


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """A random forest, behind a projection on principal components if there is one. Made by `fit_forest`."""

    forest: Any
    projection: Any
    n_classes: int

    @property
    def size_bytes(self) -> int:
        """As plain tables: 16 bytes an inner node, 8 a class in a leaf; scikit-learn keeps far more."""
        total = 0 if self.projection is None else 4 * int(self.projection.components_.size)
        for tree in (one.tree_ for one in self.forest.estimators_):
            leaf = tree.children_left < 0
            total += 16 * int((~leaf).sum()) + 8 * int(np.count_nonzero(tree.value[leaf]))
        return total

    def predict_proba(self, features: Features) -> Scores:
        """Probabilities, float32 (n, k)."""
        if self.projection is not None:
            features = self.projection.transform(features)
        scores = np.zeros((len(features), self.n_classes), dtype=np.float32)
        scores[:, self.forest.classes_] = self.forest.predict_proba(features)
        return scores


def fit_forest(
    features: Features, labels: Ints, n_classes: int, seed: int, *, components: int = 0, trees: int = N_TREES
) -> Forest:
    """A random forest on one thread; parameters as in `fit_boosted_trees`.

    `components` projects the features on so many principal components of the training images first; 0 leaves
    them as they are.
    """
    from sklearn.decomposition import PCA
    from sklearn.ensemble import RandomForestClassifier

    projection = None
    if components:
        projection = PCA(min(components, *features.shape), random_state=seed).fit(features)
        features = projection.transform(features)
    forest = RandomForestClassifier(trees, random_state=seed, n_jobs=1).fit(features, labels)
    return Forest(forest, projection, n_classes)


# --- contenders ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """Whatever names vignettes, so that all can be compared alike.

    Attributes
    ----------
    name
        As the table shows it.
    classes
        Names of its k answers.
    size_bytes
        What would have to be carried aboard; None where not known.
    timed
        Whether it works from pixels, so that its time can be taken.
    probabilities
        Probabilities of the classes, float32 (n, k), of n vignettes.
    """

    name: str
    classes: tuple[str, ...]
    size_bytes: int | None
    timed: bool
    probabilities: Callable[[Vignettes], Scores]


def on_hand_features(name: str, classes: tuple[str, ...], learnt: Learnt, threshold: int) -> Contender:
    """A baseline on hand-made features: those of one vignette after the other, then answers for all."""

    def probabilities(images: Vignettes) -> Scores:
        return learnt.predict_proba(feature_table(images.pixels, threshold))

    return Contender(name, classes, learnt.size_bytes, True, probabilities)


def on_stored_features(name: str, classes: tuple[str, ...], learnt: Learnt, features: Stored) -> Contender:
    """A baseline on features that a network gave elsewhere; the network is neither weighed nor timed."""

    def probabilities(images: Vignettes) -> Scores:
        return learnt.predict_proba(features.rows(images.files))

    return Contender(name, classes, learnt.size_bytes, False, probabilities)


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """Rows that were computed elsewhere, a row a file: a network's features, or its logits.

    Attributes
    ----------
    path
        The `.npz` they came from.
    row
        Row by file name.
    values
        float32 (n, d).
    classes
        Names of the columns where the file gives them (``classes``), else empty.
    """

    path: Path
    row: Mapping[str, int]
    values: Features
    classes: tuple[str, ...]

    def rows(self, files: Sequence[str]) -> Features:
        """Rows of these files; `InputError` names one that is not there."""
        missing = [file for file in files if file not in self.row]
        if missing:
            raise InputError(
                f"has no row for {len(missing)} of {len(files)} images, {missing[0]} among them",
                file=self.path,
                remedy="make it again from this data set and split",
            )
        return self.values[[self.row[file] for file in files]]


def read_stored(path: Path, field: str) -> Stored:
    """Read an `.npz` of ``files`` (n,), the array `field`, (n, d), and perhaps ``classes`` (d,).

    Raises
    ------
    InputError
        When it cannot be read, its arrays do not fit together, or a value is not finite.
    """
    remedy = f"give an .npz of files (n,) and {field} (n, d)"
    try:
        with path.open("rb") as file, np.load(file) as archive:
            files = [str(name) for name in archive["files"]]
            values = np.asarray(archive[field], dtype=np.float32)
            classes = tuple(str(name) for name in archive["classes"]) if "classes" in archive.files else ()
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as cause:
        raise InputError(f"cannot be used ({cause})", file=path, remedy=remedy) from cause
    if values.ndim != 2 or len(values) != len(files) or values.size == 0:
        problem = f"has {len(files)} files, and {field} of shape {values.shape}"
        raise InputError(problem, file=path, field=field, remedy=remedy)
    if not np.isfinite(values).all():
        raise InputError("is not finite everywhere", file=path, field=field, remedy="compute it again")
    if classes and len(classes) != values.shape[1]:
        problem = f"has {len(classes)} names for {values.shape[1]} columns"
        raise InputError(problem, file=path, field="classes", remedy=remedy)
    return Stored(path, {name: i for i, name in enumerate(files)}, values, classes)
