"""Which Edge TPU is on the bus, and who may use it, by a made /sys, /dev and rules of udev."""

from __future__ import annotations

import os

import pytest

from edge.inference.edgetpu_device import FRESH, PCIE, RULE, USED, devices, may_use, own_rights, rules_for

pytestmark = pytest.mark.board


def plug(root, ids, place="2-1", bus=2, number=4, speed="5000"):
    """A device on USB, with its node."""
    folder = root / "sys/bus/usb/devices" / place
    folder.mkdir(parents=True)
    told = {"idVendor": ids[0], "idProduct": ids[1], "busnum": bus, "devnum": number, "speed": speed}
    for name, value in told.items():
        (folder / name).write_text(f"{value}\n")
    node = root / f"dev/bus/usb/{bus:03d}/{number:03d}"
    node.parent.mkdir(parents=True, exist_ok=True)
    node.touch()
    return node


def card(root, *nodes, place="0000:01:00.0"):
    """A device on PCIe."""
    folder = root / "sys/bus/pci/devices" / place
    folder.mkdir(parents=True)
    (folder / "vendor").write_text("0x1ac1\n")
    (folder / "device").write_text("0x089a\n")
    for node in nodes:
        (root / "dev").mkdir(exist_ok=True)
        (root / "dev" / node).touch()


def rule(root, text, folder="etc/udev/rules.d"):
    file = root / folder / "60-one.rules"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_both_ids_of_a_coral_on_usb_are_known(tmp_path):
    assert devices(tmp_path) == []
    plug(tmp_path, ("046d", "c31c"), "1-1", 1, 2)
    node = plug(tmp_path, FRESH, "1-2", 1, 12, "480")
    other = plug(tmp_path, USED)
    (tmp_path / "sys/bus/usb/devices/usb1").mkdir()
    first, second = devices(tmp_path)
    assert (first.ids, first.place, first.node, first.mbit_s) == (FRESH, "1-2", node, 480)
    assert (second.ids, second.node, second.mbit_s) == (USED, other, 5000)
    other.unlink()
    assert devices(tmp_path)[1].node is None


def test_one_on_pcie_is_known_by_its_bus_or_its_node(tmp_path):
    card(tmp_path)
    assert [(one.place, one.node) for one in devices(tmp_path)] == [("0000:01:00.0", None)]
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/apex_0").touch()
    assert [one.node for one in devices(tmp_path)] == [tmp_path / "dev/apex_0"]
    (tmp_path / "dev/apex_1").touch()
    assert [(one.ids, one.place) for one in devices(tmp_path)] == [(PCIE, "0000:01:00.0"), (PCIE, "apex_1")]


@pytest.mark.parametrize(
    ("mode", "uid", "gids", "may"),
    [
        (0o660, 1000, set(), False),
        (0o660, 1000, {46}, True),
        (0o640, 1000, {46}, False),
        (0o666, 1000, set(), True),
        (0o664, 1000, set(), False),
        (0o606, 1000, {46}, False),
        (0o000, 0, set(), True),
    ],
)
def test_a_node_is_used_by_owner_group_or_all(tmp_path, mode, uid, gids, may):
    node = tmp_path / "node"
    node.touch()
    node.chmod(mode)
    mine = node.stat()
    groups = {mine.st_gid if gid == 46 else gid for gid in gids}
    if uid == mine.st_uid != 0:
        uid += 1
    assert may_use(node, uid, groups) is may


def test_the_owner_needs_its_own_bits(tmp_path):
    node = tmp_path / "node"
    node.touch()
    node.chmod(0o600)
    assert own_rights(node)
    if os.geteuid():
        node.chmod(0o400)
        assert not own_rights(node)


def test_our_own_rule_speaks_of_every_kind(tmp_path):
    file = rule(tmp_path, RULE.read_text())
    assert [rules_for(ids, tmp_path) for ids in (FRESH, USED, PCIE)] == [[file]] * 3


def test_a_rule_for_one_id_or_in_a_comment_is_none_for_the_other(tmp_path):
    text = 'SUBSYSTEM=="usb",ATTRS{idVendor}=="1a6e",GROUP="plugdev"\n'
    text += '# ATTRS{idVendor}=="18d1",ATTRS{idProduct}=="9302",GROUP="plugdev"\n'
    text += 'ATTRS{idVendor}=="18d1",ATTRS{idProduct}=="4ee7",MODE="0666"\n'
    file = rule(tmp_path, text, "usr/lib/udev/rules.d")
    assert rules_for(FRESH, tmp_path) == [file]
    assert rules_for(USED, tmp_path) == rules_for(PCIE, tmp_path) == []
