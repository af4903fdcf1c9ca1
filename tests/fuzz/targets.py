"""What is fuzzed: functions that take any bytes and hold for all of them.

Each asserts what must be true of hostile input; none needs the fuzzer. Here are those of telemetry; those of
the ground floor are `bridge_targets`, those of files and of the shore's webhook `file_targets`, those of UVP6
projects `project_targets`.
"""

from __future__ import annotations

import binascii
import functools
import json
import zlib
from collections.abc import Callable
from pathlib import Path

from edge.errors import MessageError
from edge.telemetry import Codebook, Decoding, Quantity, decode_messages, load_codebook
from edge.telemetry.missing import Request, answer, decode_request, encode_request
from edge.telemetry.parity import parity_bodies, restore
from tests.fuzz.bridge_targets import BRIDGE_TARGETS, bridge_seeds
from tests.fuzz.file_targets import FILE_TARGETS, file_seeds
from tests.fuzz.inputs import Reader, joined
from tests.fuzz.project_targets import PROJECT_TARGETS, project_seeds

GOLDEN = Path(__file__).parents[1] / "golden" / "telemetry-1.json"
CORPUS = Path(__file__).parent / "corpus"
CRC_BYTES = 4
MAX_DENSE_CELLS = 1 << 14
"""Tables above this are not laid out by bins here: it takes long and nothing else."""


@functools.cache
def golden() -> tuple[list[bytes], Codebook]:
    """The golden messages and their codebook."""
    kept = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return [bytes.fromhex(text) for text in kept["messages"]["flat"]], load_codebook(
        json.dumps(kept["codebook"]).encode()
    )


def messages(data: bytes) -> None:
    """Any bytes as one message, and as several."""
    check_heap([data])
    pieces = Reader(data).pieces()
    if len(pieces) > 1:
        check_heap(pieces)


def sealed(data: bytes) -> None:
    """Messages whose CRC fits: every header and every body is reached."""
    check_heap([seal(data)])
    pieces = Reader(data).pieces()
    if len(pieces) > 1:
        check_heap([seal(piece) for piece in pieces])


def seal(message: bytes) -> bytes:
    """A message with its CRC, from the golden codebook's hash and all of it before that."""
    whole = bytes.fromhex(golden()[1].sha256) + message
    if message and message[0] & 0x40:
        return message + binascii.crc_hqx(whole, 0xFFFF).to_bytes(2, "big")
    return message + zlib.crc32(whole).to_bytes(CRC_BYTES, "big")


def check_heap(heap: list[bytes]) -> None:
    """Whatever comes: every message is used, known or refused, and what was decoded can be asked."""
    _, book = golden()
    decoding = decode_messages(heap, [book])
    used = sum(len(parts) for dive in decoding for parts in dive.received.values())
    known = used - decoding.restored + decoding.others + decoding.duplicates
    assert known + len(decoding.refused) == len(heap)
    assert all(0 <= position < len(heap) and reason for position, reason in decoding.refused)
    if len(heap) > 1:
        turned = decode_messages(heap[::-1], [book])
        assert [dive.dive_number for dive in turned] == [dive.dive_number for dive in decoding]
    ask(decoding)


def ask(decoding: Decoding) -> None:
    """Everything that a report asks of a dive."""
    for dive in decoding:
        assert bool(dive.missing()) == bool(dive.missing_sentence())
        dive.corrected()
        for quantity in Quantity:
            if not quantity.is_mean and not quantity.is_of_dive:
                sums, _ = dive.totals(quantity)
                assert (sums >= 0).all()
        tables = [table for phase in dive.phases.values() for table in phase.tables.values()]
        for table in [*tables, *dive.whole.values()]:
            assert (table.first < table.last).all()
            assert len(table.values()) == len(table.provenance) == len(table.value)
            if table.n_bins * len(table.names) <= MAX_DENSE_CELLS:
                values, provenance, cell = table.dense()
                assert values.shape == provenance.shape == cell.shape
                assert ((provenance > 0) == (cell >= 0)).all()


def parity(data: bytes) -> None:
    """Losses and damage: what is restored is right, or there was damage."""
    reader = Reader(data)
    claimed_data, n_parity, damage = reader.number(2), reader.number() % 40, reader.number()
    lost = reader.number(4)
    pieces = reader.pieces()[:40]
    whole, n = [piece[:60] for piece in pieces] or [b""], max(1, len(pieces))
    bodies = parity_bodies(whole, n_parity % 9)
    present = {i: message for i, message in enumerate(whole) if not lost >> i % 24 & 1}
    checks = {i: body for i, body in enumerate(bodies) if not lost >> (24 + i) % 32 & 1}
    missing = {i: message for i, message in enumerate(whole) if i not in present}
    restored = restore(n, present, checks, len(bodies))
    assert restored == (missing if len(missing) <= len(checks) else {})
    # The same with a number of messages that a header may claim, and one wrong byte.
    checks = {
        i: bytes((body[0] ^ damage, *body[1:])) if i == lost % 9 else body for i, body in checks.items()
    }
    for n_data in (n, claimed_data):
        restored = restore(n_data, present, checks, n_parity)
        assert len(restored) <= len(checks)
        assert not restored.keys() & present.keys()
    # And pieces that no encoder made.
    restored = restore(n, dict(enumerate(whole[:-2])), dict(enumerate(pieces)), n_parity)
    assert restored.keys() <= {n - 2, n - 1}


def request(data: bytes) -> None:
    """A request is refused, or means one thing and is answered within what is at hand."""
    try:
        requests = decode_request(data)
    except MessageError:
        return
    encoded = encode_request(requests)
    assert encoded.data == data
    assert not encoded.left_out
    short = encode_request(requests, len(data) // 2)
    assert len(short.data) <= len(data) // 2
    said = decode_request(short.data)
    assert _n_ranges(said) + _n_ranges(short.left_out) == _n_ranges(requests)
    stored = {r.dive_number: [b"x", None] * ((r.n_parts or 4) // 2) for r in requests if r.n_parts < 100}
    found = answer(requests, stored)
    assert len(found.parts) == len(set(found.parts)) == len(found.messages)


def _n_ranges(requests: tuple[Request, ...]) -> int:
    return sum(max(1, len(r.ranges)) for r in requests)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "messages": messages,
    "sealed": sealed,
    "parity": parity,
    "request": request,
    **BRIDGE_TARGETS,
    **FILE_TARGETS,
    **PROJECT_TARGETS,
}


def seeds(target: str) -> list[bytes]:
    """Good input to begin with, of the format as it is now."""
    if target in BRIDGE_TARGETS:
        return bridge_seeds(target)
    if target in FILE_TARGETS:
        return file_seeds(target)
    if target in PROJECT_TARGETS:
        return project_seeds(target)
    sent, book = golden()
    if target == "messages":
        return [*sent, joined(sent), joined([sent[0], sent[0], sent[-1][:-1]])]
    if target == "sealed":
        bare = [message[:-CRC_BYTES] for message in sent]
        return [
            *bare,
            joined(bare),
            joined([bare[0], bare[0][:40], bare[-1] + b"\0"]),
            bare[0][:1] + bytes(book.id),
        ]
    if target == "parity":
        return [
            head + joined([bytes([i]) * (7 * i % 50) for i in range(n)])
            for head in (
                b"\0\x05\x02\0\0\0\0\x05",
                b"\0\xff\x04\x01\x01\0\0\x01",
                b"\xff\xff\x80\x01\x08\0\x0f\0",
            )
            for n in (1, 5, 30)
        ]
    asked = [
        Request.of_parts(7, 14, {1, 3, 4, 5}),
        Request(8, 0, ()),
        Request(300, 60000, ((1, 2), (300, 50000))),
    ]
    return [encode_request(asked[i:j]).data for i in range(3) for j in range(i + 1, 4)]
