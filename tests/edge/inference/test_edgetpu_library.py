"""A library of an Edge TPU is found, told from others, and heard in a child that may die of it."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest

from edge.errors import BundleError
from edge.inference.bundle import load_bundle
from edge.inference.edgetpu_library import (
    LIBRARY,
    Answer,
    architecture_of,
    ask,
    find,
    in_cache,
    own_architecture,
    package_of,
)
from edge.inference.litert import Int8Model
from tests.edge.inference.made_libraries import NEWER, OLD, for_another_machine, make_library

pytestmark = pytest.mark.board
X86, ARM = "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"


def test_the_architecture_is_this_process_s_own():
    assert own_architecture() == platform.machine()
    assert architecture_of(Path(sys.executable).read_bytes()[:20]) == platform.machine()


def header(bits, machine):
    return b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9) + b"\x03\x00" + machine.to_bytes(2, "little")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (header(2, 183), "aarch64"),
        (header(2, 62), "x86_64"),
        (header(1, 40), "arm (32 bit)"),
        (header(2, 243), "machine 243"),
        (header(1, 62), "machine 62"),
        (b"\x7fELF\x02\x02" + bytes(20), None),
        (header(2, 62)[:19], None),
        (b"<html>" + bytes(20), None),
        (b"", None),
    ],
)
def test_an_elf_file_says_its_machine(data, told):
    assert architecture_of(data) == told


def test_a_library_is_looked_for_in_order_and_one_that_fits_goes_first(tmp_path):
    assert find(LIBRARY, tmp_path) is None
    last = make_library(tmp_path / "opt/seston/lib" / LIBRARY)
    assert find(LIBRARY, tmp_path).file == last
    foreign = for_another_machine(make_library(tmp_path / ARM / LIBRARY))
    assert find(LIBRARY, tmp_path).file == last, "the one before it is for another machine"
    mine = make_library(tmp_path / X86 / LIBRARY)
    assert find(LIBRARY, tmp_path).file == mine
    assert find(str(last), tmp_path).file == last, "a path is taken as it is"
    assert find(str(tmp_path / "nowhere.so"), tmp_path) is None
    mine.unlink()
    last.unlink()
    found = find(LIBRARY, tmp_path)
    assert (found.file, found.fits) == (foreign, False), "better told of than passed over"
    foreign.write_text("<html>404</html>")
    assert find(LIBRARY, tmp_path).architecture is None


def test_the_loader_s_cache_is_read():
    text = "2 libs found in cache\n\tlibedgetpu.so.1 (libc6,AArch64) => /lib/x/libedgetpu.so.1\n"
    text += "\tlibedgetpu.so.1.0 (libc6) => /lib/y\n\tmalformed\n"
    assert in_cache(text, LIBRARY) == [Path("/lib/x/libedgetpu.so.1")]


def test_the_package_that_brought_it_is_known(tmp_path):
    file = make_library(tmp_path / X86 / "libedgetpu.so.1.0")
    link = file.with_name(LIBRARY)
    link.symlink_to(file.name)
    assert package_of(link, tmp_path) is None
    info = tmp_path / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    (info / "libedgetpu1-std:amd64.list").write_text("/.\n/lib/x86_64-linux-gnu/libedgetpu.so.1.0\n")
    status = "Package: libc6\nStatus: install ok installed\nVersion: 2\n\nPackage: libedgetpu1-std\n"
    status += "Status: install ok installed\nVersion: 16.0tf2.19.1-1\nDescription: x\n Version: 9\n"
    (info.parent / "status").write_text(status)
    assert package_of(link, tmp_path) == ("libedgetpu1-std", "16.0tf2.19.1-1")
    other = make_library(tmp_path / "opt/seston/lib" / LIBRARY)
    assert package_of(other, tmp_path) is None


def test_a_library_that_is_well_says_all(tmp_path):
    answer = ask(make_library(tmp_path / LIBRARY))
    assert answer == Answer(NEWER, ("usb /sys/bus/usb/devices/2-1", "pci /dev/apex_0"), True, True)
    assert answer.runtime_version == 14


def test_what_is_wrong_with_a_library_is_told(tmp_path):
    lacks = ask(make_library(tmp_path / "lacks.so", "LACKS", version=OLD))
    assert lacks.problem == "it lacks the function tflite_plugin_create_delegate"
    assert (lacks.runtime_version, lacks.is_delegate) == (13, False)
    fails = ask(make_library(tmp_path / "fails.so", "FAILS"))
    assert (fails.problem, fails.devices, fails.is_delegate, fails.makes_delegate) == ("", (), True, False)
    assert fails.said == "no device is there"
    aborts = ask(make_library(tmp_path / "aborts.so", "ABORTS"))
    assert aborts.problem == "its process was ended by SIGABRT while it was loaded"
    assert aborts.said == "F :73 no such thing"
    foreign = ask(for_another_machine(make_library(tmp_path / "foreign.so")))
    assert foreign.problem.startswith("it cannot be loaded")
    assert "foreign.so" in foreign.problem
    nameless = ask(make_library(tmp_path / "nameless.so", version=None))
    assert (nameless.version, nameless.runtime_version, nameless.makes_delegate) == (None, None, True)


def test_a_library_that_hangs_is_left(tmp_path):
    answer = ask(make_library(tmp_path / "hangs.so", "HANGS"), patience_s=1.0)
    assert answer.problem == "it gave no answer within 1 s while its devices were listed"
    assert answer.version == NEWER
    before = set(os.listdir("/proc/self/fd"))
    ask(tmp_path / "nowhere.so")
    assert set(os.listdir("/proc/self/fd")) == before, "no file is left open"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (None, "its library is not there or cannot be loaded"),
        (("LACKS",), "its library is no accelerator's"),
        (("FAILS",), "its library finds no device that it may use"),
    ],
)
def test_every_way_to_lack_an_accelerator_is_one_error(tmp_path, flags, words):
    """OSError, AttributeError and ValueError, as the runtime raises them, are all told in words."""
    file = tmp_path / LIBRARY
    if flags is not None:
        make_library(file, *flags)
    with pytest.raises(BundleError, match=words) as caught:
        Int8Model(load_bundle("demo").model, delegate=str(file))
    assert caught.value.field == "classify.accelerator"
    assert "seston selftest --accelerator" in caught.value.remedy
