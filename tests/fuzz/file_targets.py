"""What is fuzzed of the shore's readers: files of a CTS5 float, and whatever calls a webhook.

An HTTP request comes in pieces, as a network cuts it: what is said of it may not depend on where.
"""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

from edge.config import Config
from edge.errors import ConfigError
from edge.sent_config import unpack_config
from firmware_bridge.uvp6 import cts5
from tests.fuzz.inputs import Reader, joined
from tests.golden.make_uvp6 import KEPT
from tools.shore.receiving.arrival import Arrival, check, read_webhook
from tools.shore.receiving.http import MAX_BODY_BYTES, Head, answer, read_head


def cts5_file(data: bytes) -> None:
    """A file is a sentence, or its bytes can be written again, less the padding."""
    file = cts5.read_file(data)
    if isinstance(file, str):
        assert file
        return
    written = cts5.write_file(file)
    assert set(data[len(written) :]) <= {cts5.PAD}
    if all(map(math.isfinite, _numbers(file))):  # a NaN may come back as another
        assert data.startswith(written)


def _numbers(file: cts5.File) -> Iterator[float]:
    for record in file.records:
        match record:
            case cts5.LpmRecord():
                yield from record.counts
            case cts5.TaxoRecord():
                yield from (taxon.volume_px3 for taxon in record.taxa)


def webhook(data: bytes) -> None:
    """A request is refused, waited for, or has a head; its body is a message or a sentence."""
    request = bytearray()
    known: Head | HTTPStatus | None = None
    for piece in Reader(data).pieces():
        request += piece
        head = read_head(request)
        if isinstance(known, Head):
            assert head == known, "more bytes change nothing"
        known = head
    if isinstance(known, HTTPStatus):
        assert known >= HTTPStatus.BAD_REQUEST
        assert answer(known).startswith(b"HTTP/1.1 4")
    if not isinstance(known, Head):
        return
    assert 0 <= known.body_bytes <= MAX_BODY_BYTES
    assert 0 < known.body_at <= len(request)
    assert read_head(request[: known.body_at]) == known
    found = read_webhook(known.content_type, bytes(request[known.body_at :][: known.body_bytes]))
    if isinstance(found, Arrival):
        assert check(found) == found
        found = read_webhook("", b"")
        assert not isinstance(found, Arrival)
    assert answer(HTTPStatus.BAD_REQUEST, found.sentence).endswith(found.sentence.encode() + b"\n")


def sent_config(data: bytes) -> None:
    """What came as a configuration is one, or a sentence; packed too, so that the fuzzer gets behind zlib."""
    for told in (data, zlib.compress(data)):
        with contextlib.suppress(ConfigError):
            assert isinstance(unpack_config(told, Path("update")), Config)


FILE_TARGETS = {"config": sent_config, "cts5": cts5_file, "webhook": webhook}


def file_seeds(target: str) -> list[bytes]:
    """Good input to begin with."""
    if target == "config":
        own = b'{"bundle":"demo","optics":{"pixel_um":73.0,"image_volume_l":0.6,"threshold":21}}'
        return [own, zlib.compress(own), b"{}"]
    if target == "cts5":
        return [bytes.fromhex(kept["hex"]) for kept in KEPT["cts5"]["files"]]
    form = (
        b"imei=300234010753370&momsn=12&transmit_time=21-10-31%2010%3A41%3A50&data=48656c6c6f&iridium_cep=3"
    )
    lingo = (
        b'{"message":"SGVsbG8=","sbd":{"imei":"300234010753370","momsn":12,"sessionAt":"2021-10-31T10:41:50Z",'
        b'"location":{"lat":52.4,"lon":-1.8,"cep":3}}}'
    )
    requests = [
        _request(b"POST /seston HTTP/1.1", b"application/x-www-form-urlencoded", form),
        _request(b"POST / HTTP/1.1", b"application/json; charset=utf-8", lingo),
        b"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ]
    return [*(joined([request]) for request in requests), joined([requests[0][:30], requests[0][30:]])]


def _request(first: bytes, kind: bytes, body: bytes) -> bytes:
    return first + b"\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)
