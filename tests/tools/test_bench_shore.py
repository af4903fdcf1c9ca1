"""The benchmark of the shore runs, and tells what its table says; how fast is nobody's test."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from click.testing import CliRunner

pytest.importorskip("gsw", reason="needs the shore extra")
pytest.importorskip("plotly", reason="needs the shore extra")
pytest.importorskip("distributed", reason="needs the scale extra")

from tests.tools.shore.sorting.made import SHOWN, draw, typed
from tools.bench.chromium import NAMES
from tools.cli import cli


def test_a_small_run_tells_time_memory_and_size(tmp_path):
    file = tmp_path / "shore.json"
    done = CliRunner().invoke(cli, ["bench", "shore", "--objects", "40", "--json", str(file)])
    assert done.exit_code == 0, done.output
    found = json.loads(file.read_text())
    assert [row[0] for row in found["rows"]] == [
        "export ecotaxa, 4 objects", "export check, 4 objects",
        "export ecotaxa, 40 objects", "export check, 40 objects",
    ]  # fmt: skip
    export, report, archive = found["tables"]
    assert [row[0] for row in report["rows"]] == [
        "report, 40 objects", "report opens: loaded, first plot seen", "report: first plot that answers",
        "report: all plots",
    ]  # fmt: skip
    assert all(len(row) == len(one["columns"]) for one in found["tables"] for row in one["rows"])
    assert export["rows"] == found["rows"]
    numbers = found["numbers"]
    assert numbers["export_mb"] == numbers["check_mb"] > 0
    assert 20 < numbers["export_peak_mb"] < 1000
    assert numbers["export_cpu_s"] > 0
    assert numbers["measure_ms"] > 0
    assert 4 < numbers["report_mb"] < 15
    if any(map(shutil.which, NAMES)):
        assert 0 < numbers["report_open_s"] <= numbers["report_live_s"] <= numbers["report_drawn_s"]
    assert [row[0] for row in archive["rows"]] == [
        "one process, 4 vignettes", "Dask, one worker, 4 vignettes", "Dask, two workers, 4 vignettes",
        "one process, 40 vignettes", "Dask, one worker, 40 vignettes", "Dask, two workers, 40 vignettes",
        "one process, 4 frames", "one process, 24 frames",
    ]  # fmt: skip
    for workers in range(3):
        assert 0 < numbers[f"reprocess_{workers}_steps_s"] < numbers[f"reprocess_{workers}_cpu_s"]
    assert sum("Estimate" in note for note in archive["notes"]) == 3


def test_objects_go_with_the_shore_alone():
    done = CliRunner().invoke(cli, ["bench", "segment", "--objects", "40"])
    assert done.exit_code == 2
    assert "--objects goes with `bench shore`" in done.output


def test_sorting_is_measured_on_sorted_images(tmp_path):
    pytest.importorskip("sklearn", reason="needs the train extra")
    from tools.bench.shore_sort import sort_table

    for kind in SHOWN:
        draw(tmp_path / "sorted" / kind, 150, kinds=(kind,))
    found = sort_table(tmp_path / "sorted", ("demo",), is_bright_field=False)
    assert all(len(row) == len(found["columns"]) for row in found["rows"])
    numbers = found["numbers"]
    assert numbers["sort_images"] == 600
    assert numbers["demo_purity"] > 0.9
    assert numbers["demo_sorted"] > 0.5
    assert numbers["demo_cluster_s"] > 0


def test_sorting_needs_data():
    done = subprocess.run(
        typed("bench", "shore", "--part", "sort"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--data: needs sorted images" in done.stderr
