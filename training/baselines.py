"""What others let learn from features: boosted trees, or a random forest. None of them goes into a bundle.

The UVP6's embedded classifier is boosted trees on 55 measures (settings of the public code of ecotaxa/uvpec);
a forest on such measures is what EcoTaxa and ZooScan users know; a forest on 50 components of a MobileNet's
features is the published middle way (Panaiotis et al. 2026, Earth Syst. Sci. Data 18, 945). How good they are
is told by `seston compare`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xgboost

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
