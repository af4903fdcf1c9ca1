"""A composed recording through the whole house, as its user types it; and what it says to bad input."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge.divelog import DiveLog
from edge.errors import SestonError
from edge.frame import FrameOutcome
from edge.logged import summarise
from edge.storage import copy_without_vignettes
from edge.telemetry.codebook import load_codebook
from edge.telemetry.decoder import decode_messages
from tests.edge.test_instrument import scene
from tools.cli import cli

pytestmark = pytest.mark.board

SCENARIO = """
name = "small"
start_utc = "2025-06-01T06:00:00Z"
[camera]
width_px = 800
height_px = 640
[optics]
pixel_um = 73.0
aa_um2 = 2300.0
exp = 1.136
image_volume_l = 0.06
threshold = 21
[[legs]]
phase = "descent"
start_dbar = 0.0
end_dbar = 100.0
frames = 16
duration_s = 1000.0
[[legs]]
phase = "ascent"
start_dbar = 100.0
end_dbar = 0.0
frames = 8
duration_s = 1000.0
[faults]
unlit_every = 8
over_exposed = 0.1
corrupt = 0.1
[small]
one_px = 200.0
two_px = 40.0
slope = 2.4
[[taxa]]
label = "copepod"
per_l = 40.0
depth_dbar = 40.0
spread_dbar = 60.0
esd_um = [900.0, 2500.0]
[[taxa]]
label = "sphere"
per_l = 30.0
depth_dbar = 70.0
spread_dbar = 60.0
esd_um = [900.0, 2000.0]
"""


def seston(*args):
    """The command in this process; our own errors become their sentence and exit code 2, as in `main`."""
    result = CliRunner().invoke(cli, [str(arg) for arg in args])
    if isinstance(result.exception, SestonError):
        return 2, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def dive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dive")
    (folder / "scenario.toml").write_text(SCENARIO)
    assert (
        seston("compose", folder / "recording", "--scenario", folder / "scenario.toml", "--seed", 4)[0] == 0
    )
    code, said = seston(
        "simulate", folder / "recording", "--bundle", "demo", "--out", folder / "out", "--no-report"
    )
    assert code == 0, said
    return folder, said


def test_frames_add_up_on_board_and_on_shore(dive):
    folder, said = dive
    with DiveLog.open(folder / "out") as log:
        outcomes = summarise(log).profile.outcomes()
        messages = log.messages()
    assert outcomes.sum() == 24
    assert outcomes[FrameOutcome.UNLIT] > 0
    assert outcomes[FrameOutcome.CORRUPT] > 0
    book = load_codebook((folder / "out/messages/codebook.json").read_bytes())
    (shore,) = decode_messages(messages, [book]).dives
    assert shore.outcomes().tolist() == outcomes.tolist()
    assert "captured" in said


def test_truth_is_scored(dive):
    folder, said = dive
    truth = json.loads((folder / "out/truth.json").read_text())
    assert truth["detection"]["recall"] > 0.99
    assert truth["detection"]["precision"] > 0.99
    assert truth["wrong_outcomes"] == {}
    water = {name: counts["water"] for name, counts in truth["taxa"].items()}
    assert water["copepod"] > 5
    assert truth["bray_curtis_board"] == truth["bray_curtis_shore"] < 0.3
    assert "Bray-Curtis" in said
    assert "likely" in said
    assert "The instrument: restarts during the dive 0, over-exposed frames" in " ".join(said.split())
    assert 0 <= truth["bray_curtis_corrected"] <= truth["bray_curtis_board"] + 0.02
    assert "corrected" in said


def test_replay_gives_identical_bytes(dive):
    folder, _ = dive
    code, said = seston("replay", folder / "out", "--out", folder / "again")
    assert code == 0
    assert said.startswith("Identical: ")
    for file in (folder / "out/messages").glob("*.msg"):
        assert (folder / "again" / file.name).read_bytes() == file.read_bytes()


def test_replay_says_when_the_log_was_tampered_with(dive, tmp_path):
    folder, _ = dive
    copy = tmp_path / "dive.sqlite"
    copy.write_bytes((folder / "out/dive.sqlite").read_bytes())
    with sqlite3.connect(copy) as db:
        db.execute("DELETE FROM particles WHERE particle = (SELECT MIN(particle) FROM particles)")
    db.close()
    code, said = seston("replay", copy)
    assert code == 2
    assert "they differ" in said


def test_replay_says_that_vignettes_are_gone_and_blames_no_version(dive, tmp_path):
    folder, _ = dive
    copy = tmp_path / "dive.sqlite"
    log = folder / "out/dive.sqlite"
    n = copy_without_vignettes(log, copy, ended_only=False, counted_as="vignettes_not_fetched")
    code, said = seston("replay", copy)
    assert code == 2
    assert f"lacks {n} vignettes that were not fetched: pictures that were sent cannot be made again" in said
    assert "version" not in said


@pytest.mark.parametrize("budget", [250, 400, 2000])
def test_budgets_are_kept_and_totals_exact(dive, tmp_path, budget):
    folder, _ = dive
    code, said = seston(
        "simulate", folder / "recording", "--bundle", "demo", "--out", tmp_path, "--no-report",
        "--message-bytes", 200, "--budget-bytes", budget,
    )  # fmt: skip
    assert code == 0, said
    files = sorted((tmp_path / "messages").glob("*.msg"))
    sizes = [file.stat().st_size for file in files]
    assert max(sizes) <= 200
    assert sum(sizes) <= budget
    with DiveLog.open(tmp_path) as log:
        profile = summarise(log).profile
    book = load_codebook((tmp_path / "messages/codebook.json").read_bytes())
    (shore,) = decode_messages([file.read_bytes() for file in files], [book]).dives
    assert shore.taxa().tolist() == profile.taxa().tolist()
    assert shore.outcomes().tolist() == profile.outcomes().tolist()


def test_a_bare_folder_needs_fps_and_pressure_and_says_its_optics_are_nominal(tmp_path):
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"f{i}.png"), scene(i))
    code, said = seston("simulate", tmp_path, "--bundle", "demo", "--out", tmp_path / "out")
    assert code == 2
    assert "--fps" in said
    code, said = seston(
        "simulate", tmp_path, "--fps", 1, "--pressure", "30:10", "--threshold", 40,
        "--bundle", "demo", "--out", tmp_path / "out", "--no-report",
    )  # fmt: skip
    assert code == 0, said
    assert "nominal" in said
    with DiveLog.open(tmp_path / "out") as log:
        assert log.meta("config")["optics"]["threshold"] == 40
        assert {row["phase"] for row in log.frames()} == {2}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere"], "nowhere: is not there"),
        (["{rec}", "--bundle", "nosuch"], "nosuch"),
        (["{rec}", "--pressure", "5"], "--pressure: '5' is not START:END; give two numbers in dbar"),
        (["{rec}", "--message-bytes", "10"], "message_bytes"),
        (["{rec}", "--threshold", "300"], "threshold"),
        (["{rec}", "--config", "{bad}"], "perhaps `budget_bytes` is meant"),
        (["{rec}", "--out", "{out}"], "holds a dive already; choose another folder, or add --force"),
    ],
)
def test_bad_input_gets_a_sentence_and_exit_code_2(dive, tmp_path, args, said):
    folder, _ = dive
    (tmp_path / "bad.toml").write_text("[telemetry]\nbudget_kbytes = 3\n")
    names = {"rec": folder / "recording", "bad": tmp_path / "bad.toml", "out": folder / "out"}
    args = [arg.format(**names) for arg in args]
    defaults = [] if "--out" in args else ["--out", tmp_path / "out"]
    if "--bundle" not in args:
        defaults += ["--bundle", "demo"]
    code, output = seston("simulate", *args, *defaults, "--no-report")
    assert code == 2
    assert said in output
    assert output.count(";") >= 1
    assert "Traceback" not in output


def test_a_dive_whose_pressure_sensor_was_silent_is_still_sent(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for i in range(3):
        cv2.imwrite(str(frames / f"f{i}.png"), scene(i))
    (frames / "sensors.csv").write_text("time_s,pressure_dbar\n500,5\n510,6\n")
    code, said = seston(
        "simulate", frames, "--fps", 1, "--bundle", "demo", "--out", tmp_path / "out", "--no-report"
    )
    assert code == 0, said
    book = load_codebook((tmp_path / "out/messages/codebook.json").read_bytes())
    with DiveLog.open(tmp_path / "out") as log:
        (shore,) = decode_messages(log.messages(), [book]).dives
    assert shore.outcomes()[FrameOutcome.ANALYSED] == 3
    assert shore.taxa().sum() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_disk_too_small_for_vignettes_still_carries_the_dive(dive, tmp_path):
    folder, _ = dive
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4060k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        code, said = seston(
            "simulate", folder / "recording", "--bundle", "demo", "--out", disk / "out", "--no-report"
        )
        assert code == 0, said
        assert "vignettes were not kept" in said
        with DiveLog.open(disk / "out") as log:
            assert summarise(log).profile.outcomes().sum() == 24
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_main_prints_one_sentence_on_stderr(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "from tools.cli import main; main()", "replay", str(tmp_path / "none")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("seston: ")


def test_real_frames_with_hundreds_of_particles(shared, tmp_path):
    code, said = seston(
        "simulate", shared / "data/darkfield_frames", "--fps", 1, "--pressure", "10:12", "--threshold", 40,
        "--bundle", "darkfield", "--out", tmp_path, "--no-report",
    )  # fmt: skip
    assert code == 0, said
    with DiveLog.open(tmp_path) as log:
        frames = log.frames()
    assert [row["outcome"] for row in frames] == [FrameOutcome.ANALYSED] * 5
    assert all(1000 < row["n_particles"] < 2500 for row in frames)


def test_a_dive_does_not_depend_on_the_bloc_size(dive, tmp_path):
    folder, _ = dive
    (tmp_path / "one.toml").write_text("bundle = 'demo'\n[log]\nframes_per_bloc = 1\n")
    code, said = seston(
        "simulate",
        folder / "recording",
        "--config",
        tmp_path / "one.toml",
        "--out",
        tmp_path / "out",
        "--no-report",
    )
    assert code == 0, said
    messages = []
    for out in (folder / "out", tmp_path / "out"):
        with DiveLog.open(out) as log:
            messages.append(log.messages())
    assert messages[0] == messages[1]
    assert np.sum([len(message) for message in messages[0]]) > 100
