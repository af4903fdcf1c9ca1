"""The record of the slots, by the programs that a board has for it; and the stick that opens its deck."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.resources import as_file, files

import pytest

from edge.errors import InputError
from tools.flashing import inspect_card
from tools.flashing.card import SLOTS_AT, SLOTS_BYTES
from tools.flashing.slots import Slots, read_slots, set_slots

ADMIN = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
NEEDED = ("fw_setenv", "fw_printenv", "mkenvimage")


def has(*names):
    return all(shutil.which(name, path=ADMIN) for name in names)


needs_record = pytest.mark.skipif(
    not has(*NEEDED), reason="libubootenv-tool and u-boot-tools write the record of the slots"
)


@pytest.fixture
def card(tmp_path):
    """A card with its record as it is made, and the file that says where it is."""
    record = tmp_path / "record"
    subprocess.run(
        ["mkenvimage", "-s", str(SLOTS_BYTES), "-o", record, "-"], input=b"seston_good=A\n", check=True,
        env={"PATH": ADMIN},
    )  # fmt: skip
    (tmp_path / "card.img").write_bytes(bytes(SLOTS_AT) + record.read_bytes() + bytes(4096))
    with as_file(files("tools.flashing") / "rootfs" / "etc" / "fw_env.config") as ours:
        told = ours.read_text().replace("/dev/seston-card", str(tmp_path / "card.img"))
    (tmp_path / "fw_env.config").write_text(told)
    return tmp_path


def started_with(card, slot):
    (card / "cmdline").write_text(f"ro quiet seston.slot={slot} seston.trial\n")
    return read_slots(card / "cmdline", card / "fw_env.config")


def on_card(card):
    """What U-Boot would read, with its sum."""
    return inspect_card.read_slots((card / "card.img").read_bytes()[SLOTS_AT : SLOTS_AT + SLOTS_BYTES])


@needs_record
def test_a_trial_is_written_for_u_boot_and_read_back(card):
    assert started_with(card, "A") == Slots("A", "A", "", 0)
    set_slots("A", "B", 2, card / "fw_env.config")
    assert started_with(card, "A") == Slots("A", "A", "B", 2)
    assert on_card(card) == {"seston_good": "A", "seston_trial": "B", "seston_left": "2"}
    set_slots("B", record=card / "fw_env.config")
    assert started_with(card, "B") == Slots("B", "B", "", 0)
    assert on_card(card) == {"seston_good": "B"}


@needs_record
def test_nothing_but_the_record_is_written(card):
    before = (card / "card.img").read_bytes()
    set_slots("A", "B", 2, card / "fw_env.config")
    after = (card / "card.img").read_bytes()
    assert len(after) == len(before)
    assert after[:SLOTS_AT] == before[:SLOTS_AT]
    assert after[SLOTS_AT + SLOTS_BYTES :] == before[SLOTS_AT + SLOTS_BYTES :]


@needs_record
def test_the_lines_of_the_trial_s_judge_make_its_slot_good(card):
    """The very lines of judge-trial that write, with the rest of it left out: it waits for minutes."""
    set_slots("A", "B", 1, card / "fw_env.config")
    script = (files("tools.flashing") / "rootfs/usr/lib/seston/judge-trial").read_text()
    (line,) = [line for line in script.splitlines() if "fw_setenv" in line]
    command = line.strip().removesuffix("&&").replace("fw_setenv", f"fw_setenv --config {card}/fw_env.config")
    subprocess.run(["sh", "-euc", command], check=True, env={"PATH": ADMIN, "slot": "B"})
    assert started_with(card, "B") == Slots("B", "B", "", 0)


@needs_record
def test_a_record_that_cannot_be_written_is_said(card):
    (card / "fw_env.config").write_text(f"{card}/none 0x80000 0x200\n")
    with pytest.raises(InputError, match="fw_setenv ended with"):
        set_slots("B", record=card / "fw_env.config")


def test_a_machine_without_slots_is_told_of_the_installer(tmp_path):
    (tmp_path / "cmdline").write_text("root=/dev/sda1 quiet\n")
    with pytest.raises(InputError, match=r"has no slots.*use the installer"):
        read_slots(tmp_path / "cmdline")


STICK = """
set -e
mount -t tmpfs none /run; mount -t tmpfs none /etc; mkdir /etc/seston
[ -z "$3" ] || printf '%s' "$3" | sha256sum > /etc/seston/deck.sha256
sh "$1" "$2" && [ -e /run/seston-stick ] && ! mountpoint -q /run/seston-stick.mount
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not has("mke2fs", "unshare", "losetup"),
    reason="root mounts a stick; e2fsprogs makes one",
)
def test_a_stick_sets_the_switch_with_the_key_of_this_unit_alone(tmp_path):
    stick, key = tmp_path / "stick.img", tmp_path / "on stick" / "deck.key"
    key.parent.mkdir()
    key.write_text("a key of thirty-two characters..")
    command = ["mke2fs", "-q", "-t", "ext4", "-L", "SESTON-DECK", "-d", key.parent, stick, "4m"]
    subprocess.run(command, check=True, env={"PATH": ADMIN})
    device = subprocess.run(
        ["losetup", "--find", "--show", stick],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": ADMIN},
    )
    if device.returncode:
        pytest.skip(f"this machine has no loop device: {device.stderr.strip()}")
    with as_file(files("tools.flashing") / "rootfs/usr/lib/seston/read-stick") as script:
        try:
            codes = [
                subprocess.run(
                    ["unshare", "--mount", "sh", "-c", STICK, "sh", script, device.stdout.strip(), unit],
                    check=False, capture_output=True, text=True, env={"PATH": ADMIN},
                )
                for unit in (key.read_text(), "the key of another unit, not ours", "")
            ]  # fmt: skip
        finally:
            subprocess.run(["losetup", "--detach", device.stdout.strip()], check=True, env={"PATH": ADMIN})
    assert [done.returncode for done in codes] == [0, 1, 1], codes
    assert "another unit's key" in codes[1].stdout
    assert "no key for a stick" in codes[2].stdout
