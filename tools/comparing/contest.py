"""What all contenders meet: a data set, read and split as `seston train` does, and what is known of it.

No image is scored that trained a contender, or shows the same as one that did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.inference.bundle import Bundle
from edge.inference.preprocessing import Preprocessing
from training.bootstrap import Groups
from training.datasets import Dataset, read_dataset
from training.evaluate import Ints
from training.split import Split, split_dataset
from training.taxonomy_file import Taxonomy

RARE = 100
"""A class with fewer training images is rare."""
NOT_LIVING = (
    "detritus", "artefact", "artifact", "crystal", "fiber", "fibre", "filament", "reflection", "bubble",
    "badfocus",
)  # fmt: skip
"""Words in the names of what does not live, as uvpec has them; where neither a file nor a bundle says."""

Pixels = NDArray[np.uint8]


class Trained(Protocol):
    """What learnt before the contest: it says how it sees images, and which of them it knows."""

    @property
    def preprocessing(self) -> Preprocessing:
        """What it was trained with."""

    def trained_on(self, data: Dataset, split: Split) -> NDArray[np.bool_]:
        """Which images of the data it may not be scored on, bool (n,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Where the images come from, as `training.datasets.read_dataset` has it, and the folds held back."""

    path: Path
    invert: bool
    taxonomy: Path | None
    all_statuses: bool
    held_back: Sequence[int]


@dataclass(frozen=True, slots=True, eq=False)
class Vignettes:
    """Images at their own size, n of them.

    Attributes
    ----------
    files
        Names in the data set.
    pixels
        uint8 (height, width) each, white on black.
    labels
        int64 (n,), true class.
    """

    files: tuple[str, ...]
    pixels: tuple[Pixels, ...]
    labels: Ints

    def __len__(self) -> int:
        """Number of images."""
        return len(self.files)

    def select(self, which: NDArray[np.bool_]) -> Vignettes:
        """The images where `which`, bool (n,), is true."""
        at = np.flatnonzero(which)
        return Vignettes(tuple(self.files[i] for i in at), tuple(self.pixels[i] for i in at), self.labels[at])


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """What all contenders meet.

    Attributes
    ----------
    taxonomy
        Of the data set, with its k classes.
    train, test
        Images that baselines learn from, and held-back ones that all are scored on.
    groups
        Acquisition of each held-back image, or its name where that is not known.
    living, rare
        Which of the classes live, and which of these are rare, bool (k,).
    facts
        What the JSON says of it; ``notes`` are sentences for people.
    """

    taxonomy: Taxonomy
    train: Vignettes
    test: Vignettes
    groups: Groups
    living: NDArray[np.bool_]
    rare: NDArray[np.bool_]
    facts: dict[str, Any]


def prepare_contest(source: Source, trained: Sequence[Trained], bundle: Bundle | None) -> Contest:
    """Read and split the images, leave out what a contender was trained on, and ask what lives.

    Parameters
    ----------
    trained
        All that learnt before: the first one's preprocessing decides which images show the same.
    bundle
        Whose classes the data are brought to when the source has no taxonomy; None leaves folders as they
        are.

    Raises
    ------
    InputError
        When the data cannot be used, or nothing is left to learn from or to be scored on.
    """
    data = read_dataset(
        source.path,
        trained[0].preprocessing if trained else _usual_preprocessing(),
        invert=source.invert,
        taxonomy=source.taxonomy or (None if bundle is None else bundle.manifest),
        all_statuses=source.all_statuses,
        keep_pixels=True,
    )
    split = split_dataset(data, source.held_back)
    known = np.zeros(len(data.files), dtype=np.bool_)
    for one in trained:
        known |= one.trained_on(data, split)
    scored = split.held_back & ~known
    for part, what in (
        (split.train, "image to train on"),
        (scored, "held-back image that trained no contender"),
    ):
        if not part.any():
            raise InputError(f"has no {what}", file=source.path, remedy="hold other folds back")
    said_by = None if bundle is None else f"bundle {bundle.name}"
    if source.taxonomy is not None:
        said_by = source.taxonomy.name
    images = Vignettes(data.files, data.pixels or (), data.labels)
    train, test = images.select(split.train), images.select(scored)
    k = len(data.taxonomy.classes)
    counts = np.bincount(train.labels, minlength=k)
    living, judge = _living(data.taxonomy, said_by)
    by = "image" if data.acquisitions is None else "acquisition"
    left_out = int((split.held_back & known).sum())
    notes = [
        f"{data.name}: {len(train)} images to train on, {len(test)} held back (fold "
        f"{', '.join(map(str, sorted(source.held_back)))} by {by}), the same for all.",
        f"In brackets the middle 90 % of bootstrap draws by {by}; P, the share of draws in which the first "
        "contender has the higher balanced accuracy.",
        f"{left_out} held-back images are not scored: they, or their twins, trained a contender.",
        "Balanced accuracy is the mean recall. It, precision and F1 are means over the classes that occur. "
        "Bray-Curtis: 100 objects at random shares of the classes, counted as answered; 0 is perfect.",
        f"{living.sum()} of {k} classes are living ({judge}). Rare: fewer than {RARE} training images.",
    ]
    if split.left_out:
        notes.append(
            f"{len(split.left_out)} images are not learnt from: they show the same as a held-back one."
        )
    if source.taxonomy is None and bundle is not None:
        notes += _brought(data.taxonomy, bundle.name)
    if data.faults:
        notes.append(f"{len(data.faults)} files could not be used.")
    facts = {
        "dataset": data.name,
        "split": split.rule,
        "folds": sorted(source.held_back),
        "classes": list(data.taxonomy.classes),
        "training_images": counts.tolist(),
        "held_back_images": np.bincount(test.labels, minlength=k).tolist(),
        "left_out": left_out,
        "living": living.tolist(),
        "faults": list(data.faults),
        "notes": notes,
    }
    groups = Groups([split.groups[i] for i in np.flatnonzero(scored)])
    return Contest(data.taxonomy, train, test, groups, living, living & (counts < RARE), facts)


def _usual_preprocessing() -> Preprocessing:
    """What a training without a recipe of its own begins with."""
    from training.recipe import Recipe

    return Recipe(name="").preprocessing


def _living(taxonomy: Taxonomy, said_by: str | None) -> tuple[NDArray[np.bool_], str]:
    """Which classes live, bool (k,), and who says so: a file, a bundle, or words where both are silent."""
    flags = [taxonomy.taxa[taxon].living for taxon in taxonomy.class_taxon]
    if said_by is not None and any(flag is not None for flag in flags):
        return np.array([flag is True for flag in flags]), said_by
    words = [not any(word in name.lower() for word in NOT_LIVING) for name in taxonomy.classes]
    return np.array(words), "by uvpec's words for others"


def _brought(taxonomy: Taxonomy, name: str) -> list[str]:
    """What the classes of a bundle made of a data set without a taxonomy."""
    folder_of = taxonomy.source_to_class.items()
    dropped = [folder for folder, to in folder_of if not to]
    counts = {to: sum(other == to for _, other in folder_of) for _, to in folder_of if to}
    merged = [f"{n} into {to}" for to, n in counts.items() if n > 1]
    told = [f"merged: {', '.join(merged)}"] if merged else []
    told += [f"dropped: {', '.join(dropped)}"] if dropped else []
    return [f"Folders were taken as {name} was trained on them; {'; '.join(told)}."] if told else []
