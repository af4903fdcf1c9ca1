"""The ladder of kills, short; `python -m tests.durability` is the long one."""

from __future__ import annotations

import pytest

from tests.durability.kills import kill_again_and_again

pytestmark = pytest.mark.board


@pytest.mark.not_emulated("its lives of at most 0.4 s end there before the service has done anything")
def test_killed_again_and_again_the_service_keeps_every_promise(tmp_path):
    tally = kill_again_and_again(tmp_path, kills=30, seed=3)
    assert tally.kills == 30
    assert tally.dives > 1
    assert tally.frames > 50
    assert tally.delivered > 3
