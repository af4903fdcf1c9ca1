"""What goes into an installer, part by part: library, rules, wheels; without any wheel of the board."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
import zipfile
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import load_config
from edge.errors import InputError
from edge.inference.bundle import load_bundle
from edge.logged import optics_of
from tools.flashing.edgetpu import AR, library_of
from tools.flashing.on_board import places
from tools.flashing.wheels import check_closed, least_glibc, wheel_of
from tools.unit import GROUPS

RULES = files("edge") / "udev" / "60-seston.rules"


def elf(machine):
    return b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00" + machine.to_bytes(2, "little") + bytes(44)


def package(library):
    inside = io.BytesIO()
    with tarfile.open(fileobj=inside, mode="w:xz") as tar:
        member = tarfile.TarInfo("./usr/lib/aarch64-linux-gnu/libedgetpu.so.1.0")
        member.size = len(library)
        tar.addfile(member, io.BytesIO(library))
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": inside.getvalue()}
    data = AR
    for name, body in members.items():
        data += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(body):<10}`\n".encode()
        data += body + b"\n" * (len(body) % 2)
    return data


def test_the_library_of_an_edge_tpu_comes_as_it_is_or_in_its_package(tmp_path):
    file = tmp_path / "libedgetpu1-std.deb"
    for data in (elf(183), package(elf(183))):
        file.write_bytes(data)
        assert library_of(file, "aarch64") == elf(183)
    file.write_bytes(package(elf(62)))
    with pytest.raises(InputError, match="is no library for aarch64"):
        library_of(file, "aarch64")
    with pytest.raises(InputError, match="cannot be read"):
        library_of(tmp_path / "none", "aarch64")


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(0, 3))
def test_what_is_no_library_is_a_sentence(tmp_path_factory, rest, kind):
    file = tmp_path_factory.mktemp("odd") / "odd.deb"
    whole = package(elf(183))
    file.write_bytes((rest, AR + rest, whole[: len(rest)], whole[:200] + rest)[kind])
    with pytest.raises(InputError):
        library_of(file, "aarch64")


def test_rules_name_groups_that_the_service_is_in():
    lines = [line for line in RULES.read_text().splitlines() if line and not line.startswith("#")]
    part = r'[A-Z]+(\{\w+\})?(==|=)"[^"]*"'
    for line in lines:
        assert re.fullmatch(rf"{part}(, {part})*", line), line
    groups = set(re.findall(r'GROUP="(\w+)"', RULES.read_text()))
    assert groups <= set(GROUPS)
    assert places.GROUPS == GROUPS


def test_udev_takes_the_rules(tmp_path):
    if shutil.which("udevadm") is None:
        pytest.skip("needs udevadm")
    told = subprocess.run(["udevadm", "verify", "--help"], capture_output=True, check=False)
    if told.returncode:
        pytest.skip("udevadm verify came with systemd 254")
    file = tmp_path / "60-seston.rules"
    file.write_text(RULES.read_text())
    done = subprocess.run(["udevadm", "verify", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_configuration_can_start():
    config = load_config(str(files("tools.flashing") / "float.toml"))
    optics_of(config)
    load_bundle(config.bundle)


def wheel(folder, name, *needs):
    file = folder / name
    project, version = name.split("-")[:2]
    with zipfile.ZipFile(file, "w") as out:
        told = "".join(f"Requires-Dist: {one}\n" for one in needs)
        out.writestr(
            f"{project}-{version}.dist-info/METADATA", f"Name: {project}\nVersion: {version}\n{told}"
        )
    return wheel_of(file, "")


def test_wheels_are_judged_for_the_board_and_not_for_this_machine(tmp_path):
    one = wheel(
        tmp_path, "one-1.0-py3-none-any.whl", "two>=2; python_version >= '3.13'", "three; extra == 'more'"
    )
    two = wheel(tmp_path, "two-2.1-cp313-cp313-manylinux2014_aarch64.manylinux_2_27_aarch64.whl")
    check_closed([one], "3.11", "aarch64")
    with pytest.raises(InputError, match=r"one-1.0-py3-none-any.whl: needs two>=2.* which is not inside"):
        check_closed([one], "3.13", "aarch64")
    check_closed([one, two], "3.13", "aarch64")
    assert least_glibc([one, two]) == "2.27"
    heavy = wheel(tmp_path, "tensorflow-2.0-py3-none-any.whl")
    with pytest.raises(InputError, match="needs tensorflow"):
        check_closed([one, heavy], "3.11", "aarch64")
