"""What the native link must carry of a line."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tools.bench.bridge import SIZES, efficiency, fetching
from tools.bench.command import bench


@pytest.mark.parametrize(("size_bytes", "count"), SIZES.values())
def test_most_of_the_line_is_used(size_bytes, count):
    assert efficiency(0.0, size_bytes, count) >= 0.9
    assert efficiency(1e-3, size_bytes, count) >= 0.6


def test_on_a_line_that_is_hardly_one_all_arrives_nevertheless():
    assert 0.05 < efficiency(1e-2, 340, 10) < 0.5


def test_most_of_a_fast_line_is_used_to_fetch():
    assert fetching(0.0) >= 0.94
    assert fetching(1e-4) >= 0.85


def test_the_bench_prints_a_table():
    done = CliRunner().invoke(bench, ["bridge", "--sessions", "100"])
    assert done.exit_code == 0, done.output
    assert "0.001 flipped" in done.output
    assert "seston fetch" in done.output
    assert "times the least" in done.output
