"""Lists, parts and ends as bytes: back as they were, and nothing from what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.framing import Deframer, encode_frame
from firmware_bridge.link import Capability, Peer
from firmware_bridge.link_logs import (
    LOG,
    MAX_FORM,
    End,
    Part,
    Row,
    file_name,
    pack_end,
    pack_list,
    pack_part,
    unpack_end,
    unpack_list,
    unpack_part,
)
from firmware_bridge.link_objects import (
    WIDE_WINDOW_PIECES,
    WINDOW_PIECES,
    LinkObject,
    ObjectReceiver,
    ObjectSender,
)
from firmware_bridge.link_records import Role
from firmware_bridge.link_wire import Header, Hello, Kind, Piece, Progress, pack

pytestmark = pytest.mark.board

stamps = st.binary(min_size=8, max_size=8)
sizes = st.integers(0, 2**48)
rows = st.builds(
    Row, st.integers(0, 0xFFFE), st.integers(3, MAX_FORM), sizes, stamps,
    st.none() | st.integers(0, 2**48), st.integers(0, 2**32 - 1), st.booleans(),
)  # fmt: skip


@given(st.lists(rows, max_size=5))
def test_a_list_comes_back(told):
    assert unpack_list(pack_list(told)) == told


@given(
    st.integers(0, 0xFFFE),
    stamps,
    sizes,
    st.binary(min_size=1, max_size=50),
    st.binary(min_size=32, max_size=32),
)
def test_parts_and_ends_come_back(dive, stamp, offset_bytes, data, sha256):
    part = Part(dive, LOG, stamp, offset_bytes + len(data), offset_bytes, data)
    assert unpack_part(pack_part(part)) == part
    end = End(dive, LOG, stamp, part.size_bytes, sha256)
    assert unpack_end(pack_end(end)) == end


@given(st.binary(max_size=120))
def test_any_bytes_are_one_or_nothing(data):
    found = unpack_list(data)
    assert found is None or pack_list(found) == data or any(data[6::40])
    part = unpack_part(data)
    assert part is None or (pack_part(part) == data and part.offset_bytes < part.size_bytes)
    end = unpack_end(data)
    assert end is None or pack_end(end) == data


def test_bytes_beyond_the_end_of_a_file_are_no_part():
    assert unpack_part(pack_part(Part(1, LOG, b"8 bytes.", 10, 8, b"abc"))) is None


def test_every_form_has_a_name_of_its_own_in_the_folder_of_its_dive():
    names = [file_name(form) for form in range(3, MAX_FORM + 1)]
    assert names[:4] == [
        "dive.sqlite-wal", "dive.sqlite.damaged", "dive.sqlite.damaged-wal", "dive.sqlite.damaged2",
    ]  # fmt: skip
    assert len(set(names)) == len(names)
    assert not any("/" in name for name in names)
    for form in (0, MAX_FORM + 1, -1):
        with pytest.raises(ValueError, match="form is"):
            file_name(form)


def test_what_was_of_a_session_is_not_sent_in_the_next():
    sender = ObjectSender()
    sender.restart(240)
    for kind in (Kind.LOG_PART, Kind.MESSAGE, Kind.LOG_END):
        sender.add(LinkObject(kind, 1, b"x"))
    sender.next_piece(0.0)
    sender.restart(240)
    assert [item.kind for item in sender.waiting] == [Kind.MESSAGE]
    piece = sender.next_piece(1.0)
    assert (piece.transfer, piece.header.kind) == (0, Kind.MESSAGE)


def test_what_was_asked_for_counts_as_stored_at_once_and_nothing_after_it_is_sent_again():
    made = ObjectReceiver(1000, (), None)
    first, second = (LinkObject(Kind.LOG_PART, n, b"some bytes") for n in (1, 2))
    for transfer, item in enumerate((first, second, second)):  # the same bytes again are news too
        header = Header.of(item.kind, item.object_id, item.data)
        assert made.on_piece(Piece(0, transfer, 0, header, item.data)) == item
        assert made.answer() == Progress(transfer + 1, 0)
    made.stored(second.kind, second.object_id)
    assert made.transfer == 3


@pytest.mark.parametrize(
    ("theirs", "pieces"),
    [(Capability.LOGS, WIDE_WINDOW_PIECES), (15, WINDOW_PIECES), (31, WIDE_WINDOW_PIECES)],
)
def test_more_pieces_are_on_their_way_between_ends_that_know_logs(theirs, pieces):
    peer = Peer(Role.INSTRUMENT, 5, capabilities=31)
    peer.send(LinkObject(Kind.MESSAGE, 1, bytes(10_000)))
    peer.receive(encode_frame(pack(Hello(1, 1, Role.HOST, True, 7, 5, 240, 100_000, theirs))), 0.0)
    bodies = [body for body in Deframer().feed(peer.to_send(1 << 16)) if body and body[0] >> 4 == 1]
    assert len(bodies) == pieces
