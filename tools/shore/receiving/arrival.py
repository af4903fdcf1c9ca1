"""A message as any provider delivers it, and the webhooks' ways to write one. Opens nothing.

Form fields and flat JSON: docs.groundcontrol.com, RockBLOCK web services. Lingo JSON: LingoMO at
knowledge.cloudloop.com. Plain files: Iridium's mail attachments, IMEI_MOMSN.sbd, or its whole mails.
"""

from __future__ import annotations

import base64
import binascii
import email
import email.policy
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import msgspec

MAX_PAYLOAD_BYTES = 100_000
"""The largest message of any Iridium service (IMT)."""
UNKNOWN_TIME_S = 0
TOKEN = "JWT"
"""The field with RockBLOCK's signature."""
_IMEI = re.compile(r"[0-9]{15}")
_FILE_NAME = re.compile(r"([0-9]{15})_([0-9]{1,6})(?:\.|_|$)")
_MAIL_UNIT = re.compile(r"SBD Msg From Unit: ([0-9]{15})")
_MAIL_MOMSN = re.compile(r"MOMSN: ([0-9]{1,6})")
_MAIL_TIME = re.compile(r"Time of Session \(UTC\): (\w{3} \w{3} +[0-9]+ [0-9:]{8} [0-9]{4})")
_MAIL_PLACE = re.compile(r"Lat = (-?[0-9.]+) +Long = (-?[0-9.]+)")
_MAIL_RADIUS = re.compile(r"CEPradius = ([0-9.]+)", re.IGNORECASE)
_MAX_TIME_S = 253_402_300_799  # the last second of year 9999


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message from a float.

    Attributes
    ----------
    imei
        Of the modem, 15 digits.
    momsn
        The modem's number of the message, 0 to 65535.
    time_s
        Of the session, UTC, seconds since 1970; `UNKNOWN_TIME_S` where nobody says it.
    payload
        What the float sent.
    source
        How it came: directip, webhook, call, mail or file.
    latitude_deg, longitude_deg, cep_km
        Where the network saw the modem, and the radius of its error; None where nobody says it.
    """

    imei: str
    momsn: int
    time_s: int
    payload: bytes
    source: str
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    cep_km: float | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why what came is no message: a sentence."""

    sentence: str


Claims = Callable[[str], dict[str, Any] | Unreadable]
"""What a signed token says, or why it is not believed."""


def read_webhook(content_type: str, body: bytes, claims: Claims | None = None) -> Arrival | Unreadable:
    """The message in the body of a POST. Never raises.

    Parameters
    ----------
    content_type
        Header of that name: a form, or JSON.
    body
        As it came.
    claims
        Verifies the field JWT: then the message is what that says, and nothing beside it. None: it is not
        looked at.
    """
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            tree = msgspec.json.decode(body)
            if not isinstance(tree, dict):
                return Unreadable("is JSON and no object")
        else:
            fields = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=100)
            tree = {name: values[0] for name, values in fields.items()}
        if claims is not None:
            signed = claims(str(tree.get(TOKEN, "")))
            return signed if isinstance(signed, Unreadable) else _from_fields(signed)
        return _from_lingo(tree) if isinstance(tree.get("sbd"), dict) else _from_fields(tree)
    except (msgspec.DecodeError, ValueError, RecursionError) as cause:
        return Unreadable(f"cannot be read ({cause})")


def read_file_name(name: str) -> tuple[str, int] | None:
    """IMEI and MOMSN from the name of an attachment; None when it does not say them."""
    found = _FILE_NAME.match(name)
    return (found[1], int(found[2])) if found and int(found[2]) <= 0xFFFF else None


def read_mail(data: bytes) -> Arrival | Unreadable:
    """The message in a mail of Iridium's gateway (sbdservice), as a mailbox saves it (.eml). Never raises.

    Its text says MOMSN, time and place of the session, its subject the IMEI; the payload is the attachment.
    """
    mail = email.message_from_bytes(data, policy=email.policy.default)
    text, payloads = "", []
    try:
        for part in mail.walk():
            if str(part.get_filename() or "").lower().endswith(".sbd"):
                payloads.append(bytes(part.get_payload(decode=True) or b""))
            elif part.get_content_type() == "text/plain":
                text += str(part.get_content())
        unit = _MAIL_UNIT.search(str(mail.get("subject", "")))
    except (ValueError, LookupError, AttributeError) as cause:
        return Unreadable(f"cannot be read ({cause})")
    momsn, place, radius = (one.search(text) for one in (_MAIL_MOMSN, _MAIL_PLACE, _MAIL_RADIUS))
    if unit is None or momsn is None or len(payloads) != 1:
        return Unreadable("is no mail of Iridium's with one message")
    when = _MAIL_TIME.search(text)
    try:
        told = datetime.strptime(when[1], "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC) if when else None
    except ValueError:
        told = None
    return check(
        Arrival(
            unit[1], int(momsn[1]), UNKNOWN_TIME_S if told is None else int(told.timestamp()), payloads[0],
            "mail", _number(place[1]) if place else None, _number(place[2]) if place else None,
            _number(radius[1]) if radius else None,
        )
    )  # fmt: skip


def check(arrival: Arrival) -> Arrival | Unreadable:
    """The message, when IMEI, number, time and size are such as can be."""
    if not _IMEI.fullmatch(arrival.imei):
        return Unreadable("has no IMEI of 15 digits")
    if not 0 <= arrival.momsn <= 0xFFFF:
        return Unreadable(f"has MOMSN {arrival.momsn}")
    if not 0 <= arrival.time_s <= _MAX_TIME_S:
        return Unreadable(f"has time {arrival.time_s}")
    if len(arrival.payload) > MAX_PAYLOAD_BYTES:
        return Unreadable(f"has a payload of {len(arrival.payload)} bytes")
    return arrival


def _from_fields(fields: dict[str, Any]) -> Arrival | Unreadable:
    """RockBLOCK's parameters; the payload is hexadecimal."""
    for name in ("imei", "momsn", "data"):
        if name not in fields:
            return Unreadable(f"has no {name}")
    try:
        payload = bytes.fromhex(str(fields["data"]))
        momsn = int(str(fields["momsn"])[:9])
    except ValueError:
        return Unreadable("has data or momsn that is no number")
    return check(
        Arrival(
            str(fields["imei"]),
            momsn,
            _seconds(str(fields.get("transmit_time", ""))),
            payload,
            "webhook",
            _number(fields.get("iridium_latitude")),
            _number(fields.get("iridium_longitude")),
            _number(fields.get("iridium_cep")),
        )
    )


def _from_lingo(tree: dict[str, Any]) -> Arrival | Unreadable:
    """Cloudloop's LingoMO of an SBD message; the payload is Base64."""
    sbd = tree["sbd"]
    at, place = sbd.get("sessionAt"), sbd.get("location")
    place = place if isinstance(place, dict) else {}
    try:
        payload = base64.b64decode(str(tree["message"]), validate=True)
        momsn = int(str(sbd["momsn"])[:9])
    except (KeyError, ValueError, binascii.Error):
        return Unreadable("has no message or momsn that can be read")
    names = ("year", "month", "day", "hour", "minute", "second")
    time_s = UNKNOWN_TIME_S
    if isinstance(at, dict):
        numbers = [at.get(name, 0) for name in names]  # a zero is left out
        if all(isinstance(number, int) and 0 <= number <= 9999 for number in numbers):
            time_s = _seconds("{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}".format(*numbers))
    return check(
        Arrival(
            str(sbd.get("imei", "")),
            momsn,
            time_s,
            payload,
            "webhook",
            _number(place.get("latitude")),
            _number(place.get("longitude")),
            _number(place.get("cep")),
        )
    )


def _seconds(text: str) -> int:
    """UTC from ``21-10-31 10:41:50`` or ISO 8601; unknown when it is neither: no message is lost for it."""
    try:
        when = datetime.strptime(text, "%y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            return UNKNOWN_TIME_S
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(int(when.timestamp()), UNKNOWN_TIME_S)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
