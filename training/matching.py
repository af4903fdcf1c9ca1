"""Which class and taxon of a bundle the classes of another data set are. Names and ids decide. Pure.

A class is matched by the first of: a class of the bundle of its name; what became of that name, or of its
folder's, when the bundle was trained; a taxon of its label, or of its taxon's label or id. A label that is
only a parent in the bundle is coarser than what the bundle tells apart.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np

from edge.inference.manifest import Manifest
from edge.taxonomy import Taxon
from training.taxonomy_file import Taxonomy, parse_class, read_taxonomy


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


def taxonomy_of_bundle(manifest: Manifest, sources: Mapping[str, Taxon]) -> Taxonomy:
    """Taxonomy of a data set that has none of its own, as a bundle would have it.

    A class that the bundle's training merged, renamed or dropped is merged, renamed or dropped. One that is
    several classes of the bundle, or none, keeps its name.

    Parameters
    ----------
    manifest
        Of the bundle.
    sources
        As for `training.taxonomy_file.read_taxonomy`.
    """
    plain = read_taxonomy(None, sources)
    became: dict[str, str] = {}
    taxon_of: dict[str, Taxon] = {}
    for match, own in zip(match_classes(plain, manifest), plain.class_taxon, strict=True):
        name = manifest.classes[match.class_index] if match.class_index >= 0 else match.name
        became[match.name] = "" if match.how is How.DROPPED else name
        taxon_of[name] = manifest.taxa[match.taxon_index] if match.taxon_index >= 0 else plain.taxa[own]
    classes = tuple(sorted({name for name in became.values() if name}))
    taxa = tuple({taxon_of[name].label: taxon_of[name] for name in classes}.values())
    labels = [taxon.label for taxon in taxa]
    to_class = {source: became[name] for source, name in plain.source_to_class.items()}
    return Taxonomy(
        classes=classes,
        taxa=taxa,
        class_taxon=np.array([labels.index(taxon_of[name].label) for name in classes], dtype=np.int64),
        parents=tuple(parent for parent in manifest.parents if parent.label not in labels),
        source_to_class=to_class,
        source_classes={source: taxon_of[name].label if name else "" for source, name in to_class.items()},
        limits=(),
    )


def _renamed(name: str, taxonomy: Taxonomy) -> str:
    """What the taxonomy file makes of a class that its data set does not have."""
    return next((to for key, to in taxonomy.renames.items() if to and fnmatchcase(name, key)), name)


def names_in(taxonomy: Taxonomy, names: Sequence[str], manifest: Manifest | None = None) -> tuple[str, ...]:
    """What the classes of a model are called in a data set; a class that is none there keeps its name.

    First by name, and by what the data set's taxonomy makes of a source class of that name; then, for a
    bundle, as `match_classes` has it, where no class has been taken yet and one class alone asks for it.

    Parameters
    ----------
    taxonomy
        Of the data set.
    names
        The k classes of the model.
    manifest
        Of the bundle whose classes they are.

    Returns
    -------
    k names; several may be one class of the data set.
    """
    known = {name: name for name in taxonomy.classes}
    for source, name in taxonomy.source_to_class.items():
        for key in (source, parse_class(source).label):
            if name:
                known.setdefault(key, name)
    found = [known.get(name) or _renamed(name, taxonomy) for name in names]
    asked: dict[int, list[str]] = {}
    if manifest is not None:
        for match in match_classes(taxonomy, manifest):
            columns = [i for i, taxon in enumerate(manifest.class_taxon) if taxon == match.taxon_index]
            if match.class_index >= 0:
                columns = [match.class_index]
            if match.name not in found and not {found[i] for i in columns} & set(taxonomy.classes):
                for i in columns:
                    asked.setdefault(i, []).append(match.name)
    for i, wishes in asked.items():
        if len(wishes) == 1:
            found[i] = wishes[0]
    return tuple(found)
