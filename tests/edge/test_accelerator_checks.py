"""Every part of an accelerator that is missing is told with a remedy; what is there is tried for real."""

from __future__ import annotations

import dataclasses
import struct

import pytest

from edge import accelerator_checks as room
from edge.accelerator_checks import accelerator_checks
from edge.config import ClassifyConfig
from edge.inference.bundle import load_bundle
from edge.inference.edgetpu_device import FRESH, USED
from edge.inference.edgetpu_library import LIBRARY
from edge.inference.edgetpu_model import CUSTOM_OP
from edge.selftest import Status
from tests.edge.inference.made_libraries import NEWER, OLD, for_another_machine, make_library
from tests.edge.inference.test_edgetpu_device import card, plug, rule

pytestmark = pytest.mark.board
NAME = struct.pack("<I", len(CUSTOM_OP)) + CUSTOM_OP.encode() + b"\0"
PLACE = f"usr/lib/x86_64-linux-gnu/{LIBRARY}"


@pytest.fixture(scope="module")
def demo():
    return load_bundle("demo")


def checks(bundle, root, asked="", **classify):
    return {
        check.name: check for check in accelerator_checks(bundle, ClassifyConfig(**classify), asked, root)
    }


def parts(found):
    return {name: check.status for name, check in found.items()}


def test_nothing_configured_and_nothing_asked_is_nothing_to_complain_of(demo, tmp_path):
    (check,) = accelerator_checks(demo, ClassifyConfig(), None, tmp_path)
    assert check.status is Status.NONE
    assert "the processor classifies" in check.message


def test_without_anything_it_says_what_is_missing_and_the_processor_classifies(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "find", lambda name, root: None)  # whatever this machine has
    found = checks(demo, tmp_path)
    assert parts(found) == {
        "tpu library": Status.BAD, "tpu device": Status.LOOK, "tpu model": Status.LOOK,
        "tpu goldens": Status.LOOK, "tpu fallback": Status.GOOD,
    }  # fmt: skip
    library = found["tpu library"].message
    assert f"{LIBRARY} is in none of /usr/lib/aarch64-linux-gnu" in library
    assert "install libedgetpu1-std 16.0tf2.19.1-1" in library
    assert "plug it in" in found["tpu device"].message
    assert "seston bundle edgetpu-check" in found["tpu model"].message
    assert "cannot be used" in found["tpu goldens"].message
    assert "then the processor took over: goldens reproduced" in found["tpu fallback"].message


def test_a_library_elsewhere_is_named(demo, tmp_path):
    there = make_library(tmp_path / PLACE)
    found = checks(demo, tmp_path, accelerator=str(tmp_path / "old" / LIBRARY))["tpu library"]
    assert f"is not there; {there} is: name that one" in found.message


def test_a_library_of_another_machine_is_not_loaded(demo, tmp_path):
    make_library(tmp_path / PLACE)
    for_another_machine(tmp_path / PLACE)
    found = checks(demo, tmp_path)
    assert found["tpu library"].status is Status.BAD
    assert "this machine's programs are for" in found["tpu library"].message
    assert "tpu version" not in found
    assert found["tpu fallback"].status is Status.GOOD
    (tmp_path / PLACE).write_text("<html>404</html>")
    assert "is no shared library" in checks(demo, tmp_path)["tpu library"].message


@pytest.mark.parametrize(
    ("flags", "version", "status", "words"),
    [
        (
            ("ABORTS",),
            NEWER,
            Status.BAD,
            "ended by SIGABRT while it was loaded; it said: F :73 no such thing",
        ),
        (("LACKS",), NEWER, Status.BAD, "it lacks the function tflite_plugin_create_delegate"),
        (("FAILS",), OLD, Status.BAD, "is older than RuntimeVersion(14)"),
        (("FAILS",), None, Status.LOOK, "has no edgetpu_version"),
        (("FAILS",), NEWER, Status.GOOD, "RuntimeVersion(14)"),
    ],
)
def test_a_library_that_is_wrong_is_told_and_survived(demo, tmp_path, flags, version, status, words):
    make_library(tmp_path / PLACE, *flags, version=version)
    found = checks(demo, tmp_path)
    assert found["tpu version"].status is status
    assert words in found["tpu version"].message
    assert found["tpu goldens"].status is Status.LOOK
    assert found["tpu fallback"].status is Status.GOOD
    assert "the accelerator failed 2 times, then the processor took over" in found["tpu fallback"].message


def test_an_accelerator_that_works_is_tried_and_its_process_killed(demo, tmp_path):
    """The made library leaves all operations to the processor: a model that says it is compiled runs too."""
    make_library(tmp_path / PLACE)
    plug(tmp_path, FRESH)
    rule(tmp_path, room.RULE.read_text())
    compiled = dataclasses.replace(demo, compiled=demo.model + NAME)
    found = checks(compiled, tmp_path, accelerator=LIBRARY)
    pair = found.pop("tpu pair")
    assert pair.status is Status.LOOK
    assert "which TensorFlow the library was built with is not told" in pair.message
    assert set(parts(found).values()) == {Status.GOOD}, found
    assert "reproduced on the accelerator" in found["tpu goldens"].message
    fallback = found["tpu fallback"]
    assert "its process was killed 2 times, then the processor took over" in fallback.message
    assert "times what the accelerator takes" in fallback.message
    assert fallback.told["same_names"] == len(demo.golden_inputs)
    assert "not used since it was plugged in, 5000 Mbit/s" in found["tpu device"].message


def test_a_model_that_is_not_compiled_runs_on_the_processor_and_that_is_said(demo, tmp_path):
    make_library(tmp_path / PLACE)
    found = checks(demo, tmp_path)
    assert found["tpu goldens"].status is Status.LOOK
    assert "nothing of the model runs on the accelerator" in found["tpu goldens"].message


def test_a_compiled_model_that_the_accelerator_does_not_take_gives_way_to_the_processor_s_own(demo, tmp_path):
    make_library(tmp_path / PLACE)
    broken = dataclasses.replace(demo, compiled=demo.model[:5000] + NAME)
    found = checks(broken, tmp_path)
    assert "the runtime refuses it" in found["tpu goldens"].message
    assert found["tpu fallback"].status is Status.GOOD


def test_a_model_that_asks_for_a_newer_library_is_told(demo, tmp_path):
    head = struct.pack("<I", 16) + b"DWN1" + struct.pack("<3H", 6, 8, 4) + b"\0\0" + struct.pack("<ii", 8, 15)
    make_library(tmp_path / PLACE, "FAILS")
    found = checks(dataclasses.replace(demo, compiled=demo.model + NAME + head), tmp_path)["tpu model"]
    assert found.status is Status.BAD
    assert "for RuntimeVersion(15) and newer, the library has 14" in found.message


def test_when_the_processor_does_not_take_over_it_is_bad(demo, tmp_path):
    make_library(tmp_path / PLACE, "FAILS")
    found = checks(dataclasses.replace(demo, model=demo.model[:5000]), tmp_path)["tpu fallback"]
    assert found.status is Status.BAD
    assert "the processor does not take over" in found.message


RIGHTS = [
    (
        "",
        0o600,
        Status.BAD,
        "no rule of udev gives 1a6e:089a and 18d1:9302 to a group, and this user may not",
    ),
    ("", 0o666, Status.LOOK, "sudo udevadm trigger, then plug it in again"),
    (
        'ATTRS{idVendor}=="1a6e",GROUP="plugdev"',
        0o666,
        Status.LOOK,
        "18d1:9302 to a group, the id that it has",
    ),
    ("ours", 0o600, Status.BAD, "sudo adduser $USER plugdev"),
    ("ours", 0o666, Status.GOOD, "a rule of udev keeps it so"),
]


@pytest.mark.parametrize(("text", "mode", "status", "words"), RIGHTS)
def test_rights_are_told_with_what_gives_them(tmp_path, monkeypatch, text, mode, status, words):
    node = plug(tmp_path, USED)
    node.chmod(mode)
    rule(tmp_path, room.RULE.read_text() if text == "ours" else text)
    monkeypatch.setattr(room, "own_rights", lambda file: file.stat().st_mode & 0o006 == 0o006)  # as nobody
    (device,) = room.devices(tmp_path)
    told = room._rights(device, tmp_path)
    assert told[0] is status
    assert words in told[1]


def test_a_device_without_a_node_or_that_the_library_does_not_list_is_told(tmp_path):
    card(tmp_path)
    plug(tmp_path, FRESH, speed="480").unlink()
    usb, pcie = room.devices(tmp_path)
    assert "give this container or service /dev/bus/usb" in room._rights(usb, tmp_path)[1]
    assert "install gasket-dkms" in room._rights(pcie, tmp_path)[1]
    fails = room.ask(make_library(tmp_path / "fails.so", "FAILS"))
    status, text, told = room._device([usb, pcie], fails)
    assert (status, told) == (Status.LOOK, {"devices": 2, "listed": 0})
    assert "480 Mbit/s, a port of USB 3 is faster" in text
    assert "the library lists none" in text
