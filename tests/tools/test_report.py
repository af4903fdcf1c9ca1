"""The report: its numbers are the log's and the messages', and a browser shows it."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import re
import shutil
import sqlite3
import sys

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edge.divelog import DiveLog
from edge.divelog_schema import Particle
from edge.errors import DiveLogError, InputError, MessageError
from edge.frame import FrameOutcome, Phase
from edge.logged import plan_messages
from edge.telemetry import Quantity, decode_messages
from edge.telemetry.replies import Reply, Verdict
from tests.tools.browser import Browser
from tests.tools.made_dive import OPTICS, TAXA, make_dive
from tools.cli import main
from tools.shore.dives import open_dive
from tools.shore.report import report, write_report
from tools.shore.report.curves import (
    bin_by_bin,
    curves_of,
    reading_width_dbar,
    step_line,
    water_curves,
)
from tools.shore.report.dive import read_dive
from tools.shore.report.facts import (
    MESSAGES_ALONE,
    adding_up,
    outcome_rows,
    position_text,
    taxon_rows,
    utc_text,
)
from tools.shore.report.gallery import BOX_PX, choose_vignettes, scale_bar
from tools.shore.report.page import content, render
from tools.shore.report.shore import look_from_shore
from tools.shore.report.style import nice_step

pytest.importorskip("plotly", reason="needs the shore extra")
pytest.importorskip("jinja2", reason="needs the shore extra")

NASTY = "</script><b>&\"'"
LABELS = [taxon.label for taxon in TAXA]


@pytest.fixture(scope="module")
def dive(tmp_path_factory):
    return make_dive(tmp_path_factory.mktemp("dive"), nasty=NASTY)


@pytest.fixture(scope="module")
def coarse(tmp_path_factory):
    return make_dive(tmp_path_factory.mktemp("coarse"), budget_bytes=400, truth=False)


@pytest.fixture(scope="module")
def page(dive):
    return write_report(dive).read_text(encoding="utf-8")


def look(folder, **options):
    with open_dive(folder) as opened:
        found = read_dive(opened, max_vignettes=options.pop("max_vignettes", 12))
    view = look_from_shore(found.messages, found.codebook, found.summary.dive_number, len(found.sent))
    return found, view


def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


# --- curves


def test_a_step_line_has_a_point_a_cell_and_gaps_where_nothing_was_seen():
    edges = np.array([0.0, 5, 10, 20, 40, 80])
    values = np.array([1.0, 2, np.nan, 3, 3])
    first = np.array([0, 1, 2, 3, 3])
    assert step_line(edges, values, first) == (
        [1.0, 2.0, 2.0, None, 3.0, 3.0],
        [0.0, 5.0, 10.0, 10.0, 20.0, 80.0],
        [0, 1, 1, 1, 3, 4],
    )
    assert step_line(edges, np.full(5, np.nan)) == ([], [], [])


@settings(deadline=None, max_examples=80)
@given(st.lists(st.one_of(st.just(math.nan), st.floats(0, 1e3)), min_size=1, max_size=30))
def test_a_step_line_encloses_what_was_counted(values):
    edges = np.cumsum(np.arange(len(values) + 1, dtype=float))
    along, across, _ = step_line(edges, np.array(values))
    area = sum(
        value * (end - start)
        for value, following, start, end in zip(along, along[1:], across, across[1:], strict=False)
        if value is not None and following is not None
    )
    assert area == pytest.approx(np.nansum(np.array(values) * np.diff(edges)))


def test_what_arrived_bin_by_bin_is_what_the_board_counted(dive):
    found, view = look(dive)
    assert {part.phase for part in found.summary.profile.phases} == set(Phase)
    for curves in (view.curves, curves_of(found.tables.decoded)):
        assert set(curves.taxa) == set(curves.spectrum) == set(Phase)
        for part in found.summary.profile.phases:
            for mine, counts, volume_ul in (
                (curves.taxa[part.phase], part.taxa, part.volume_classified_ul),
                (curves.spectrum[part.phase], part.lpm, part.volume_sized_ul),
            ):
                np.testing.assert_array_equal(mine.counts, counts)
                np.testing.assert_array_equal(mine.first, np.arange(part.n_bins)[:, None] + 0 * counts)
                volume_l = np.repeat(volume_ul[:, None] / 1e6, counts.shape[1], axis=1)
                np.testing.assert_allclose(mine.volume_l, volume_l, rtol=1e-12)
    assert view.taxa == found.summary.profile.taxa().tolist()
    assert view.outcomes == found.summary.profile.outcomes().tolist()
    assert not [note for note in view.missing if "wider" in note]


def test_a_coarse_cell_is_never_made_finer(coarse):
    found, view = look(coarse)
    board = curves_of(found.tables.decoded)
    wide = 0
    for phase, curves in view.curves.taxa.items():
        counts, volume = board.taxa[phase].counts, board.taxa[phase].volume_l[:, 0]
        for column in range(curves.counts.shape[1]):
            for i in range(curves.n_bins):
                cell = slice(curves.first[i, column], curves.last[i, column])
                assert cell.start <= i < cell.stop
                assert curves.counts[i, column] == counts[cell, column].sum()
                assert curves.volume_l[i, column] == pytest.approx(volume[cell].sum())
                wide += cell.stop - cell.start > 1
        total = curves.total()
        sums = board.taxa[phase].total()
        cells = total.first[:, 0] == np.arange(total.n_bins)
        assert total.counts[cells].sum() == sums.counts.sum()
    assert wide, "the budget of this dive should have made some cells wider"
    assert [note for note in view.missing if "wider cells" in note]
    assert any("cells of up to" in state for row in view.layers for state in row.states)


@pytest.mark.parametrize("width_dbar", [10, 50, 200])
def test_pooling_adds_counts_and_volumes_and_nothing_else(coarse, width_dbar):
    found, view = look(coarse)
    board = curves_of(found.tables.decoded)
    for curves in (*board.taxa.values(), *board.spectrum.values(), *view.curves.taxa.values()):
        pooled = curves.pooled(width_dbar)
        assert pooled.counts.shape == curves.counts.shape
        for column in range(curves.counts.shape[1]):
            starts = np.unique(pooled.first[:, column])
            own = curves.first[:, column] == np.arange(curves.n_bins)
            for start in starts.tolist():
                cell = slice(start, pooled.last[start, column])
                mine = own[cell]
                assert pooled.counts[start, column] == curves.counts[cell, column][mine].sum()
                assert pooled.volume_l[start, column] == pytest.approx(
                    curves.volume_l[cell, column][mine].sum()
                )
                # A pool reaches past its stretch only where a cell that was sent does.
                stretch = curves.edges[cell.start : cell.stop] // width_dbar
                assert not mine[1:][np.diff(stretch) > 0].any()
            assert set(starts) <= set(curves.first[:, column])


def test_bins_are_pooled_only_as_far_as_a_dive_needs_it():
    def phase(which, seen):
        n = len(seen)
        return {which: bin_by_bin(which, 5 * np.arange(n + 1), np.zeros((n, 1)), 0.6 * np.array(seen))}

    full = phase(Phase.DESCENT, [1] * 40)
    assert reading_width_dbar(full) is None
    assert reading_width_dbar(phase(Phase.DESCENT, [1, 0] * 20)) == 10
    assert reading_width_dbar(full | phase(Phase.ASCENT, [1, 0, 0, 0] * 10)) == 20
    assert reading_width_dbar(phase(Phase.DESCENT, [1] * 200)) == 20
    assert reading_width_dbar(phase(Phase.PARK, [0] * 40)) is None


def test_no_volume_is_no_concentration_on_board_and_in_the_water(dive):
    found, _ = look(dive)
    for curves in (curves_of(found.tables.decoded), water_curves(found.truth, LABELS)):
        for part in curves.taxa.values():
            empty = part.volume_l == 0
            per_l = part.concentration_per_l()
            assert np.isnan(per_l[empty]).all()
            np.testing.assert_allclose(per_l[~empty] * part.volume_l[~empty], part.counts[~empty])


# --- gallery


def particle(taxon, score, *, kept=True):
    scores = np.zeros(3, dtype=np.float32)
    scores[taxon] = score
    png = cv2.imencode(".png", np.full((5, 9), 200, np.uint8))[1].tobytes() if kept else None
    return Particle(1, 0, 0, 9, 5, 45, False, 700, taxon, scores, np.zeros(0), png)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 64), st.booleans()), max_size=60),
    st.integers(0, 9),
)
def test_the_gallery_has_the_surest_and_the_least_sure(made, most):
    particles = [particle(taxon, score / 64, kept=kept) for taxon, score, kept in made]
    galleries = choose_vignettes(particles, ["a", "b", "c"], {1: 10.0}, max_vignettes=most, pixel_um=73)
    assert [gallery.total for gallery in galleries] == sorted((g.total for g in galleries), reverse=True)
    assert sum(gallery.total for gallery in galleries) == len(made)
    for gallery in galleries:
        mine = sorted(s / 64 for taxon, s, kept in made if "abc"[taxon] == gallery.label and kept)
        surest = [vignette.score for vignette in gallery.surest]
        least = [vignette.score for vignette in gallery.least_sure]
        assert gallery.kept == len(mine)
        assert gallery.shown == min(most, len(mine))
        assert surest == mine[::-1][: (most + 1) // 2]
        assert least == mine[: gallery.shown - len(surest)]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 600), st.integers(1, 600), st.floats(5, 200))
def test_a_scale_bar_is_as_long_as_it_says_and_fits(width, height, pixel_um):
    zoom = min(3.0, BOX_PX / max(width, height))
    zoom = float(int(zoom)) if zoom > 1 else zoom
    bar_px, text = scale_bar(width, pixel_um, zoom)
    number, unit = text.split()
    um = float(number) * {"mm": 1000, "µm": 1}[unit]
    assert bar_px * pixel_um / zoom == pytest.approx(um, rel=0.02, abs=0.02 * pixel_um / zoom)
    assert bar_px <= 2 / 3 * BOX_PX + 0.01 or um == 20


def test_vignettes_in_the_page_are_those_of_the_log(dive, page):
    shown = [base64.b64decode(text) for text in re.findall(r'<img src="data:image/png;base64,([^"]+)"', page)]
    with DiveLog.open(dive) as log:
        kept = {p.vignette_png for p in log.particles(with_vignettes=True) if p.vignette_png}
    found, view = look(dive)
    sent = [base64.b64decode(picture.png_base64) for picture in view.pictures]
    assert shown[: len(sent)] == sent
    del shown[: len(sent)]
    assert len(shown) == sum(gallery.shown for gallery in found.galleries) > 50
    assert set(shown) <= kept


# --- facts


@pytest.mark.parametrize(
    ("latitude", "longitude", "text"),
    [
        (43.4166667, -7.8666667, "43° 25.000′ N, 7° 52.000′ W"),
        (-0.5, 359.5, "0° 30.000′ S, 0° 30.000′ W"),
        (12.99999999, 180.0, "13° 00.000′ N, 180° 00.000′ W"),
    ],
)
def test_position_in_degrees_and_minutes(latitude, longitude, text):
    assert position_text({"latitude_deg": latitude, "longitude_deg": longitude}) == text


def test_an_unknown_position_is_no_text():
    assert position_text({}) == position_text({"latitude_deg": None, "longitude_deg": 3}) == ""


def test_time_is_utc():
    assert utc_text(1_741_089_600_999) == "2025-03-04 12:00:00 UTC"


def test_outcomes_add_up_or_the_page_says_so(dive):
    found, view = look(dive)
    rows = outcome_rows(found.tables.decoded.outcomes().tolist(), view.outcomes)
    assert [row.board for row in rows] == [n for n in found.summary.profile.outcomes().tolist() if n]
    assert sum(row.board for row in rows) == len(found.frames) == 300
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert {row.outcome for row in rows} >= set(FrameOutcome) - {FrameOutcome.EMPTY}
    assert adding_up(300, 300, 300) == (
        True,
        "The outcomes add up: 300 of 300 frames have exactly one. On shore they add up to the same number.",
    )
    fine, text = adding_up(300, 301, 290)
    assert not fine
    assert "do not add up" in text
    assert "290" in text


def test_taxa_that_only_the_water_has_are_shown():
    rows = taxon_rows(["a", "b"], {"a": True}, {"a": {"water": 1}, "new": {"water": 9}}, [5, 0], [5, 0])
    assert [(row.label, row.water, row.board, row.shore) for row in rows] == [
        ("a", 1, 5, 5),
        ("new", 9, 0, 0),
    ]


def test_corrected_counts_stand_beside_the_raw_ones(dive, page):
    found, view = look(dive)
    counts = found.summary.corrected
    raw = found.summary.profile.taxa()
    first, last = (found.labels[i] for i in (0, -1))
    assert view.corrected[0] == tuple(counts[:, 0])
    assert view.corrected[0][0] > raw[0]
    assert view.corrected[-1] is None
    rows = {row.label: row for row in taxon_rows(found.labels, {}, None, raw, raw, view.corrected)}
    assert rows[first].corrected == view.corrected[0]
    assert rows[first].largest == counts[2, 0]
    assert rows[last].corrected is None
    assert "corrected (90&nbsp;%)" in page
    count, low, high = counts[:, 0]
    assert f"{count:,} <small>({low:,}–{high:,})</small>" in page
    assert "0.033" in page


def test_without_corrected_counts_there_is_no_column_for_them(dive, tmp_path):
    folder = copied(dive, tmp_path)
    with sqlite3.connect(folder / "dive.sqlite") as db:
        db.execute("DELETE FROM meta WHERE key = 'corrected'")
    with DiveLog.open(folder) as log:
        messages = plan_messages(log).messages
        log.set_messages(messages)
    shutil.rmtree(folder / "messages")
    assert look(folder)[1].corrected is None
    assert "corrected (90" not in write_report(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("value", "step"), [(7, 5), (5, 5), (0.2, 0.2), (0.019, 0.01), (0, 1), (math.nan, 1)]
)
def test_nice_steps(value, step):
    assert nice_step(value) == pytest.approx(step)


def test_notes_say_what_is_not_counted(dive, page):
    found, _ = look(dive)
    outcomes = found.summary.profile.outcomes()
    lost = outcomes[
        [FrameOutcome.DARK, FrameOutcome.OVER_EXPOSED, FrameOutcome.BLURRED, FrameOutcome.DROPPED,
         FrameOutcome.LATE, FrameOutcome.CORRUPT]
    ].sum()  # fmt: skip
    unplaced = sum(int(part.unplaced_frames.sum()) for part in found.summary.profile.phases)
    assert unplaced > 0
    for sentence in (
        f"{lost * OPTICS.image_volume_l:,.1f} L of water in {lost} frames",
        f"In {outcomes[FrameOutcome.INFERENCE_FAILED]} frames the classifier failed",
        f"{unplaced} frames had no pressure",
        "have no vignette in the log; they are counted",
        "touch the border of their frame",
        "The truth is compared over classified frames only.",
        "3 blurred taken for analysed",
    ):
        assert sentence in page


# --- figures


@pytest.mark.parametrize("name", ["dive", "coarse"])
def test_every_figure_is_valid_plotly_and_plain_json(name, request):
    go = pytest.importorskip("plotly.graph_objects")
    plots, context = content(*look(request.getfixturevalue(name)))
    assert {"track", "profile-sized", "park-sized", "sizes-park", "mean-sizes", "frames", "volumes"} <= set(
        plots
    )
    assert len([place for place in plots if place.startswith("profile-taxon")]) == len(context["taxa"])
    for place, plot in plots.items():
        go.Figure(json.loads(json.dumps(plot, allow_nan=False)))
        if plot["layout"]["yaxis"].get("title", {}).get("text") in ("dbar", "pressure, dbar"):
            top, bottom = plot["layout"]["yaxis"]["range"][::-1]
            assert bottom > top, f"pressure must point downward in {place}"


def test_the_curve_on_the_page_is_count_over_volume(dive):
    found, view = look(dive)
    plots, context = content(found, view)
    panel = next(p for p in context["panels"] if p.label == "copepod")
    part = next(p for p in found.summary.profile.phases if p.phase is Phase.ASCENT)
    column = LABELS.index("copepod")
    trace = next(
        t for t in plots[f"profile-{panel.name}"]["data"]
        if t["meta"] == {"phase": "ascent", "source": "shore"} and "fill" not in t
    )  # fmt: skip
    points = {y: x for x, y in zip(trace["x"][::-1], trace["y"][::-1], strict=True) if x is not None}
    checked = 0
    for i in np.flatnonzero(part.volume_classified_ul).tolist():
        expected = part.taxa[i, column] / (part.volume_classified_ul[i] / 1e6)
        assert points[float(part.edges[i])] == pytest.approx(expected, rel=1e-4)
        checked += expected > 0
    assert checked > 3


# --- the page


def test_the_page_is_one_file_that_asks_for_nothing(page):
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"<(?:script|link|img|iframe|source)[^>]*(?:src|href)=[\"']?(?!data:)[a-z/]", markup)
    assert not re.search(r"@import|url\((?!data:|#)", markup)
    assert "<script src" not in page
    assert page.count("plotly.js v") == 1
    assert len(page.encode()) < 8_000_000


def test_texts_from_the_log_cannot_break_out(page):
    assert NASTY not in page
    assert "TEST 2025&lt;/script&gt;&lt;b&gt;&amp;" in page
    data = re.search(r'<script type="application/json" id="plots">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert set(json.loads(data.group(1))) >= set(re.findall(r'data-figure="([^"]+)"', page))


def test_the_page_shows_counts_of_water_board_and_shore(dive, page):
    found, view = look(dive)
    rows = re.findall(
        r'<th scope="row">(\w+)(?: <small>.*?</small>)?</th>((?:\s*<td class="n">[^<]*</td>)+)', page
    )
    shown: dict[str, list[str]] = {}
    for name, cells in rows:  # the first table; those of the science below have the same names
        shown.setdefault(name, re.findall(r">([^<]*)<", cells))
    for i, label in enumerate(LABELS):
        water = found.truth.taxa[label]["water"]
        assert [c for c in shown[label] if c.strip()][:3] == [
            f"{water:,}", f"{found.summary.profile.taxa()[i]:,}", f"{view.taxa[i]:,}"
        ]  # fmt: skip
    for message in found.messages:
        assert message in page


def test_fewer_vignettes_when_asked(dive, tmp_path):
    out = write_report(dive, tmp_path / "deep" / "page.html", max_vignettes=0)
    assert out.read_text(encoding="utf-8").count("<img") == len(look(dive)[1].pictures)
    assert [file.name for file in out.parent.iterdir()] == ["page.html"]


# --- the dive's own facts


def test_the_page_shows_health_as_read_and_as_it_came_to_shore(dive, page):
    health = look(dive, max_vignettes=0)[0].summary.health
    rows = dict(
        (name, (board, shore))
        for name, board, shore in re.findall(
            r'<tr><th scope="row">([^<]*)</th><td class="n">([^<]*)</td><td class="n">([^<]*)</td></tr>', page
        )
    )
    assert rows["lowest battery voltage"] == ("12.65 V", "12.65 V")
    assert rows["lowest temperature of the board"] == ("5 °C", "5 °C")
    assert rows["free disk at the last reading"] == ("41.00 GB", "41.01 GB")  # to 16 MB
    assert rows["restarts during the dive"] == ("1", "1")
    assert rows["over-exposed frames"] == (str(health.over_exposed_frames),) * 2
    assert rows["sharpness of the least sharp frame"] == ("0.080", "0.080")
    assert rows["mean grey of frames with light"] == ("2.12 of 255", "2.10 of 255")
    assert rows["written to the disk"][0] == "0.04 GB"
    drift = rows["drift from what the model was tested on"]
    assert drift[0] == drift[1] != "–"
    assert f"score {drift[0]}. 0 is like the images that the model was tested on" in page
    fared = re.search(r'<p class="fared">(.*?)</p>', page, re.DOTALL)[1]
    assert fared.startswith("Look at ")
    assert "noise: without light it ends at grey 25, the threshold is 21: it counts as particles" in fared
    assert "All is well with " in fared
    assert "noise reaches grey 25: the threshold of 21 counts it as particles." in page
    assert "Not known on board: messages of earlier dives waiting for a link; " in page


def test_expected_wrong_names_stand_beside_the_counts(dive, page):
    found, view = look(dive)
    _, context = content(found, view)
    for row in context["taxa"]:
        i = LABELS.index(row.label)
        assert row.doubt == (None if row.label == "unclassified" else found.summary.doubt[i])
    assert sum(row.doubt or 0 for row in context["taxa"]) > 3
    assert ">likely wrong</th>" in page


def test_boxes_are_the_quantiles_of_the_living_taxa_that_were_seen(dive):
    found, view = look(dive)
    plots, context = content(found, view)
    box = plots["taxon-sizes"]["data"][0]
    with DiveLog.open(dive) as log:
        pressure = {row["frame"]: (row["pressure_dbar"], row["phase"]) for row in log.frames()}
        placed = [
            p
            for p in log.particles()
            if pressure[p.frame][0] is not None or pressure[p.frame][1] == Phase.PARK
        ]
    sizes = {
        taxon.label: sorted(p.esd_um for p in placed if p.taxon == i)
        for i, taxon in enumerate(TAXA)
        if taxon.living
    }
    assert set(box["y"]) == {label for label, seen in sizes.items() if seen}
    assert box["median"] == sorted(box["median"])
    for label, *quantiles in zip(
        box["y"], box["lowerfence"], box["q1"], box["median"], box["q3"], box["upperfence"], strict=True
    ):
        seen = sizes[label]
        for percent, size in zip((5, 25, 50, 75, 95), quantiles, strict=True):
            assert size == pytest.approx(seen[-(-percent * len(seen) // 100) - 1], rel=0.032)
    assert context["sizes_source"] == "on shore"
    nothing = look_from_shore({}, found.codebook, 12, 4)
    board, context = content(found, nothing)
    assert context["sizes_source"] == "on board"
    assert board["taxon-sizes"] == plots["taxon-sizes"]


def test_replies_stand_on_the_page_with_what_arrived(dive):
    found, view = look(dive)
    told = (Reply(7, Verdict.DONE, 3), Reply(9, Verdict.REFUSED_SIGNATURE))
    asked = dataclasses.replace(found, summary=dataclasses.replace(found.summary, replies=told))
    text = render(asked, dataclasses.replace(view, replies=told[:1]))
    assert '<td>done</td><td class="n">3</td><td>yes</td>' in text
    assert '<td>refused-signature</td><td class="n">0</td><td>–</td>' in text
    assert "Replies to commands" not in render(found, view)


# --- what is missing


def test_lost_damaged_and_foreign_messages_are_named(dive, tmp_path):
    folder = copied(dive, tmp_path)
    first, second, *_ = sorted((folder / "messages").glob("*.msg"))
    damaged = bytearray(second.read_bytes())
    damaged[len(damaged) // 2] ^= 4
    second.write_bytes(bytes(damaged))
    first.unlink()
    (folder / "messages" / "zz.msg").write_bytes(b"hello")
    found, view = look(folder)
    faults = {row.name: row.fault for row in view.messages if row.fault}
    assert set(faults) == {second.name, "zz.msg"}
    assert "CRC" in faults[second.name]
    assert view.taxa is None or view.taxa == found.summary.profile.taxa().tolist()
    assert any("parts 1, 2 of" in note for note in view.missing)
    text = write_report(folder).read_text(encoding="utf-8")
    assert f"2 of {len(found.sent)} messages could not be used" in text


def test_a_message_of_another_dive_is_not_counted(dive, coarse, tmp_path):
    folder = copied(dive, tmp_path)
    with DiveLog.open(dive) as log:
        number = log.meta("dive_number")
    found, _ = look(dive)
    other = look_from_shore(found.messages, found.codebook, number + 1, 4)
    assert other.taxa is None
    assert all("is of dive 12" in row.fault for row in other.messages)
    shutil.rmtree(folder / "messages")
    (folder / "messages").mkdir()
    text = write_report(folder).read_text(encoding="utf-8")
    assert f"No message of this dive is at hand ({len(found.sent)} were sent)" in text
    assert '<input type="checkbox" value="shore"' not in text


def test_the_log_alone_is_enough(dive, tmp_path):
    shutil.copy(dive / "dive.sqlite", tmp_path / "dive.sqlite")
    out = write_report(tmp_path / "dive.sqlite")
    assert out == tmp_path / "report.html"
    text = out.read_text(encoding="utf-8")
    assert "part 0" in text
    assert "What was truly in the water is not known" in text


def test_messages_alone_make_a_page_that_says_what_it_cannot_know(dive, tmp_path):
    folder = shutil.copytree(dive / "messages", tmp_path / "sea" / "messages")
    (folder / "codebook.json").rename(tmp_path / "book.json")
    refused = CliRunner().invoke(report, [str(tmp_path / "sea")])
    assert isinstance(refused.exception, MessageError)
    done = CliRunner().invoke(report, [str(tmp_path / "sea"), "--codebook", str(tmp_path / "book.json")])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "sea" / "report.html").read_text(encoding="utf-8")
    whole, _ = look(dive)
    profile = whole.summary.profile
    assert MESSAGES_ALONE in text
    assert "on board</th>" not in text
    assert 'data-figure="track"' not in text
    assert f"{int(profile.outcomes().sum())} frames came by outcome: all of the dive" in text
    for label, count in zip(LABELS, profile.taxa().tolist(), strict=True):
        if count:
            assert re.search(rf'<th scope="row">{label}\b.*?</th>\s*<td class="n">{count:,}</td>', text)
    places = set(re.findall(r'data-figure="([^"]+)"', text))
    plots = json.loads(re.search(r'id="plots">(.*?)</script>', text, re.DOTALL).group(1))
    assert {"profile-sized", "sizes-descent", "frames", "volumes", "science-flux"} <= places <= set(plots)


def test_the_band_of_a_curve_alone_is_the_counting_interval(dive):
    with open_dive(dive / "messages") as opened:
        found = read_dive(opened, max_vignettes=0)
    view = look_from_shore(found.messages, found.codebook, found.meta["dive_number"], len(found.sent))
    plots, context = content(found, view)
    place = f"profile-{next(p.name for p in context['panels'] if p.label == 'copepod')}"
    (band,) = (
        trace
        for trace in plots.get(place + "@recorded", plots[place])["data"]
        if trace["meta"]["phase"] == "ascent" and trace.get("fill") == "toself"
    )
    part = next(p for p in look(dive)[0].summary.profile.phases if p.phase is Phase.ASCENT)
    count, litres = part.taxa[:, LABELS.index("copepod")], part.volume_classified_ul / 1e6
    ends: dict[float, set[float]] = {}
    for x, top in zip(band["x"], band["y"], strict=True):
        if x is not None:
            ends.setdefault(top, set()).add(x)
    for i in np.flatnonzero(litres).tolist():
        n = int(count[i])
        low, high = stats.chi2.ppf(0.05, 2 * n) / 2 if n else 0.0, stats.chi2.ppf(0.95, 2 * n + 2) / 2
        for end in (low, high):
            assert any(x == pytest.approx(end / litres[i], rel=1e-4, abs=1e-9) for x in ends[part.edges[i]])


def test_messages_that_did_not_come_are_gaps_and_named(dive, tmp_path):
    folder = shutil.copytree(dive / "messages", tmp_path / "messages")
    for lost in sorted(folder.glob("*.msg"))[:2]:
        lost.unlink()
    text = write_report(folder).read_text(encoding="utf-8")
    assert "parts 1, 2 of" in text
    assert "the others are in messages that did not come" in text
    assert "or of which no message came" in text


def test_totals_alone_without_a_log_are_a_page_too(tmp_path):
    folder = make_dive(tmp_path / "dive", budget_bytes=70, frames=(80, 20, 80), truth=False) / "messages"
    text = write_report(folder, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "only totals of the whole dive are known" in text
    assert text.count(">flux after Guidi") == 1


def test_totals_alone_are_still_a_report(tmp_path):
    folder = make_dive(tmp_path / "dive", budget_bytes=70, frames=(80, 20, 80), truth=False)
    found, view = look(folder)
    assert not view.curves.taxa
    (whole,) = decode_messages(found.messages.values(), [found.codebook]).dives
    assert view.taxa == whole.totals(Quantity.TAXA)[0].tolist() == found.summary.profile.taxa().tolist()
    text = write_report(folder).read_text(encoding="utf-8")
    assert "Only totals of the whole dive are on shore" in text


@pytest.mark.parametrize("frames", [(0, 0, 0), (12, 0, 0), (0, 8, 0), (0, 0, 3)])
def test_dives_of_one_phase_or_none(tmp_path, frames):
    folder = make_dive(tmp_path / "dive", frames=frames, truth=False)
    plots, _ = content(*look(folder))
    assert ("frames-park" in plots) == (frames[1] > 0)
    assert f"{sum(frames)} of {sum(frames)} frames" in write_report(folder).read_text(encoding="utf-8")


# --- bad input


def test_not_a_dive(tmp_path):
    with pytest.raises(
        InputError, match=r"has neither a dive\.sqlite nor messages; name the folder of a dive"
    ):
        write_report(tmp_path)
    (tmp_path / "dive.sqlite").write_bytes(b"nothing of the kind" * 300)
    with pytest.raises(DiveLogError, match="is not a dive log"):
        write_report(tmp_path)


def test_a_damaged_log_gets_a_sentence(dive, tmp_path):
    folder = copied(dive, tmp_path)
    db = sqlite3.connect(folder / "dive.sqlite")
    db.execute("UPDATE frames SET histogram = x'00' WHERE frame = 5")
    db.commit()
    db.close()
    with pytest.raises(DiveLogError, match=r"dive\.sqlite: is damaged"):
        write_report(folder)


@pytest.mark.parametrize("text", ["{", "[1]", '{"taxa": 3}', '{"taxa": {}, "phases": [{"phase": "up"}]}'])
def test_a_damaged_truth_gets_a_sentence(dive, tmp_path, text):
    folder = copied(dive, tmp_path)
    (folder / "truth.json").write_text(text, encoding="utf-8")
    with pytest.raises(DiveLogError, match=r"truth\.json: "):
        write_report(folder)


def test_a_page_that_cannot_be_written_gets_a_sentence(dive, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_report(dive, tmp_path / "file" / "page.html")


@pytest.mark.parametrize("package", ["plotly.offline", "jinja2"])
def test_without_the_shore_extra_one_sentence(dive, tmp_path, monkeypatch, capsys, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as ended:
        main(["report", str(dive), "--out", str(tmp_path / "page.html")])
    assert ended.value.code == 2
    assert "pip install 'seston[shore]'" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_the_command_prints_the_path(dive, tmp_path):
    done = CliRunner().invoke(
        report, [str(dive), "--out", str(tmp_path / "page.html"), "--max-vignettes", "2"]
    )
    assert done.exit_code == 0
    assert done.output == f"{tmp_path / 'page.html'}\n"


# --- in a real browser


@pytest.mark.parametrize(("width", "deepest"), [(390, 300), (1400, 1500)])
def test_a_browser_draws_it(page, tmp_path, width, deepest):
    if deepest > 1000:
        made = make_dive(tmp_path / "deep", deepest_dbar=deepest, frames=(200, 20, 200))
        page = write_report(made).read_text(encoding="utf-8")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    visible = "[...document.querySelectorAll('[data-figure]')].filter((p) => !p.closest('[hidden]'))"
    drawn = "document.querySelectorAll('[data-figure] .main-svg:first-child').length"
    panels = "document.querySelectorAll('.panel:not([hidden])').length"
    first = "document.querySelector('[data-figure=profile-taxon-0]').data"
    with Browser(tmp_path / "profile", width, 900) as browser:
        browser.open((tmp_path / "page.html").as_uri())
        browser.until("performance.getEntriesByName('first-live-plot').length")
        assert browser.value(f"{visible}.every((p) => parseInt(p.style.minHeight) > 100)")
        browser.value("dispatchEvent(new Event('beforeprint'))")
        assert browser.value(f"{visible}.every((p) => p.querySelector('.main-svg'))"), "paper has all plots"
        browser.until("document.documentElement.dataset.plots === 'drawn'")
        assert browser.value("document.documentElement.scrollWidth") <= width, "no sideways scroll"
        assert browser.value(f"{visible}.length") > 10
        assert browser.value("document.querySelectorAll('.panel .scatterlayer path.js-line').length") > 10
        assert browser.value("document.querySelectorAll('.heatmaplayer image').length") == 3
        browser.value("document.querySelector('#vignettes img').scrollIntoView()")
        browser.until("document.querySelector('#vignettes img').naturalWidth > 0")
        before = browser.value(drawn)
        for chosen, n in (("none", 0), ("all", 2 + len(LABELS))):
            browser.value(f"document.querySelector('[data-choose={chosen}]').click()")
            assert browser.value(panels) == n
        assert browser.value(drawn) > before
        shapes = f"{first}.filter((trace) => trace.visible !== false).length"
        n_shapes, n_points = browser.value(shapes), browser.value(f"{first}[0].y.length")
        browser.value("document.querySelector('[data-toggle=phase] input[value=descent]').click()")
        browser.until(f"{shapes} === {n_shapes - 2}")
        browser.value("document.querySelector('.bins input[value=\"@recorded\"]')?.click()")
        assert (browser.value(f"{first}[0].y.length") > n_points) == (deepest > 1000)
        assert {url.partition(":")[0] for url in browser.requests} <= {"file", "data", "blob"}
        assert not browser.complaints


def test_the_page_can_be_seen_before_a_plot_is_drawn(page):
    place = re.search(r'<div data-figure="track"[^>]*>(.*?)</div>', page, re.DOTALL)
    assert place is not None
    assert place.group(1).startswith("<svg")
    assert "hours since the first frame" in place.group(1)
