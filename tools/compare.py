"""`seston compare`: bundles, float networks and the incumbents on the same held-back images, with intervals.

The table has the shape of "How deep is enough?" in Panaiotis et al. 2026 (Earth Syst. Sci. Data 18, 945). It
judges nothing: where intervals overlap, so do the contenders.
"""

from __future__ import annotations

import functools
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.config import read_toml
from edge.errors import ConfigError, InputError
from edge.inference.bundle import Bundle, load_bundle
from edge.inference.classifier import Classifier, softmax
from edge.optics import Polarity
from training import baselines
from training.baselines import Contender, Stored, Vignettes, merged, read_stored, read_vignettes
from training.bootstrap import Drawn, Groups, draw, interval
from training.evaluate import Floats, Ints, bray_curtis, plain
from training.split import HELD_BACK_FOLD, N_FOLDS, acquisition_groups, folds

BASELINES = ("xgboost", "random-forest", "cnn-forest")
FLOAT_LOGITS = "float_held_back.npz"
"""In a run's folder: files (n,), logits (n, k), and classes (k,) unless they are the data set's."""
RARE = 100
"""A class with fewer training images is rare."""
NOT_LIVING = (
    "detritus", "artefact", "artifact", "crystal", "fiber", "fibre", "filament", "reflection", "bubble",
    "badfocus",
)  # fmt: skip
"""Words in the names of what does not live, as uvpec has them; where neither a file nor a bundle says."""
COUNT_DRAWS = 200
"""Draws behind the interval of the Bray-Curtis distance; it takes longer than the other scores."""
TIMED, ROUNDS = 100, 3
"""Vignettes whose time is taken, and how often; the best round counts."""

Scores = dict[str, dict[str, tuple[float, float, float]]]
"""Score and both ends of its interval, by group of classes and name; NaN where it cannot be known."""


class _Flags(msgspec.Struct):
    living: bool | None = None


class _Taxonomy(msgspec.Struct):
    taxa: dict[str, _Flags] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """What all contenders meet.

    Attributes
    ----------
    train, test
        Images that baselines learn from, and held-back ones that all are scored on.
    groups
        Acquisition of each held-back image, or its name where that is not known.
    living, rare
        Which of the classes live, and which of these are rare, bool (k,).
    facts
        What the JSON says of it; ``notes`` are sentences for people.
    """

    train: Vignettes
    test: Vignettes
    groups: Groups
    living: NDArray[np.bool_]
    rare: NDArray[np.bool_]
    facts: dict[str, Any]


@click.command()
@click.argument("contenders", metavar="CONTENDER...", nargs=-1, required=True)
@click.argument("dataset", metavar="DATASET", type=click.Path(path_type=Path))
@click.option(
    "--polarity",
    type=click.Choice([item.value for item in Polarity]),
    default=Polarity.DARK_FIELD.value,
    show_default=True,
    help="How particles look in DATASET.",
)
@click.option(
    "--fold",
    "held_back",
    multiple=True,
    type=click.IntRange(0, N_FOLDS - 1),
    help=f"Folds that are held back; {HELD_BACK_FOLD} by default.",
)
@click.option(
    "--merge", "merges", multiple=True, metavar="PATTERN=NAME", help="Make one class of all that fit PATTERN."
)
@click.option("--taxonomy", type=click.Path(path_type=Path), help="TOML with living flags.")
@click.option(
    "--threshold",
    type=click.IntRange(0, 254),
    help="Of the hand-made features; by default the one that suits them best on training images.",
)
@click.option("--features", type=click.Path(path_type=Path), help="cnn-forest: .npz of files, features.")
@click.option(
    "--weight-power",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="xgboost: weight of rare classes.",
)
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of the baselines.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all here.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the tables here.")
def compare(
    contenders: tuple[str, ...],
    dataset: Path,
    polarity: str,
    held_back: tuple[int, ...],
    merges: tuple[str, ...],
    taxonomy: Path | None,
    threshold: int | None,
    features: Path | None,
    weight_power: float,
    seed: int,
    json_file: Path | None,
    markdown: Path | None,
) -> None:
    """Score every CONTENDER on the held-back part of DATASET, a folder or zip with one folder a class.

    A CONTENDER is a bundle's file or name, a run's folder (its float network), or a baseline that is trained
    on the other part: xgboost and random-forest on 55 hand-made features, cnn-forest on a network's.
    """
    for file in (json_file, markdown):
        if file is not None and not file.parent.is_dir():
            raise InputError("lies in no folder", file=file, remedy="make the folder first")
    if len(set(contenders)) < len(contenders):
        raise click.UsageError("a contender stands twice")
    if ("cnn-forest" in contenders) != (features is not None):
        raise click.UsageError("cnn-forest and --features FILE go together")
    merge = dict(_pair(text) for text in merges)
    cv2.setNumThreads(1)
    # What cannot be read should say so before anything is trained.
    others = [name for name in contenders if name not in BASELINES]
    runs = {name: read_stored(Path(name) / FLOAT_LOGITS, "logits") for name in others if Path(name).is_dir()}
    bundles = {name: load_bundle(name) for name in others if name not in runs}
    data = read_vignettes(dataset, invert=polarity == Polarity.BRIGHT_FIELD, merge=merge)
    contest = _prepare(data, held_back or (HELD_BACK_FOLD,), taxonomy, bundles, runs)
    learn = Learning(contest, threshold, features, weight_power, seed)
    given = {name: _given(name, bundles.get(name) or runs[name], merge, contest) for name in others}
    entered = [given[name] if name in given else learn.contender(name) for name in contenders]
    summary = contest.facts | {"threshold": learn.threshold, "seed": seed}
    summary |= {"contenders": _score_all(contest, entered)}
    tables = _tables(summary["contenders"])
    _show(tables, summary["notes"])
    if json_file is not None:
        json_file.write_text(json.dumps(plain(summary), indent=1) + "\n", encoding="utf-8")
    if markdown is not None:
        markdown.write_text(_markdown(tables, summary["notes"]), encoding="utf-8")


def _pair(text: str) -> tuple[str, str]:
    pattern, equals, name = text.partition("=")
    if not (pattern and equals and name):
        raise click.UsageError(f"--merge {text}: give PATTERN=NAME")
    return pattern, name


def class_names(bundle: Bundle) -> tuple[str, ...]:
    """What the bundle's network tells apart, in the order of its scores."""
    return bundle.classes


# --- who meets on what --------------------------------------------------------------------------------------


def _prepare(
    data: Vignettes,
    held_back: Sequence[int],
    taxonomy: Path | None,
    bundles: dict[str, Bundle],
    runs: dict[str, Stored],
) -> Contest:
    """Split the images, leave out what a contender was trained on, and ask what lives."""
    held = np.isin(folds(data.files)[0], held_back)
    train = data.select(~held)
    trained_on = set(train.hashes).union(*(bundle.training_hashes for bundle in bundles.values()))
    fresh = np.array([image not in trained_on for image in data.hashes])
    for run in runs.values():  # what a run did not hold back trained it
        fresh &= np.array([file in run.row for file in data.files])
    test, left_out = data.select(held & fresh), int((held & ~fresh).sum())
    for part, what in ((train, "image to train on"), (test, "held-back image that trained no contender")):
        if len(part) == 0:
            raise InputError(f"has no {what}", file=data.name, remedy="hold other folds back")
    k = len(data.classes)
    counts = np.bincount(train.labels, minlength=k)
    lives, said_by = _lives(taxonomy, bundles)
    living = np.array([lives(name) for name in data.classes])
    acquisitions = acquisition_groups(test.files)
    by = "acquisition" if acquisitions else "image"
    notes = [
        f"{data.name}: {len(train)} images to train on, {len(test)} held back (fold "
        f"{', '.join(map(str, sorted(held_back)))} by {by}), the same for all.",
        f"In brackets the middle 90 % of bootstrap draws by {by}; P, the share of draws in which the first "
        "contender has the higher balanced accuracy.",
        f"{left_out} held-back images are not scored: they, or their twins, trained a contender.",
        "Balanced accuracy is the mean recall. It, precision and F1 are means over the classes that occur. "
        "Bray-Curtis: 100 objects at random shares of the classes, counted as answered; 0 is perfect.",
        f"{living.sum()} of {k} classes are living ({said_by}). Rare: fewer than {RARE} training images.",
    ]
    facts = {
        "dataset": data.name,
        "folds": sorted(held_back),
        "classes": list(data.classes),
        "training_images": counts.tolist(),
        "held_back_images": np.bincount(test.labels, minlength=k).tolist(),
        "left_out": left_out,
        "living": living.tolist(),
        "faults": list(data.faults),
        "notes": notes + ([f"{len(data.faults)} files could not be used."] if data.faults else []),
    }
    groups = Groups(acquisitions or test.files)
    return Contest(train, test, groups, living, living & (counts < RARE), facts)


def _lives(taxonomy: Path | None, bundles: dict[str, Bundle]) -> tuple[Callable[[str], bool], str]:
    """Whether a class is living, and who says so: a file, else the first bundle that knows, else words."""
    if taxonomy is not None:
        taxa = read_toml(taxonomy, _Taxonomy, error=ConfigError).taxa
        return lambda name: name in taxa and taxa[name].living is True, taxonomy.name
    for bundle in bundles.values():
        flags = [bundle.taxa[taxon].living for taxon in bundle.manifest.class_taxon]
        if any(flag is not None for flag in flags):
            alive = {name for name, flag in zip(class_names(bundle), flags, strict=True) if flag}
            return alive.__contains__, f"bundle {bundle.name}"
    return lambda name: not any(word in name.lower() for word in NOT_LIVING), "by uvpec's words for others"


def _given(name: str, source: Bundle | Stored, merge: dict[str, str], contest: Contest) -> Contender:
    """Contender that is trained already: a bundle, or the float network of a run's folder."""
    size: int | None = None
    if isinstance(source, Stored):
        stored, weights = source, Path(name) / "weights.npz"
        classes, timed = stored.classes or contest.test.classes, False
        if weights.is_file():
            size = weights.stat().st_size
        if len(classes) != stored.values.shape[1]:
            problem = f"has {stored.values.shape[1]} columns, the data set {len(classes)} classes"
            raise InputError(problem, file=stored.path, remedy="store the classes beside the logits")

        def probabilities(images: Vignettes) -> NDArray[np.float32]:
            return softmax(stored.rows(images.files).astype(np.float64))

    else:
        classifier = Classifier(source)
        classes, timed, size = class_names(source), True, len(source.model)

        def probabilities(images: Vignettes) -> NDArray[np.float32]:
            return classifier.scores(images.pixels)

    renamed = tuple(merged(label, merge) for label in classes)
    unknown = [label for label in contest.test.classes if label not in renamed]
    if len(unknown) == len(contest.test.classes):
        raise InputError("knows no class of the data set", file=name, remedy="compare on its own classes")
    if unknown:
        contest.facts["notes"].append(f"{name} does not know {', '.join(unknown)}: never right there.")
    return Contender(Path(name).name or name, renamed, size, timed, probabilities)


class Learning:
    """Trains baselines on the training part; the hand-made features are taken once for all."""

    def __init__(
        self, contest: Contest, threshold: int | None, features: Path | None, weight_power: float, seed: int
    ) -> None:
        self.threshold = threshold
        self._contest, self._features = contest, features
        self._weight_power, self._seed = weight_power, seed

    def contender(self, name: str) -> Contender:
        """Train one of `BASELINES`."""
        train, seed, notes = self._contest.train, self._seed, self._contest.facts["notes"]
        labels, classes, k = train.labels, train.classes, len(train.classes)
        if name == "cnn-forest" and self._features is not None:
            stored = read_stored(self._features, "features")
            rows, components = stored.rows(train.files), baselines.N_COMPONENTS
            forest = baselines.fit_forest(rows, labels, k, seed, components=components)
            notes.append(f"{name} weighs what comes after the network whose features it takes.")
            return baselines.on_stored_features(name, classes, forest, stored)
        threshold, table = self._hand_made
        if name == "random-forest":
            forest = baselines.fit_forest(table, labels, k, seed)
            return baselines.on_hand_features(name, classes, forest, threshold)
        trees = baselines.fit_boosted_trees(table, labels, k, seed, weight_power=self._weight_power)
        notes.append(f"{name}: {trees.rounds} rounds, chosen by cross-validation.")
        return baselines.on_hand_features(name, classes, trees, threshold)

    @functools.cached_property
    def _hand_made(self) -> tuple[int, NDArray[np.float32]]:
        """Threshold and features of the training part."""
        train, how = self._contest.train, "as told"
        if self.threshold is None:
            self.threshold, how = baselines.choose_threshold(train, self._seed), "chosen on training images"
        self._contest.facts["notes"].append(
            f"Hand-made features of the largest region above {self.threshold} ({how})."
        )
        return self.threshold, baselines.feature_table(train.pixels, self.threshold)


# --- scores -------------------------------------------------------------------------------------------------


def answer(contender: Contender, images: Vignettes) -> Ints:
    """Answers, int64 (n,), index into the images' k classes; k for a class of the contender's own."""
    scores, k = contender.probabilities(images), len(images.classes)
    summed = np.zeros((len(images), k + 1))
    for column, name in enumerate(contender.classes):
        if name in images.classes:
            summed[:, images.classes.index(name)] += scores[:, column]
        else:
            summed[:, k] = np.maximum(summed[:, k], scores[:, column])
    return np.asarray(summed.argmax(axis=1), dtype=np.int64)


def score(answers: Ints, contest: Contest) -> tuple[Scores, Floats]:
    """Scores of answers, (n,), by group of classes, and the balanced accuracy of every draw."""
    labels, k = contest.test.labels, len(contest.test.classes)
    drawn = draw(labels, answers, k + 1, contest.groups)
    right, true, answered = (
        np.bincount(x, minlength=k + 1)[np.newaxis].astype(float)
        for x in (labels[labels == answers], labels, answers)
    )
    exact = Drawn(right, true, answered, drawn.groups)
    scores: Scores = {"all": {}, "living": {}, "rare": {}}
    every = np.ones(k, dtype=bool)
    for group, which in zip(scores, (every, contest.living, contest.rare), strict=True):
        mask = np.append(which, False)
        held = drawn.true[:, mask].sum(axis=1) > 0  # a draw may hold none of these classes
        if not held.any():
            continue
        spread = _only(drawn, mask, held).scores()
        for name, value in _only(exact, mask, np.ones(1, dtype=bool)).scores().items():
            scores[group][name] = (float(value[0]), *interval(spread[name]))
        scores[group]["mean_recall"] = scores[group]["balanced_accuracy"]
    rng = np.random.default_rng(contest.groups.seed)
    sizes = np.bincount(contest.groups.codes, minlength=contest.groups.n_groups)
    members = np.split(np.argsort(contest.groups.codes, kind="stable"), np.cumsum(sizes)[:-1])
    distances = []
    for _ in range(COUNT_DRAWS):
        chosen = rng.integers(0, len(members), len(members))
        images = np.concatenate([members[i] for i in chosen])
        distances.append(bray_curtis(labels[images], answers[images]))
    scores["all"]["bray_curtis"] = (bray_curtis(labels, answers), *interval(np.array(distances)))
    return scores, drawn.scores()["balanced_accuracy"]


def _only(drawn: Drawn, classes: NDArray[np.bool_], draws: NDArray[np.bool_]) -> Drawn:
    """Some classes of some draws."""
    at = np.ix_(draws, classes)
    return Drawn(drawn.hits[at], drawn.true[at], drawn.answered[at], drawn.groups)


def _score_all(contest: Contest, contenders: Sequence[Contender]) -> list[dict[str, Any]]:
    """Scores, size and time of each contender, and the chance that the first is better."""
    rows: list[dict[str, Any]] = []
    first: Floats | None = None
    for contender in contenders:
        scores, balanced = score(answer(contender, contest.test), contest)
        better = None
        if first is not None:
            better = float(np.mean(first > balanced) + np.mean(first == balanced) / 2)
        first = balanced if first is None else first
        ms = _ms(contender, contest.test) if contender.timed else None
        row = {"name": contender.name, "size_bytes": contender.size_bytes, "ms": ms, "scores": scores}
        rows.append(row | {"first_is_better": better})
    return rows


def _ms(contender: Contender, images: Vignettes) -> float:
    """Best time of a round over some vignettes, ms a vignette, from pixels to probabilities."""
    few = images.select(np.arange(len(images)) % max(1, len(images) // TIMED) == 0)
    best = math.inf
    for _ in range(ROUNDS):
        start = time.perf_counter()
        contender.probabilities(few)
        best = min(best, time.perf_counter() - start)
    return 1000 * best / len(few)


# --- tables -------------------------------------------------------------------------------------------------

Table = tuple[str, list[str], list[list[str]]]
"""Title, columns, rows."""


def _tables(contenders: Sequence[dict[str, Any]]) -> list[Table]:
    names = {"accuracy": "accuracy", "mean_precision": "precision", "balanced_accuracy": "balanced accuracy"}
    names |= {"macro_f1": "macro-F1", "bray_curtis": "Bray-Curtis"}
    columns = ["model", "kB", *names.values(), "ms", "P"]
    rows = []
    for row in contenders:
        size = "-" if row["size_bytes"] is None else f"{row['size_bytes'] / 1000:,.0f}"
        rest = ("-" if value is None else f"{value:.2f}" for value in (row["ms"], row["first_is_better"]))
        rows.append([row["name"], size, *(_cell(row["scores"]["all"].get(name)) for name in names), *rest])
    tables: list[Table] = [("All classes", columns, rows)]
    names.pop("bray_curtis")
    for group, title in (("living", "Living classes alone"), ("rare", "Rare living classes alone")):
        rows = [[row["name"], *(_cell(row["scores"][group].get(x)) for x in names)] for row in contenders]
        tables.append((title, ["model", *names.values()], rows))
    return tables


def _cell(score: tuple[float, float, float] | None) -> str:
    if score is None or math.isnan(score[0]):
        return "-"
    return f"{score[0]:.3f} ({score[1]:.2f}-{score[2]:.2f})"


def _show(tables: Sequence[Table], notes: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console(width=None if sys.stdout.isatty() else 150)  # a file or a pipe has no width
    for title, columns, rows in tables:
        table = RichTable(*columns, title=title)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for note in notes:
        console.print(f"- {note}", highlight=False, markup=False)


def _markdown(tables: Sequence[Table], notes: Sequence[str]) -> str:
    lines = []
    for title, columns, rows in tables:
        lines += [f"**{title}**", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        lines += [*(f"| {' | '.join(row)} |" for row in rows), ""]
    return "\n".join([*lines, *(f"- {note}" for note in notes), ""])
