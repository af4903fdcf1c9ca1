"""The kernel lets nobody write to the disk any more, in the middle of a dive: a real ext4, a real link."""

from __future__ import annotations

import pytest

from edge.divelog import DiveLog
from edge.inference.bundle import load_bundle
from edge.logged import codebook_of
from edge.telemetry.decoder import decode_messages
from firmware_bridge import link_records as wire
from tests.durability.mounts import ext4, why_no_ext4
from tests.edge.test_hosts import CONFIG, START, Float

pytestmark = pytest.mark.skipif(why_no_ext4() is not None, reason=str(why_no_ext4()))
BREAKS_AT = 14


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("demo")


def breaking(frames, disk):
    for frame in frames:
        if frame.index == BREAKS_AT:
            disk.breaks()
        yield frame


def decoded(messages, bundle):
    (dive,) = decode_messages(messages, [codebook_of(CONFIG, bundle)]).dives
    return dive


def test_the_dive_goes_on_in_memory_and_its_messages_have_every_frame(tmp_path, bundle):
    with ext4(tmp_path / "disk") as disk:
        folder = disk.place / "float"
        folder.mkdir()
        floating = Float(folder, bundle)
        camera = floating.service._diving.camera
        camera._frames = breaking(camera._frames, disk)
        floating.run(60, *START, (40, wire.Stop()))
        said, messages = floating.log, floating.messages()
        with pytest.raises(OSError, match="Read-only"):
            (folder / "anything").touch()
        again = Float(folder, bundle).run(20, (5, wire.Stop()))
    alarms = [one for one in said if one.startswith("ALARM")]
    assert len(alarms) == 2, said
    assert alarms[0].startswith("ALARM: the disk does not take dive 00000 (")
    assert alarms[1].startswith("ALARM: the messages of dive 00000 are in memory alone: ")
    n_frames = int(next(one for one in said if "ended: " in one).split("ended: ")[1].split()[0])
    assert n_frames > 35
    assert decoded(messages, bundle).outcomes().sum() == n_frames
    assert any("goes on after" in one for one in again.log), "one that starts on such a disk does what it can"
    assert decoded(again.messages(), bundle).outcomes().sum() < n_frames


def test_after_a_repair_the_dive_goes_on_with_what_the_disk_had(tmp_path, bundle):
    with ext4(tmp_path / "disk") as disk:
        folder = disk.place / "float"
        folder.mkdir()
        floating = Float(folder, bundle)
        camera = floating.service._diving.camera
        camera._frames = breaking(camera._frames, disk)
        floating.run(30, *START)
        assert any("waits in memory" in one for one in floating.log)
        disk.is_repaired()
        again = Float(folder, bundle).run(20, (5, wire.Stop()))
        committed = BREAKS_AT // 4 * 4
        assert f"dive 00000 goes on after {committed} frames" in again.log
        with DiveLog.open(folder / "dives" / "00000") as log:
            n_frames = len(list(log.records()))
            assert log.has_meta("ended_ms")
        assert n_frames > committed
        assert decoded(again.messages(), bundle).outcomes().sum() == n_frames
