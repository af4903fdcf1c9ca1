"""Which class and taxon of a bundle the classes of another data set are. Names and ids decide. Pure.

A class is matched by the first of: a class of the bundle of its name; what became of that name, or of its
folder's, when the bundle was trained; a taxon of its label, or of its taxon's label or id. A label that is
only a parent in the bundle is coarser than what the bundle tells apart.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

from edge.inference.bundle import Manifest
from edge.taxonomy import Taxon
from training.taxonomy_file import Taxonomy


class How(enum.StrEnum):
    """By what a class was matched, or why it was not."""

    CLASS = "class"
    SOURCE = "source class"
    TAXON = "taxon"
    DROPPED = "dropped"
    COARSER = "coarser"
    UNKNOWN = "unknown"


class Match(NamedTuple):
    """What a class of a data set is in a bundle; -1 where it is none.

    Attributes
    ----------
    name
        In the data set.
    class_index
        Index of the bundle's class; -1 also where the taxon has several.
    taxon_index
        Index of the bundle's taxon.
    how
        By what, or why not.
    """

    name: str
    class_index: int
    taxon_index: int
    how: How


def match_classes(taxonomy: Taxonomy, manifest: Manifest) -> list[Match]:
    """Match the classes of a data set.

    Parameters
    ----------
    taxonomy
        Of the data set.
    manifest
        Of the bundle.
    """
    taxa = [taxonomy.taxa[taxon] for taxon in taxonomy.class_taxon]
    sources: dict[str, list[str]] = {name: [] for name in taxonomy.classes}
    for source, name in taxonomy.source_to_class.items():
        if name:
            sources[name].append(source)
    return [
        _match(name, taxon, sources[name], manifest)
        for name, taxon in zip(taxonomy.classes, taxa, strict=True)
    ]


def _match(name: str, taxon: Taxon, sources: Sequence[str], manifest: Manifest) -> Match:
    if name in manifest.classes:
        index = manifest.classes.index(name)
        return Match(name, index, manifest.class_taxon[index], How.CLASS)
    by_label = {one.label: i for i, one in enumerate(manifest.taxa)}
    parents = {one.label for one in manifest.parents}
    known = manifest.source_classes
    went_to = {known[source] for source in (name, *sources) if source in known}
    if went_to == {""}:
        return Match(name, -1, -1, How.DROPPED)
    if len(went_to) == 1 and went_to <= by_label.keys():
        return _of_taxon(name, by_label[went_to.pop()], How.SOURCE, manifest)
    labels = [label for label in (name, taxon.label) if label in by_label]
    if labels:
        return _of_taxon(name, by_label[labels[0]], How.TAXON, manifest)
    for i, one in enumerate(manifest.taxa):
        pairs = (one.ecotaxa_id, taxon.ecotaxa_id), (one.aphia_id, taxon.aphia_id)
        if any(ours is not None and ours == theirs for ours, theirs in pairs):
            return _of_taxon(name, i, How.TAXON, manifest)
    return Match(name, -1, -1, How.COARSER if {name, taxon.label} & parents else How.UNKNOWN)


def _of_taxon(name: str, taxon: int, how: How, manifest: Manifest) -> Match:
    """A match by taxon; it is one of a class as well where the taxon has no other."""
    only = manifest.class_taxon.count(taxon) == 1
    return Match(name, manifest.class_taxon.index(taxon) if only else -1, taxon, how)
