"""What is in a data set, before anything is learnt from it: sizes, balance, duplicates, faults. Says it, too.

A dry run of training. It judges nothing: what to merge, drop or collect more of is for the reader to say.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from training.datasets import Dataset
from training.split import Split

FEW = 10
"""Images of a class below which its scores mean little."""
_QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Longest side of the images, px: median, and the middle 90 %."""

    low_px: float
    median_px: float
    high_px: float


@dataclass(frozen=True, slots=True)
class ClassSurvey:
    """One class.

    Attributes
    ----------
    name, taxon, living
        The class, the taxon it counts for, and whether that lives.
    sources
        Folders or categories it is made of.
    images, train, held_back
        Numbers of images; those that are neither are copies of held-back ones.
    acquisitions
        In how many it occurs; None where the data know none.
    sizes
        None without images.
    """

    name: str
    taxon: str
    living: bool | None
    sources: tuple[str, ...]
    images: int
    train: int
    held_back: int
    acquisitions: int | None
    sizes: Sizes | None


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Pairs of files that show one particle.

    Attributes
    ----------
    within_class
        Number of pairs of one class.
    across_classes
        Pairs that were sorted into two: one of them is wrong.
    across_split
        Pairs of which one is held back and the other is not.
    """

    within_class: int
    across_classes: tuple[tuple[str, str], ...]
    across_split: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """What is in a data set.

    Attributes
    ----------
    name, rule
        Of the data set, and of its split, in words.
    images, train, held_back
        Numbers of images.
    acquisitions
        Their number; None where the data know none.
    classes
        By name.
    taxa
        Number of counted taxa.
    dropped
        Folders or categories that the taxonomy drops.
    sizes
        Of all images.
    duplicates
        See there.
    imbalance
        Images of the largest class over those of the smallest that has any.
    few
        Classes of fewer than ten images.
    not_learnt, not_held_back
        Classes without an image on that side of the split.
    faults
        Files that could not be used and other faults, a sentence each.
    """

    name: str
    rule: str
    images: int
    train: int
    held_back: int
    acquisitions: int | None
    classes: tuple[ClassSurvey, ...]
    taxa: int
    dropped: tuple[str, ...]
    sizes: Sizes
    duplicates: Duplicates
    imbalance: float
    few: tuple[str, ...]
    not_learnt: tuple[str, ...]
    not_held_back: tuple[str, ...]
    faults: tuple[str, ...]

    def table(self) -> RenderableType:
        """For a console: a row a class, and what is worth a second look below it."""
        known = self.acquisitions is not None
        table = Table(title=f"{self.name}: {self.images} images", title_justify="left")
        table.add_column("class", overflow="fold")
        table.add_column("counted as", overflow="fold")
        names = ("images", *(("acquisitions",) if known else ()), "train", "held back", "longest side, px")
        for name in names:
            table.add_column(name, justify="right")
        for one in self.classes:
            numbers = [one.images, *([one.acquisitions] if known else []), one.train, one.held_back]
            taxon = ("" if one.taxon == one.name else one.taxon, _LIVING[one.living])
            table.add_row(
                Text(one.name), Text(" ".join(filter(None, taxon))), *map(str, numbers), _told(one.sizes)
            )
        return Group(table, *(Text(line) for line in self._lines()))

    def text(self, width: int = 110) -> str:
        """The same as plain text."""
        console = Console(file=io.StringIO(), width=width, color_system=None)
        with console.capture() as captured:
            console.print(self.table())
        return captured.get()

    def _lines(self) -> Iterator[str]:
        known = "" if self.acquisitions is None else f", {self.acquisitions} acquisitions"
        yield (
            f"{len(self.classes)} classes, {self.taxa} taxa{known}; {self.train} images to learn from, "
            f"{self.held_back} held back."
        )
        yield f"Split {self.rule}."
        yield f"The largest class has {self.imbalance:.0f} times the images of the smallest."
        for what, names in (
            (f"Fewer than {FEW} images", self.few),
            ("Nothing to learn from", self.not_learnt),
            ("Nothing held back", self.not_held_back if self.held_back else ()),
            ("Dropped by the taxonomy", self.dropped),
        ):
            if names:
                yield f"{what}: {', '.join(names)}."
        same = self.duplicates
        yield (
            f"Pairs of images that show one particle: {same.within_class} within a class, "
            f"{len(same.across_classes)} in two classes, {len(same.across_split)} on both sides of the split."
        )
        for one, other in same.across_classes[:FEW]:
            yield f"  in two classes: {one} and {other}"
        if self.faults:
            yield f"{len(self.faults)} faults (files that cannot be used, and others)."


_LIVING = {True: "(living)", False: "(not living)", None: ""}


def survey(data: Dataset, split: Split) -> Survey:
    """Look at a data set and its split."""
    taxonomy = data.taxonomy
    longest = data.sizes_px.max(axis=1)
    classes = []
    for label, name in enumerate(taxonomy.classes):
        here = data.labels == label
        taxon = taxonomy.taxa[taxonomy.class_taxon[label]]
        classes.append(
            ClassSurvey(
                name=name,
                taxon=taxon.label,
                living=taxon.living,
                sources=tuple(source for source, to in taxonomy.source_to_class.items() if to == name),
                images=int(here.sum()),
                train=int((here & split.train).sum()),
                held_back=int((here & split.held_back).sum()),
                acquisitions=_count(data.acquisitions, here),
                sizes=_sizes(longest[here]) if here.any() else None,
            )
        )
    counts = [one.images for one in classes if one.images]
    return Survey(
        name=data.name,
        rule=split.rule,
        images=len(data.labels),
        train=int(split.train.sum()),
        held_back=int(split.held_back.sum()),
        acquisitions=_count(data.acquisitions, np.ones(len(data.labels), dtype=np.bool_)),
        classes=tuple(classes),
        taxa=len(taxonomy.taxa),
        dropped=tuple(source for source, to in taxonomy.source_to_class.items() if not to),
        sizes=_sizes(longest),
        duplicates=_duplicates(data, split),
        imbalance=max(counts) / min(counts),
        few=tuple(one.name for one in classes if one.images < FEW),
        not_learnt=tuple(one.name for one in classes if not one.train),
        not_held_back=tuple(one.name for one in classes if not one.held_back),
        faults=data.faults,
    )


def _count(acquisitions: tuple[str, ...] | None, here: NDArray[np.bool_]) -> int | None:
    return None if acquisitions is None else len({acquisitions[i] for i in np.flatnonzero(here)})


def _sizes(longest_px: NDArray[np.int64]) -> Sizes:
    return Sizes(*(float(value) for value in np.quantile(longest_px, _QUANTILES)))


def _told(sizes: Sizes | None) -> str:
    return f"{sizes.median_px:.0f} ({sizes.low_px:.0f}-{sizes.high_px:.0f})" if sizes else "-"


def _duplicates(data: Dataset, split: Split) -> Duplicates:
    first, second = split.duplicates.T
    same_class = data.labels[first] == data.labels[second]
    same_side = split.held_back[first] == split.held_back[second]

    def files(which: NDArray[np.bool_]) -> tuple[tuple[str, str], ...]:
        return tuple((data.files[i], data.files[j]) for i, j in split.duplicates[which].tolist())

    return Duplicates(int(same_class.sum()), files(~same_class), files(~same_side))
