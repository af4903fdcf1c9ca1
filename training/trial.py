"""A bundle on trial: what it makes of sorted images that it has not seen, or whose kind it does not know.

Nothing is fitted here: temperature, thresholds and reject are the bundle's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.inference.bundle import Bundle
from edge.inference.classifier import Answers, Classifier
from edge.inference.manifest import Manifest
from training.calibration import Calibration, Counting, Judged, decision_scores, judge
from training.card_facts import class_rows, taxon_rows
from training.datasets import Dataset
from training.evaluate import HeldBack, Ints, auroc, calibration_error, plain, reliability
from training.matching import How, Match, match_classes
from training.scores import decision_matrix, score_classes

N_WORST = 50


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What a bundle makes of a data set.

    Attributes
    ----------
    bundle, data
        Which.
    manifest
        The bundle's, with the matrices, scores and facts of this data set in place of its own.
    matches
        What each class of the data set is in the bundle.
    images
        Number of images of each class that were scored, as known or as unknown.
    notes
        What must be known to read the figures, in sentences.
    worst
        The surest mistakes.
    """

    bundle: Bundle
    data: Dataset
    manifest: Manifest
    matches: tuple[Match, ...]
    images: tuple[int, ...]
    notes: tuple[str, ...]
    worst: tuple[dict[str, Any], ...]

    def everything(self) -> dict[str, Any]:
        """For JSON."""
        taxon = {i: one.label for i, one in enumerate(self.bundle.taxa)}
        classes = dict(enumerate(self.bundle.classes))
        return {
            "bundle": {"name": self.bundle.name, "sha256": self.bundle.sha256},
            "dataset": self.data.name,
            "notes": self.notes,
            "scores": self.manifest.scores,
            "matches": [
                {
                    "name": match.name,
                    "class": classes.get(match.class_index),
                    "taxon": taxon.get(match.taxon_index),
                    "by": match.how,
                    "images": n,
                }
                for match, n in zip(self.matches, self.images, strict=True)
            ],
            "facts": self.manifest.facts,
            "by_class": [
                {"class": row.name, "images": row.held_back}
                | {"recall": row.recall._asdict(), "precision": row.precision._asdict()}
                for row in class_rows(self.manifest)
            ],
            "by_taxon": [row._asdict() for row in taxon_rows(self.manifest)],
            "worst": self.worst,
        }


def try_bundle(bundle: Bundle, data: Dataset, *, every: bool = False) -> Trial:
    """Score a bundle on sorted images.

    Parameters
    ----------
    bundle
        Proven on this machine before anything else.
    data
        Read with the bundle's preprocessing.
    every
        Also score images that the bundle was trained on.

    Raises
    ------
    InputError
        When no image is left, or none is of a class that the bundle knows.
    """
    own = bundle.manifest
    matches = match_classes(data.taxonomy, own)
    how = np.array([match.how for match in matches])[data.labels]
    seen = np.array([one in bundle.training_hashes for one in data.hashes], dtype=np.bool_) & (not every)
    outside = (how == How.DROPPED) | (how == How.COARSER)
    scored = np.flatnonzero(~seen & ~outside)
    known = how[scored] != How.UNKNOWN
    if not known.any():
        raise InputError(
            f"has no image that can be scored: {int(seen.sum())} of {len(seen)} trained the bundle, and of "
            "the others none is of its classes",
            file=data.name,
            remedy=f"give --all, or a --taxonomy that names some of {_first(bundle.classes)}",
        )
    classifier = Classifier(bundle)
    logits = np.stack([classifier.logits_of(data.images[i], data.numbers[i]) for i in scored])
    counting = Counting(own.class_taxon, bundle.tree)
    judged = judge(logits, Calibration(own.temperature, own.thresholds, own.least_evidence), counting)
    match_of = data.labels[scored]
    labels = np.array([match.class_index for match in matches], dtype=np.int64)[match_of]
    taxa = np.array([match.taxon_index for match in matches], dtype=np.int64)[match_of]
    groups = data.acquisitions or [PurePosixPath(file).name for file in data.files]
    asked = _Asked(bundle, data, scored, labels, taxa, tuple(groups[i] for i in scored), judged)
    return Trial(
        bundle,
        data,
        _scored_manifest(asked, logits, known, counting, every),
        tuple(matches),
        tuple(np.bincount(match_of, minlength=len(matches)).tolist()),
        tuple(_notes(bundle, data, matches, int(seen.sum()), int((outside & ~seen).sum()), every)),
        tuple(_worst(asked)),
    )


def _first(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """The N images that were scored: place in the data set, class and taxon (-1: none), group, answers."""

    bundle: Bundle
    data: Dataset
    places: Ints
    labels: Ints
    taxa: Ints
    groups: tuple[str, ...]
    judged: Judged


def _scored_manifest(
    asked: _Asked, logits: NDArray[np.float64], known: NDArray[np.bool_], counting: Counting, every: bool
) -> Manifest:
    """The bundle's manifest with what was measured here."""
    own, labels, judged = asked.bundle.manifest, asked.labels, asked.judged
    named = labels >= 0
    facts: dict[str, Any] = {"unseen": not every, "images": int(known.sum())}
    scores: dict[str, float] = {}
    confusion = np.zeros((len(own.classes), len(own.classes)), dtype=np.int64)
    if named.any():
        groups = tuple(asked.groups[i] for i in np.flatnonzero(named))
        found = score_classes(HeldBack(logits[named], None, labels[named], groups))
        confusion, scores = found.confusion, found.scores["int8"]
        probability = judged.answers.scores[named]
        bins = zip(("n", "score", "right"), reliability(probability, labels[named]), strict=True)
        facts |= found.facts | {"reliability": dict(bins), "images": int(known.sum())}
        scores["calibration_error"] = calibration_error(probability, labels[named])
    of_known, taxa = _part(judged, known), asked.taxa[known]
    scores |= decision_scores(of_known, taxa, counting)
    if not known.all():
        facts["what the bundle does not know"] = _unknown(judged, known, counting)
    kept = {key: own.facts[key] for key in ("model_bytes", "network") if key in own.facts}
    return msgspec.structs.replace(
        own,
        confusion=tuple(map(tuple, confusion.tolist())),
        decisions=tuple(map(tuple, decision_matrix(of_known, taxa, counting).tolist())),
        scores={"int8": plain(scores)},
        facts=kept | plain(facts),
    )


def _part(judged: Judged, which: NDArray[np.bool_]) -> Judged:
    """Those answers where `which`, bool (N,), is true."""
    answers = judged.answers
    some = Answers(
        answers.scores[which], answers.taxon_scores[which], answers.evidence[which], answers.decisions[which]
    )
    return judged._replace(answers=some, rejected=judged.rejected[which])


def _unknown(judged: Judged, known: NDArray[np.bool_], counting: Counting) -> dict[str, Any]:
    """How well evidence and decisions tell unknown images from known ones."""
    seen, unclassified = judged.answers.evidence, judged.answers.decisions == counting.unclassified
    rows: dict[str, Any] = {
        name: {
            "images": int(which.sum()),
            "rejected": float(judged.rejected[which].mean()),
            "unclassified": float(unclassified[which].mean()),
        }
        for name, which in (("known", known), ("unknown", ~known))
    }
    return rows | {"AUROC of the evidence": auroc(seen[known], seen[~known])}


def _notes(
    bundle: Bundle, data: Dataset, matches: Sequence[Match], n_seen: int, n_outside: int, every: bool
) -> list[str]:
    """What was left out and what flatters, in sentences."""

    def named(how: How) -> str:
        return ", ".join(match.name for match in matches if match.how is how)

    notes = []
    if every:
        notes.append(
            "Images that the bundle was trained on were scored, too, so that the figures flatter it."
        )
    elif n_seen:
        notes.append(f"{n_seen:,} images that the bundle was trained on were left out.")
    if n_outside:
        reasons = (
            (How.DROPPED, "dropped by the bundle's own taxonomy"),
            (How.COARSER, "coarser than its taxa"),
        )
        parts = [f"{named(how)} ({words})" for how, words in reasons if named(how)]
        notes.append(f"{n_outside:,} images were left out: {'; '.join(parts)}.")
    if named(How.UNKNOWN):
        notes.append(f"Classes that the bundle does not know: {named(How.UNKNOWN)}.")
    if any(source.name == data.name for source in bundle.manifest.provenance.sources):
        notes.append(
            "The bundle's temperature, thresholds and reject were fitted to images of this data set, so what "
            "depends on them flatters it."
        )
    return notes


def _worst(asked: _Asked) -> list[dict[str, Any]]:
    """The surest mistakes: of the class where it is known, else of the taxon."""
    answers, labels, taxa = asked.judged.answers, asked.labels, asked.taxa
    said, said_taxon = answers.scores.argmax(axis=1), answers.taxon_scores.argmax(axis=1)
    wrong = np.flatnonzero(np.where(labels >= 0, said != labels, (taxa >= 0) & (said_taxon != taxa)))
    certain = answers.scores.max(axis=1)
    order = wrong[np.argsort(-certain[wrong], kind="stable")][:N_WORST]
    bundle, data = asked.bundle, asked.data
    return [
        {
            "file": data.files[asked.places[i]],
            "truth": data.taxonomy.classes[data.labels[asked.places[i]]],
            "answer": bundle.classes[said[i]],
            "decision": bundle.counted_taxa[answers.decisions[i]].label,
            "score": round(float(certain[i]), 4),
            "evidence": round(float(answers.evidence[i]), 3),
        }
        for i in order.tolist()
    ]
