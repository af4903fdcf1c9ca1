"""Writes dives as an archive that EcoTaxa imports: rows and images of every particle that has a vignette.

One sample a dive, one acquisition a phase; rank 1 is the vignette with its legend, rank 100 the untouched.
What cannot be exported is listed, the rest is written.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.frame import Phase
from edge.taxonomy import Taxon, TaxonTree, build_tree
from edge.vision.vignette import decode_vignette, encode_vignette
from tools.shore.dives import Place
from tools.shore.ecotaxa import columns, rules
from tools.shore.ecotaxa.columns import MEASURED
from tools.shore.ecotaxa.depth import depth_m
from tools.shore.ecotaxa.dive import Dive, Object, open_dive, utc
from tools.shore.ecotaxa.fields import COLUMNS, NUMBERS, clean, fixed_cells, number_cells
from tools.shore.ecotaxa.legend import Legend
from tools.shore.ecotaxa.names import Category, categories_of
from tools.shore.ecotaxa.parts import Parts

LEGEND_RANK, ORIGINAL_RANK = 1, 100
IMAGES_IN_FOLDER = 1000
Progress = Callable[[str, int], None]
"""Told the dive's name and how many objects of it are written, now and then."""


@dataclass(frozen=True)
class Wishes:
    """What a person asks of an export.

    Attributes
    ----------
    legend
        How vignettes are shown.
    categories
        EcoTaxa's names and ids by taxon.
    only_known
        Whether an object whose category has no id goes without a category (EcoTaxa asks nobody).
    places
        Where dives were, by `Dive.name`, or for all of them under "".
    fields
        More sample, acq and process columns, or others' values: the same in all rows.
    most_bytes
        Of one zip.
    """

    legend: Legend = field(default_factory=Legend)
    categories: Mapping[str, Category] = field(default_factory=dict)
    only_known: bool = False
    places: Mapping[str, Place] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    most_bytes: int = rules.UPLOAD_BYTES


@dataclass
class Exported:
    """What was written, and what was not.

    Attributes
    ----------
    zips, objects, samples
        As written.
    without_vignette, unnamed
        Particles whose vignette was not kept; objects that go without a category.
    remeasured
        Objects measured from their vignette; the others have no measures there.
    without_id
        Objects by taxon that has no id of EcoTaxa's.
    faults
        A sentence each.
    unplaced
        Dives that nobody knows the place of.
    """

    zips: tuple[Path, ...] = ()
    objects: int = 0
    samples: list[str] = field(default_factory=list)
    without_vignette: int = 0
    unnamed: int = 0
    remeasured: int = 0
    without_id: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    unplaced: list[str] = field(default_factory=list)


def export_dives(
    dives: Sequence[Path], target: Path, wishes: Wishes | None = None, progress: Progress | None = None
) -> Exported:
    """Write dives into a zip, or several when they are larger than EcoTaxa takes.

    Raises
    ------
    InputError
        When a dive cannot be read or stands twice, nothing can be exported, or the disk refuses: then no zip
        is there.
    ImportError
        When gsw is missing: ``pip install 'seston[shore]'``.
    """
    wishes = wishes or Wishes()
    header = (*COLUMNS, *(name for name in wishes.fields if name not in COLUMNS))
    types = ["[f]" if name in rules.NUMBERS or name in NUMBERS else "[t]" for name in header]
    done = Exported()
    with Parts(target, ("\t".join(header), "\t".join(types)), wishes.most_bytes) as parts:
        for path in dives:
            with open_dive(path) as dive:
                if dive.name in done.samples:
                    raise InputError(f"is {dive.name}, which stands there already", file=path,
                                     remedy="name each dive once")  # fmt: skip
                done.samples.append(dive.name)
                _Sample(dive, wishes, done).write(parts, progress)
        if not done.objects:
            raise InputError(
                f"{'holds' if len(dives) == 1 else 'hold'} no particle with a vignette",
                file=", ".join(map(str, dives)), remedy="export a dive whose vignettes were kept and fetched",
            )  # fmt: skip
    done.zips = parts.written
    return done


class _Sample:
    """One dive being written."""

    def __init__(self, dive: Dive, wishes: Wishes, done: Exported) -> None:
        self._dive, self._wishes, self._done = dive, wishes, done
        self._place = wishes.places.get(dive.name) or wishes.places.get("") or dive.place
        if self._place.latitude_deg is None:
            done.unplaced.append(dive.name)
        depths = depth_m(dive.frames.pressure_dbar, self._place.latitude_deg)
        self._depth = ["" if math.isnan(depth) else f"{depth:.2f}" for depth in depths.tolist()]
        self._when = [utc(time_ms).strftime("%Y%m%d\t%H%M%S") for time_ms in dive.frames.time_ms.tolist()]
        self._fixed = {
            phase: fixed_cells(dive, phase, self._place, wishes.legend, wishes.fields) for phase in Phase
        }
        self._categories = categories_of(dive.taxa, wishes.categories)
        self._tree: TaxonTree | None = None
        position = (self._place.latitude_deg, self._place.longitude_deg)
        self._position = "\t".join("" if value is None else f"{value:.6f}" for value in position)

    def write(self, parts: Parts, progress: Progress | None) -> None:
        """Write every object."""
        done, name = self._done, self._dive.name
        at_start = done.objects
        for one in self._dive.objects():
            if not one.has_vignette:
                done.without_vignette += 1
                continue
            try:
                pixels = decode_vignette(one.particle.vignette_png or b"")
            except ValueError:
                done.faults.append(
                    f"{self._dive.log.path}: frame {one.particle.frame}: particle {one.place}: its vignette"
                    " is damaged; it is left out."
                )
                continue
            parts.add(name, *self._rows(one, pixels, done.objects - at_start))
            done.objects += 1
            if progress is not None and done.objects % 1000 == 0:
                progress(name, done.objects)

    def _rows(
        self, one: Object, pixels: NDArray[np.uint8], number: int
    ) -> tuple[list[str], list[tuple[str, bytes]]]:
        """Rows and images of one object."""
        legend, particle = self._wishes.legend, one.particle
        folder = f"sub{number // IMAGES_IN_FOLDER + 1}"
        shown = encode_vignette(legend.draw(pixels, self._dive.optics.pixel_um))
        images = [(f"{folder}/{particle.frame:06d}_{one.place}.png", shown)]
        if legend.keeporiginal:
            assert particle.vignette_png is not None
            images.append((f"{folder}/{particle.frame:06d}_{one.place}_original.png", particle.vignette_png))
        rest = self._cells(one, pixels)
        ranks = (LEGEND_RANK, ORIGINAL_RANK)
        return [f"{name}\t{rank}\t{rest}" for (name, _), rank in zip(images, ranks, strict=False)], images

    def _cells(self, one: Object, pixels: NDArray[np.uint8]) -> str:
        """All cells of an object but those of the image."""
        dive, particle, at = self._dive, one.particle, one.frame_at
        category, sure, best = self._named(one)
        depth = self._depth[at]
        named = ("", "", "")
        if category is not None:
            named = (clean(category.name), category.identity, "predicted")
        identity = dive.object_id(particle.frame, one.place)
        head = (identity, self._position, self._when[at], depth, depth, *named, best)
        pressure, on_border = dive.frames.pressure_dbar[at], int(particle.on_border)
        logged = (
            particle.x_px, particle.y_px, particle.frame, pressure, on_border, sure,
            float(particle.scores.max()), particle.evidence,
        )  # fmt: skip
        numbers = number_cells((*self._measures(one, pixels), *logged))
        return "\t".join((*head, numbers, self._fixed[Phase(int(dive.frames.phase[at]))]))

    def _named(self, one: Object) -> tuple[Category | None, float, str]:
        """Category, probability of the decision, and label with the highest one."""
        done, particle = self._done, one.particle
        label = self._dive.taxa[particle.taxon].label
        category = self._categories[particle.taxon]
        tree = self._tree_of(len(particle.scores))
        sure = float(particle.scores @ tree.members[:, particle.taxon]) if category is not None else math.nan
        if category is not None and not category.identity:
            done.without_id[label] += 1
            category = None if self._wishes.only_known else category
        done.unnamed += category is None
        return category, sure, clean(self._dive.taxa[int(particle.scores.argmax())].label)

    def _tree_of(self, n_labels: int) -> TaxonTree:
        if self._tree is None:
            self._tree = build_tree(self._dive.taxa[:n_labels], _parents(self._dive.taxa, n_labels))
        return self._tree

    def _measures(self, one: Object, pixels: NDArray[np.uint8]) -> Sequence[float]:
        found = columns.find_in_vignette(
            one.particle, pixels, self._dive.optics.threshold, self._dive.config.vision
        )
        if found is None:
            return [math.nan] * len(MEASURED)
        self._done.remeasured += 1
        mask, box, left, top = found
        values = None
        if self._dive.has_todays_measures:
            values = columns.measured_by_log(one.particle.measures, mask, box, left, top)
        if values is None:
            values = columns.measured(mask, box, left, top, self._dive.optics)
        told: list[float] = values.tolist()
        return told


def _parents(taxa: Sequence[Taxon], n_labels: int) -> tuple[Taxon, ...]:
    """Counted taxa that are neither labels of the model nor `unclassified`, which is the last."""
    return tuple(taxa[n_labels:-1])
