"""Dives to test telemetry on: simulated ones with known true rates, and small arbitrary ones."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import strategies as st

from edge.config import ProfileConfig
from edge.frame import CLASSIFIED_OUTCOMES, N_OUTCOMES, SIZED_OUTCOMES, Phase
from edge.optics import UVP6_LIMITS_UM, Optics
from edge.profile import PhaseProfile, Profile
from edge.taxonomy import Taxon
from edge.telemetry.codebook import Codebook
from edge.telemetry.health import Condition, Health
from edge.telemetry.replies import MAX_COUNTER, MAX_DETAIL, MAX_REPLIES, Reply, Verdict
from edge.telemetry.summary import ESD_PERCENTS, MAX_ESD_STEP, NO_ESD, DiveSummary, living_taxa

FIVE_DBAR = ((0, 5),)
DEFAULT_BINS = ProfileConfig().bins_dbar
DEPTH_DBAR = (np.arange(400) + 0.5) * 5.0


def make_codebook(n_taxa=20, bins=DEFAULT_BINS, n_classes=18, max_dbar=2000, platform=""):
    limits = UVP6_LIMITS_UM[:n_classes]
    optics = Optics(pixel_um=73, image_volume_l=0.7, threshold=21, size_class_limits_um=limits)
    taxa = tuple(Taxon(label=f"taxon {i}", living=i % 3 != 0) for i in range(n_taxa))
    return Codebook(
        taxa=taxa, profile=ProfileConfig(bins_dbar=bins, max_dbar=max_dbar), optics=optics, platform=platform
    )


def make_phase(
    codebook, phase, taxa, sizes, frames, *, temperature_c=4.0, grey=70, unplaced=None, unnamed=None
):
    """A phase with the given counts, and means, noise and volumes that follow from them."""
    n = len(taxa)
    taxa, sizes, frames = (np.asarray(a, dtype=np.int64) for a in (taxa, sizes, frames))
    readings = frames.sum(axis=1)
    wave = np.arange(n) * 17 % 23
    ul = codebook.optics.image_volume_ul
    return PhaseProfile(
        phase=phase,
        edges=np.array(codebook.edges(phase, n), dtype=np.int64),
        frames=frames,
        volume_sized_ul=frames[:, list(SIZED_OUTCOMES)].sum(axis=1) * ul,
        volume_classified_ul=frames[:, list(CLASSIFIED_OUTCOMES)].sum(axis=1) * ul,
        temperature_mc_sum=np.rint(1000 * temperature_c + 13 * wave).astype(np.int64) * readings,
        n_temperature=readings,
        lpm=sizes,
        lpm_grey_centi_sum=sizes * (100 * grey + 40 * wave[:, None]),
        noise=sizes // 50,
        taxa=taxa,
        taxa_esd_um_sum=taxa * (800 + 11 * wave[:, None]),
        unplaced_frames=np.zeros(N_OUTCOMES, np.int64)
        if unplaced is None
        else np.asarray(unplaced, np.int64),
        unnamed=np.zeros(n, np.int64) if unnamed is None else np.asarray(unnamed, np.int64),
    )


def region(seed=7):
    """Mean counts of a region, float64 (400 bins of 5 dbar, 20 taxa), most abundant taxon first."""
    r = np.random.default_rng(seed)
    total = np.clip(np.sort(np.exp(r.normal(np.log(60), 1.6, 20)))[::-1], 1.5, 3500)

    def hump(centre, width):
        return np.exp(-0.5 * ((np.log(DEPTH_DBAR) - np.log(centre)) / width) ** 2)

    shapes = {
        "surface": lambda: (
            1 / (1 + np.exp((DEPTH_DBAR - r.uniform(40, 90)) / 12)) + 0.01 * np.exp(-DEPTH_DBAR / 400)
        ),
        "dcm": lambda: hump(r.uniform(60, 130), 0.3) + 0.02 * np.exp(-DEPTH_DBAR / 500),
        "meso": lambda: hump(r.uniform(300, 600), 0.4) + 0.03,
        "deep": lambda: hump(r.uniform(900, 1500), 0.4) + 0.02,
        "bimodal": lambda: hump(r.uniform(50, 120), 0.4) + 0.35 * hump(r.uniform(350, 600), 0.3) + 0.01,
        "expo": lambda: np.exp(-DEPTH_DBAR / r.uniform(150, 500)) + 0.02,
    }
    columns = []
    for k in range(20):
        shape = shapes[str(r.choice(list(shapes), p=[0.2, 0.2, 0.2, 0.1, 0.2, 0.1]))]()
        columns.append(shape / shape.sum() * total[k])
    return np.array(columns).T


def simulated(seed, load=6.0):
    """Taxa (400, 20) and size classes (400, 18) of a dive, int64, and the true rate of each taxon."""
    r = np.random.default_rng(1000 + seed)
    scale = np.exp(r.normal(0, 0.6, 20) - 0.18)
    shifted = np.roll(region() * load, int(r.normal(0, 4)), axis=0)
    rate = shifted * scale * _patches(r, 0.5, 40.0, 20)
    taxa = r.poisson(rate)
    total = np.exp(r.normal(np.log(9000), 0.4))
    by_size = 2.0 ** (-np.arange(18) * 1.05)
    by_depth = 0.15 + 0.85 * np.exp(-DEPTH_DBAR / 120) + 0.25 * np.exp(-0.5 * ((DEPTH_DBAR - 420) / 90) ** 2)
    common, own = _patches(r, 0.25, 60.0, 1), _patches(r, 0.12, 40.0, 18)
    slope = np.exp(-np.arange(18) * 0.08 * (DEPTH_DBAR / 2000)[:, None])
    sizes = r.poisson(total * by_depth[:, None] * by_size * slope * common * own)
    return taxa, sizes, rate


def _patches(r, sd, length_dbar, k):
    noise = r.normal(size=(400, k))
    a = np.exp(-5.0 / length_dbar)
    field = np.empty_like(noise)
    field[0] = noise[0]
    for i in range(1, 400):
        field[i] = a * field[i - 1] + np.sqrt(1 - a * a) * noise[i]
    return np.exp(sd * field - 0.5 * sd * sd)


def simulated_dive(seed=3, load=6.0, number=7):
    """A whole dive: descent and ascent in the default bins, and two days of park."""
    book = make_codebook()
    r = np.random.default_rng(seed)
    edges = np.array(book.profile.edges_dbar())
    parts = []
    for phase in Phase:
        taxa, sizes, _ = simulated(seed + phase, load)
        if phase is Phase.PARK:
            taxa, sizes, span = (
                r.poisson(taxa[200:248] * 0.2),
                r.poisson(sizes[200:248] * 0.3),
                np.full(48, 4),
            )
        else:
            taxa, sizes = (np.add.reduceat(table, edges[:-1] // 5) for table in (taxa, sizes))
            span = 2 * np.diff(edges)
        frames = r.multinomial(span, [0.92, 0.01, 0.05, 0, 0.005, 0.005, 0, 0, 0, 0.005, 0.005])
        unplaced = np.arange(N_OUTCOMES) if phase is Phase.ASCENT else None
        parts.append(make_phase(book, phase, taxa, sizes, frames, unplaced=unplaced))
    return DiveSummary(number, book, Profile(tuple(parts)), 1_700_000_000_000, 1_700_090_000_500)


@st.composite
def small_dives(draw):
    """Dives of few bins, with any counts: zeros, ones, and some beyond 32 bits."""
    n_taxa, n_classes = draw(st.integers(0, 4)), draw(st.integers(1, 4))
    bins = draw(st.sampled_from([FIVE_DBAR, ((0, 5), (20, 10)), ((0, 1),), ((0, 7), (7, 100))]))
    book = make_codebook(n_taxa, bins, n_classes, max_dbar=draw(st.integers(25, 200)))
    counts = st.one_of(
        st.integers(0, 3), st.just(0), st.just(0), st.integers(0, 400), st.integers(0, 1 << 33)
    )
    parts = []
    for phase in draw(st.sets(st.sampled_from(list(Phase)))):
        n = draw(st.integers(1, min(9, book.max_bins(phase))))

        def table(columns, values=counts, n=n):
            cells = draw(st.lists(values, min_size=n * columns, max_size=n * columns))
            return np.array(cells, dtype=np.int64).reshape(n, columns)

        unplaced = draw(st.one_of(st.none(), st.just(np.arange(N_OUTCOMES))))
        frames = table(N_OUTCOMES, st.integers(0, 30))
        temperature = draw(st.floats(-3, 35))
        parts.append(
            make_phase(
                book, phase, table(n_taxa), table(n_classes), frames,
                temperature_c=temperature, unplaced=unplaced,
            )
        )  # fmt: skip
    parts.sort(key=lambda part: part.phase)
    number, start = draw(st.integers(0, 65535)), draw(st.integers(0, 1 << 41))
    corrected = None
    if draw(st.booleans()):
        rows = draw(st.lists(counts, min_size=3 * n_taxa, max_size=3 * n_taxa))
        low, count, high = np.sort(np.array(rows, dtype=np.int64).reshape(3, n_taxa), axis=0)
        corrected = np.stack([count, low, high])
    end = start + draw(st.integers(0, 1 << 36))
    return DiveSummary(
        number, book, Profile(tuple(parts)), start, end, corrected,
        esd_quantiles=draw(st.one_of(st.none(), quantiles(len(living_taxa(book.taxa))))),
        doubt=draw(
            st.one_of(st.none(), st.lists(counts, min_size=n_taxa, max_size=n_taxa).map(_whole))
        ),
        health=draw(st.one_of(st.none(), healths())),
        condition=draw(st.one_of(st.none(), healths(Condition))),
        replies=draw(st.lists(replies(), max_size=MAX_REPLIES).map(tuple)),
    )  # fmt: skip


def _whole(values):
    return np.array(values, dtype=np.int64)


@st.composite
def quantiles(draw, n_living):
    """Log steps of ESD quantiles, some taxa without any particle."""
    row = st.one_of(
        st.just([NO_ESD] * len(ESD_PERCENTS)),
        st.lists(st.integers(0, MAX_ESD_STEP), min_size=5, max_size=5).map(sorted),
    )
    rows = draw(st.lists(row, min_size=n_living, max_size=n_living))
    return _whole(rows).reshape(n_living, len(ESD_PERCENTS))


def healths(kind=Health):
    """Any health, or condition, that can be sent, of each field any value or none."""
    return st.builds(
        kind, **{f.name: st.one_of(st.none(), st.integers(f.minimum, f.maximum)) for f in kind.FIELDS}
    )


def replies():
    """Any reply that can be sent."""
    counters = st.one_of(st.integers(0, 9), st.integers(0, MAX_COUNTER))
    return st.builds(Reply, counters, st.sampled_from(Verdict), st.integers(0, MAX_DETAIL))


def with_corrected(summary):
    """The dive with corrected counts: those of the profile, each with an interval around it."""
    count = summary.profile.taxa()
    return dataclasses.replace(summary, corrected=np.stack([count, count - count // 5, count + 3]))


def with_extras(summary, *, seen=0.4, seed=5):
    """The dive with all that a float of today knows of itself, and a share of the living taxa seen."""
    r = np.random.default_rng(seed)
    taxa = summary.codebook.taxa
    first = r.integers(96, 112, len(living_taxa(taxa)))
    steps = first[:, None] + np.cumsum(r.integers(0, 12, (len(first), 5)), axis=1)
    steps[r.random(len(first)) >= seen] = NO_ESD
    doubt = summary.profile.taxa() // 12
    health = Health(
        battery_mv=13_140, board_temperature_min_c=3, board_temperature_max_c=41, disk_free_mb=201_344,
        restarts=1, over_exposed_frames=12, worst_sharpness=73, messages_waiting=9,
    )  # fmt: skip
    condition = Condition(
        lit_grey_centi=312, unlit_grey_centi=104, noise_threshold=14, dirt_permille=3, drift_permille=187,
        clock_off_s=41, memory_mb=118, written_mb=63, classifier_restarts=0,
    )  # fmt: skip
    return dataclasses.replace(
        summary, esd_quantiles=steps, doubt=doubt, health=health, condition=condition,
        replies=(Reply(41, Verdict.DONE, 0),),
    )  # fmt: skip
