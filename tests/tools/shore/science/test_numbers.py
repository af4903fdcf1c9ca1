"""The arithmetic of science, against reference implementations and numbers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("scipy", reason="needs the shore extra")

from scipy import stats

from edge.quantification import EstimatedCounts
from tools.shore.science import morphospace
from tools.shore.science.biomass import carbon_total, taxon_rows
from tools.shore.science.carbon import NO_CONVERSION, Relations, carbon_ug, conversion_of
from tools.shore.science.files import shipped_relations
from tools.shore.science.flux import FluxRelation, flux
from tools.shore.science.intervals import poisson, weighted
from tools.shore.science.orientation import axial, from_vertical, is_telling, rayleigh
from tools.shore.science.slope import likelihood, regression
from tools.shore.science.spectra import (
    ECOPART_EDGES_UM,
    Particles,
    classes_between,
    spectrum,
    sphere_mm3,
)

SHIPPED = shipped_relations()


def relation(name) -> FluxRelation:
    return next(one for one in SHIPPED.flux if one.name == name)


def conversion(name):
    return next(one for one in SHIPPED.carbon if one.name == name)


# --- intervals

GARWOOD_95 = {
    0: (0.0, 3.689),
    1: (0.0253, 5.572),
    5: (1.623, 11.668),
    10: (4.795, 18.390),
    50: (37.11, 65.92),
}
"""Garwood's table as reprinted everywhere: 95 %, two-sided."""


@pytest.mark.parametrize("n", GARWOOD_95)
def test_poisson_intervals_are_garwoods(n):
    low, high = poisson(n, 0.95)
    assert (float(low), float(high)) == pytest.approx(GARWOOD_95[n], abs=0.006)


def test_poisson_intervals_are_quantiles_of_chi_squared_and_unknown_of_what_is_unknown():
    n = np.arange(0, 200, dtype=np.float64)
    low, high = poisson(n, 0.95)
    np.testing.assert_allclose(low[1:], stats.chi2.ppf(0.025, 2 * n[1:]) / 2)
    np.testing.assert_allclose(high, stats.chi2.ppf(0.975, 2 * n + 2) / 2)
    assert low[0] == 0
    assert np.isnan(poisson(np.nan)).all()


@pytest.mark.parametrize("n", [0, 1, 3, 17, 400])
def test_a_poisson_interval_leaves_half_of_the_rest_on_each_side(n):
    low, high = poisson(n, 0.9)
    assert stats.poisson.cdf(n, float(high)) == pytest.approx(0.05)
    if n:
        assert stats.poisson.sf(n - 1, float(low)) == pytest.approx(0.05)


@settings(deadline=None)
@given(st.integers(0, 5000), st.floats(1e-6, 1e6))
def test_equal_weights_give_the_exact_interval(n, w):
    low, high = weighted(n * w, n * w * w, w, 0.95)
    exact = poisson(n, 0.95)
    assert float(low) == pytest.approx(float(exact[0]) * w, rel=1e-6, abs=1e-12)
    assert float(high) == pytest.approx(float(exact[1]) * w, rel=1e-6)


def test_an_interval_of_unequal_weights_holds_as_often_as_it_says():
    rng = np.random.default_rng(5)
    weights, means = np.array([0.1, 1.0, 10.0]), np.array([30.0, 5.0, 0.7])
    counts = rng.poisson(means, (4000, 3))
    low, high = weighted(counts @ weights, counts @ weights**2, weights.max(), 0.9)
    held = ((low <= means @ weights) & (means @ weights <= high)).mean()
    assert held > 0.89, "Fay and Feuer's interval is meant to hold at least as often as it says"


def test_fay_and_feuers_worked_example():
    """Down's syndrome at birth by age of the mother, Michigan: the vignette of R's dsrTest, per 100,000."""
    cases = np.array([0, 8, 63, 112, 262, 295])
    births = np.array([327, 30666, 123419, 149919, 104088, 34392])
    standard = np.array([319933, 931318, 786511, 488235, 237863, 61313])
    w = standard / births / standard.sum() * 1e5
    low, high = weighted(cases @ w, cases @ w**2, w.max(), 0.95)
    assert (cases @ w, float(low), float(high)) == pytest.approx((75.52901, 67.70212, 188.30017), abs=1e-5)


# --- spectra


def test_size_classes_are_ecoparts():
    limits = [
        40.3,
        50.8,
        64,
        80.6,
        102,
        128,
        161,
        203,
        256,
        323,
        406,
        512,
        645,
        813,
        1020,
        1290,
        1630,
        2050,
        2580,
    ]
    at = np.searchsorted(ECOPART_EDGES_UM, np.array(limits) * 0.98)
    np.testing.assert_allclose(ECOPART_EDGES_UM[at], limits, rtol=6e-3)
    assert (np.diff(at) == 1).all()
    assert len(ECOPART_EDGES_UM) == 46


def test_a_class_that_is_seen_in_part_is_left_out():
    edges = classes_between(80.0, 2600.0)
    assert edges[0] == pytest.approx(80.63, abs=0.01)
    assert edges[-2] <= 2600 < edges[-1]
    assert classes_between(128.0, 100.0).size == 1


def test_a_spectrum_by_hand():
    particles = Particles(np.array([100.0, 150.0, 150.0, 900.0]), np.array([40, 3, 7, 2]), 20.0)
    found = spectrum(particles, np.array([80.0, 128.0, 256.0, 512.0]), 0.95)
    assert found.count.tolist() == [40, 10, 0]
    np.testing.assert_allclose(found.per_l, [2.0, 0.5, 0.0])
    np.testing.assert_allclose(found.per_l_mm, [2 / 0.048, 0.5 / 0.128, 0.0])
    assert found.per_l_low[1] == pytest.approx(4.795 / 20, abs=1e-3)
    assert found.per_l_high[2] == pytest.approx(3.689 / 20, abs=1e-3)
    assert found.mm3_per_l[1] == pytest.approx(10 * math.pi / 6 * 0.15**3 / 20)
    assert (found.mm3_per_l_low <= found.mm3_per_l).all()
    assert (found.mm3_per_l_high > found.mm3_per_l).all(), "one more might have come, also where none did"


def test_without_water_nothing_is_known():
    found = spectrum(Particles(np.zeros(0), np.zeros(0, dtype=np.int64), 0.0), np.array([100.0, 200.0]))
    assert np.isnan([found.per_l[0], found.per_l_high[0], found.mm3_per_l_high[0]]).all()
    assert math.isnan(
        flux(Particles(np.zeros(0), np.zeros(0, dtype=np.int64), 0.0), relation("Guidi 2008")).value
    )


# --- flux


def test_guidis_flux_by_hand():
    # 2 a litre of 1 mm carry 2 * 12.5, 5 of 0.5 mm carry 5 * 12.5 * 0.5**3.81 = 4.455; 3 mm is beyond it.
    particles = Particles(np.array([1000.0, 500.0, 3000.0]), np.array([20, 50, 9]), 10.0)
    found = flux(particles, relation("Guidi 2008"))
    assert found.value == pytest.approx(25.0 + 4.4553, abs=1e-3)
    assert found.particles == 70
    assert found.low < found.value < found.high


def test_kriests_flux_is_mass_times_speed():
    nmol_n, speed_m_d = 0.012 * (1000 / 20) ** 1.62, 1.40 * (1000 / 20) ** 0.62
    mg_c = nmol_n * 106 / 16 * 12.011 * 1e-6
    one = relation("Kriest 2002")
    assert one.a == pytest.approx(1000 * mg_c * speed_m_d, rel=2e-3), "of one particle of 1 mm a litre"
    assert one.b == pytest.approx(1.62 + 0.62)
    assert one.a == pytest.approx(1000 * mg_c * 66 * 0.1**0.62, rel=2e-3), "66 m/d is its speed at 1 cm"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(250, 1499), min_size=1, max_size=30), st.floats(0.1, 1e4))
def test_flux_adds_up_over_water(sizes, litres):
    esd, one = np.array(sizes), np.ones(len(sizes), dtype=np.int64)
    guidi = relation("Guidi 2008")
    whole = flux(Particles(esd, one, litres), guidi).value
    double = flux(Particles(np.tile(esd, 2), np.tile(one, 2), 2 * litres), guidi).value
    assert double == pytest.approx(whole)


# --- slope


def test_two_classes_have_a_slope_in_closed_form():
    # Of n(d) ~ d**-4 class [1, 2) holds 8 times what [2, 4) holds, and [2, 4) 8 times what [4, 8) does.
    edges = np.array([1.0, 2.0, 4.0, 8.0]) * 100
    count = np.array([6400, 800, 100])
    for found in (
        likelihood(count, edges, 10.0),
        regression(count, edges, 10.0),
        regression(count, edges, 10.0, by_counts=True),
    ):
        assert found.value == pytest.approx(4.0, abs=1e-4), found.method
        assert found.particles == 7300
    height = likelihood(count, edges, 10.0).per_l_mm_at_1mm
    assert height == pytest.approx(regression(count, edges, 10.0).per_l_mm_at_1mm, rel=0.2)


def test_the_regression_is_scipys():
    rng = np.random.default_rng(2)
    edges = ECOPART_EDGES_UM[20:32]
    count = rng.poisson(3000 * (edges[:-1] / edges[0]) ** -2.5) + 1
    found = regression(count, edges, 7.0)
    x = np.log10(np.sqrt(edges[:-1] * edges[1:]) / 1000)
    y = np.log10(count / 7.0 / np.diff(edges) * 1000)
    theirs = stats.linregress(x, y)
    assert found.value == pytest.approx(-theirs.slope)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.95, len(x) - 2) * theirs.stderr)
    assert found.per_l_mm_at_1mm == pytest.approx(10**theirs.intercept)


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0, 3.2, 5.0])
def test_likelihood_finds_a_slope_that_was_drawn(slope):
    rng = np.random.default_rng(int(10 * slope))
    edges = ECOPART_EDGES_UM[20:36]
    power = 1 - slope + 1e-12
    u = rng.random(20_000)
    drawn = (edges[0] ** power + u * (edges[-1] ** power - edges[0] ** power)) ** (1 / power)
    found = likelihood(np.histogram(drawn, edges)[0], edges, 1.0)
    assert found.low < slope < found.high
    assert found.high - found.low < 0.2


def test_likelihood_holds_as_often_as_it_says_where_regression_leans():
    rng = np.random.default_rng(8)
    edges = ECOPART_EDGES_UM[20:36]
    power = 1 - 3.0
    shares = np.diff(edges**power) / (edges[-1] ** power - edges[0] ** power)
    held, leaning = 0, []
    for _ in range(300):
        count = rng.multinomial(400, shares)
        found = likelihood(count, edges, 1.0)
        held += found.low <= 3.0 <= found.high
        leaning.append(regression(count, edges, 1.0).value)
    assert 0.85 < held / 300 < 0.95
    assert np.mean(leaning) < 2.9, "empty classes left out make the spectrum look flatter"


def test_too_little_has_no_slope():
    edges = ECOPART_EDGES_UM[20:30]
    few = np.zeros(9, dtype=np.int64)
    few[0] = 5
    for found in (likelihood(few, edges, 1.0), regression(few, edges, 1.0)):
        assert math.isnan(found.value)
    one_class = few.copy()
    one_class[0] = 500
    found = likelihood(one_class, edges, 1.0)
    assert found.high == math.inf, "from below alone it is bounded"


# --- carbon


def test_published_carbon_by_hand():
    # Copepod of 1 mm2: 45.25 ug dry, 51.5 % carbon. Aggregate of 1 mm3: 0.99 ug C.
    disk_um = 2 * math.sqrt(1 / math.pi) * 1000
    assert carbon_ug(conversion("copepods"), np.array([disk_um]))[0] == pytest.approx(45.25 * 0.515)
    ball_um = (6 / math.pi) ** (1 / 3) * 1000
    assert carbon_ug(conversion("marine snow"), np.array([ball_um]))[0] == pytest.approx(0.99)
    assert carbon_ug(conversion("foraminifera"), np.array([ball_um]))[0] == pytest.approx(89.0)
    assert carbon_ug(conversion("other crustaceans"), np.array([ball_um]))[0] == pytest.approx(47.5)
    # A chaetognath of 1 mm2: 23.45 ug dry, 34.1 % carbon; of 4 mm2 4**1.19 = 5.205 times as much.
    found = carbon_ug(conversion("chaetognaths"), np.array([disk_um, 2 * disk_um]))
    assert found == pytest.approx([23.45 * 0.341, 23.45 * 0.341 * 5.205], rel=1e-3)
    # A dinoflagellate of 1000 um3: 0.760 * 1000**0.819 = 217.7 pg C.
    cell_um = (6000 / math.pi) ** (1 / 3)
    assert carbon_ug(conversion("dinoflagellates"), np.array([cell_um]))[0] == pytest.approx(
        217.7e-6, rel=1e-3
    )
    # An aggregate of 8 mm3: 0.99 * 8**0.52 = 2.919 ug C.
    assert carbon_ug(conversion("marine snow"), np.array([2 * ball_um]))[0] == pytest.approx(2.919, rel=1e-3)


@pytest.mark.parametrize(("volume_um3", "pg_c"), [(5000, 643.1804), (10_000, 1233.1048), (20_000, 2364.1072)])
def test_protists_are_menden_deuer_and_lessards(volume_um3, pg_c):
    """Values that the R package iRfcb documents for the same equation."""
    esd_um = (6 * volume_um3 / math.pi) ** (1 / 3)
    assert carbon_ug(conversion("other protists"), np.array([esd_um]))[0] * 1e6 == pytest.approx(
        pg_c, rel=2e-3
    )
    diatom = 10 ** (-0.933 + 0.881 * math.log10(volume_um3))
    assert carbon_ug(conversion("large diatoms"), np.array([esd_um]))[0] * 1e6 == pytest.approx(
        diatom, rel=2e-3
    )


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Copepoda<Multicrustacea", "copepods"), ("Copepod", "copepods"), ("Calanoida", "copepods"),
        ("copepod_calanoid__77", "copepods"), ("Chaetognatha", "chaetognaths"),
        ("detritus<not-living", "marine snow"),
        ("Snow", "marine snow"), ("Blob", None), ("unclassified", None), ("copepodite-like", None),
    ],
)  # fmt: skip
def test_taxa_find_their_conversion_by_label(label, name):
    found = conversion_of(label, SHIPPED.carbon)
    assert (None if found is None else found.name) == name


def test_every_relation_has_a_source_and_every_label_one_group():
    labels = [label for one in SHIPPED.carbon for label in one.labels]
    assert len(labels) == len(set(labels))
    assert all(label == label.casefold() for label in labels)
    assert all(len(one.source) > 30 and "(" in one.source for one in (*SHIPPED.carbon, *SHIPPED.flux))
    assert all(one.checked for one in (*SHIPPED.carbon, *SHIPPED.flux)), "say who else states it"


def test_own_relations_win():
    own = conversion("marine snow")
    import msgspec

    mine = msgspec.structs.replace(own, name="mine", labels=("copepod", "snow"), a=7.0)
    both = SHIPPED.with_own(
        Relations(carbon=(mine,), flux=(msgspec.structs.replace(relation("Guidi 2008"), a=1.0),))
    )
    assert conversion_of("copepod", both.carbon).name == "mine"
    assert conversion_of("calanoida", both.carbon).name == "copepods"
    assert [one.a for one in both.flux if one.name == "Guidi 2008"] == [1.0]


# --- taxa


def test_taxa_with_counting_and_naming_intervals():
    labels = ["copepod", "jelly", "unclassified"]
    taxon = np.array([0] * 10 + [1] * 5)
    esd = np.full(15, 1000.0)
    corrected = EstimatedCounts(np.array([12, 3]), np.array([9, 1]), np.array([14, 6]))
    copepod, jelly, unknown = taxon_rows(labels, taxon, esd, 5.0, SHIPPED.carbon, corrected, 0.95)
    assert copepod.per_l == 2.0
    assert (copepod.per_l_low, copepod.per_l_high) == pytest.approx((4.795 / 5, 18.39 / 5), abs=1e-3)
    assert copepod.corrected_per_l == pytest.approx(2.4)
    assert copepod.both_low == pytest.approx(float(poisson(9, 0.95)[0]) / 5)
    assert copepod.both_high == pytest.approx(float(poisson(14, 0.95)[1]) / 5)
    each = carbon_ug(conversion("copepods"), np.array([1000.0]))[0]
    assert copepod.ug_c_per_l == pytest.approx(2 * each)
    assert copepod.corrected_ug_c_per_l == pytest.approx(2.4 * each)
    assert copepod.ug_c_per_l_high == pytest.approx(each * 18.39 / 5, rel=1e-3), (
        "equal weights: the exact interval"
    )
    assert copepod.corrected_ug_c_per_l_low < copepod.ug_c_per_l_low
    assert jelly.conversion == NO_CONVERSION
    assert math.isnan(jelly.ug_c_per_l), "unknown, not 0"
    assert jelly.mm3_per_l == pytest.approx(5 * sphere_mm3(np.array([1000.0]))[0] / 5)
    assert math.isnan(unknown.corrected)
    assert unknown.per_l_high == pytest.approx(3.689 / 5, abs=1e-3)
    assert carbon_total([copepod, jelly, unknown]) == pytest.approx((2 * each, 10 / 15))


# --- orientation


def test_angles_from_the_vertical():
    # ImageJ's 0 is the x axis, 90 upright, 45 leans to the right as one sees it.
    assert from_vertical(np.array([0.0, 45, 90, 135, 179])).tolist() == [-90, 45, 0, -45, -89]
    assert from_vertical(np.array([0.0, 90]), up_deg=0.0).tolist() == [0.0, -90.0]


@settings(deadline=None)
@given(st.lists(st.floats(-90, 89.99), min_size=1, max_size=50))
def test_the_mean_axis_is_scipys(angles):
    found = axial(np.array(angles))
    assert 0 <= found.length <= 1 + 1e-12
    if found.length > 1e-6:
        theirs = stats.circmean(np.array(angles), high=90, low=-90)
        assert abs((found.mean_deg - theirs + 90) % 180 - 90) < 1e-6
        variance = stats.circvar(np.array(angles), high=90, low=-90)
        assert found.length == pytest.approx(1 - variance, abs=1e-9)


def test_an_axis_has_no_head():
    a, b = axial(np.array([80.0, 85.0, -85.0])), axial(np.array([80.0, 85.0, 95.0]))
    assert a.length == pytest.approx(b.length)
    assert a.mean_deg == pytest.approx(b.mean_deg)


@pytest.mark.parametrize(("n", "length"), [(10, 0.5), (25, 0.3), (60, 0.2), (200, 0.1)])
def test_rayleighs_test_against_chance(n, length):
    rng = np.random.default_rng(n)
    angles = rng.uniform(0, 2 * np.pi, (40_000, n))
    drawn = np.abs(np.exp(1j * angles).mean(axis=1))
    assert rayleigh(n, length) == pytest.approx(float((drawn >= length).mean()), abs=0.006)


def test_only_telling_particles_have_an_angle():
    found = is_telling(
        np.array([3.0, 1.5, 3, 3]), np.array([200.0, 200, 20, 200]), np.array([False, False, False, True])
    )
    assert found.tolist() == [True, False, False, False]
    assert math.isnan(axial(np.zeros(0)).length)


# --- morphospace


def test_axes_are_scikit_learns():
    decomposition = pytest.importorskip("sklearn.decomposition", reason="needs the train extra")
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 5)) @ rng.normal(size=(5, 5))
    names = ("a", "b", "c", "d", "e")
    found = morphospace.fit(x, names)
    drawn = np.clip(x, *np.quantile(x, (0.005, 0.995), axis=0))
    theirs = decomposition.PCA(4).fit((drawn - drawn.mean(axis=0)) / drawn.std(axis=0))
    np.testing.assert_allclose(found.share, theirs.explained_variance_ratio_, rtol=1e-9)
    np.testing.assert_allclose(np.abs(found.axes), np.abs(theirs.components_), atol=1e-8)
    assert (found.axes[np.arange(4), np.abs(found.axes).argmax(axis=1)] > 0).all()


def test_the_order_of_particles_does_not_turn_the_axes():
    rng = np.random.default_rng(4)
    x = rng.lognormal(size=(200, len(morphospace.MEASURED)))
    one, other = morphospace.fit(x), morphospace.fit(x[rng.permutation(200)])
    np.testing.assert_allclose(one.axes, other.axes, atol=1e-7)


def test_sameness_and_odd_values_have_no_morphospace_or_a_finite_one():
    assert morphospace.fit(np.ones((100, len(morphospace.MEASURED)))) is None
    assert morphospace.fit(np.ones((3, len(morphospace.MEASURED)))) is None
    x = np.random.default_rng(5).lognormal(size=(100, len(morphospace.MEASURED)))
    x[0, 0], x[1, 3], x[:, 5] = np.inf, np.nan, 2.0
    found = morphospace.fit(x)
    assert np.isfinite(found.place(x)).all()


def test_examples_are_spread_and_have_pictures():
    rng = np.random.default_rng(6)
    places = rng.normal(size=(2000, 2))
    usable = np.arange(0, 2000, 3)
    found = morphospace.examples(places, usable)
    assert 15 < len(found) <= 35
    rows = [row for row, _, _ in found]
    assert len(set(rows)) == len(rows)
    assert set(rows) <= set(usable.tolist())
    assert morphospace.examples(places, np.zeros(0, dtype=np.int64)) == []
