"""The script at an installer's head, under the shells of boards: a whole file runs, all else is a sentence.

The file is a real installer with nothing to install inside, so that it is small.
"""

from __future__ import annotations

import os
import platform
import random
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tools.flashing.installer import Contents, write_file
from tools.flashing.on_board.payload import Manifest, Payload
from tools.flashing.on_board.refusal import Refusal

SHELLS = ("dash", "busybox sh", "bash")
PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def manifest():
    if platform.system() != "Linux" or not os.access(PYTHON, os.X_OK):
        pytest.skip(f"needs Linux and {PYTHON}")
    said = subprocess.run([PYTHON, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    return Manifest("9.9", platform.machine(), "2.17", 315_532_800, ("3.1", said.stdout.strip()), ())


@pytest.fixture(scope="module")
def make(manifest, tmp_path_factory):
    def made(**other):
        contents = Contents()
        contents.add("wheels/any/one.whl", random.Random(1).randbytes(100_000), "wheel")
        file = tmp_path_factory.mktemp("head") / "seston-9.9.run"
        write_file(file, replace(manifest, entries=tuple(contents.entries), **other), contents)
        return file

    return made


@pytest.fixture(scope="module")
def whole(make):
    return make()


@pytest.fixture(params=SHELLS)
def shell(request):
    words = request.param.split()
    if shutil.which(words[0]) is None:
        pytest.skip(f"needs {words[0]}")
    return words


def call(shell, file, *options, before=()):
    return subprocess.run([*before, *shell, str(file), *options], capture_output=True, text=True, check=False)


def refused(said, words):
    assert said.returncode == 2, said
    assert said.stdout == ""
    assert said.stderr.startswith("seston: ")
    assert said.stderr.count("\n") == 1
    assert words in said.stderr


def test_a_whole_file_runs(shell, whole):
    said = call(shell, whole, "--check")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout == "This machine can have seston 9.9; nothing was changed.\n"
    assert "--rollback" in call(shell, whole, "--help").stdout


@pytest.mark.parametrize("where", ["head", "sum", "wheel", "end", "cut off", "longer", "cut off in the head"])
def test_a_file_that_is_not_whole_is_refused(shell, whole, tmp_path, where):
    data = bytearray(whole.read_bytes())
    with zipfile.ZipFile(whole) as inside:
        wheel = inside.getinfo("wheels/any/one.whl").header_offset + 5000
    place = {"head": data.index(b"umask"), "sum": data.index(b"SHA256=") + 9, "wheel": wheel, "end": -9}
    if where == "longer":
        data += b"\n"
    elif where.startswith("cut off"):
        del data[-1000 if where == "cut off" else data.index(b"said=") :]
    else:
        data[place[where]] ^= 1
    file = tmp_path / "t.run"
    file.write_bytes(data)
    said = call(shell, file, "--check")
    assert said.returncode == 2
    assert said.stdout == ""
    # Damaged in the script, it may be one no longer: the shell says so, and runs nothing.
    is_script = where in ("head", "sum", "cut off in the head")
    assert "copy it anew" in said.stderr or (is_script and "yntax error" in said.stderr)


def test_another_machine_is_refused(shell, make):
    other = {"x86_64": "aarch64"}.get(platform.machine(), "x86_64")
    said = call(shell, make(arch=other), "--check")
    refused(said, f"this machine is {platform.machine()}, the file is for {other}; take the file for")


def test_a_32_bit_processor_is_refused(shell, whole):
    if platform.machine() != "x86_64":
        pytest.skip("linux32 is what an x86-64 can be")
    refused(call(shell, whole, "--check", before=("setarch", "linux32")), "this machine is i686, the file is")


def test_a_python_that_has_no_wheels_is_refused(shell, make, manifest):
    said = call(shell, make(pythons=("3.1", "3.2")), "--check")
    refused(said, f"Python 3.1 or 3.2 is needed, here is {manifest.pythons[1]}")


def test_a_c_library_that_is_too_old_is_refused(shell, make):
    refused(call(shell, make(glibc="2.99"), "--check"), "glibc 2.99 is needed; use a newer system")


def test_who_is_not_root_is_told_so(shell, whole):
    if os.geteuid() == 0:
        whole.chmod(0o755)
        for folder in whole.parents[:4]:  # one more with pytest's workers than without
            folder.chmod(folder.stat().st_mode | 0o011)
    before = ("setpriv", "--reuid", "65534", "--clear-groups") if os.geteuid() == 0 else ()
    refused(call(shell, whole, before=before), "only root may install; call it with sudo.")


def test_a_file_whose_manifest_says_more_than_is_inside_is_refused(make, tmp_path):
    file = make()
    with zipfile.ZipFile(file) as inside:
        (entry,) = Payload(file).manifest.of("wheel")
        where = inside.getinfo(entry.file).header_offset + 5000
    data = bytearray(file.read_bytes())
    data[where] ^= 1
    damaged = tmp_path / "t.run"
    damaged.write_bytes(data)
    said = subprocess.run(
        [PYTHON, "-I", "-B", str(damaged), "--check"], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, "the script compares the sum; Python, what it unpacks"
    with pytest.raises(Refusal, match="is damaged"):
        Payload(damaged).read(entry)


def test_a_clock_at_1970_is_no_hindrance(whole, tmp_path):
    """To the script and to Python: what they compare is never dated by the clock."""
    library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
    if library is None:
        pytest.skip("needs libfaketime")
    clock = ("env", f"LD_PRELOAD={library}", "FAKETIME=1970-01-01 00:00:10")
    said = subprocess.run([*clock, "date", "+%Y"], capture_output=True, text=True, check=True)
    assert said.stdout == "1970\n"
    assert call(["dash"], whole, "--check", before=clock).returncode == 0
