"""`seston run` where nothing but its data folder can be written: real mounts, a real process, a dive."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from edge.telemetry.codebook import load_codebook
from edge.telemetry.decoder import decode_messages
from tests.durability.mounts import why_not
from tests.tools.test_run import float_side, stop, talk, wait_for_frames  # noqa: F401

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
READ_ONLY = """
set -e
mount --make-rprivate /
mount --bind {data} {data}
awk '{{print $2}}' /proc/mounts | sort -r | while read -r place; do
  case "$place" in
    {data}*|/proc*|/sys*|/dev/pts*) ;;
    *) mount -o remount,bind,ro "$place" 2>/dev/null || true ;;
  esac
done
mount -t tmpfs none /dev/shm
for place in / /tmp {home} {data}/..; do if touch "$place/written" 2>/dev/null; then exit 3; fi; done
exec {command}
"""


def start_read_only(config, folder, *, writable):
    """`seston run` in a mount namespace of its own."""
    run = [sys.executable, "-u", "-c", "from tools.cli import main; main()", "run"]
    run += ["--config", str(config), "--folder", str(folder)]
    script = READ_ONLY.format(
        data=shlex.quote(str(writable)), home=shlex.quote(os.getcwd()), command=shlex.join(run)
    )
    return subprocess.Popen(
        ["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def test_a_whole_dive_with_the_classifier_in_its_own_process(float_side):  # noqa: F811
    host, config, folder = float_side
    config.write_text(config.read_text() + "[classify]\nown_process = true\n")
    data = folder / "data"
    data.mkdir()
    process = start_read_only(config, data, writable=data)
    try:
        talk(process, host, [0.0, 0.5, 3.0, *range(6, 60, 3)], "begins at")
        wait_for_frames(data / "dives/00000/dive.sqlite", host, 10)
        said = talk(process, host, [60.0, *range(60, 0, -2), 0.5], "ended:")
        stop(process)
    finally:
        process.kill()
        process.wait()
    assert "lost" not in said
    (book,) = (data / "messages").glob("codebook-*.json")
    messages = [file.read_bytes() for file in (data / "messages").glob("*.msg")]
    (dive,) = decode_messages(messages, [load_codebook(book.read_bytes())]).dives
    assert dive.outcomes().sum() == int(said.split("ended: ")[1].split()[0])


def test_without_its_data_partition_it_says_so_in_a_sentence(float_side):  # noqa: F811
    """The mount point is there, empty, on the read-only root."""
    _, config, folder = float_side
    for name in ("data", "other"):
        (folder / name).mkdir()
    process = start_read_only(config, folder / "data", writable=folder / "other")
    said = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 2
    alarm, sentence = said.splitlines()
    assert alarm.startswith("ALARM: no updates are taken")
    assert sentence == f"seston: {folder}/data/dives: Read-only file system; check the disk and your rights."
