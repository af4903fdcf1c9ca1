"""From a sorted export back to the dives it came from: which particle is what, and a training set of them.

Object ids carry dive, configuration, model, frame and place: nothing is matched by resemblance. Pixels come
from the dive log, untouched; labels from the export.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.frame import Phase
from edge.taxonomy import UNCLASSIFIED, Taxon
from edge.vision.vignette import decode_vignette
from tools.shore.ecotaxa.dive import Dive, Object, open_dive
from tools.shore.ecotaxa.names import Category, categories_of
from tools.shore.ecotaxa.sorted import Export, Fault, Sorted
from training.ecotaxa_write import MOST_TEXT

SORTED_FOLDER, TABLE = "sorted", "ecotaxa_sorted.tsv"
_UNSAFE = re.compile(r"[^A-Za-z0-9 .()-]+")
_COLUMNS = (
    "img_file_name", "img_rank", "object_id", "object_annotation_category", "object_annotation_category_id",
    "object_annotation_status", "acq_id", "sample_id",
)  # fmt: skip
_TYPES = ("[t]", "[f]", "[t]", "[t]", "[f]", "[t]", "[t]", "[t]")
MOST_MISTAKES = 24
"""Surest mistakes that are kept with their vignettes."""


class Judged(NamedTuple):
    """A particle that the model named and a person validated.

    Attributes
    ----------
    object_id, dive
        Which.
    truth, answer
        Labels: what the person said, in the model's words where it has one, and what was decided at sea.
    sure
        Highest probability of a label.
    """

    object_id: str
    dive: str
    truth: str
    answer: str
    sure: float


class Mistake(NamedTuple):
    """One of the surest mistakes, for a page: the vignette as base64 of its PNG."""

    judged: Judged
    png_base64: str


@dataclass
class Matched:
    """What came of an export and its dives.

    Attributes
    ----------
    judged
        Validated particles.
    counted
        Particles by decision, all of the dives.
    seen_validated
        Validated ones by decision.
    statuses
        Matched objects by status; "" for none.
    taxa
        Counted taxa of the models at sea, by label.
    models
        Particles by model, "name sha256".
    unmatched
        Objects by reason.
    written
        Images of the training set by category.
    faults
        What was left out.
    mistakes
        The surest, the worst first.
    """

    judged: list[Judged] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    seen_validated: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    taxa: dict[str, Taxon] = field(default_factory=dict)
    models: Counter[str] = field(default_factory=Counter)
    unmatched: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)


def match_dives(export: Export, dives: Sequence[Path], out: Path, given: Mapping[str, Category]) -> Matched:
    """Match an export with its dives, and write what was validated as a training set into `out`/sorted.

    Parameters
    ----------
    export
        As read.
    dives
        Folders of the dives, or their dive.sqlite.
    out
        Folder; `sorted` in it must not be there.
    given
        EcoTaxa's names and ids by taxon, as for the export.

    Raises
    ------
    InputError
        When a dive cannot be read or stands twice, no object of the export is of these dives, or the disk
        refuses.
    """
    found = Matched(faults=list(export.faults))
    left = set(export.objects)
    named: list[tuple[str, str]] = []
    place = out / SORTED_FOLDER
    with _training_set(place) as write:
        for path in dives:
            with open_dive(path) as dive:
                if dive.identity in (identity for identity, _ in named):
                    raise InputError(f"is {dive.name}, which stands there already", file=path,
                                     remedy="name each dive once")  # fmt: skip
                named.append((dive.identity, dive.name))
                _match(dive, export, found, given, left, write)
        for thing in left:
            found.unmatched[_why(thing, named)] += 1
        if len(left) == len(export.objects):
            reasons = ", ".join(f"{n:,} {why}" for why, n in found.unmatched.most_common())
            raise InputError(f"holds no object of these dives ({reasons})", file=export.name,
                             remedy="name the dives that were exported")  # fmt: skip
    return found


def _match(
    dive: Dive,
    export: Export,
    found: Matched,
    given: Mapping[str, Category],
    left: set[str],
    write: _Images,
) -> None:
    """One dive."""
    labels = [taxon.label for taxon in dive.taxa]
    found.taxa |= {taxon.label: taxon for taxon in dive.taxa if taxon.label not in found.taxa}
    names = _truths(dive.taxa, given)
    model = f"{dive.bundle.get('name')} {str(dive.bundle.get('sha256'))[:12]}"
    for one in dive.objects():
        answer = labels[one.particle.taxon]
        found.counted[answer] += 1
        found.models[model] += 1
        thing = dive.object_id(one.particle.frame, one.place)
        told = export.objects.get(thing)
        if told is None:
            continue
        left.discard(thing)
        found.statuses[told.status] += 1
        if told.status != "validated":
            continue
        truth = _truth(told, names)
        judged = Judged(thing, dive.name, truth, answer, float(one.particle.scores.max()))
        found.judged.append(judged)
        found.seen_validated[answer] += 1
        pixels = _pixels(one)
        if pixels is None:
            found.faults.append(
                Fault(str(dive.log.path), None, thing, "has no whole vignette; no image of it")
            )
            continue
        write.add(dive, one, thing, told, found)
        _keep_mistake(found, judged, one)


def _truth(told: Sorted, names: Mapping[int | str, str]) -> str:
    """Label of what was sorted: by id, by name, by the name before a "<" (its parent follows), or itself."""
    category = told.category.casefold()
    found = None if told.identity is None else names.get(told.identity)
    return found or names.get(category) or names.get(category.partition("<")[0]) or told.category


def _truths(taxa: Sequence[Taxon], given: Mapping[str, Category]) -> dict[int | str, str]:
    """The model's label by id and by name of a category, in lower case."""
    names: dict[int | str, str] = {}
    categories = categories_of(taxa, given)
    for taxon, category in zip(taxa, categories, strict=True):
        if category is not None:
            names.setdefault(taxon.label.casefold(), taxon.label)
            names[category.name.casefold()] = taxon.label
            if category.identity:
                names[int(category.identity)] = taxon.label
    return names


def _why(thing: str, named: Sequence[tuple[str, str]]) -> str:
    for identity, name in named:
        if thing.startswith(f"{identity}_"):
            return "of frames that the dive's log does not have"
        if thing.startswith(f"{name}_"):
            return f"of {name} as another model or configuration saw it"
    return "of no dive that was given"


def _pixels(one: Object) -> NDArray[np.uint8] | None:
    try:
        return decode_vignette(one.particle.vignette_png or b"")
    except ValueError:
        return None


def _keep_mistake(found: Matched, judged: Judged, one: Object) -> None:
    if judged.answer in (judged.truth, UNCLASSIFIED) or one.particle.vignette_png is None:
        return
    found.mistakes.append(Mistake(judged, base64.b64encode(one.particle.vignette_png).decode()))
    found.mistakes.sort(key=lambda mistake: (-mistake.judged.sure, mistake.judged.object_id))
    del found.mistakes[MOST_MISTAKES:]


class _Images:
    """The training set being written: a folder a category, and the table that `seston train` reads."""

    def __init__(self, place: Path, table: Path) -> None:
        self._place = place
        self._file = table.open("w", encoding="utf-8-sig", newline="")
        self._writer = csv.writer(self._file, delimiter="\t", lineterminator="\n")
        self._writer.writerow(_COLUMNS)
        self._writer.writerow(_TYPES)

    def add(self, dive: Dive, one: Object, thing: str, told: Sorted, found: Matched) -> None:
        identity = "" if told.identity is None else str(told.identity)
        name = _UNSAFE.sub("_", told.category).strip(" .") or "category"
        folder = name if told.identity is None or name == identity else f"{name}__{identity}"
        image = f"{folder}/{thing}.png"
        file = self._place / image
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(one.particle.vignette_png or b"")
        phase = Phase(int(dive.frames.phase[one.frame_at])).name.lower()
        category = told.category[:MOST_TEXT]
        row = (image, 0, thing, category, identity, told.status, f"{dive.name}_{phase}", dive.name)
        self._writer.writerow(row)
        found.written[folder] += 1

    def close(self) -> None:
        self._file.close()


@contextlib.contextmanager
def _training_set(place: Path) -> Iterator[_Images]:
    """The folder, whole or not at all."""
    if place.exists():
        raise InputError(
            "is already there", file=place, remedy="choose another folder with --out, or move it away"
        )
    beside = place.with_name(f"{place.name}.part")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        images = _Images(beside, beside / TABLE)
        with contextlib.closing(images):
            yield images
        beside.rename(place)
    except OSError as cause:
        raise InputError(
            f"cannot be written ({cause.strerror})", file=place, remedy="check folder and disk"
        ) from cause
    finally:
        shutil.rmtree(beside, ignore_errors=True)
