"""The work file: what goes in, what does not, who may add to it, and what a cut leaves."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess

import numpy as np
import pytest

from edge.errors import InputError
from tests.tools.made_dive import make_dive
from tests.tools.shore.sorting.made import SHOWN, draw, seston, typed
from tools.shore.sorting.session import Session
from tools.shore.sorting.work import Work


def contents(file):
    with Work.open(file) as work:
        images = work.images()
        return images.file, images.totals.tobytes(), images.score.tobytes(), work.faults()


def test_the_same_command_adds_nothing_and_the_same_images_give_the_same(drawn_work, tmp_path):
    images = drawn_work.parent / "images"
    file = shutil.copy(drawn_work, tmp_path / "again.sort")
    again = seston("sort", "embed", images, "--bundle", "demo", "--out", file)
    assert "0 images taken, 160 were there" in again.output
    assert contents(file) == contents(drawn_work)
    other = tmp_path / "other.sort"
    assert seston("sort", "embed", images, "--bundle", "demo", "--out", other).exit_code == 0
    assert contents(other) == contents(drawn_work)


def test_killed_it_goes_on_where_it_was(tmp_path, drawn_work):
    images = draw(tmp_path / "many", 300, kinds=SHOWN[:2])
    file = tmp_path / "killed.sort"
    command = typed("sort", "embed", images, "--bundle", "demo", "--out", file)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and n_images(file) == 0:
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = n_images(file)
    assert before >= 256
    done = seston("sort", "embed", images, "--bundle", "demo", "--out", file)
    assert f"{600 - before} images taken, {before} were there" in done.output
    whole = tmp_path / "whole.sort"
    seston("sort", "embed", images, "--bundle", "demo", "--out", whole)
    assert contents(file) == contents(whole)


def n_images(file):
    if not file.exists():
        return 0
    try:
        db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        try:
            return db.execute("SELECT COUNT(*) FROM images").fetchone()[0]
        finally:
            db.close()
    except sqlite3.Error:
        return 0


def test_duplicates_and_unreadable_images_are_listed_and_the_rest_is_kept(drawn_work, tmp_path):
    images = draw(tmp_path / "images", 5)
    shutil.copy(images / f"{SHOWN[0]}-0000.png", images / "twin.png")
    (images / "torn.png").write_bytes((images / f"{SHOWN[0]}-0001.png").read_bytes()[:80])
    (images / "empty.png").write_bytes(b"")
    file = tmp_path / "x.sort"
    done = seston("sort", "embed", images, "--bundle", "demo", "--out", file)
    assert done.exit_code == 0
    assert "20 images taken, 3 left out" in done.output
    assert f"twin.png: is the same image as {SHOWN[0]}-0000.png; it is left out." in done.stderr
    assert "torn.png: is truncated; copy the file again or remove it." in done.stderr
    assert {what.partition(":")[0].rpartition("/")[2] for _, _, what in contents(file)[3]} == {
        "twin.png", "torn.png", "empty.png"
    }  # fmt: skip
    shutil.copy(draw(tmp_path / "more", 1, seed=9) / f"{SHOWN[1]}-0000.png", images / "torn.png")
    again = seston("sort", "embed", images, "--bundle", "demo", "--out", file)
    assert "1 images taken, 20 were there, 2 left out" in again.output


def test_vignettes_of_a_dive(tmp_path, drawn_work):
    dive = make_dive(tmp_path / "dive", frames=(30, 5, 20))
    file = tmp_path / "dive.sort"
    done = seston("sort", "embed", dive, "--bundle", "demo", "--out", file)
    assert done.exit_code == 0, done.output
    with Session.open(file, "anna") as session:
        assert len(session.images.file) > 20
        kind, data = session.picture(int(session.images.image[0]))
        assert kind == "image/png"
        assert data.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        (("--bundle", "darkfield"), "bundle: was made with bundle demo"),
        (("--bundle", "demo", "--polarity", "bright-field"), "polarity: is 'dark-field' in it"),
    ],
)
def test_another_bundle_or_polarity_is_refused(work_file, tmp_path, how, sentence):
    before = contents(work_file)
    images = draw(tmp_path / "more", 2, seed=3)
    done = subprocess.run(
        typed("sort", "embed", images, *how, "--out", work_file), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(work_file) == before


def test_what_is_no_work_file(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("these are notes, long enough to be anything\n")
    other = tmp_path / "other.sqlite"
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE meta (key TEXT, value TEXT)")
    db.commit()
    db.close()
    for file, sentence in (
        (tmp_path / "none", "is not there"), (text, "is not a work file"), (other, "of this version"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=sentence), Work.open(file):
            pass
    assert text.read_text().startswith("these are notes")
    assert {one.name for one in tmp_path.iterdir()} <= {
        "notes.txt", "other.sqlite", "other.sqlite-wal", "other.sqlite-shm"
    }  # fmt: skip


def test_a_damaged_file_is_a_sentence(work_file):
    with work_file.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(40_000))
    with pytest.raises(InputError), Session.open(work_file, "anna"):
        pass


def test_undone_decisions_stay_in_the_history(work_file):
    times = iter(f"2026-11-27T12:00:0{i}Z" for i in range(9))
    with Session.open(work_file, "anna", lambda: next(times)) as session:
        assert session.cluster(20) >= 2
        session.decide("name", {"cluster": 0, "name": "a"})
        state = session.state.cluster.copy()
        session.decide("reject", {"cluster": 0})
        assert session.undo()
        np.testing.assert_array_equal(session.state.cluster, state)
        assert session.state.clusters[0].name == "a"
    with Work.open(work_file) as work:
        told = work.history()
    assert [(who, kind, bool(undone)) for _, _, who, kind, undone, _ in told] == [
        ("anna", "cluster", False), ("anna", "name", False), ("anna", "reject", True)
    ]  # fmt: skip
    assert told[2][1] < told[2][4]
