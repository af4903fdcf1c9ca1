"""Workers and whole runs are killed, really: the results are the same, and nothing is done twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="needs the scale extra")
pytest.importorskip("pyarrow", reason="needs the scale extra")
pytest.importorskip("h5netcdf", reason="needs the shore extra")

import psutil

from tests.tools.shore.reprocess.conftest import draw_vignettes, tree
from tests.tools.test_simulate import seston
from tools.reprocess import make_job
from tools.shore.reprocess import run, work
from tools.shore.reprocess.naming import PART_SIZE
from tools.shore.reprocess.run import do_here, do_on, local_client, reprocess

pytestmark = pytest.mark.slow
N_VIGNETTES, N_DRAWN = 2 * PART_SIZE + 7, 300
"""Files, and how many of them differ."""
ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def large(archive, tmp_path_factory):
    """A set of vignettes of several parts, and a dive and a recording."""
    root = tmp_path_factory.mktemp("large") / "archive"
    drawn = sorted(draw_vignettes(root / "vignettes", N_DRAWN, 7).iterdir())
    for i in range(N_DRAWN, N_VIGNETTES):
        os.link(drawn[i % N_DRAWN], root / f"vignettes/{i:04d}.png")
    shutil.copytree(archive / "dives/a", root / "a")
    shutil.copytree(archive / "cruise/rec_1", root / "rec")
    return root


@pytest.fixture(scope="module")
def alone(large, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "out"
    code, said = seston("reprocess", large, "--bundle", "demo", "--out", out, "--workers", 0)
    assert code == 0, said
    return tree(out)


def job_for(out):
    return make_job("demo", out, None, invert=False, keep=False)


def test_a_worker_killed_in_the_middle_changes_nothing(large, alone, tmp_path):
    killed = []

    def kill_one(course):
        if course.n_objects >= PART_SIZE and not killed:
            killed.extend(client.run(os.getpid).values())
            os.kill(killed[0], signal.SIGKILL)

    with local_client(2, 0, tmp_path / "scratch") as client:
        summary = reprocess(large, job_for(tmp_path / "out"), do_on(client, 2), 2, kill_one)
        assert killed
        assert killed[0] not in client.run(os.getpid).values()
    assert not summary.failed
    assert tree(tmp_path / "out") == alone


def die_of_dives(job, source):
    """What a picture does that crashes a decoder."""
    if source.name == "a":
        os._exit(1)
    return work.begin(job, source)


def test_what_kills_every_worker_is_given_up_and_named(large, alone, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "begin", die_of_dives)
    with local_client(2, 0, tmp_path / "scratch") as client:
        summary = reprocess(large, job_for(tmp_path / "out"), do_on(client, 2), 2, lambda course: None)
    assert [one.source for one in summary.failed] == ["a"]
    assert "ends every process that works on it" in summary.failed[0].faults[0].reason
    found = tree(tmp_path / "out")
    others = {
        name for name in alone if "dive=a/" not in name and name not in ("done/a.json", "failures.parquet")
    }
    assert {name: found[name] for name in others} == {name: alone[name] for name in others}


def test_a_run_killed_in_the_middle_goes_on_where_it_was(large, alone, tmp_path, monkeypatch):
    out = tmp_path / "out"
    command = "from tools.cli import main; main()"
    arguments = ["reprocess", str(large), "--bundle", "demo", "--out", str(out), "--workers", "2"]
    started = subprocess.Popen(
        [sys.executable, "-c", command, *arguments], cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    workers: list[psutil.Process] = []
    until_s = time.monotonic() + 120
    while not list(out.glob("work/*/named-*.npz")):
        assert started.poll() is None, "it was through before it could be killed"
        assert time.monotonic() < until_s
        workers = psutil.Process(started.pid).children(recursive=True)
    started.kill()
    started.wait()
    psutil.wait_procs(workers, timeout=60)
    assert not [one for one in workers if one.is_running()], "workers outlive the run"
    n_before = len(list(out.glob("work/vignettes.*/named-*.npz")))
    done_before = {file.name for file in out.glob("done/*.json")}
    assert n_before
    assert "vignettes.json" not in done_before
    named, begun = [], []
    name_part, begin = work.name_part, work._begin
    monkeypatch.setattr(work, "name_part", lambda *all: named.append(all[4]) or name_part(*all))
    monkeypatch.setattr(
        work, "_begin", lambda job, source, place: begun.append(source.name) or begin(job, source, place)
    )
    summary = reprocess(large, job_for(out), do_here, 1, lambda course: None)
    assert not summary.failed
    assert "vignettes" not in begun
    of_set = [file for file in named if file.parent.name.startswith("vignettes.")]
    assert len(of_set) == 3 - n_before
    assert not {json.loads((out / "done" / name).read_text())["source"] for name in done_before} & set(begun)
    assert tree(out) == alone


def test_two_runs_do_not_share_a_folder(large, tmp_path):
    with run._folder_of(job_for(tmp_path / "out")):
        code, said = seston("reprocess", large, "--bundle", "demo", "--out", tmp_path / "out", "--workers", 0)
    assert code == 2
    assert "is in use by another run; wait, or choose another" in said


def test_a_cluster_that_runs_already(large, alone, tmp_path, monkeypatch):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=2, host="127.0.0.1", dashboard_address=None, silence_logs=50,
        local_directory=str(tmp_path / "scratch"),
    ) as cluster:  # fmt: skip
        monkeypatch.chdir(large.parent)  # its worker is elsewhere
        arguments = (large.name, "--bundle", "demo", "--out", tmp_path / "out")
        code, said = seston("reprocess", *arguments, "--scheduler", cluster.scheduler_address)
        monkeypatch.setattr(run, "VERSION", "0.0")
        refused = seston("reprocess", *arguments, "--scheduler", cluster.scheduler_address)
    assert code == 0, said
    assert refused[0] == 2
    assert "has another seston than this process, or none; start it with the same" in refused[1]
    assert tree(tmp_path / "out") == alone


def test_a_cluster_that_is_not_there(large, tmp_path):
    code, said = seston(
        "reprocess", large, "--bundle", "demo", "--out", tmp_path / "out", "--scheduler", "tcp://127.0.0.1:9"
    )
    assert code == 2
    assert "--scheduler: tcp://127.0.0.1:9 does not answer" in said
