"""A study's numbers, reckoned by hand; and no correction is chosen that does harm anywhere."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

from training.count_table import (
    METHODS,
    RAW,
    REFERENCE,
    WORSE,
    Draws,
    Row,
    Study,
    as_facts,
    choose_method,
    coverage_by_count,
    distances,
    make_rows,
)

OTHER = ("few", 20)


def row(
    method: str, cell: tuple[str, int], bray_curtis: float, excess: float, half_width: float = 0.005
) -> Row:
    return Row(
        method=method,
        regime=cell[0],
        objects=cell[1],
        bray_curtis=bray_curtis,
        bray_curtis_interval=(bray_curtis - half_width, bray_curtis + half_width),
        excess=excess,
        excess_interval=(excess - half_width, excess + half_width),
        bias=0.01,
        coverage=0.9 if method not in RAW else None,
    )


def rows(posterior=(-0.1, -0.1), adjusted=(-0.05, -0.05), half_width=0.005) -> list[Row]:
    """Raw counts at a distance of 0.3; excess of the corrections in the reference and elsewhere."""
    found = [row(method, cell, 0.3, 0.0) for method in RAW for cell in (REFERENCE, OTHER)]
    for method, excesses in (("posterior", posterior), ("adjusted", adjusted)):
        for cell, excess in zip((REFERENCE, OTHER), excesses, strict=True):
            found.append(row(method, cell, 0.3 + excess, excess, half_width))
    return found


def test_the_nearest_of_the_corrections_is_chosen():
    assert choose_method(rows()) == "posterior"
    assert choose_method(rows(posterior=(-0.03, -0.1))) == "adjusted"


@pytest.mark.parametrize(
    ("posterior", "half_width", "why"),
    [
        ((-0.2, WORSE + 0.001), 0.1, "further off than raw counts somewhere"),
        ((-0.2, 0.008), 0.005, "a little, but measurably, further off somewhere"),
        ((-0.004, -0.1), 0.005, "not measurably nearer in the reference"),
        ((0.02, -0.1), 0.005, "further off in the reference"),
    ],
)
def test_what_does_harm_is_not_chosen(posterior, half_width, why):
    harmful = rows(posterior, adjusted=(0.1, 0.1), half_width=half_width)
    assert choose_method(harmful) == RAW[0], why
    assert choose_method(rows(posterior, (-0.2, -0.2), half_width)) == "adjusted", why


def test_a_little_worse_within_what_can_be_measured_is_no_harm():
    assert choose_method(rows(posterior=(-0.1, 0.004))) == "posterior"


def test_nothing_measured_is_nothing_chosen():
    assert choose_method([]) == RAW[0]
    assert choose_method([one for one in rows() if (one.regime, one.objects) != REFERENCE]) == RAW[0]


def samples() -> Draws:
    """Two halves of two samples of 10 objects; the third taxon is not drawn in the second half."""
    truth = np.array([[[5, 5, 0], [10, 0, 0]], [[1, 9, 0], [2, 8, 0]]], dtype=float)
    exact = {method: truth.copy() for method in METHODS}
    exact["decisions"] = np.concatenate([truth - [[[1, 0, 0]]], np.ones((2, 2, 1))], axis=2)
    low = {"posterior": np.maximum(truth - 1, 0), "adjusted": truth + 1}
    high = {"posterior": truth + 1, "adjusted": truth + 2}
    which = np.array([[[True, True, True]], [[True, True, False]]])
    return Draws(truth, exact, low, high, which)


def test_distance_counts_what_got_no_name_as_wrong():
    drawn = samples()
    assert distances(drawn.estimates["highest"], drawn.truth).tolist() == [[0, 0], [0, 0]]
    # One of ten objects is `unclassified`.
    np.testing.assert_allclose(distances(drawn.estimates["decisions"], drawn.truth), 0.1)
    swapped = drawn.truth[:, :, [1, 0, 2]]
    np.testing.assert_allclose(distances(swapped, drawn.truth), [[0, 1], [0.8, 0.6]])


def test_rows_tell_distance_excess_bias_and_coverage():
    found = {one.method: one for one in make_rows(samples(), "flat", 10, 1)}
    assert set(found) == set(METHODS)
    assert found["posterior"].bray_curtis == 0
    assert found["posterior"].coverage == found["posterior"].coverage_present == 1
    assert found["adjusted"].coverage == 0
    assert found["adjusted"].width == 1
    assert found["decisions"].excess == pytest.approx(0.1)
    assert found["decisions"].coverage is None
    # One object of ten of the first taxon, nothing of the others: five pairs of half and taxon are drawn.
    assert found["decisions"].bias == pytest.approx(2 * 0.1 / 5)


def test_coverage_by_count_leaves_out_what_was_not_drawn():
    drawn = samples()
    assert coverage_by_count(drawn, "posterior") == {"0": 1, "1-2": 1, "3-9": 1, "10-29": 1}
    drawn.low["posterior"][1, :, 2] = 5
    assert coverage_by_count(drawn, "posterior")["0"] == 1
    drawn.low["posterior"][0, 1, 2] = 5
    assert coverage_by_count(drawn, "posterior")["0"] == pytest.approx(2 / 3, abs=1e-3)


def test_intervals_widen_with_few_halves():
    drawn = samples()
    drawn.estimates["posterior"][0] = 0
    drawn.estimates["posterior"][0, :, 2] = 10  # one half all wrong, the other right
    low, high = {one.method: one for one in make_rows(drawn, "flat", 10, 1)}["posterior"].bray_curtis_interval
    assert (low, high) == (0, 1)


def test_facts_are_json_and_say_when_nothing_was_measured():
    every = [one for cell in (REFERENCE, OTHER) for one in make_rows(samples(), *cell, 1)]
    found = Study(rows=tuple(every), chosen="posterior", taxa_drawn=2.5, least_images=10, halves=2, draws=2)
    facts = json.loads(json.dumps(as_facts(found)))
    assert set(METHODS) <= set(facts)
    assert facts["posterior"]["flat, 100"] == 0
    assert facts["decisions"]["few, 20"] == pytest.approx(0.1)
    assert "width" in facts["posterior"]
    assert "width" not in facts["highest"]
    assert "posterior" in facts["chosen"]
    assert "2 times" in facts["method"]
    assert msgspec.json.decode(msgspec.json.encode(found), type=Study) == found
    assert list(as_facts(Study())) == ["method"]
    assert as_facts(Study())["method"].startswith("Too few images")
    with pytest.raises(KeyError):
        found.row("posterior", "flat", 7)
