"""The card of a unit: what its file says, the record of its slots, a system as a file, no image at all."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import zlib

import pytest

from edge.errors import ConfigError, InputError
from tools.flashing.card import SLOTS_BYTES
from tools.flashing.ext4 import settle_times
from tools.flashing.inspect_card import inspect, read_slots
from tools.flashing.system import UUIDS, pack
from tools.flashing.system_file import System
from tools.flashing.unit_file import read_unit
from tools.flashing.verify_tree import verify_versions

FLOAT = """
bundle = "demo"
[optics]
pixel_um = 73.0
image_volume_l = 0.6
threshold = 21
aa_um2 = 2300.0
exp = 1.136
"""


def a_unit(folder, login, more=""):
    (folder / "float.toml").write_text(FLOAT)
    (folder / "unit.toml").write_text(
        f'hostname = "float-17"\nconfig = "float.toml"\n{more}\n[login]\n{login}\n'
    )
    return folder / "unit.toml"


def test_a_unit_lets_nobody_in_by_default(tmp_path):
    with pytest.raises(ConfigError, match="no default password"):
        read_unit(a_unit(tmp_path, ""))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl hashes the password")
def test_the_password_goes_on_the_card_as_a_hash_the_same_each_time(tmp_path):
    (tmp_path / "password.txt").write_text("correct horse 17\n")
    unit = a_unit(tmp_path, 'password_file = "password.txt"')
    found = read_unit(unit)
    assert found["password"].startswith(b"$6$")
    assert b"horse" not in b"".join(found.values())
    assert read_unit(unit) == found
    assert found["hostname"] == b"float-17\n"
    assert b"LinkLocalAddressing=ipv4" in found["10-wired.network"]


def test_a_short_password_and_a_private_key_are_refused(tmp_path):
    (tmp_path / "password.txt").write_text("short\n")
    with pytest.raises(ConfigError, match=r"password_file.*use 10 or more"):
        read_unit(a_unit(tmp_path, 'password_file = "password.txt"'))
    (tmp_path / "key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n")
    with pytest.raises(ConfigError, match="never put it on a card"):
        read_unit(a_unit(tmp_path, 'authorized_keys = "key"'))


def test_a_unit_with_a_wrong_name_or_a_missing_file_is_refused(tmp_path):
    (tmp_path / "key.pub").write_text("ssh-ed25519 AAAA deck\n")
    unit = a_unit(tmp_path, 'authorized_keys = "key.pub"', 'keys = "keys.toml"')
    with pytest.raises(ConfigError, match=r"keys\.toml"):
        read_unit(unit)
    unit.write_text(unit.read_text().replace("float-17", "Float 17"))
    with pytest.raises(ConfigError, match="hostname"):
        read_unit(unit)


def test_the_record_of_the_slots_is_read_and_a_damaged_one_refused():
    rows = b"seston_good=B\0seston_trial=A\0seston_left=2\0\0"
    told = rows.ljust(SLOTS_BYTES - 4, b"\0")
    record = struct.pack("<I", zlib.crc32(told)) + told
    assert read_slots(record) == {"seston_good": "B", "seston_trial": "A", "seston_left": "2"}
    with pytest.raises(InputError, match="damaged"):
        read_slots(record[:10] + b"x" + record[11:])


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd packs a system")
def test_a_system_comes_back_as_it_was_and_a_damaged_one_is_refused(tmp_path):
    work = tmp_path / "work"
    (work / "firmware").mkdir(parents=True)
    (work / "firmware" / "start.elf").write_bytes(b"starts")
    slot = bytes(range(256)) * 4096 + bytes(1 << 20)
    (work / "system.ext4").write_bytes(slot)
    (work / "packages.txt").write_text("python3 3.13.5-1 arm64\n")
    pack(work, tmp_path / "one.system", "trixie", None)
    (work / "system.ext4.zst").unlink()
    pack(work, tmp_path / "two.system", "trixie", None)
    assert (tmp_path / "one.system").read_bytes() == (tmp_path / "two.system").read_bytes()
    system = System(tmp_path / "one.system")
    system.unpack(tmp_path / "slot")
    assert (tmp_path / "slot").read_bytes() == slot
    system.unpack_firmware(tmp_path)
    assert (tmp_path / "start.elf").read_bytes() == b"starts"
    data = bytearray((tmp_path / "one.system").read_bytes())
    at = data.find(b"\x28\xb5\x2f\xfd")
    data[at + 40] ^= 1
    (tmp_path / "one.system").write_bytes(data)
    with pytest.raises(InputError, match=r"damaged|cannot be unpacked"):
        System(tmp_path / "one.system").unpack(tmp_path / "slot")


@pytest.mark.skipif(
    any(
        shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None
        for name in ("sfdisk", "mcopy", "debugfs")
    ),
    reason="sfdisk, mtools and debugfs read an image",
)
def test_what_is_no_card_is_said_in_a_sentence(tmp_path):
    (tmp_path / "x.img").write_bytes(bytes(1 << 20))
    with pytest.raises(InputError, match="no table of partitions"):
        list(inspect(tmp_path / "x.img"))
    subprocess.run(
        ["/usr/sbin/sfdisk", "--quiet", tmp_path / "x.img"],
        input=b"label: dos\n,,83\n",
        check=True,
        capture_output=True,
    )
    with pytest.raises(InputError, match="no card of seston"):
        list(inspect(tmp_path / "x.img"))


def test_an_installed_version_is_compared_file_by_file(tmp_path):
    site = tmp_path / "versions" / "1" / "site-packages"
    (site / "seston-1.dist-info").mkdir(parents=True)
    (site / "edge.py").write_bytes(b"")
    record = "edge.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n"
    (site / "seston-1.dist-info" / "RECORD").write_text(record)
    (tmp_path / "current").symlink_to("versions/1")
    assert verify_versions(tmp_path)[0] == "good"
    (site / "edge.py").write_bytes(b"x")
    status, told = verify_versions(tmp_path)
    assert status == "BAD"
    assert "edge.py has another hash" in told


@pytest.mark.skipif(
    any(shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None for name in ("mke2fs", "debugfs")),
    reason="e2fsprogs makes a file system",
)
def test_a_file_system_is_the_same_whenever_its_folder_was_made(tmp_path):
    made = []
    for name in ("one", "two"):
        folder, image = tmp_path / name / "in", tmp_path / name / "image"
        folder.mkdir(parents=True)
        (folder / "file").write_text("a dive")
        (folder / "link").symlink_to("file")
        for path in (folder / "file", folder / "link", folder):
            os.utime(path, (1_700_000_000 + len(made), 1_700_000_000), follow_symlinks=False)
        command = ["/usr/sbin/mke2fs", "-q", "-t", "ext4", "-d", folder, "-U", UUIDS["data"], "-E",
                   f"hash_seed={UUIDS['data']},root_owner=0:0,lazy_itable_init=0", image, "8m"]  # fmt: skip
        subprocess.run(command, check=True, env={"E2FSPROGS_FAKE_TIME": "1700000000"})
        made.append(image)
    assert made[0].read_bytes() != made[1].read_bytes()
    for image in made:
        settle_times(image, 1_700_000_000)
        subprocess.run(["/usr/sbin/e2fsck", "-f", "-n", image], check=True, capture_output=True)
    assert made[0].read_bytes() == made[1].read_bytes()
