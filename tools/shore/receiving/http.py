"""As much of HTTP/1.1 as a webhook needs: one request, bounded in size, one answer. Sans-IO.

A message of a float is some hundred bytes; whatever is longer than `MAX_REQUEST_BYTES` is nobody's webhook.
"""

from __future__ import annotations

import http.client
import io
from dataclasses import dataclass
from http import HTTPStatus

MAX_HEAD_BYTES = 16_384
MAX_BODY_BYTES = 262_144
MAX_REQUEST_BYTES = MAX_HEAD_BYTES + MAX_BODY_BYTES
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Head:
    """What a request says before its body.

    Attributes
    ----------
    method, path
        As they stand in the first line.
    content_type
        Or "".
    body_bytes
        Length of the body.
    body_at
        Where the body begins.
    expects_continue
        Whether the client waits for leave to send the body.
    """

    method: str
    path: str
    content_type: str
    body_bytes: int
    body_at: int
    expects_continue: bool


def read_head(data: bytes | bytearray) -> Head | HTTPStatus | None:
    """The head of a request; a status to refuse it with; or None while it is not all there. Never raises."""
    end = data.find(_END)
    if end < 0 or end > MAX_HEAD_BYTES:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if len(data) > MAX_HEAD_BYTES else None
    first, _, rest = data[: end + len(_END)].partition(b"\r\n")
    words = bytes(first).split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1.") or not first.isascii():
        return HTTPStatus.BAD_REQUEST
    try:
        fields = http.client.parse_headers(io.BytesIO(rest))
    except http.client.HTTPException:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    if "Transfer-Encoding" in fields:
        return HTTPStatus.LENGTH_REQUIRED
    lengths = set(fields.get_all("Content-Length", []))
    length = lengths.pop().strip() if len(lengths) == 1 else "" if lengths else "0"
    if not (length.isascii() and length.isdigit()):
        return HTTPStatus.BAD_REQUEST
    if len(length) > len(str(MAX_BODY_BYTES)) or int(length) > MAX_BODY_BYTES:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return Head(
        words[0].decode(),
        words[1].decode(),
        str(fields.get("Content-Type", "")),
        int(length),
        end + len(_END),
        fields.get("Expect", "").strip().lower() == "100-continue",
    )


def answer(status: HTTPStatus, text: str = "") -> bytes:
    """A whole response, after which the connection is closed."""
    body = f"{text or status.phrase}\n".encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
