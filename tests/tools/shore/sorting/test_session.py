"""A person at work: what is decided is on the disk, what is taken back is gone, and what goes out is read."""

from __future__ import annotations

import sqlite3
from collections import Counter

import numpy as np
import pytest

from edge.errors import InputError
from edge.inference.preprocessing import Preprocessing
from tests.tools.shore.sorting.made import SHOWN, seston
from tools.shore.ecotaxa.check import check_archive
from tools.shore.sorting.export import named_images
from tools.shore.sorting.session import Session
from tools.shore.sorting.state import POOL
from training.datasets import read_dataset
from training.ecotaxa import EcotaxaArchive

NOW = "2026-11-27T12:34:56Z"


@pytest.fixture
def session(work_file):
    with Session.open(work_file, "anna", lambda: NOW) as found:
        yield found


def kind_of(session, row):
    return session.images.file[row].partition("-")[0]


def sort_all(session):
    """Accept, name and grow every cluster by what most of it is; returns the share that is right."""
    session.cluster(15)
    for number in list(session.state.clusters):
        kinds = Counter(kind_of(session, row) for row in session.members(number).tolist())
        session.decide("accept", {"cluster": number})
        session.decide("name", {"cluster": number, "name": kinds.most_common(1)[0][0]})
        session.grow_near(number)
    placed = np.flatnonzero(session.state.cluster != POOL).tolist()
    return np.mean(
        [session.name_of(int(session.state.cluster[row])) == kind_of(session, row) for row in placed]
    )


def test_drawn_particles_are_sorted_by_kind(session):
    assert sort_all(session) > 0.9
    assert {session.name_of(number) for number in session.state.clusters} == set(SHOWN)


def test_what_was_decided_is_there_again(session, work_file):
    sort_all(session)
    with Session.open(work_file, "bert") as other:
        np.testing.assert_array_equal(other.state.cluster, session.state.cluster)
        assert other.step == session.step
        assert other.overview() | {"who": "anna"} == session.overview()


def test_undo_goes_back_to_the_beginning(session):
    sort_all(session)
    steps = session.step
    told = []
    while session.undo():
        told.append(session.step)
    assert told == list(range(steps - 1, -1, -1))
    assert not session.state.clusters
    assert (session.state.cluster == POOL).all()


def test_a_disk_that_does_not_take_it_changes_nothing(session, monkeypatch):
    session.cluster(15)
    before = session.state.cluster.copy()

    def refuse(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(session._work, "decide", refuse)
    with pytest.raises(sqlite3.OperationalError):
        session.decide("reject", {"cluster": 0})
    np.testing.assert_array_equal(session.state.cluster, before)
    assert 0 in session.state.clusters


def test_folders_go_into_training(session, work_file, tmp_path):
    sort_all(session)
    session.decide("name", {"cluster": 0, "name": "Copepoda__25828"})
    out = tmp_path / "sorted"
    done = seston("sort", "export", work_file, "--out", out)
    assert done.exit_code == 0, done.output
    assert f"next: seston retrain {out} --out run" in done.output
    data = read_dataset(out, Preprocessing(size_px=32))
    wanted = Counter(one.name for one in named_images(session))
    assert Counter(data.taxonomy.classes[i].partition("__")[0] for i in data.labels) == Counter(
        {name.partition("__")[0]: n for name, n in wanted.items()}
    )
    assert any(taxon.ecotaxa_id == 25828 for taxon in data.taxonomy.taxa)
    first = named_images(session)[0]
    assert (out / first.name / first.file).read_bytes() == session.file_bytes(first.image)
    with pytest.raises(InputError, match="is there already"):
        seston("sort", "export", work_file, "--out", out)


def test_an_archive_that_ecotaxa_takes(session, work_file, tmp_path):
    sort_all(session)
    out = tmp_path / "sorted.zip"
    assert seston("sort", "export", work_file, "--ecotaxa", out).exit_code == 0
    assert not check_archive(out).is_refused
    with EcotaxaArchive(out) as archive:
        rows = archive.objects()
        assert {row.status for row in rows} == {"validated"}
        assert Counter(row.category for row in rows) == Counter(one.name for one in named_images(session))
        assert {row.values["object_annotation_person_name"] for row in rows} == {"anna"}
        assert {row.values["object_annotation_time"] for row in rows} == {"123456"}


def test_nothing_named_is_a_sentence(session, work_file, tmp_path):
    session.cluster(15)
    session.decide("name", {"cluster": 0, "name": "bell"})  # nobody has looked at it
    with pytest.raises(InputError, match="no cluster that was accepted and has a name"):
        seston("sort", "export", work_file, "--out", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_the_log_tells_who_and_when(session, work_file):
    session.cluster(15)
    session.decide("reject", {"cluster": 0})
    session.undo()
    told = seston("sort", "log", work_file).output.splitlines()
    assert told[0].split() == ["1", NOW, "anna", "cluster"]
    assert told[1].endswith(f"reject  (taken back {NOW} by anna)")
