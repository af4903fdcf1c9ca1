"""A file is whole or as it was, and its name is on the disk when the call returns."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from edge.durable import PART, write_durably

pytestmark = pytest.mark.board


def test_a_file_is_written_replaced_and_has_its_rights(tmp_path):
    file = tmp_path / "a"
    write_durably(file, b"one")
    write_durably(file, b"two", mode=0o600)
    assert file.read_bytes() == b"two"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


def test_rights_do_not_come_from_what_a_power_cut_left(tmp_path):
    (tmp_path / f"a{PART}").write_bytes(b"left")
    (tmp_path / f"a{PART}").chmod(0o666)
    write_durably(tmp_path / "a", b"new", mode=0o600)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_content_is_on_the_disk_before_its_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(handle):
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def note_replace(self, target):
        done.append("name")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    write_durably(tmp_path / "a", b"new")
    assert done == ["file", "name", "folder"]


def test_a_disk_that_refuses_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    file = tmp_path / "a"
    write_durably(file, b"old")

    def refuse(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        write_durably(file, b"new")
    assert file.read_bytes() == b"old"
