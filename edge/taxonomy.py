"""What is counted: taxa, the parents an unsure answer rolls up to, and `unclassified`. Pure.

A taxon's ids are null unless the training data or a named source gave them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

UNCLASSIFIED = "unclassified"


class Taxon(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One taxon of a model.

    Attributes
    ----------
    label
        Name as the training data has it; unique in a bundle.
    living
        True for organisms, False for detritus, artefacts, bubbles; None when the data do not say.
    parent
        Label of the taxon that an unsure answer rolls up to, or None.
    ecotaxa_id, aphia_id
        Ids in EcoTaxa and WoRMS, or None.
    """

    label: str
    living: bool | None = None
    parent: str | None = None
    ecotaxa_id: int | None = None
    aphia_id: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TaxonTree:
    """How scores of a model's labels become decisions. Made by `build_tree`.

    Attributes
    ----------
    counted
        The m counted taxa: the k labels in the model's order, the parents that are no labels themselves, and
        `unclassified` last.
    members
        float32 (k, m): 1 where a label counts towards a taxon, because it is it or lies below it.
    up
        int64 (m,): where an unsure answer goes from each taxon; `unclassified` stays.
    """

    counted: tuple[Taxon, ...]
    members: NDArray[np.float32]
    up: NDArray[np.int64]

    @property
    def n_labels(self) -> int:
        """Number of labels of the model."""
        return len(self.members)

    def decide(
        self, scores: NDArray[np.floating], thresholds: NDArray[np.floating] | Sequence[float]
    ) -> NDArray[np.int64]:
        """Decision of each particle.

        The label with the highest score stands when the taxon's probability reaches its threshold;
        otherwise its parent does when the summed probability of all labels below it reaches the parent's
        threshold; and so on up to `unclassified`. The probability of a label that is itself a parent
        includes its children: a sure copepod of an unsure genus is a copepod.

        Parameters
        ----------
        scores
            (n, k) probabilities of the labels.
        thresholds
            (m - 1,) one for every counted taxon but `unclassified`.

        Returns
        -------
        int64 (n,), index into `counted`.
        """
        n, last = len(scores), len(self.counted) - 1
        if n == 0:
            return np.zeros(0, dtype=np.int64)
        limits = np.append(np.asarray(thresholds, dtype=np.float32), np.float32(-1))
        probability = np.concatenate(
            [
                np.asarray(scores, dtype=np.float32) @ self.members[:, :last],
                np.ones((n, 1), dtype=np.float32),
            ],
            axis=1,
        )
        answer: NDArray[np.int64] = np.argmax(scores, axis=1).astype(np.int64)
        rows = np.arange(n)
        while True:
            # `not >=`, so that a NaN score ends as unclassified.
            unsure = ~(probability[rows, answer] >= limits[answer]) & (answer != last)
            if not unsure.any():
                return answer
            answer[unsure] = self.up[answer[unsure]]


def build_tree(labels: Sequence[Taxon], parents: Sequence[Taxon] = ()) -> TaxonTree:
    """Tree of a model's labels.

    Parameters
    ----------
    labels
        In the order of the model's outputs.
    parents
        Parents that are no labels themselves; each must be used.

    Raises
    ------
    ValueError
        With a sentence, when a label stands twice, is reserved, names an unknown parent, or is its own
        ancestor.
    """
    taxa = (*labels, *parents)
    index: dict[str, int] = {}
    for i, taxon in enumerate(taxa):
        if not taxon.label or taxon.label == UNCLASSIFIED:
            raise ValueError(f"the label {taxon.label!r} is reserved")
        if taxon.label in index:
            raise ValueError(f"the label {taxon.label!r} stands twice")
        index[taxon.label] = i
    last = len(taxa)
    up = np.full(last + 1, last, dtype=np.int64)
    for i, taxon in enumerate(taxa):
        if taxon.parent is not None:
            if taxon.parent not in index:
                raise ValueError(f"the parent {taxon.parent!r} of {taxon.label!r} is unknown")
            up[i] = index[taxon.parent]
    members = np.zeros((len(labels), last + 1), dtype=np.float32)
    for i, taxon in enumerate(taxa):
        at, steps = i, 0
        while at != last:
            if i < len(labels):
                members[i, at] = 1
            at, steps = int(up[at]), steps + 1
            if steps > last:
                raise ValueError(f"{taxon.label!r} is its own ancestor")
    unused = [taxa[i].label for i in range(len(labels), last) if not members[:, i].any()]
    if unused:
        raise ValueError(f"the parent {unused[0]!r} has no label below it")
    return TaxonTree((*taxa, Taxon(label=UNCLASSIFIED)), members, up)
