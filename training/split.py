"""Which images are held back: whole acquisitions, chosen by a hash, so that the choice never drifts. Pure.

Neighbouring frames show the same water and often the same animal: a split by image would test on what was
learnt.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

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
    groups = acquisition_groups(files)
    rule = "by acquisition (files of a camera less than 600 s apart)"
    if groups is None:
        groups = [PurePosixPath(file).name for file in files]
        rule = "by image (the file names tell no acquisition)"
    rule += f", fold = SHA-256 of the group mod {N_FOLDS}, fold {HELD_BACK_FOLD} held back"
    return np.array([fold(group) for group in groups], dtype=np.int64), rule
