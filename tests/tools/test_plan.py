"""What `seston plan` says is what the planner did, and its picture is of decoded messages."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from click.testing import CliRunner

from edge.divelog import DiveLog
from edge.frame import Phase
from edge.logged import summarise
from edge.telemetry import Quantity, decode_messages, plan
from tests.tools.made_dive import make_dive
from tools.cli import cli, main
from tools.planning import words
from tools.planning.sweep import noise_of_counting, profile_error, smallest_budget, sweep

BUDGET, MESSAGE = 700, 340


@pytest.fixture(scope="module")
def dive(tmp_path_factory):
    return make_dive(tmp_path_factory.mktemp("dive"), budget_bytes=BUDGET)


@pytest.fixture(scope="module")
def summary(dive):
    with DiveLog.open(dive) as log:
        return summarise(log)


@pytest.fixture(scope="module")
def points(summary):
    return sweep(summary, MESSAGE)


def invoke(*arguments):
    done = CliRunner().invoke(cli, ["plan", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


def test_every_layer_is_shown_with_its_bytes(dive, summary):
    planned = plan(summary, BUDGET, MESSAGE)
    lines = invoke(dive).splitlines()  # the budget and message size of the dive
    assert (
        f"{planned.n_bytes} of {BUDGET} bytes in {len(planned.messages)} messages of at most 340" in lines[0]
    )
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert [tuple(row) for row in cells] == words.rows(planned, summary.codebook)
    assert [int(row[5]) for row in cells] == [layer.n_bytes for layer in planned.layers]


def test_what_the_next_bytes_buy_is_the_difference_of_two_plans(dive, summary):
    output = invoke(dive, "--budget-bytes", 400)
    planned, more = plan(summary, 400, 340), plan(summary, 740, 340)
    assert f"({more.n_bytes - planned.n_bytes} would be used)" in output
    told = re.findall(r"^  (\w+) of the (\w+): (.*) -> (.*?)( \(coarser\))?$", output, re.MULTILINE)
    changed = {
        (a.quantity.name.lower(), words.scope_name(a.scope))
        for a, b in zip(planned.layers, more.layers, strict=True)
        if (a.height, a.step) != (b.height, b.step)
    }
    assert changed
    assert {(name, phase) for name, phase, *_ in told} == changed


def test_a_dive_sent_whole_has_nothing_to_buy(dive):
    assert "more bytes buy nothing" in invoke(dive / "dive.sqlite", "--budget-bytes", 100_000)


def test_a_budget_too_small_says_how_many_bytes_it_takes(dive, summary, capsys):
    least = smallest_budget(summary, MESSAGE)
    plan(summary, least, MESSAGE)
    with pytest.raises(SystemExit) as left:
        main(["plan", str(dive), "--budget-bytes", str(least - 1)])
    assert left.value.code == 2
    assert f"allow at least {least} bytes" in capsys.readouterr().err


def test_no_dive_is_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["plan", str(tmp_path / "nowhere")])
    assert left.value.code == 2
    assert "nowhere" in capsys.readouterr().err


def test_resolution_is_the_width_of_the_cells(summary):
    for layer in plan(summary, 400, MESSAGE).layers:
        text = words.resolution(layer, summary.codebook)
        if layer.height is None:
            assert text == "not sent"
        elif layer.scope in (Phase.DESCENT, Phase.ASCENT) and layer.quantity.has_bins:
            edges = summary.codebook.edges(Phase(layer.scope), layer.n_bins)
            starts = [*range(0, layer.n_bins, 1 << layer.height), layer.n_bins]
            widths = {edges[b] - edges[a] for a, b in itertools.pairwise(starts)}
            told = {int(number) for number in re.findall(r"\d+", text)}
            assert told <= widths
            assert max(widths) in told


def test_the_sweep_goes_from_the_smallest_plan_to_all_of_it(summary, points):
    assert 6 <= len(points) <= 12
    assert [point.plan.n_bytes for point in points] == sorted({point.plan.n_bytes for point in points})
    assert points[0].budget_bytes == smallest_budget(summary, MESSAGE)
    assert all(point.plan.n_bytes <= point.budget_bytes for point in points)
    assert words.is_lossless(points[-1].plan.layers)
    assert set(points[0].errors.values()) == {1.0}  # totals of the dive are no profile
    assert set(points[-1].errors.values()) == {0.0}


@pytest.mark.parametrize("quantity", [Quantity.TAXA, Quantity.SIZES])
def test_the_error_is_reckoned_bin_by_bin(summary, points, quantity):
    point = points[len(points) // 2]
    (decoded,) = decode_messages(point.plan.messages, [summary.codebook])
    missed = whole = 0.0
    for part in summary.profile.phases:
        counts, ul = (
            (part.taxa, part.volume_classified_ul)
            if quantity is Quantity.TAXA
            else (part.lpm, part.volume_sized_ul)
        )
        table = decoded.phases[part.phase].tables.get(quantity)
        dense = table.dense() if table else None
        cell = dense[2] if dense else None
        for column in range(counts.shape[1]):
            for b in np.flatnonzero(ul):
                told = 0.0
                if cell is not None:
                    together = cell[:, column] == cell[b, column]
                    # What was sent: near the counts where it is companded, equal to them elsewhere.
                    sent = dense[0][together, column].sum()
                    assert sent == pytest.approx(counts[together, column].sum(), rel=0.5, abs=2)
                    told = sent / ul[together].sum()
                missed += (told - counts[b, column] / ul[b]) ** 2
                whole += (counts[b, column] / ul[b]) ** 2
    assert 0 < point.errors[quantity] < 1
    assert profile_error(summary, decoded, quantity) == pytest.approx(np.sqrt(missed / whole))


def test_the_noise_of_counting_is_what_a_second_dive_would_differ_by(summary):
    rng = np.random.default_rng(1)
    missed = whole = 0.0
    for part in summary.profile.phases:
        seen = part.volume_sized_ul > 0
        litres = part.volume_sized_ul[seen, None] / 1e6
        again = rng.poisson(part.lpm[seen])
        missed += np.square((again - part.lpm[seen]) / litres).sum()
        whole += np.square(part.lpm[seen] / litres).sum()
    assert noise_of_counting(summary, Quantity.SIZES) == pytest.approx(np.sqrt(missed / whole), rel=0.25)


def test_the_page_draws_the_sweep_and_asks_no_network(dive, summary, points, tmp_path):
    pytest.importorskip("plotly", reason="needs the shore extra")
    file = tmp_path / "deep" / "plan.html"
    invoke(dive, "--html", file)
    page = file.read_text(encoding="utf-8")
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=\"?(https?:)?//", page)
    found = re.search(r'<script type="application/json" id="plots">(.*?)</script>', page, re.DOTALL)
    figure = json.loads(found[1])["error"]
    lines = {trace["name"]: trace for trace in figure["data"]}
    for quantity, name in ((Quantity.TAXA, "taxa"), (Quantity.SIZES, "size classes")):
        assert lines[name]["x"] == [point.plan.n_bytes for point in points]
        assert lines[name]["y"] == pytest.approx([100 * p.errors[quantity] for p in points], rel=1e-4)
        noise = lines[f"noise of counting, {name}"]["y"]
        assert noise == pytest.approx([100 * noise_of_counting(summary, quantity)] * 2, rel=1e-4)
    assert "root mean square" in figure["layout"]["yaxis"]["title"]["text"]


CHECK = """<script>
addEventListener("load", () => setTimeout(() => {
  const frame = document.querySelector("iframe"), page = frame.contentDocument;
  document.getElementById("result").textContent = JSON.stringify({
    lines: page.querySelectorAll(".trace.scatter").length,
    scroll: page.documentElement.scrollWidth, width: page.documentElement.clientWidth,
    plot: page.querySelector(".main-svg").getBoundingClientRect().width,
  });
}, 2000));
</script>"""


@pytest.mark.parametrize("width", [390, 1400])
def test_a_browser_draws_the_page(dive, tmp_path, width):
    pytest.importorskip("plotly", reason="needs the shore extra")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("needs a Chromium to look at the page with, and none is installed")
    invoke(dive, "--html", tmp_path / "page.html")
    frame = f'<iframe src="page.html" style="width:{width}px;height:900px;border:0"></iframe>'
    (tmp_path / "test.html").write_text(f"<pre id=result></pre>{frame}{CHECK}", encoding="utf-8")
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--allow-file-access-from-files", "--window-size=1500,1000",
         f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
         "--virtual-time-budget=60000", "--dump-dom", (tmp_path / "test.html").as_uri()],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    result = json.loads(re.search(r'<pre id="result">(.+?)</pre>', done.stdout)[1])
    assert result["lines"] == 4
    assert result["scroll"] <= result["width"] <= width, "the page must not scroll sideways"
    assert 0.7 * width < result["plot"] < width
