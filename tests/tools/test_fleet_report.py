"""The page of several dives, the comparison with dives before, and plots as files; in a real browser too."""

from __future__ import annotations

import json
import re
import shutil

import cv2
import numpy as np
import pytest

pytest.importorskip("plotly", reason="needs the shore extra")
pytest.importorskip("jinja2", reason="needs the shore extra")
pytest.importorskip("scipy", reason="needs the shore extra")
pytest.importorskip("matplotlib", reason="needs the shore extra")

from click.testing import CliRunner

from edge.errors import InputError
from tests.tools.browser import Browser
from tests.tools.made_dive import START_MS
from tests.tools.made_fleet import DAY_MS, make_fleet
from tools.cli import main
from tools.shore.report import fleet_map, report, sections
from tools.shore.report.command import write_fleet_report, write_report
from tools.shore.report.digest import find_dives, read_fleet
from tools.shore.report.fleet import fleet_content
from tools.shore.report.static import write_figures
from tools.shore.science.files import shipped_relations

RELATIONS = shipped_relations()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    return make_fleet(tmp_path_factory.mktemp("fleet"))


@pytest.fixture(scope="module")
def dives(fleet):
    found, not_taken = read_fleet(find_dives([fleet]), RELATIONS)
    assert not not_taken
    return found


@pytest.fixture(scope="module")
def page(fleet, tmp_path_factory):
    file, _ = write_fleet_report(find_dives([fleet]), tmp_path_factory.mktemp("page") / "fleet.html")
    return file


def test_every_dive_is_found_once_and_in_order(fleet, dives):
    assert len(find_dives([fleet, fleet])) == 5
    assert [(d.platform, d.number, d.from_log) for d in dives] == [
        ("float-a", 1, True), ("float-a", 2, True), ("float-a", 3, True), ("float-b", 7, True),
        ("unnamed float", 12, False),
    ]  # fmt: skip
    sent = dives[-1]
    assert sent.science.seen.latitude_deg == 43.9
    assert sent.started_ms is not None
    assert sent.budget_bytes is None
    assert all(d.sent_bytes > 0 and d.budget_bytes == 500 for d in dives[:-1])


def test_a_dive_of_which_both_came_is_shown_from_its_log(fleet, tmp_path):
    dive = shutil.copytree(fleet / "float-a" / "dive-00001", tmp_path / "dive")
    other = shutil.copytree(dive, tmp_path / "again")
    found, not_taken = read_fleet([dive, other], RELATIONS)
    assert len(found) == 1
    assert "is there twice" in not_taken[0]


def test_what_cannot_be_read_is_named_and_the_rest_is_shown(fleet, tmp_path):
    folder = tmp_path / "fleet"
    shutil.copytree(fleet / "float-a" / "dive-00001", folder / "good")
    (folder / "bad").mkdir()
    (folder / "bad" / "dive.sqlite").write_bytes(b"no log at all")
    done = CliRunner().invoke(report, ["--fleet", str(folder), "--out", str(tmp_path / "fleet.html")])
    assert done.exit_code == 0, done.output
    assert "bad/dive.sqlite" in done.output
    assert "bad/dive.sqlite" in (tmp_path / "fleet.html").read_text()
    shutil.rmtree(folder / "good")
    with pytest.raises(InputError, match="no dive that can be read"):
        write_fleet_report(find_dives([folder]), tmp_path / "other.html")


def test_a_section_has_a_column_a_dive_and_a_gap_where_none_was(dives):
    (_, plot), *others = sections.sections(dives, sections.EVERYTHING)
    heat = plot["data"][0]
    z = np.array([[np.nan if v is None else v for v in row] for row in heat["z"]])
    assert len(heat["x"]) == z.shape[1] + 1
    assert z.shape[1] == 4, "three dives, and a gap before the third, weeks later"
    assert np.isnan(z[:, 2]).all()
    assert np.isfinite(z[:, [0, 1, 3]]).any(axis=0).all()
    assert {name for name, _ in others} == {"float-b", "unnamed float"}
    text = next(word for row in heat["text"] for word in row if word)
    per_l, count, litres = (
        float(v.replace(",", "")) for v in re.findall(r": (\S+) L⁻¹ \((\S+) in (\S+) L", text)[0]
    )
    assert per_l == pytest.approx(count / litres, rel=0.02)


def test_sections_count_what_the_dives_counted(dives):
    edges = np.arange(0, 320, 10.0)
    for dive in dives[:4]:
        _, count, litres = sections.column(dive, sections.EVERYTHING, edges)
        free = [one for one in dive.science.seen.layers if one.scope.name != "park"]
        assert count.sum() == pytest.approx(sum(one.sized.count.sum() for one in free))
        assert litres.sum() == pytest.approx(sum(one.sized.volume_l for one in free))


def test_columns_never_overlap():
    times = [START_MS + day * DAY_MS for day in (30, 0, 5, 10, 11)]
    ends, columns = sections.time_edges(times)
    assert (np.diff(ends) > 0).all()
    assert columns == [1, 2, 3, 4, None, 0]
    for left, right, at in zip(ends, ends[1:], columns, strict=False):
        assert at is None or left <= times[at] <= right
    assert len(sections.time_edges([START_MS])[0]) == 2


def test_the_map_has_every_dive_and_the_coast_around(dives):
    content = fleet_content(dives, [])[0]["map"]
    coast, *tracks = content["data"]
    assert sum(len(trace["x"]) for trace in tracks) == 5
    near = [(x, y) for x, y in zip(coast["x"], coast["y"], strict=True) if x is not None]
    assert any(abs(x - 7.3) < 1 and abs(y - 43.7) < 0.6 for x, y in near), "Nice lies at the coast"
    assert len(near) < 3000, "only what is around is on the page"


def test_a_track_over_the_date_line_does_not_jump():
    assert fleet_map.beside([179.0, -179.5, 178.0]).tolist() == [179.0, 180.5, 178.0]
    assert fleet_map.beside([359.0, 1.0]).tolist() == [-1.0, 1.0]


def test_every_plot_is_valid_and_plain_json(dives):
    go = pytest.importorskip("plotly.graph_objects")
    plots, context = fleet_content(dives, ["one"])
    assert {"map", "budgets", "flux", "drift", "health-battery_mv", "section-0-0"} <= set(plots)
    assert len(context["rows"]) == 5
    for plot in plots.values():
        go.Figure(json.loads(json.dumps(plot, allow_nan=False)))


def test_a_dive_is_compared_with_those_before(fleet, tmp_path):
    a = fleet / "float-a"
    done = CliRunner().invoke(
        report,
        [str(a / "dive-00003"), "--before", str(a / "dive-00001"), "--before", str(a / "dive-00002"),
         "--before", str(tmp_path / "none"), "--out", str(tmp_path / "page.html")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    page = (tmp_path / "page.html").read_text()
    assert "3 (this)" in page
    assert "Compared with the dives before" in page
    assert str(tmp_path / "none") in page, "what is not there is named"
    plots = json.loads(re.search(r'id="plots">(.*?)</script>', page, re.DOTALL)[1])
    names = [trace["name"] for trace in plots["before-taxa"]["data"]]
    assert names == ["dive 1", "dive 2", "dive 3 (this)"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a", "b", "--before", "c"], "--before"),
        (["--fleet", "nowhere"], "is no folder"),
        (["--fleet", "."], "no dive"),
    ],
)
def test_bad_input_gets_a_sentence(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["report", *arguments])
    assert stop.value.code == 2
    assert words in capsys.readouterr().err


def test_plots_as_files_have_the_same_bytes_and_something_on_them(dives, tmp_path):
    plots = fleet_content(dives, [])[0]
    some = {name: plots[name] for name in ("map", "section-0-0", "budgets")}
    first, second = (write_figures(some, tmp_path / name) for name in ("a", "b"))
    assert [file.name for file in first][:2] == ["map.png", "map.pdf"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one
        if one.suffix == ".png":
            pixels = cv2.imread(str(one))
            assert (pixels != 255).any(axis=2).mean() > 0.01
        else:
            assert one.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("width", [390, 1400])
def test_a_browser_draws_the_fleet_and_asks_nobody(page, tmp_path, width):
    with Browser(tmp_path / "profile", width, 844) as browser:
        browser.open(page.as_uri())
        browser.until("document.documentElement.dataset.plots === 'drawn'")
        assert browser.value("document.documentElement.scrollWidth") <= width, "no sideways scroll"
        visible = "[...document.querySelectorAll('[data-figure]')].filter((p) => !p.closest('[hidden]'))"
        assert browser.value(f"{visible}.length") > 8
        assert browser.value(f"{visible}.every((p) => p.querySelector('.main-svg'))")
        browser.value("document.querySelector('[data-choose=all]').click()")
        assert browser.value("document.querySelectorAll('.panel[hidden]').length") == 0
        assert browser.value("document.querySelectorAll('.heatmaplayer image').length") > 3
        assert {url.partition(":")[0] for url in browser.requests} <= {"file", "data", "blob"}
        assert not browser.complaints


@pytest.mark.parametrize("width", [390, 1400])
def test_a_browser_draws_the_science_of_a_dive(fleet, tmp_path, width):
    dive = fleet / "float-a" / "dive-00002"
    file = write_report(dive, tmp_path / "page.html", before=[fleet / "float-a" / "dive-00001"])
    with Browser(tmp_path / "profile", width, 844) as browser:
        browser.open(file.as_uri())
        browser.until("document.documentElement.dataset.plots === 'drawn'")
        assert browser.value("document.documentElement.scrollWidth") <= width, "no sideways scroll"
        for place in ("science-numbers", "science-flux", "science-slope", "before-taxa"):
            assert browser.value(f"!!document.querySelector('[data-figure={place}] .main-svg')"), place
        assert {url.partition(":")[0] for url in browser.requests} <= {"file", "data", "blob"}
        assert not browser.complaints
