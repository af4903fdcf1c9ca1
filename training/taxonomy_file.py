"""A taxonomy file: which class a folder is, which taxon a class counts for, and what is known of each taxon.

Two steps: a source class (a folder, a category of EcoTaxa) becomes a class that the network tells apart; a
class counts for a taxon that is sent. Ids come from the data or from a source that the file names.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.errors import ConfigError
from edge.structs import Section, read_toml
from edge.taxonomy import Taxon, build_tree


class ParentEntry(Section, frozen=True):
    """What a file says of a taxon that only unsure answers go to; as in `Taxon`."""

    living: bool | None = None
    parent: str | None = None
    ecotaxa_id: int | None = None
    aphia_id: int | None = None


class TaxonEntry(ParentEntry, frozen=True):
    """What a file says of one counted taxon.

    Attributes
    ----------
    classes
        Classes (or patterns with ``*``) that count for it; the class of its own name when left out.
    """

    classes: tuple[str, ...] = ()


class TaxonomyFile(Section, frozen=True):
    """A taxonomy TOML.

    Attributes
    ----------
    classes
        Source class (its folder, or the name in it), or a pattern with ``*``, to the class it becomes; ""
        drops it. A name goes before a pattern; what is not named keeps its name.
    taxa, parents
        By label.
    limits
        Known limits of a model trained on these data, one sentence each.
    id_source
        Where the ids in this file come from.
    ignore_folder_ids
        The numbers in folder names (`Name__number`) are no EcoTaxa ids.
    """

    classes: dict[str, str] = msgspec.field(default_factory=dict)
    taxa: dict[str, TaxonEntry] = msgspec.field(default_factory=dict)
    parents: dict[str, ParentEntry] = msgspec.field(default_factory=dict)
    limits: tuple[str, ...] = ()
    id_source: str = ""
    ignore_folder_ids: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Taxonomy:
    """How the classes of a data set are learnt and counted.

    Attributes
    ----------
    classes
        The k classes the network tells apart, sorted.
    taxa
        The n taxa that are counted.
    class_taxon
        int64 (k,): taxon of each class.
    parents
        Taxa that only unsure answers go to.
    source_to_class, source_classes
        Class, and label of the taxon, of every source class; "" where it was dropped.
    limits
        For the card.
    renames
        Class by name or pattern, as in the file: for classes that are not in the data set.
    """

    classes: tuple[str, ...]
    taxa: tuple[Taxon, ...]
    class_taxon: NDArray[np.int64]
    parents: tuple[Taxon, ...]
    source_to_class: Mapping[str, str]
    source_classes: Mapping[str, str]
    limits: tuple[str, ...]
    renames: Mapping[str, str] = field(default_factory=dict)


def parse_class(folder: str) -> Taxon:
    """Taxon of a class folder: `Name`, or `Name__EcotaxaID` where the id is a whole number."""
    name, separator, number = folder.rpartition("__")
    if separator and name and number.isascii() and number.isdigit():
        return Taxon(label=name, ecotaxa_id=int(number))
    return Taxon(label=folder)


def read_taxonomy(path: str | PathLike[str] | None, sources: Mapping[str, Taxon]) -> Taxonomy:
    """Taxonomy of a data set.

    Parameters
    ----------
    path
        The TOML; None when every source class is a class and a taxon of its own.
    sources
        Label and id of every source class, by its name in the data.

    Raises
    ------
    ConfigError
        When the file cannot be read, names a class that the data do not have, or does not fit together.
    """
    table = TaxonomyFile()
    if path is not None:
        table = read_toml(path, TaxonomyFile, error=ConfigError)
    _require_id_source(table, path)
    source_to_class = _classes_of(table, sources, path)
    classes = tuple(sorted({name for name in source_to_class.values() if name}))
    label_of = _taxa_of(table, classes, path)
    labels = tuple(dict.fromkeys(label_of[name] for name in classes))
    ids = _ids(table, source_to_class, label_of, sources)
    taxa = tuple(_taxon(label, table.taxa.get(label, TaxonEntry()), ids.get(label)) for label in labels)
    parents = tuple(_taxon(label, entry, None) for label, entry in table.parents.items())
    try:
        build_tree(taxa, parents)
    except ValueError as cause:
        raise ConfigError(
            str(cause), file=path, remedy="correct the taxonomy, or rename the class in one"
        ) from cause
    return Taxonomy(
        classes,
        taxa,
        np.array([labels.index(label_of[name]) for name in classes], dtype=np.int64),
        parents,
        source_to_class,
        {source: label_of[name] if name else "" for source, name in source_to_class.items()},
        table.limits,
        table.classes,
    )


def _require_id_source(table: TaxonomyFile, path: str | PathLike[str] | None) -> None:
    for section, entries in (("taxa", table.taxa), ("parents", table.parents)):
        for label, entry in entries.items():
            if (entry.ecotaxa_id is not None or entry.aphia_id is not None) and not table.id_source:
                raise ConfigError(
                    "has an id that comes from nowhere",
                    file=path,
                    field=f"{section}.{label}",
                    remedy="say in id_source where the ids come from",
                )


def _classes_of(
    table: TaxonomyFile, sources: Mapping[str, Taxon], path: str | PathLike[str] | None
) -> dict[str, str]:
    """Class of every source class, "" where it is dropped."""
    unused = dict(table.classes)
    found: dict[str, str] = {}
    unnamed: dict[str, str] = {}
    for source, taxon in sources.items():
        names = (source, taxon.label)
        patterns = [key for key in table.classes if key not in names and _match(key, names)]
        keys = [key for key in names if key in table.classes] or patterns
        became = {table.classes[key] for key in keys}
        for key in (*names, *patterns):
            unused.pop(key, None)
        if keys is patterns and len(became) > 1:
            raise ConfigError(
                f"fit {source} and make different classes of it",
                file=path,
                field=f"classes.{' and '.join(patterns)}",
                remedy=f"name {source} itself, too",
            )
        if keys:
            found[source] = table.classes[keys[0]]
            continue
        if taxon.label in unnamed:
            raise ConfigError(
                f"the data have two folders for one class, {unnamed[taxon.label]} and {source}",
                file=path,
                remedy=f"rename one, or merge them by naming {source} in [classes] of a taxonomy",
            )
        unnamed[taxon.label] = source
        found[source] = taxon.label
    if unused:
        raise ConfigError(
            "is no class of the data set",
            file=path,
            field=f"classes.{next(iter(unused))}",
            remedy="correct or remove it",
        )
    return found


def _match(pattern: str, names: Iterable[str]) -> bool:
    return pattern in names or any(fnmatch.fnmatchcase(name, pattern) for name in names)


def _taxa_of(table: TaxonomyFile, classes: Sequence[str], path: str | PathLike[str] | None) -> dict[str, str]:
    """Label of the taxon of every class."""
    label_of: dict[str, str] = {}
    for label, entry in table.taxa.items():
        for pattern in entry.classes or (label,):
            matched = [name for name in classes if _match(pattern, (name,))]
            if not matched:
                raise ConfigError(
                    f"names {pattern}, which is no class of the data set"
                    if entry.classes
                    else "is no class of the data set",
                    file=path,
                    field=f"taxa.{label}",
                    remedy="correct or remove it",
                )
            for name in matched:
                if label_of.setdefault(name, label) != label:
                    raise ConfigError(
                        f"names {name}, which is in {label_of[name]} already",
                        file=path,
                        field=f"taxa.{label}",
                        remedy="leave it in one of them",
                    )
    for name in classes:
        own = table.taxa.get(name, TaxonEntry()).classes
        if (
            label_of.setdefault(name, name) == name
            and own
            and not any(_match(pattern, (name,)) for pattern in own)
        ):
            raise ConfigError(
                "is a class that its own taxon does not hold",
                file=path,
                field=f"taxa.{name}",
                remedy="add the class to it, or rename the taxon",
            )
    return label_of


def _ids(
    table: TaxonomyFile,
    source_to_class: Mapping[str, str],
    label_of: Mapping[str, str],
    sources: Mapping[str, Taxon],
) -> dict[str, int]:
    """EcoTaxa id of every taxon whose sources all have one id, and that is one of them or renames them."""
    found: dict[str, set[int | None]] = {}
    names: dict[str, set[str]] = {}
    for source, name in source_to_class.items():
        if name:
            found.setdefault(label_of[name], set()).add(sources[source].ecotaxa_id)
            names.setdefault(label_of[name], set()).add(sources[source].label)
    ids = {}
    for label, (one, *others) in found.items():
        is_group = label in table.taxa and table.taxa[label].classes and label not in names[label]
        if one is not None and not others and not is_group and not table.ignore_folder_ids:
            ids[label] = one
    return ids


def _taxon(label: str, entry: ParentEntry, ecotaxa_id: int | None) -> Taxon:
    return Taxon(
        label=label,
        living=entry.living,
        parent=entry.parent,
        ecotaxa_id=ecotaxa_id if entry.ecotaxa_id is None else entry.ecotaxa_id,
        aphia_id=entry.aphia_id,
    )
