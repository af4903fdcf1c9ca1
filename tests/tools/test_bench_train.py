"""The training benchmark trains on one thread and tells what its table says; how fast is nobody's test."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from tools.bench import train
from tools.cli import cli


@pytest.mark.slow
def test_a_small_run_tells_speed_and_memory(tmp_path):
    file = tmp_path / "train.json"
    done = CliRunner().invoke(cli, ["bench", "train", "--images", "512", "--json", str(file)])
    assert done.exit_code == 0, done.output
    found = json.loads(file.read_text())
    numbers = found["numbers"]
    assert numbers["images"] == train.LEAST_IMAGES == 512
    assert numbers["varied_per_s"] > 0
    assert numbers["images_per_s"] > 0
    assert numbers["images_per_cpu_s"] > 0
    assert numbers["first_step_s"] > 0
    # TensorFlow alone takes more than a hundred. 512 images of 96 px, their five numbers and label, twice.
    assert 100 < numbers["imported_mb"] < numbers["peak_mb"] < 4_000
    assert numbers["data_set_mb"] == pytest.approx(2 * 512 * (96 * 96 + 5 + 8) / 1e6)
    assert [len(row) for row in found["rows"]] == [len(found["columns"])]


def test_the_child_is_told_to_take_one_thread_before_it_imports(monkeypatch):
    seen = {}

    def run(command, env, **_):
        seen.update(env)
        raise RuntimeError("enough")

    monkeypatch.setattr(train.subprocess, "run", run)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "8")
    with pytest.raises(RuntimeError, match="enough"):
        train.bench(512)
    assert seen["TF_NUM_INTRAOP_THREADS"] == seen["TF_NUM_INTEROP_THREADS"] == seen["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize("arguments", [("segment", "--images", "600"), ("train", "--images", "10")])
def test_images_are_trainings_alone_and_enough_for_some_steps(arguments):
    done = CliRunner().invoke(cli, ["bench", *arguments])
    assert done.exit_code == 2
    assert "--images" in done.output
