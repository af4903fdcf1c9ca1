"""Whatever names vignettes, to be compared alike: bundles, the float network of a run, baselines."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.inference.bundle import Bundle, load_bundle
from edge.inference.classifier import Classifier, softmax
from edge.inference.preprocessing import Preprocessing
from tools.comparing.contest import Contest, Vignettes
from training.baselines import N_COMPONENTS, fit_boosted_trees, fit_forest
from training.hand_features import choose_threshold, feature_table
from training.matching import names_in

if TYPE_CHECKING:
    from training.baselines import Learnt
    from training.datasets import Dataset
    from training.network_features import NetworkFeatures
    from training.split import Split

Probabilities = NDArray[np.float32]
BASELINES = ("xgboost", "random-forest", "cnn-forest")


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """Whatever names vignettes.

    Attributes
    ----------
    name
        As the table shows it.
    classes
        What the data set calls its k answers; a name of its own where that has no such class.
    size_bytes
        What would have to be carried aboard; None where not known.
    timed
        Whether its time is that of pixels to answers, as it would be aboard.
    probabilities
        Probabilities of the classes, float32 (n, k), of n vignettes.
    """

    name: str
    classes: tuple[str, ...]
    size_bytes: int | None
    timed: bool
    probabilities: Callable[[Vignettes], Probabilities]


# --- trained already ----------------------------------------------------------------------------------------


class BundleEntry:
    """A bundle that enters, or lends its network."""

    def __init__(self, path_or_name: str) -> None:
        self.bundle: Bundle = load_bundle(path_or_name)
        self._given = path_or_name

    @property
    def preprocessing(self) -> Preprocessing:
        """What it was trained with."""
        return self.bundle.preprocessing

    def trained_on(self, data: Dataset, split: Split) -> NDArray[np.bool_]:
        """Images that trained it, and those that show the same, bool (n,)."""
        learnt = np.array([one in self.bundle.training_hashes for one in data.hashes], dtype=np.bool_)
        found = learnt.copy()
        for one, other in split.duplicates.tolist():
            found[one] |= learnt[other]
            found[other] |= learnt[one]
        return found

    def contender(self, contest: Contest) -> Contender:
        """The int8 network as the board runs it."""
        classifier = Classifier(self.bundle)
        classes = names_in(contest.taxonomy, self.bundle.classes, self.bundle.manifest)
        _tell_unknown(self._given, classes, contest)

        def probabilities(images: Vignettes) -> Probabilities:
            return classifier.scores(images.pixels)

        return Contender(self.name, classes, len(self.bundle.model), True, probabilities)

    def network(self) -> NetworkFeatures:
        """Its float weights up to the head."""
        from training.network_features import features_of_bundle

        return features_of_bundle(self.bundle)

    @property
    def name(self) -> str:
        """As the table shows it."""
        return Path(self._given).name


class RunEntry:
    """The folder of a run, whose float network enters by its held-back answers, or lends its features."""

    def __init__(self, folder: Path) -> None:
        from training.recipe import read_recipe
        from training.run import FLOAT_ANSWERS
        from training.weights import WEIGHTS

        self._folder, self._weights = folder, folder / WEIGHTS
        self.preprocessing: Preprocessing = read_recipe(folder).preprocessing
        self._answers = read_answers(folder / FLOAT_ANSWERS)

    @property
    def name(self) -> str:
        """As the table shows it."""
        return self._folder.name

    def trained_on(self, data: Dataset, split: Split) -> NDArray[np.bool_]:
        """All that it did not hold back, bool (n,)."""
        del split
        return np.array([file not in self._answers.row for file in data.files], dtype=np.bool_)

    def contender(self, contest: Contest) -> Contender:
        """Its answers, as they were written when it had been trained."""
        classes = names_in(contest.taxonomy, self._answers.classes)
        _tell_unknown(str(self._folder), classes, contest)

        def probabilities(images: Vignettes) -> Probabilities:
            return softmax(self._answers.rows(images.files))

        size = self._weights.stat().st_size if self._weights.is_file() else None
        return Contender(self.name, classes, size, False, probabilities)

    def network(self) -> NetworkFeatures:
        """Its weights up to the head."""
        from training.network_features import features_of_run

        return features_of_run(self._folder)


Entry = BundleEntry | RunEntry


def open_entry(path_or_name: str) -> Entry:
    """A bundle by file or name, or a run by its folder; raises `InputError` when it is neither."""
    if Path(path_or_name).is_dir():
        return RunEntry(Path(path_or_name))
    return BundleEntry(path_or_name)


def _tell_unknown(given: str, classes: Sequence[str], contest: Contest) -> None:
    """Note the classes of the data set that a contender does not know; none at all is an error."""
    unknown = [name for name in contest.taxonomy.classes if name not in classes]
    if len(unknown) == len(contest.taxonomy.classes):
        remedy = "compare on its own classes, or give the --taxonomy that it was trained with"
        raise InputError("knows no class of the data set", file=given, remedy=remedy)
    if unknown:
        name = Path(given).name
        contest.facts["notes"].append(f"{name} does not know {', '.join(unknown)}: never right there.")


@dataclass(frozen=True, slots=True, eq=False)
class HeldBackAnswers:
    """What a float network said of the images that its run held back.

    Attributes
    ----------
    path
        The `.npz` they came from.
    row
        Row by file name.
    logits
        float64 (n, k).
    classes
        Names of the k classes.
    """

    path: Path
    row: Mapping[str, int]
    logits: NDArray[np.float64]
    classes: tuple[str, ...]

    def rows(self, files: Sequence[str]) -> NDArray[np.float64]:
        """Logits of these files, all of them held back."""
        return self.logits[[self.row[file] for file in files]]


def read_answers(path: Path) -> HeldBackAnswers:
    """Read what `seston train` writes: an `.npz` of ``files`` (n,), ``logits`` (n, k) and ``classes`` (k,).

    Raises
    ------
    InputError
        When it cannot be read, its arrays do not fit together, or a value is not finite.
    """
    remedy = "finish `seston train` with a fold held back"
    try:
        with path.open("rb") as file, np.load(file) as archive:
            files = [str(name) for name in archive["files"]]
            logits = np.asarray(archive["logits"], dtype=np.float64)
            classes = tuple(str(name) for name in archive["classes"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as cause:
        raise InputError(f"cannot be used ({cause})", file=path, remedy=remedy) from cause
    if logits.shape != (len(files), len(classes)) or logits.size == 0:
        problem = f"has {len(files)} files, {len(classes)} classes, and logits of shape {logits.shape}"
        raise InputError(problem, file=path, field="logits", remedy=remedy)
    if not np.isfinite(logits).all():
        raise InputError("is not finite everywhere", file=path, field="logits", remedy="train again")
    return HeldBackAnswers(path, {name: i for i, name in enumerate(files)}, logits, classes)


# --- baselines ----------------------------------------------------------------------------------------------


class Baselines:
    """Trains baselines on the training part; the hand-made features are taken once for all.

    Parameters
    ----------
    threshold
        Of the hand-made features; None chooses one on training images.
    lender
        Whose network cnn-forest sees with.
    weight_power
        As in `fit_boosted_trees`.
    """

    def __init__(
        self, contest: Contest, threshold: int | None, lender: Entry | None, weight_power: float, seed: int
    ) -> None:
        self.threshold = threshold
        self._contest, self._lender = contest, lender
        self._weight_power, self._seed = weight_power, seed

    def contender(self, name: str) -> Contender:
        """Train one of `BASELINES`."""
        if name == "cnn-forest" and self._lender is not None:
            return self._on_network(name, self._lender)
        labels, seed, k = self._contest.train.labels, self._seed, len(self._contest.taxonomy.classes)
        threshold, table = self._hand_made
        learnt: Learnt
        if name == "random-forest":
            learnt = fit_forest(table, labels, k, seed)
        else:
            trees = fit_boosted_trees(table, labels, k, seed, weight_power=self._weight_power)
            self._note(f"{name}: {trees.rounds} rounds, chosen by cross-validation.")
            learnt = trees

        def probabilities(images: Vignettes) -> Probabilities:
            return learnt.predict_proba(feature_table(images.pixels, threshold))

        return Contender(name, self._contest.taxonomy.classes, learnt.size_bytes, True, probabilities)

    def _on_network(self, name: str, lender: Entry) -> Contender:
        train, classes = self._contest.train, self._contest.taxonomy.classes
        network = lender.network()
        table = network.table(train.pixels)
        forest = fit_forest(table, train.labels, len(classes), self._seed, components=N_COMPONENTS)
        n = min(N_COMPONENTS, *table.shape)
        self._note(f"{name}: {n} components of the {table.shape[1]} features of {lender.name} in float.")

        def probabilities(images: Vignettes) -> Probabilities:
            return forest.predict_proba(network.table(images.pixels))

        # Keras on this machine says nothing of the time on a board.
        return Contender(name, classes, forest.size_bytes + network.size_bytes, False, probabilities)

    @functools.cached_property
    def _hand_made(self) -> tuple[int, NDArray[np.float32]]:
        """Threshold and features of the training part."""
        train, how = self._contest.train, "as told"
        if self.threshold is None:
            how = "chosen on training images"
            self.threshold = choose_threshold(train.pixels, train.labels, self._seed)
        self._note(f"Hand-made features of the largest region above {self.threshold} ({how}).")
        return self.threshold, feature_table(train.pixels, self.threshold)

    def _note(self, sentence: str) -> None:
        self._contest.facts["notes"].append(sentence)
