"""One work file of drawn particles, embedded once; each test has a copy."""

from __future__ import annotations

import shutil

import pytest

pytest.importorskip("sklearn", reason="needs the train extra")

from tests.tools.shore.sorting.made import make_work


@pytest.fixture(scope="session")
def drawn_work(tmp_path_factory):
    return make_work(tmp_path_factory.mktemp("sorting"))


@pytest.fixture
def work_file(drawn_work, tmp_path):
    return shutil.copy(drawn_work, tmp_path / "cast.sort")
