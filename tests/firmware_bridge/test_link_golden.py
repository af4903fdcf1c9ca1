"""The vectors of docs/link.md are what these ends say and understand, and what their generator writes."""

from __future__ import annotations

import json

import pytest

from firmware_bridge.framing import Deframer, encode_frame
from firmware_bridge.link import ObjectReceived, Peer, Power
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_records import SPECS, Role, unpack_record
from firmware_bridge.link_wire import Numbered, pack, unpack
from tests.golden.make_link import FILE, in_words, make

pytestmark = pytest.mark.board

KEPT = json.loads(FILE.read_text(encoding="utf-8"))
ROLE = {role.name.lower(): role for role in Role}


def test_the_generator_writes_the_file():
    assert make() == KEPT


@pytest.mark.parametrize("vector", KEPT["frames"], ids=lambda vector: vector["says"][:30])
def test_a_frame_says_what_it_says(vector):
    body = bytes.fromhex(vector["body"])
    assert list(Deframer().feed(bytes.fromhex(vector["frame"]))) == [body]
    assert encode_frame(body).hex() == vector["frame"]
    read = unpack(body, ROLE[vector["from"]])
    assert repr(read) == vector["says"]
    assert pack(read) == body


def test_every_record_has_a_vector():
    said = set()
    for vector in KEPT["frames"]:
        read = unpack(bytes.fromhex(vector["body"]), ROLE[vector["from"]])
        said.add(type(read.record if isinstance(read, Numbered) else read))
    assert {spec.record for spec in SPECS} <= said


@pytest.mark.parametrize("vector", KEPT["streams"], ids=lambda vector: vector["is"])
def test_a_stream_is_cut_so(vector):
    found = [None if body is None else body.hex() for body in Deframer().feed(bytes.fromhex(vector["bytes"]))]
    assert found == vector["bodies"]


@pytest.mark.parametrize("vector", KEPT["unreadable"], ids=lambda vector: vector["why"])
def test_what_must_be_ignored_is(vector):
    body, role = bytes.fromhex(vector["body"]), ROLE[vector["from"]]
    assert unpack(body, role) is None
    peer = Peer(role.other, 1)
    assert peer.receive(encode_frame(body), 0.0) == []
    assert peer.counts.unreadable == 1


@pytest.mark.parametrize("exchange", KEPT["exchanges"], ids=lambda exchange: exchange["name"])
def test_a_host_replays_an_exchange(exchange):
    host = Peer(Role.HOST, exchange["boot_id"], max_object_bytes=exchange["max_object_bytes"])
    seen = set()
    for step in exchange["steps"]:
        for line in step["does"]:
            verb, *words = line.split()
            if verb == "say":
                packed = bytes.fromhex(words[0])
                host.say(next(
                    record for flag in (True, False)
                    if (record := unpack_record(packed, Role.HOST, acknowledged=flag)) is not None
                ))  # fmt: skip
            else:
                host.send(LinkObject(int(words[0]), int(words[1]), bytes.fromhex(words[2])))
        events = host.receive(bytes.fromhex(step["hears"]), step["at_ms"] / 1000)
        assert [in_words(event) for event in events] == step["events"]
        for event in events:
            if isinstance(event, ObjectReceived):
                host.stored(event.item)
        assert host.to_send(4096).hex() == step["says"]
        seen |= {line.split()[0] for line in step["events"]}
    if exchange["name"] == "a dive":
        assert host.power is Power.SAFE
    expected = {
        "a dive": {"opened", "record", "received"},
        "uploads": {"opened", "delivered", "refused", "received"},
        "losses and silence": {"opened", "received", "delivered", "silent", "heard"},
        "resets of the instrument": {"opened", "received", "delivered"},
    }
    assert seen == expected[exchange["name"]]
