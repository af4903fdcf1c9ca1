"""What a command from shore orders, and the body that says so (docs/commands.md). Pure.

Not the command: whom it is for, its counter and its signature are `firmware_bridge.commands`'.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from firmware_bridge.settings import CommandError, Settings, SettingsFault, pack_settings, unpack_settings

KEY_BYTES = 32
SHA256_BYTES = 32
BODY_BYTES = 192
"""Room for a body: a message of 270 bytes less head and signature."""
FIRST_BYTES = BODY_BYTES - 1 - 3 - SHA256_BYTES
"""Room for the first bytes of what an announcement announces."""
PART_BYTES = BODY_BYTES - 2
"""Room for the bytes of a part."""
MAX_UPDATE_BYTES = 0xFF_FFFF
MAX_DECK_MINUTES = 1440


class Role(enum.IntEnum):
    """Whose key it is. The numbers travel: never renumber."""

    UNIT = 0
    """One unit's: commands it alone, and may replace itself."""
    FLEET = 1
    """All units': commands one or all, and may replace itself and any unit's."""


class Kind(enum.IntEnum):
    """What a command is. The numbers travel: never renumber."""

    SET = 1
    MISSING = 2
    ROTATE_KEY = 3
    RESET = 4
    ANNOUNCE = 5
    PART = 6
    OPEN_DECK = 7


class What(enum.IntEnum):
    """What an update is of; the numbers are those of the link's objects (`link_wire.Kind`)."""

    CONFIGURATION = 2
    MODEL = 4


@dataclass(frozen=True, slots=True)
class Set:
    """Change parts of the configuration: all of them or none."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class AskMissing:
    """Send missing parts again: the body of a request, which is `edge.telemetry.missing`'s."""

    request: bytes


@dataclass(frozen=True, slots=True)
class RotateKey:
    """Replace a key by another: 32 bytes of an Ed25519 public key."""

    role: Role
    public: bytes


@dataclass(frozen=True, slots=True)
class Reset:
    """Forget settings and updates from shore: what the unit was sent to sea with counts again."""


@dataclass(frozen=True, slots=True)
class Announce:
    """Another model or configuration: its bytes come by the link, by parts, or are aboard already.

    Attributes
    ----------
    what, length_bytes, sha256
        Of the update; whatever has this SHA-256 is what was signed.
    first
        Its first bytes, as many as have room.
    """

    what: What
    length_bytes: int
    sha256: bytes
    first: bytes = b""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of what the command with the same counter and key announces, from an offset on."""

    offset_bytes: int
    data: bytes


@dataclass(frozen=True, slots=True)
class OpenDeck:
    """Serve the deck's network port for so long, as if the deck switch were set; 0 closes it."""

    minutes: int


Order = Set | AskMissing | RotateKey | Reset | Announce | Part | OpenDeck


@dataclass(frozen=True, slots=True)
class Unfit:
    """A body that says nothing that can be done: in words, and the number of the setting, or 0."""

    sentence: str
    detail: int = 0
    is_of_unknown_kind: bool = False


def pack_order(order: Order) -> tuple[Kind, bytes]:
    """Kind and body; `CommandError` names what is out of range."""
    match order:
        case Set(settings):
            return Kind.SET, pack_settings(settings)
        case AskMissing(request):
            return Kind.MISSING, request
        case RotateKey(role, public):
            if len(public) != KEY_BYTES:
                raise CommandError(f"The new key has {len(public)} bytes; use {KEY_BYTES}.")
            return Kind.ROTATE_KEY, bytes((role,)) + public
        case Reset():
            return Kind.RESET, b""
        case Announce(what, length_bytes, sha256, first):
            if len(sha256) != SHA256_BYTES or not len(first) <= length_bytes:
                raise CommandError("An announcement needs a SHA-256 of 32 bytes and the update's own bytes.")
            if not 1 <= length_bytes <= MAX_UPDATE_BYTES:
                raise CommandError(f"The update has {length_bytes} bytes; use 1 to {MAX_UPDATE_BYTES}.")
            return Kind.ANNOUNCE, bytes((what,)) + length_bytes.to_bytes(3, "big") + sha256 + first
        case Part(offset_bytes, data):
            if not 0 <= offset_bytes <= 0xFFFF or not data:
                raise CommandError(f"A part begins at 0 to 65535 and has bytes; this one: {offset_bytes}.")
            return Kind.PART, offset_bytes.to_bytes(2, "big") + data
        case OpenDeck(minutes):
            if not 0 <= minutes <= MAX_DECK_MINUTES:
                raise CommandError(f"The deck is to be open for {minutes} min; use 0 to {MAX_DECK_MINUTES}.")
            return Kind.OPEN_DECK, minutes.to_bytes(2, "big")


def unpack_order(kind: int, body: bytes, signer: Role) -> Order | Unfit:
    """What a body says, as the signer may say it; any bytes give an answer."""
    match kind:
        case Kind.SET:
            settings = unpack_settings(body)
            if isinstance(settings, SettingsFault):
                return Unfit(settings.sentence, settings.number)
            return Set(settings)
        case Kind.MISSING:
            return AskMissing(body)
        case Kind.ROTATE_KEY:
            return _rotation(body, signer)
        case Kind.RESET:
            return Unfit("has a body where none is") if body else Reset()
        case Kind.ANNOUNCE:
            return _announcement(body)
        case Kind.PART if len(body) > 2:
            return Part(int.from_bytes(body[:2], "big"), body[2:])
        case Kind.OPEN_DECK if len(body) == 2 and int.from_bytes(body, "big") <= MAX_DECK_MINUTES:
            return OpenDeck(int.from_bytes(body, "big"))
        case Kind.PART | Kind.OPEN_DECK:
            return Unfit("holds a value that cannot be used")
        case _:
            return Unfit(f"is of kind {kind}, which is not known here", is_of_unknown_kind=True)


def _rotation(body: bytes, signer: Role) -> RotateKey | Unfit:
    if len(body) != 1 + KEY_BYTES or body[0] not in tuple(Role):
        return Unfit("holds no key")
    role = Role(body[0])
    if role > signer:
        return Unfit("would replace the fleet's key with a unit's signature")
    return RotateKey(role, body[1:])


def _announcement(body: bytes) -> Announce | Unfit:
    what, length_bytes = body[:1], int.from_bytes(body[1:4], "big")
    sha256, first = body[4 : 4 + SHA256_BYTES], body[4 + SHA256_BYTES :]
    fits = len(sha256) == SHA256_BYTES and len(first) <= length_bytes and length_bytes > 0
    if not fits or what[0] not in tuple(What):
        return Unfit("announces no model and no configuration")
    return Announce(What(what[0]), length_bytes, sha256, first)
