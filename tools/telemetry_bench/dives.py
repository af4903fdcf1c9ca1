"""Generated dives whose true rates are known, the bound they set on any coder, and real casts.

A region is a climatology: mean counts by bin and taxon. A dive of it is scaled by taxon, shifted by internal
waves, made patchy by lognormal fields and drawn with Poisson noise. Every draw is determined by its seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.config import ProfileConfig
from edge.frame import CLASSIFIED_OUTCOMES, N_OUTCOMES, SIZED_OUTCOMES, FrameOutcome, Phase
from edge.optics import Optics
from edge.profile import AreaHistogram, FrameRecord, PhaseProfile, Profile, build_profile
from edge.taxonomy import UNCLASSIFIED, Taxon
from edge.telemetry import Codebook, DiveSummary
from edge.telemetry.climatology import Climatology
from tools.shore.climatology import fit_climatology

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_BINS, BIN_DBAR, N_TAXA, N_SIZES = 400, 5, 20, 18
LOADS = {"sparse": 1.0, "typical": 6.0, "rich": 30.0}
"""What a region's mean counts are multiplied by."""
FIRST_TRAINING_DIVE = 1000
"""Dives from this number on are those that a climatology and dictionaries are learned from."""
REGION_SEED = 7
_FRAMES = {FrameOutcome.ANALYSED: 8, FrameOutcome.EMPTY: 1, FrameOutcome.UNLIT: 1}
"""Frames of each bin by outcome: two a dbar, at 0.2 dbar/s and one frame in 2.5 s."""
_OPTICS = Optics(pixel_um=73, image_volume_l=0.7, threshold=21, aa_um2=2300, exp=1.136)
_DEPTH_DBAR = (np.arange(N_BINS) + 0.5) * float(BIN_DBAR)
_START_MS, _DURATION_MS = 1_700_000_000_000, 10_000_000
MIN_ESD_UM = 620.0
"""Particles of real casts from this ESD on count as classified."""


@dataclass(frozen=True, slots=True, eq=False)
class GeneratedDive:
    """A dive and the truth behind it.

    Attributes
    ----------
    taxa_rate, size_rate
        Expected counts by bin, float64 (400, 20) and (400, 18).
    taxa, sizes
        Counts that were drawn, int64 (400, 20) and (400, 18).
    seed
        Which dive of the region.
    """

    taxa_rate: Floats
    taxa: Ints
    size_rate: Floats
    sizes: Ints
    seed: int


def region(seed: int = REGION_SEED) -> Floats:
    """Mean counts of a region, float64 (400 bins, 20 taxa), the most abundant taxon first."""
    rng = np.random.default_rng(seed)
    totals = np.clip(np.sort(np.exp(rng.normal(np.log(60), 1.6, N_TAXA)))[::-1], 1.5, 3500)
    names = list(_SHAPES)
    means = np.empty((N_BINS, N_TAXA))
    for taxon, total in enumerate(totals):
        name = str(rng.choice(names, p=[share for share, _ in _SHAPES.values()]))
        shape = _SHAPES[name][1](rng)
        means[:, taxon] = shape / shape.sum() * total
    return means


def _layer(centre_dbar: float, width: float) -> Floats:
    """A layer, normal in the logarithm of depth."""
    return np.asarray(np.exp(-0.5 * ((np.log(_DEPTH_DBAR) - np.log(centre_dbar)) / width) ** 2))


def _mixed_layer(rng: np.random.Generator) -> Floats:
    return np.asarray(
        1 / (1 + np.exp((_DEPTH_DBAR - rng.uniform(40, 90)) / 12)) + 0.01 * np.exp(-_DEPTH_DBAR / 400)
    )


def _two_layers(rng: np.random.Generator) -> Floats:
    upper = _layer(rng.uniform(50, 120), 0.4)
    return upper + 0.35 * _layer(rng.uniform(350, 600), 0.3) + 0.01


_SHAPES: dict[str, tuple[float, Callable[[np.random.Generator], Floats]]] = {
    "mixed layer": (0.2, _mixed_layer),
    "chlorophyll maximum": (
        0.2,
        lambda rng: _layer(rng.uniform(60, 130), 0.3) + 0.02 * np.exp(-_DEPTH_DBAR / 500),
    ),
    "mesopelagic": (0.2, lambda rng: _layer(rng.uniform(300, 600), 0.4) + 0.03),
    "deep": (0.1, lambda rng: _layer(rng.uniform(900, 1500), 0.4) + 0.02),
    "two layers": (0.2, _two_layers),
    "falling off": (0.1, lambda rng: np.exp(-_DEPTH_DBAR / rng.uniform(150, 500)) + 0.02),
}
"""How often a taxon's profile has a shape, and the shape for what the generator draws of it."""


def generate(means: Floats, seed: int) -> GeneratedDive:
    """One dive of a region whose mean counts, float64 (400, 20), are given."""
    rng = np.random.default_rng(1000 + seed)
    by_taxon = np.exp(rng.normal(0, 0.6, N_TAXA) - 0.18)
    shifted = np.roll(means, int(rng.normal(0, 4)), axis=0)
    taxa_rate = shifted * by_taxon * _patches(rng, 0.5, 40.0, N_TAXA)
    taxa = rng.poisson(taxa_rate)
    total = np.exp(rng.normal(np.log(9000), 0.4))
    classes = np.arange(N_SIZES)
    by_size = 2.0 ** (-classes * 1.05)
    deep_layer = 0.25 * np.exp(-0.5 * ((_DEPTH_DBAR - 420) / 90) ** 2)
    by_depth = 0.15 + 0.85 * np.exp(-_DEPTH_DBAR / 120.0) + deep_layer
    common = _patches(rng, 0.25, 60.0, 1)
    own = _patches(rng, 0.12, 40.0, N_SIZES)
    slope = np.exp(-classes * 0.08 * (_DEPTH_DBAR / 2000.0)[:, None])
    size_rate = total * by_depth[:, None] * by_size * slope * common * own
    return GeneratedDive(taxa_rate, taxa, size_rate, rng.poisson(size_rate), seed)


def _patches(rng: np.random.Generator, sd: float, length_dbar: float, columns: int) -> Floats:
    """Lognormal fields of mean 1 that forget themselves over a length, float64 (400, columns)."""
    field = rng.normal(size=(N_BINS, columns))
    kept = np.exp(-float(BIN_DBAR) / length_dbar)
    fresh = np.sqrt(1 - kept * kept)
    for i in range(1, N_BINS):
        field[i] = kept * field[i - 1] + fresh * field[i]
    return np.asarray(np.exp(sd * field - 0.5 * sd * sd))


def dives_of(load: str, first: int, last: int) -> list[GeneratedDive]:
    """Dives [first, last) of the usual region at a load."""
    means = region() * LOADS[load]
    return [generate(means, seed) for seed in range(first, last)]


def climatology_of(load: str, dives: Sequence[GeneratedDive]) -> Climatology:
    """What these dives hold on average."""
    summaries = [as_summary(dive) for dive in dives]
    return fit_climatology([(one.codebook, one.profile.phases) for one in summaries], load)


def oracle_bytes(rate: Floats, count: Ints) -> float:
    """Bytes of an ideal coder that knows the true Poisson rate of every cell: the least, on average."""
    from scipy.stats import poisson

    return float(-poisson.logpmf(count, rate).sum() / np.log(2) / 8)


def codebook() -> Codebook:
    """Codebook of the generated dives."""
    return Codebook(
        taxa=tuple(Taxon(label=f"taxon {i + 1}", living=True) for i in range(N_TAXA)),
        profile=ProfileConfig(bins_dbar=((0, BIN_DBAR),), max_dbar=N_BINS * BIN_DBAR),
        optics=_OPTICS,
    )


def as_summary(dive: GeneratedDive, *, dive_number: int = 1) -> DiveSummary:
    """A generated dive as an ascent in 400 bins of 5 dbar, without park.

    What the generator does not draw is plausible and the same in every dive: frames of each bin by outcome,
    a thermocline, greys. ESDs are drawn by particle, lognormal about a mean of the taxon, with a seed of
    their own.
    """
    rng = np.random.default_rng((dive.seed, 1))
    frames = np.zeros((N_BINS, N_OUTCOMES), dtype=np.int64)
    for outcome, n in _FRAMES.items():
        frames[:, outcome] = n
    volume_ul = _OPTICS.image_volume_ul
    readings = frames.sum(axis=1)
    temperature_c = 4.0 + 14.0 / (1 + np.exp((_DEPTH_DBAR - 120) / 60))
    taxa, sizes = dive.taxa.astype(np.int64), dive.sizes.astype(np.int64)
    greys = 45 + 2 * np.arange(N_SIZES)
    part = PhaseProfile(
        phase=Phase.ASCENT,
        edges=np.arange(N_BINS + 1, dtype=np.int64) * BIN_DBAR,
        frames=frames,
        volume_sized_ul=frames[:, list(SIZED_OUTCOMES)].sum(axis=1) * volume_ul,
        volume_classified_ul=frames[:, list(CLASSIFIED_OUTCOMES)].sum(axis=1) * volume_ul,
        temperature_mc_sum=np.rint(1000 * temperature_c).astype(np.int64) * readings,
        n_temperature=readings,
        lpm=sizes,
        lpm_grey_centi_sum=_sums_of_readings(rng, sizes, np.log(100.0 * greys), 0.15),
        noise=np.zeros_like(sizes),
        taxa=taxa,
        taxa_esd_um_sum=_sums_of_readings(rng, taxa, np.log(700 + 60.0 * np.arange(N_TAXA)), 0.3),
        unplaced_frames=np.zeros(N_OUTCOMES, dtype=np.int64),
        unnamed=np.zeros(N_BINS, dtype=np.int64),
    )
    return DiveSummary(dive_number, codebook(), Profile((part,)), _START_MS, _START_MS + _DURATION_MS)


def taxon_greys(dive: GeneratedDive) -> Ints:
    """Sums of the particles' mean grey, hundredths, int64 (400 bins, 20 taxa): no summary has them."""
    rng = np.random.default_rng((dive.seed, 2))
    return _sums_of_readings(rng, dive.taxa, np.log(100.0 * (50 + 3 * np.arange(N_TAXA))), 0.15)


def _sums_of_readings(rng: np.random.Generator, counts: Ints, log_middle: Floats, sd: float) -> Ints:
    """Sum over the particles of each cell of a lognormal reading; normal, as sums of many are, from 2 on."""
    mean = np.exp(log_middle + sd * sd / 2)
    spread = mean * math.sqrt(math.expm1(sd * sd))
    sums = counts * mean + np.sqrt(counts) * spread * rng.normal(size=counts.shape)
    return np.asarray(np.where(counts > 0, np.maximum(np.rint(sums), counts), 0), dtype=np.int64)


def read_casts(folder: Path) -> dict[str, DiveSummary]:
    """Every `*_Particule.zip` of a folder as a dive, by its file's name."""
    return {path.name: cast_as_summary(path) for path in sorted(folder.glob("*_Particule.zip"))}


def cast_as_summary(path: Path) -> DiveSummary:
    """A real UVP6 cast as a descent in bins of 5 dbar: size classes, greys, temperature, frames.

    It was not classified: particles of at least `MIN_ESD_UM` are counted as `unclassified`, as aboard.
    Raises `RecordingError`.
    """
    from tools.shore.uvp6_project.cast import read_cast

    cast = read_cast(path)
    least_px = cast.optics.min_area_px(MIN_ESD_UM)
    records = []
    for i in range(len(cast)):
        found = cast.spectrum(i)
        outcome = FrameOutcome.OVER_EXPOSED
        histogram, large = (
            AreaHistogram.of(np.zeros(0, np.int64), np.zeros(0, np.int64)),
            np.zeros(0, np.int64),
        )
        if found is not None:
            grey_centi = np.rint(100 * found.mean_grey * found.count).astype(np.int64)
            histogram = AreaHistogram(found.area_px, found.count, grey_centi)
            outcome = FrameOutcome.ANALYSED if found.count.size else FrameOutcome.EMPTY
            if not cast.lit[i]:
                outcome = FrameOutcome.UNLIT
            is_large = found.area_px >= least_px
            large = np.repeat(found.area_px[is_large], found.count[is_large])
        records.append(
            FrameRecord(
                i, round(1000 * cast.time_s[i]), float(cast.pressure_dbar[i]), Phase.DESCENT, outcome,
                float(cast.temperature_c[i]), histogram, np.zeros(len(large), dtype=np.int64),
                np.rint(cast.optics.esd_um(large)).astype(np.int64),
            )
        )  # fmt: skip
    deepest = math.ceil(float(np.nanmax(cast.pressure_dbar)) / BIN_DBAR) * BIN_DBAR
    bins = ProfileConfig(bins_dbar=((0, BIN_DBAR),), max_dbar=max(BIN_DBAR, deepest))
    book = Codebook(taxa=(Taxon(label=UNCLASSIFIED),), profile=bins, optics=cast.optics)
    times_ms = [record.time_ms for record in records]
    return DiveSummary(1, book, build_profile(records, cast.optics, bins, 1), min(times_ms), max(times_ms))
