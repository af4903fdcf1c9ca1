"""Which images are held back: whole acquisitions, chosen by a hash, so that the choice never drifts. Pure.

Neighbouring frames show the same water and often the same animal: a split by image would test on what was
learnt. So would a copy of a held-back image: it is not learnt from.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.duplicates import find_duplicates

if TYPE_CHECKING:
    from training.datasets import Dataset

N_FOLDS = 5
HELD_BACK_FOLD = 1
"""Chosen before any training: of PWSSC's folds by acquisition the nearest to a fifth of the images."""
ACQUISITION_GAP_S = 600
UNSET_CLOCK_S = 86_400
"""A time within a day of 1970 is a clock that was not set."""
SCRIPPS_NAME = re.compile(r"^(?P<camera>[A-Z]+-[A-Za-z0-9]+)-(?P<epoch_s>\d+)-\d+-\d+-\d+-\d+-\d+-\d+\.\w+$")
"""Name of a region of a Scripps plankton camera: camera, epoch (s), frame, region, x, y, width, height."""


def acquisition_groups(files: Sequence[str]) -> list[str] | None:
    """Group of each file by acquisition, or None when the names do not tell.

    Files of one camera less than 600 s apart are one acquisition, named by its first second. Where
    the clock was not set, all files of the camera are one group, since any two may be neighbours.
    """
    matches = [SCRIPPS_NAME.match(PurePosixPath(file).name) for file in files]
    if not all(matches):
        return None
    keys = [(match["camera"], int(match["epoch_s"])) for match in matches if match]
    groups: dict[tuple[str, int], str] = {}
    last, first_s = ("", 0), 0
    for camera, epoch_s in sorted(set(keys)):
        if epoch_s < UNSET_CLOCK_S:
            groups[camera, epoch_s] = f"{camera}-0"
            continue
        if last[0] != camera or epoch_s - last[1] >= ACQUISITION_GAP_S:
            first_s = epoch_s
        groups[camera, epoch_s] = f"{camera}-{first_s}"
        last = (camera, epoch_s)
    return [groups[key] for key in keys]


def fold(group: str) -> int:
    """Fold of a group, 0 to 4, from its SHA-256: the same in every year and for every set it is in."""
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") % N_FOLDS


def folds(files: Sequence[str]) -> tuple[NDArray[np.int64], str]:
    """Fold of each file, int64 (n,), and the rule in words: by acquisition if names tell, else by image."""
    groups, rule = _groups(acquisition_groups(files), files)
    return np.array([fold(group) for group in groups], dtype=np.int64), rule


def _groups(acquisitions: Sequence[str] | None, files: Sequence[str]) -> tuple[tuple[str, ...], str]:
    if acquisitions is not None:
        return tuple(acquisitions), "by acquisition or profile, as the data tell"
    return tuple(PurePosixPath(file).name for file in files), "by image (the data tell no acquisition)"


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """What is learnt from and what is held back.

    Attributes
    ----------
    fold
        int64 (n,), of each image, 0 to 4.
    groups
        Acquisition, or file name, of each image: what the fold is the hash of.
    train, held_back
        bool (n,); an image may be neither.
    rule
        In words.
    left_out
        Images that are not learnt from although they are not held back, a sentence each.
    duplicates
        int64 (m, 2), pairs of images that show one particle.
    """

    fold: NDArray[np.int64]
    groups: tuple[str, ...]
    train: NDArray[np.bool_]
    held_back: NDArray[np.bool_]
    rule: str
    left_out: tuple[str, ...]
    duplicates: NDArray[np.int64]


def split_dataset(data: Dataset, held_back: Sequence[int] = (HELD_BACK_FOLD,)) -> Split:
    """Hold back whole folds; the copy of a held-back image is not learnt from.

    The held-back side stays as it is when images are added; it is the training side that gives way.
    """
    groups, rule = _groups(data.acquisitions, data.files)
    of_group = {group: fold(group) for group in set(groups)}
    fold_of = np.array([of_group[group] for group in groups], dtype=np.int64)
    out = np.isin(fold_of, np.array(held_back, dtype=np.int64))
    train = ~out
    duplicates = find_duplicates(data.images, data.hashes)
    left_out = []
    for pair in duplicates.tolist():
        for one, other in (pair, pair[::-1]):
            if train[one] and out[other]:
                train[one] = False
                left_out.append(
                    f"{data.files[one]}: shows the same as {data.files[other]}, which is held back; "
                    "it is not learnt from."
                )
    told = ", ".join(map(str, held_back)) or "none"
    rule += f", fold = SHA-256 of the group mod {N_FOLDS}, held back: {told}"
    return Split(fold_of, groups, train, out, rule, tuple(left_out), duplicates)
