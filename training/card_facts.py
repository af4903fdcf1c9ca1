"""What a model card says, as rows and sentences, from a bundle's manifest alone. Pure.

Not in here: Markdown, HTML, pictures. A fact that the manifest lacks is left out, so that a card can be made
of any bundle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from edge.inference.manifest import Manifest
from edge.taxonomy import TaxonTree, build_tree

SCORES = {
    "accuracy": "share of the images whose class is right",
    "balanced_accuracy": "mean recall of the classes",
    "macro_f1": "mean F1 of the classes",
    "mean_precision": "mean precision of the classes",
    "bray_curtis": "distance of the counts from the truth, 100 objects, every prevalence alike (0 is best)",
    "taxon_accuracy": "share of the images whose taxon is right",
    "taxon_balanced_accuracy": "mean recall of the taxa",
    "decided_precision": "of what gets a name, share that is right, as the taxon itself or a parent of it",
    "unclassified": "share that gets no name",
    "rejected": "share that gets none because it is unlike all that was learnt",
    "calibration_error": "mean distance between a score and how often it is right (0 is best)",
}
FITTED = tuple(SCORES)[5:]
"""Scores that depend on temperature, thresholds or reject."""
_SHOWN_ELSEWHERE = {
    "limits", "model_bytes", "wanted", "fingerprint", "parity", "images", "groups", "crossed", "intervals",
    "classes", "reliability", "counts", "network", "unseen",
}  # fmt: skip
FEW_IMAGES = 10
N_CONFUSIONS = 10


class ScoreRow(NamedTuple):
    """A score of both models, with intervals as text; "" where there is none."""

    words: str
    meaning: str
    int8: str
    int8_interval: str
    float: str
    float_interval: str


class Rate(NamedTuple):
    """A rate and its interval, 0 to 1; None where unknown."""

    rate: float | None
    low: float | None
    high: float | None


class ClassRow(NamedTuple):
    """A class: its taxon ("" when of the same name), images that trained it (or None), and its rates."""

    name: str
    taxon: str
    trained: int | None
    held_back: int
    recall: Rate
    precision: Rate


class TaxonRow(NamedTuple):
    """What became of a taxon's held-back images: named as it is, as a parent, as something else, or not."""

    label: str
    parent: str
    threshold: float
    held_back: int
    right: int
    parents: int
    wrong: int
    unclassified: int


class Confusion(NamedTuple):
    """How often one class was taken for another, and its share of the true class's images."""

    truth: str
    answer: str
    n: int
    share: float


@dataclass(frozen=True, slots=True)
class Table:
    """A table of measurements: the name of each row, and the cells under each column, as text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def words_of(name: str) -> str:
    """A key as people read it."""
    return {"macro_f1": "macro-F1", "bray_curtis": "Bray-Curtis"}.get(name, name.replace("_", " "))


def number(value: Any) -> str:
    """A measurement as text: three decimals, an interval as "a to b", nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) >= 0.0005 or value == 0 else f"{value:.1e}"
    if isinstance(value, list | tuple):
        parts = [number(item) for item in value]
        two = len(parts) == 2 and all(isinstance(item, int | float) for item in value)
        return " to ".join(parts) if two else ", ".join(parts)
    if isinstance(value, Mapping):
        return ", ".join(f"{words_of(str(key))} {number(item)}" for key, item in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def score_rows(manifest: Manifest) -> list[ScoreRow]:
    """Scores in a fixed order, unknown ones last."""
    found = {name for values in manifest.scores.values() for name in values}
    names = [*(name for name in SCORES if name in found), *sorted(found - set(SCORES))]
    intervals = manifest.facts.get("intervals") or {}

    def cells(model: str, name: str) -> tuple[str, str]:
        value = manifest.scores.get(model, {}).get(name)
        return number(value), number((intervals.get(model) or {}).get(name))

    return [
        ScoreRow(words_of(name), SCORES.get(name, ""), *cells("int8", name), *cells("float", name))
        for name in names
    ]


def class_rows(manifest: Manifest) -> list[ClassRow]:
    """One row a class, in the order of the outputs; rates without intervals where the facts have none."""
    confusion = np.array(manifest.confusion, dtype=np.int64)
    hits, true, answered = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    facts = manifest.facts.get("classes") or {}

    def rate(name: str, i: int, n: int) -> Rate:
        bounds = [(facts.get(f"{name}_{end}") or {i: None})[i] for end in ("low", "high")]
        return Rate(float(hits[i] / n) if n else None, *bounds)

    trained = facts.get("trained")
    labels = [manifest.taxa[taxon].label for taxon in manifest.class_taxon]
    return [
        ClassRow(
            name,
            "" if labels[i] == name else labels[i],
            None if trained is None else trained[i],
            int(true[i]),
            rate("recall", i, int(true[i])),
            rate("precision", i, int(answered[i])),
        )
        for i, name in enumerate(manifest.classes)
    ]


def taxon_rows(manifest: Manifest) -> list[TaxonRow]:
    """One row a taxon: what the decisions make of it."""
    tree = tree_of(manifest)
    decisions, last = np.array(manifest.decisions, dtype=np.int64), len(tree.counted) - 1
    rows = []
    for i, taxon in enumerate(manifest.taxa):
        above = tree.members[i] > 0
        right, unclassified = int(decisions[i, i]), int(decisions[i, last])
        parents = int(decisions[i, :last][above[:last]].sum()) - right
        held_back = int(decisions[i].sum())
        rows.append(
            TaxonRow(
                taxon.label,
                taxon.parent or "",
                manifest.thresholds[i],
                held_back,
                right,
                parents,
                held_back - right - parents - unclassified,
                unclassified,
            )
        )
    return rows


def tree_of(manifest: Manifest) -> TaxonTree:
    """Taxa, parents and `unclassified` of a manifest."""
    return build_tree(manifest.taxa, manifest.parents)


def confusions(manifest: Manifest, n: int = N_CONFUSIONS) -> list[Confusion]:
    """The `n` most frequent mistakes, the largest first."""
    matrix = np.array(manifest.confusion, dtype=np.int64)
    true = np.maximum(matrix.sum(axis=1), 1)
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:n]
    pairs = [divmod(int(flat), len(matrix)) for flat in order]
    return [
        Confusion(manifest.classes[i], manifest.classes[j], int(wrong[i, j]), float(wrong[i, j] / true[i]))
        for i, j in pairs
        if wrong[i, j]
    ]


def lineage_order(manifest: Manifest) -> list[int]:
    """Classes so that those of one taxon, and taxa of one parent, lie side by side."""
    found = lineages(manifest)
    return sorted(range(len(found)), key=found.__getitem__)


def lineages(manifest: Manifest) -> list[tuple[str, ...]]:
    """From the oldest ancestor down to the class itself, by label, of each class."""
    tree = tree_of(manifest)
    found = []
    for name, taxon in zip(manifest.classes, manifest.class_taxon, strict=True):
        at, names = int(taxon), [name]
        while at != len(tree.counted) - 1:
            names.append(tree.counted[at].label)
            at = int(tree.up[at])
        found.append(tuple(names[::-1]))
    return found


def table_of(values: Mapping[str, Any]) -> Table | None:
    """A table of ``{row: {column: measurement}}``; what is no row is left out; None when there is no row."""
    rows = {str(name): row for name, row in values.items() if isinstance(row, Mapping)}
    if not rows:
        return None
    columns = list(dict.fromkeys(str(column) for row in rows.values() for column in row))
    body = ((words_of(name), tuple(number(row.get(c)) for c in columns)) for name, row in rows.items())
    return Table(tuple(words_of(column) for column in columns), tuple(body))


def remarks_of(values: Mapping[str, Any]) -> list[str]:
    """Sentences and single measurements beside a table."""
    return [
        str(value) if isinstance(value, str) else f"{words_of(str(name))}: {number(value)}"
        for name, value in values.items()
        if not isinstance(value, Mapping)
    ]


def other_facts(manifest: Manifest) -> Iterator[tuple[str, Table | None, list[str]]]:
    """What else was measured: title, table, remarks."""
    for name, value in manifest.facts.items():
        if name in _SHOWN_ELSEWHERE or value in (None, {}, []):
            continue
        nested = isinstance(value, Mapping) and any(isinstance(item, Mapping) for item in value.values())
        if nested:
            yield words_of(name), table_of(value), remarks_of(value)
        else:
            yield words_of(name), None, [number(value)]


def parity_table(manifest: Manifest) -> Table | None:
    """Scores of the float network and of int8, and how they differ."""
    scores = (manifest.facts.get("parity") or {}).get("scores") or {}
    if not scores:
        return None
    rows = (
        (
            words_of(name),
            (
                number(row["of_float"]),
                number(row["of_int8"]),
                f"{row['change']:+.4f}",
                f"{row['low']:+.4f} to {row['high']:+.4f}",
            ),
        )
        for name, row in scores.items()
    )
    return Table(("float", "int8", "change", "interval of the change"), tuple(rows))


def parity_remark(manifest: Manifest) -> str:
    """How often both say the same, and which classes changed most."""
    parity = manifest.facts.get("parity") or {}
    if "agreement" not in parity:
        return ""
    text = f"Float and int8 give the same class to {parity['agreement']:.1%} of the held-back images"
    if parity.get("agreement_interval"):
        low, high = parity["agreement_interval"]
        text += f" ({low:.1%} to {high:.1%})"
    changed = sorted((parity.get("recall_change") or {}).items(), key=lambda item: -abs(item[1]))[:5]
    if changed:
        text += ". Recall changed most for " + ", ".join(f"{name} ({value:+.2f})" for name, value in changed)
    return f"{text}."


def calibration_remark(manifest: Manifest) -> str:
    """How logits become scores and decisions."""
    text = f"Scores are the softmax of the logits divided by the temperature, {manifest.temperature:g}."
    if manifest.least_evidence is not None:
        text += f" Less evidence than {manifest.least_evidence:g} is unclassified, whatever the score."
    wanted = manifest.facts.get("wanted")
    if wanted:
        text += (
            f" Wanted were a precision of {wanted['precision']:g} of what is named, and a reject that keeps "
            f"{100 * wanted['keep']:g} % of the held-back images."
        )
    return text


def how_measured(manifest: Manifest) -> list[str]:
    """What must be known to read the scores, in sentences."""
    facts = manifest.facts
    images = facts.get("images", sum(sum(row) for row in manifest.confusion))
    groups = facts.get("groups")
    unseen = facts.get("unseen", True)
    text = f"Measured on {images:,} images" + (" that trained nothing" if unseen else "")
    text += f", of {groups:,} groups (acquisitions, or files where these are not known)." if groups else "."
    sentences = [text]
    if facts.get("intervals"):
        sentences.append("An interval holds the middle 90 % of 1,000 bootstrap draws of whole groups.")
    if facts.get("crossed") is True:
        sentences.append(
            "Scores that depend on temperature, thresholds or reject "
            f"({', '.join(words_of(name) for name in FITTED)}) were measured on each half of the groups with "
            "what was fitted to the other half; what is shipped was fitted to all of them."
        )
    elif facts.get("crossed") is False:
        sentences.append(
            "Temperature, thresholds and reject were fitted to the very images they are measured on, so the "
            f"scores that depend on them ({', '.join(words_of(name) for name in FITTED)}) flatter the model."
        )
    return sentences


def limits(manifest: Manifest) -> list[str]:
    """Known limits, in sentences: those of the data, and those that hold for every bundle."""
    held_back = [sum(row) for row in manifest.confusion]
    none, few = held_back.count(0), sum(0 < n < FEW_IMAGES for n in held_back)
    sentences = [str(limit) for limit in manifest.facts.get("limits") or ()]
    if few:
        sentences.append(
            f"Classes with fewer than {FEW_IMAGES} held-back images: {few} of {len(held_back)}; their scores "
            "rest on a handful."
        )
    if none:
        sentences.append(
            f"Classes without a held-back image: {none} of {len(held_back)}; nothing is known of them."
        )
    sentences.append(
        "Scores hold for images of the same camera and the same share of classes: check another camera, "
        "pixel size or sea on images sorted from it."
    )
    sentences.append(
        "The network is told the size of a particle in pixels: another pixel size needs images of its own."
        if manifest.preprocessing.numbers
        else "A vignette is scaled to the input: the network does not see how large the particle was."
    )
    return sentences
