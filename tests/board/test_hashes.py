"""The hashes that `make board` compares are of messages that decode, and the same at every run."""

from __future__ import annotations

import pytest

from tests.board.hashes import CASES, hashes


@pytest.mark.board
def test_hashes_tell_dives_apart_and_repeat():
    found = hashes()
    assert set(found) == {*CASES, "request"}
    assert len(set(found.values())) == len(found)
    assert hashes() == found
