"""Sorted images on disk become arrays: class folders, EcoTaxa exports, UVP6 vignettes. It sorts nothing.

A class folder is `Name` or `Name__EcotaxaID`. An image that cannot be used is listed with its reason, never
fatal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError, InputError
from edge.images import IMAGE_SUFFIXES, decode_image
from edge.inference.bundle import image_hash
from edge.inference.manifest import Manifest
from edge.inference.preprocessing import N_NUMBERS, Preprocessing, describe, prepare
from edge.taxonomy import Taxon
from training.ecotaxa import NEEDED, EcotaxaArchive, EcotaxaRow, is_table
from training.legend import crop_legend
from training.matching import taxonomy_of_bundle
from training.split import acquisition_groups
from training.stores import FileStore
from training.taxonomy_file import Taxonomy, parse_class, read_taxonomy

Pixels = NDArray[np.uint8]
TaxonomySource = str | PathLike[str] | Manifest | None
"""A taxonomy file; or a bundle's manifest, whose classes are taken; or none."""


class ImageStore(FileStore):
    """Images of a folder or zip, by name; names are paths inside it with forward slashes, sorted.

    Parameters
    ----------
    path
        Folder or zip.

    Raises
    ------
    ImageError
        When it is neither, cannot be opened, or holds no image.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        super().__init__(path)
        self.names = tuple(name for name in self.names if _is_image(name))
        if not self.names:
            self.close()
            raise ImageError(
                "holds no image", file=path, remedy=f"give files ending in {', '.join(IMAGE_SUFFIXES)}"
            )

    def read(self, name: str) -> Pixels:
        """Grey pixels of one image, uint8 (height, width), as the file has them.

        Raises
        ------
        ImageError
            When it cannot be read or decoded.
        """
        return decode_image(self.read_bytes(name), f"{self.path}/{name}")


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Images of sorted classes, already through `prepare`.

    Attributes
    ----------
    name
        File name of the source.
    taxonomy
        How its classes are learnt and counted.
    files
        Names in the source, n of them.
    images
        uint8 (n, size_px, size_px, 1), white on black.
    numbers
        uint8 (n, N_NUMBERS), what `describe` tells of each image.
    sizes_px
        int64 (n, 2), height and width, without a legend.
    labels
        int64 (n,), index into `taxonomy.classes`.
    hashes
        `image_hash` of the pixels as they are in the file, n of them.
    acquisitions
        Acquisition or profile of each image, or None when the data do not know it.
    faults
        What was left out: a sentence an image.
    pixels
        The vignettes at their own size, n of uint8 (height, width), white on black and without a legend; None
        unless `read_dataset` was asked for them.
    """

    name: str
    taxonomy: Taxonomy
    files: tuple[str, ...]
    images: Pixels
    numbers: Pixels
    sizes_px: NDArray[np.int64]
    labels: NDArray[np.int64]
    hashes: tuple[bytes, ...]
    acquisitions: tuple[str, ...] | None
    faults: tuple[str, ...]
    pixels: tuple[Pixels, ...] | None = None


def read_dataset(
    path: str | PathLike[str],
    spec: Preprocessing,
    *,
    invert: bool = False,
    taxonomy: TaxonomySource = None,
    all_statuses: bool = False,
    keep_pixels: bool = False,
) -> Dataset:
    """Read sorted images; what kind of source it is, its content tells.

    Parameters
    ----------
    path
        Folder or zip: EcoTaxa's or a UVP6's where it holds an `ecotaxa*.tsv`, else one with a folder a class.
    spec
        Preprocessing of the model to be trained.
    invert
        Whether the images are dark on white.
    taxonomy
        A taxonomy file, or the manifest of a bundle to whose classes the data are brought.
    all_statuses
        Whether objects of an EcoTaxa export that nobody validated are taken, too.
    keep_pixels
        Whether the vignettes are wanted at their own size, too.

    Raises
    ------
    InputError
        When there are not two classes with a usable image, a table cannot be read, or the taxonomy does not
        fit.
    """
    how = _How(spec, invert, taxonomy, keep_pixels)
    with FileStore(path) as store:
        is_archive = any(is_table(name) for name in store.names)
    if is_archive:
        with EcotaxaArchive(path, NEEDED) as archive:
            return _read_archive(archive, how, all_statuses)
    with ImageStore(path) as images:
        return _read_folders(images, how)


class _How(NamedTuple):
    """How images are read, whatever the source; as in `read_dataset`."""

    spec: Preprocessing
    invert: bool
    taxonomy: TaxonomySource
    keep_pixels: bool

    def taxonomy_of(self, sources: Mapping[str, Taxon]) -> Taxonomy:
        """Taxonomy of the source classes of a data set."""
        if isinstance(self.taxonomy, Manifest):
            return taxonomy_of_bundle(self.taxonomy, sources)
        return read_taxonomy(self.taxonomy, sources)


def _read_folders(store: ImageStore, how: _How) -> Dataset:
    folder_of = {name: PurePosixPath(name).parent.name for name in store.names}
    found = how.taxonomy_of(
        {folder: parse_class(folder) for folder in sorted(set(folder_of.values()) - {""})}
    )
    images = [
        _Image(name, folder, partial(store.read, name), None) for name, folder in folder_of.items() if folder
    ]
    faults = [
        f"{name}: lies in no class folder; move it into one."
        for name, folder in folder_of.items()
        if not folder
    ]
    data = _prepare_all(store.path, images, found, how, faults)
    groups = acquisition_groups(data.files)
    return data if groups is None else replace(data, acquisitions=tuple(groups))


def _read_archive(archive: EcotaxaArchive, how: _How, all_statuses: bool) -> Dataset:
    objects = archive.objects()
    rows = [row for row in objects if row.category and (all_statuses or row.status == "validated")]
    named = sum(bool(row.category) for row in objects)
    if not rows:
        raise InputError(
            f"holds no validated object ({len(objects)} objects, {named} with a category)",
            file=archive.path,
            remedy="validate them in EcoTaxa" + (", or take all statuses" if named else ""),
        )
    faults = list(archive.faults)
    if len(rows) < len(objects):
        statuses = Counter(row.status or "without a status" for row in objects)
        statuses.subtract(row.status or "without a status" for row in rows)
        told = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()) if count)
        faults.append(f"{archive.path.name}: {len(objects) - len(rows)} objects are left out: {told}.")
    taxon_of = _categories(rows)
    sources = {_source(taxon): taxon for taxon in sorted(set(taxon_of.values()), key=_source)}
    groups = _acquisitions(rows)
    images = [
        _Image(
            archive.image_name(row) or row.image,
            _source(taxon_of[row.category, row.category_id]),
            partial(archive.read_image, row),
            group,
        )
        for row, group in zip(rows, groups, strict=True)
    ]
    return _prepare_all(archive.path, images, how.taxonomy_of(sources), how, faults)


def _categories(rows: Sequence[EcotaxaRow]) -> dict[tuple[str, int | None], Taxon]:
    """Taxon of every category and id; rows without an id take the one that the others give to the name."""
    pairs = {(row.category, row.category_id) for row in rows}
    ids: dict[str, set[int]] = {}
    for name, number in pairs:
        ids.setdefault(name, set()).update([] if number is None else [number])
    found = {}
    for name, number in pairs:
        known = number if number is not None or len(ids[name]) != 1 else next(iter(ids[name]))
        found[name, number] = Taxon(label=name, ecotaxa_id=known)
    return found


def _source(taxon: Taxon) -> str:
    """Name of a category as a class folder has it."""
    known = taxon.ecotaxa_id is not None and taxon.label != str(taxon.ecotaxa_id)
    return f"{taxon.label}__{taxon.ecotaxa_id}" if known else taxon.label


def _acquisitions(rows: Sequence[EcotaxaRow]) -> list[str] | list[None]:
    """Sample of every object, or acquisition where there is one sample; none where the rows do not tell."""
    for told in ([row.sample for row in rows], [row.acquisition for row in rows]):
        if all(told) and len(set(told)) > 1:
            return told
    return [None] * len(rows)


class _Image(NamedTuple):
    """An image that may be learnt from: its name, its source class, how to read it, and its acquisition."""

    file: str
    source: str
    read: Callable[[], Pixels]
    acquisition: str | None


def _prepare_all(
    path: Path, images: Sequence[_Image], taxonomy: Taxonomy, how: _How, faults: list[str]
) -> Dataset:
    """Read and prepare all images that can be learnt from; the others go to `faults`."""
    images = [image for image in images if taxonomy.source_to_class[image.source]]
    index = {name: i for i, name in enumerate(taxonomy.classes)}
    spec = how.spec
    # Memory that is not written to is not used: room for all, then cut to those that are usable.
    prepared = np.empty((len(images), spec.size_px, spec.size_px, 1), dtype=np.uint8)
    numbers = np.empty((len(images), N_NUMBERS), dtype=np.uint8)
    sizes = np.empty((len(images), 2), dtype=np.int64)
    usable: list[_Image] = []
    hashes: list[bytes] = []
    kept: list[Pixels] = []
    for image in images:
        try:
            pixels = image.read()
        except ImageError as error:
            faults.append(str(error))
            continue
        vignette = crop_legend(pixels)
        if vignette.min() == vignette.max():
            faults.append(f"{image.file}: is of one colour; remove it.")
            continue
        white = 255 - vignette if how.invert else vignette
        at = len(usable)
        prepared[at], numbers[at], sizes[at] = prepare(white, spec), describe(white, spec), vignette.shape
        usable.append(image)
        hashes.append(image_hash(pixels))
        if how.keep_pixels:
            kept.append(white)
    labels = np.array([index[taxonomy.source_to_class[image.source]] for image in usable], dtype=np.int64)
    if len(set(labels.tolist())) < 2:
        raise ImageError(
            "holds fewer than two classes with a usable image",
            file=path,
            remedy="put the images into one folder a class",
        )
    acquisitions = [image.acquisition for image in usable if image.acquisition is not None]
    n = len(usable)
    return Dataset(
        name=path.name,
        taxonomy=taxonomy,
        files=tuple(image.file for image in usable),
        images=prepared[:n],
        numbers=numbers[:n],
        sizes_px=sizes[:n],
        labels=labels,
        hashes=tuple(hashes),
        acquisitions=tuple(acquisitions) if len(acquisitions) == n else None,
        faults=tuple(faults),
        pixels=tuple(kept) if how.keep_pixels else None,
    )
