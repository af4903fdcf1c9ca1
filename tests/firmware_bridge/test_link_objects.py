"""Sender and receiver of objects, step by step: what a whole line would seldom show."""

from __future__ import annotations

import pytest

from firmware_bridge.framing import Deframer, encode_frame
from firmware_bridge.link import Heard, Peer, Silent
from firmware_bridge.link_objects import WINDOW_PIECES, LinkObject, ObjectReceiver, ObjectSender
from firmware_bridge.link_records import Ask, ObjectRefused, Reason, Role, Stop, Topic
from firmware_bridge.link_wire import Header, Hello, Numbered, Piece, Progress, RecordTaken, pack, unpack

pytestmark = pytest.mark.board

ITEM = LinkObject(1, 7, bytes(range(100)))
HEADER = Header.of(1, 7, ITEM.data)
NEXT = LinkObject(1, 8, b"next")


def sender(*items, max_body_bytes=38):
    """With bodies of 38 bytes: a first piece has 20 bytes of payload, the others 33."""
    made = ObjectSender()
    for item in items:
        made.add(item)
    made.restart(max_body_bytes)
    return made


def pieces(made, now_s=0.0):
    found = []
    while (piece := made.next_piece(now_s)) is not None:
        found.append(piece)
    return found


def receiver(**more):
    return ObjectReceiver(more.get("max_object_bytes", 1000), more.get("stored", ()), more.get("partial"))


def first(payload=ITEM.data, transfer=0, header=HEADER):
    return Piece(0, transfer, 0, header, payload)


def test_pieces_fill_the_window_and_go_on_into_the_next_object():
    made = sender(ITEM, NEXT)
    sent = pieces(made)
    assert [(p.transfer, p.offset_bytes, len(p.payload)) for p in sent] == [
        (0, 0, 20), (0, 20, 33), (0, 53, 33), (0, 86, 14),
    ]  # fmt: skip
    assert len(sent) == WINDOW_PIECES
    assert made.on_progress(Progress(0, 20), 1.0) == []
    assert [(p.transfer, p.header) for p in pieces(made)] == [(1, Header.of(1, 8, b"next"))]
    assert made.on_progress(Progress(1, 0), 2.0) == [ITEM]
    assert made.on_progress(Progress(2, 0), 2.0) == [NEXT]
    assert made.waiting == ()


def test_one_loss_is_mended_once_however_often_it_is_told():
    made = sender(ITEM)
    pieces(made)
    for _ in range(3):
        made.on_progress(Progress(0, 20, go_back=0), 1.0)
    again = pieces(made)
    assert [(p.tour, p.offset_bytes) for p in again] == [(1, 20), (1, 53), (1, 86)]
    made.on_progress(Progress(0, 20, go_back=0), 1.0)
    assert pieces(made) == []
    made.on_progress(Progress(0, 20, go_back=1), 1.0)
    assert [p.tour for p in pieces(made)] == [2, 2, 2]


def test_a_whole_that_was_damaged_is_sent_anew():
    made = sender(ITEM)
    pieces(made)
    made.on_progress(Progress(0, 86), 1.0)
    made.on_progress(Progress(0, 0, go_back=0), 1.0)
    assert [p.offset_bytes for p in pieces(made)] == [0, 20, 53, 86]


def test_tries_come_later_each_time_and_ask_for_what_is_stored():
    made, now_s, waits = sender(NEXT), 0.0, []
    pieces(made)
    made.on_progress(Progress(0, 4), 0.0)  # all has arrived, and is not stored
    for _ in range(6):
        waits.append(made.retry.due_s - now_s)
        now_s = made.retry.due_s
        made.on_due()
        (asked,) = pieces(made, now_s)
        assert (asked.transfer, asked.offset_bytes, asked.payload) == (0, 4, b"")
    assert waits == [3, 6, 12, 24, 30, 30]


@pytest.mark.parametrize("place", [Progress(1, 1), Progress(2, 0), Progress(0, 101), Progress(255, 0)])
def test_a_place_that_was_never_sent_changes_nothing(place):
    made = sender(ITEM, NEXT)
    made.next_piece(0.0)
    assert made.on_progress(place, 0.0) == []
    assert made.waiting == (ITEM, NEXT)
    assert [p.offset_bytes for p in pieces(made)] == [20, 53, 86]


def test_a_refused_object_makes_way():
    made = sender(ITEM, NEXT)
    pieces(made)
    assert made.on_refused(1) is None
    assert made.on_refused(0) == ITEM
    assert made.on_refused(1) is None  # its pieces have not gone out yet
    assert [(p.tour, p.transfer) for p in pieces(made)] == [(1, 1)]
    assert made.retry.due_s == 3.0


def test_pieces_of_the_next_object_wait_for_the_store():
    made = receiver()
    assert made.on_piece(first()) == ITEM
    assert made.answer() == Progress(0, 100)
    ahead = Piece(5, 1, 0, Header.of(1, 8, b"next"), b"next")
    assert made.on_piece(ahead) is None
    assert made.answer() == Progress(0, 100)
    made.stored(1, 7)
    assert made.answer() == Progress(1, 0, go_back=5)
    assert made.on_piece(ahead) == NEXT


def test_a_late_piece_of_an_earlier_object_is_no_loss():
    made = receiver()
    made.on_piece(first())
    made.stored(1, 7)
    made.answer()
    assert made.on_piece(Piece(0, 0, 20, None, ITEM.data[20:])) is None
    assert made.answer() == Progress(1, 0)


def test_to_go_back_to_where_it_is_anyway_changes_nothing():
    made = sender(ITEM)
    made.next_piece(0.0)
    made.on_progress(Progress(0, 20, go_back=0), 0.0)
    piece = made.next_piece(0.0)
    assert (piece.tour, piece.offset_bytes) == (0, 20)


def test_more_bytes_after_the_end_are_no_second_object():
    made = receiver()
    assert made.on_piece(first()) == ITEM
    assert made.on_piece(Piece(0, 0, 100, None, b"more")) is None
    assert made.on_piece(first()) is None
    assert made.answer() == Progress(0, 100)


def test_bytes_beyond_the_length_are_cut():
    made = receiver()
    assert made.on_piece(first(ITEM.data + b"more")) == ITEM


def test_a_damaged_frame_asks_for_the_place():
    made = receiver()
    made.on_piece(Piece(9, 0, 0, HEADER, ITEM.data[:20]))
    made.answer()
    made.on_damage()
    assert made.answer() == Progress(0, 20, go_back=9)


@pytest.mark.parametrize("restart_first", [False, True])
def test_what_was_to_be_refused_when_a_session_began_can_be_refused_then(restart_first):
    made = receiver()
    assert made.on_piece(first()) == ITEM
    if restart_first:
        made.restart()
        made.refuse(1, 7, Reason.UNWANTED)
    else:
        made.refuse(1, 7, Reason.UNWANTED)
        made.restart()
    assert made.refusing is None
    assert made.on_piece(first()) == ITEM


def test_what_is_stored_when_a_session_begins_is_known_then():
    made = receiver()
    assert made.on_piece(first()) == ITEM
    made.restart()
    made.stored(1, 7)
    assert made.on_piece(first()) is None
    assert made.answer() == Progress(1, 0)


def test_a_part_that_is_not_one_is_not_kept():
    assert receiver(partial=(HEADER, ITEM.data)).partial is None
    kept = receiver(partial=(HEADER, ITEM.data[:40]))
    assert kept.partial == (HEADER, ITEM.data[:40])
    assert kept.on_piece(first(ITEM.data[:20])) is None
    assert kept.answer() == Progress(0, 40)
    assert kept.on_piece(Piece(0, 0, 40, None, ITEM.data[40:])) == ITEM


# The same, through a peer


def opened(role):
    peer = Peer(role, 5, max_object_bytes=50)
    hello = Hello(1, 1, role.other, True, 7, 5, 240, 1000, 0)
    peer.receive(encode_frame(pack(hello)), 0.0)
    peer.to_send(4096)
    return peer


def bodies(peer):
    return [unpack(body, peer.role) for body in Deframer().feed(peer.to_send(4096))]


def test_a_refusal_is_told_once_though_pieces_go_on():
    peer = opened(Role.INSTRUMENT)
    told = []
    for transfer in (0, 0, 1):
        peer.receive(encode_frame(pack(first(transfer=transfer))), 1.0)
        told += bodies(peer)
    assert told == [Numbered(0, ObjectRefused(0, Reason.TOO_LARGE))]
    peer.receive(encode_frame(pack(RecordTaken(0))), 2.0)
    assert bodies(peer) == [Progress(1, 0, go_back=0)]
    peer.receive(encode_frame(pack(RecordTaken(0))), 2.0)
    assert bodies(peer) == []


def test_when_the_line_is_back_nothing_waits_for_the_end_of_a_back_off():
    peer = opened(Role.INSTRUMENT)
    peer.send(NEXT)
    events, now_s = [], 0.0
    while Silent() not in events:
        assert bodies(peer)
        now_s = peer.due_s()
        events += peer.receive(b"", now_s)
    bodies(peer)
    assert (now_s, peer.due_s()) == (21.0, 45.0)
    heard = peer.receive(encode_frame(pack(Numbered(0, Stop()))), 22.0)
    assert heard == [Heard(), Stop()]
    assert [type(body) for body in bodies(peer)] == [RecordTaken, Piece]
    assert peer.due_s() == 22.0 + 6.0


def test_time_that_runs_backwards_stands_still():
    peer = opened(Role.INSTRUMENT)
    peer.receive(b"", 100.0)
    peer.receive(b"", 1.0)
    peer.send(NEXT)
    assert bodies(peer)
    assert peer.due_s() == 103.0


def test_a_damaged_frame_is_answered_in_a_session_alone():
    host = Peer(Role.HOST, 5)
    host.to_send(4096)
    host.receive(b"\x55\x55\x00", 0.0)
    assert host.to_send(4096) == b""
    host = opened(Role.HOST)
    host.receive(b"\x55\x55\x00", 0.0)
    assert bodies(host) == [Progress(0, 0, go_back=0)]


def test_the_most_urgent_goes_first():
    host = opened(Role.HOST)
    host.send(NEXT)
    host.say(Ask(Topic.STATUS))
    host.receive(encode_frame(pack(first(b"next", header=Header.of(1, 8, b"next")))), 0.0)
    assert [type(body) for body in bodies(host)] == [Progress, Numbered, Piece]
