"""Objects over the native link: one sends them piece by piece, one puts them together. Pure.

Not the link: bodies come in and go out by `link`. The window is go-back-N: the other end takes pieces in
order alone, so that a float needs no memory to sort them, and says at once where it waits when one is
missing. It is the same mechanism in both directions.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from firmware_bridge.errors import MisuseError
from firmware_bridge.framing import crc32
from firmware_bridge.link_channel import NUMBERS, Retry
from firmware_bridge.link_records import Reason
from firmware_bridge.link_wire import (
    HEADER_BYTES,
    MAX_OBJECT_BYTES,
    PIECE_BYTES,
    SESSION_KINDS,
    Header,
    Piece,
    Progress,
)
from firmware_bridge.sans_io import NEVER_S

WINDOW_PIECES = 4
"""Pieces on their way at most: two fill a line whose answers come at once, four one that answers late."""
WIDE_WINDOW_PIECES = 16
"""Between ends that both know logs: fast lines answer late for their speed."""
MAX_QUEUED = 64
MAX_QUEUED_BYTES = 1 << 25
REMEMBERED = 64
"""Stored objects whose headers are remembered, so that they are not taken again."""
MAX_DAMAGED = 3
"""An object whose CRC-32 was wrong so often is refused: its sender's fault, not the line's."""
TOURS = 16
LEAST_PIECE_BYTES, GROWTH_BYTES = 48, 2
"""A lost piece makes the next ones a quarter shorter, each that arrives makes them longer again."""


@dataclass(frozen=True, slots=True)
class LinkObject:
    """Bytes with a kind and an id that is theirs for ever.

    The link delivers the bytes and no judgement of them: whether a command, a model or a configuration may be
    trusted (its signature) is for the owner to check.
    """

    kind: int
    object_id: int
    data: bytes


class ObjectSender:
    """Objects in the order in which they were given, each until the other end has stored or refused it.

    Attributes
    ----------
    retry
        Timer of the pieces on their way.
    """

    def __init__(self) -> None:
        self.retry = Retry()
        self._queue: list[tuple[LinkObject, Header]] = []
        self._queued_bytes = 0
        self.restart(0)

    def restart(self, max_body_bytes: int, window_pieces: int = WINDOW_PIECES) -> None:
        """Begin a session: numbers start at 0; what is queued stays so, unless it was of the last session."""
        self._window_pieces = window_pieces
        self._queue = [one for one in self._queue if one[0].kind not in SESSION_KINDS]
        self._queued_bytes = sum(len(item.data) for item, _ in self._queue)
        self._max_body_bytes = self._body_bytes = max_body_bytes
        # Transfers are counted without bound here, modulo 256 on the line. Places are (transfer, offset).
        self._acked = self._next = (0, 0)
        self._begun = 0
        self._tour = 0
        self._poll = False
        self._ends: deque[tuple[int, int]] = deque()
        self.retry.forget()

    def add(self, item: LinkObject) -> None:
        """Queue an object; one that is queued already, by kind and id, is not queued twice."""
        if any((item.kind, item.object_id) == (old.kind, old.object_id) for old, _ in self._queue):
            return
        size = len(item.data)
        if not (1 <= size <= MAX_OBJECT_BYTES and 0 <= item.kind < NUMBERS and 0 <= item.object_id < 1 << 32):
            raise MisuseError(
                f"object {item.object_id} of kind {item.kind} has {size} bytes; "
                f"1 to {MAX_OBJECT_BYTES} bytes, kinds up to 255 and ids up to 4294967295 can be sent"
            )
        if len(self._queue) == MAX_QUEUED or self._queued_bytes + size > MAX_QUEUED_BYTES:
            raise MisuseError(
                f"{len(self._queue)} objects of {self._queued_bytes} bytes wait; wait for their delivery"
            )
        self._queue.append((item, Header.of(item.kind, item.object_id, item.data)))
        self._queued_bytes += size

    @property
    def waiting(self) -> tuple[LinkObject, ...]:
        """What is not yet stored by the other end, in order."""
        return tuple(item for item, _ in self._queue)

    @property
    def arrived_bytes(self) -> int:
        """Of the first that waits: how much of it has arrived."""
        return self._acked[1]

    def next_piece(self, now_s: float) -> Piece | None:
        """What to send now; None when the window is full or all is sent."""
        if len(self._ends) == self._window_pieces:
            return None
        first = self._acked[0]
        while self._next[0] - first < len(self._queue):
            transfer, offset = self._next
            item, header = self._queue[transfer - first]
            told = None if offset else header
            room = self._body_bytes - PIECE_BYTES - (HEADER_BYTES if told else 0)
            payload = item.data[offset : offset + room]
            if payload or self._poll:
                self._poll = False
                self._next = (transfer, offset + len(payload))
                self._begun = max(self._begun, transfer + 1)
                self._ends.append(self._next)
                if self.retry.due_s == NEVER_S:
                    self.retry.start(now_s)
                return Piece(self._tour, transfer % NUMBERS, offset, told, payload)
            self._next = (transfer + 1, 0)
        return None

    def on_progress(self, progress: Progress, now_s: float) -> list[LinkObject]:
        """Take where the other end stands; objects that it has stored now."""
        first = self._acked[0]
        place = first + (progress.transfer - first) % NUMBERS, progress.offset_bytes
        if not self._is_possible(place):
            return []
        stored: list[LinkObject] = []
        if place > self._acked:
            stored = [self._drop_first() for _ in range(place[0] - first)]
            self._acked = place
            self._next = max(self._next, place)
            while self._ends and self._ends[0] <= place:
                self._ends.popleft()
                self._body_bytes = min(self._body_bytes + GROWTH_BYTES, self._max_body_bytes)
            self.retry.forget()
            if self._begun > place[0]:
                self.retry.start(now_s)
        # A place before what was acknowledged: the whole was damaged, and is wanted anew.
        if progress.go_back == self._tour and self._next > place and place[0] == self._acked[0]:
            self._acked = place
            self._go_back()
        return stored

    def on_refused(self, transfer: int) -> LinkObject | None:
        """Drop the object that the other end does not want; None when it is not the one on its way."""
        first = self._acked[0]
        if transfer != first % NUMBERS or self._begun <= first:
            return None
        refused = self._drop_first()
        self._acked = (first + 1, 0)
        self._go_back()
        self.retry.forget()
        return refused

    def on_due(self) -> None:
        """Nothing was heard in time: send again from where the other end was known to stand."""
        self._go_back()
        self._poll = bool(self._queue) and self._acked[1] == len(self._queue[0][0].data)
        self.retry.fail()

    def _is_possible(self, place: tuple[int, int]) -> bool:
        transfer, offset = place
        if not offset:
            return transfer <= self._begun
        return transfer < self._begun and offset <= self._queue[transfer - self._acked[0]][1].length_bytes

    def _go_back(self) -> None:
        self._next = self._acked
        self._ends.clear()
        self._body_bytes = max(self._body_bytes * 3 // 4, min(LEAST_PIECE_BYTES, self._max_body_bytes))
        self._tour = (self._tour + 1) % TOURS

    def _drop_first(self) -> LinkObject:
        item, _ = self._queue.pop(0)
        self._queued_bytes -= len(item.data)
        return item


class Reply(enum.Enum):
    """What a receiver has to say."""

    NOTHING = 0
    PROGRESS = 1
    GO_BACK = 2


class ObjectReceiver:
    """Puts one object after another together, and gives it to the owner once.

    Attributes
    ----------
    reply
        What is to be said; the newest place alone counts, so it needs no queue.
    refusing
        Why the object on its way is not wanted, until the other end knows.
    """

    def __init__(
        self,
        max_object_bytes: int,
        stored: Iterable[Header],
        partial: tuple[Header, bytes] | None,
        judge: Callable[[Header], Reason | None] = lambda header: None,
    ) -> None:
        self.max_object_bytes = max_object_bytes
        self._judge = judge
        self._stored = deque(stored, REMEMBERED)
        self._header: Header | None = None
        self._data = bytearray()
        self._damaged = 0
        self.refusing: Reason | None = None
        if partial is not None and len(partial[1]) < partial[0].length_bytes:
            self._header = partial[0]
            self._data += partial[1]
        self.restart()

    def restart(self) -> None:
        """Begin a session: what has arrived is kept, for its header may come again."""
        self._transfer = self._tour = 0
        self._begun = False
        self._missed = False
        self.reply = Reply.NOTHING
        if self.refusing is not None:
            self.refusing = None
            self._drop()

    @property
    def partial(self) -> tuple[Header, bytes] | None:
        """What has arrived of an object: an owner that keeps it may go on with it after a reset."""
        return None if self._header is None or self._is_whole() else (self._header, bytes(self._data))

    @property
    def transfer(self) -> int:
        """Number of the transfer that is on its way or comes next."""
        return self._transfer

    def answer(self) -> Progress:
        """The reply as a body; nothing more is to be said then."""
        go_back = self._tour if self.reply is Reply.GO_BACK else None
        self.reply = Reply.NOTHING
        return Progress(self._transfer, len(self._data) if self._begun else 0, go_back)

    def on_piece(self, piece: Piece) -> LinkObject | None:
        """Take a piece; the object when it is whole."""
        self._tour = piece.tour
        if self.refusing is not None:
            return None
        ahead = (piece.transfer - self._transfer) % NUMBERS
        if self._begun and self._is_whole() and 0 < ahead < NUMBERS // 2:
            self._missed = True
            self._say_where()
        elif ahead:
            if ahead < NUMBERS // 2:
                self.reply = Reply.GO_BACK
            else:
                self._say_where()
        elif piece.header is not None and not (self._begun and self._data):
            return self._begin(piece.header, piece.payload)
        elif not self._begun or piece.offset_bytes > len(self._data):
            self.reply = Reply.GO_BACK
        elif piece.offset_bytes == len(self._data) and piece.payload and not self._is_whole():
            return self._take(piece.payload)
        else:
            self._say_where()
        return None

    def on_damage(self) -> None:
        """A frame was damaged: most likely the piece that is waited for."""
        if not (self._begun and self._is_whole()) and self.refusing is None:
            self.reply = Reply.GO_BACK

    def stored(self, kind: int, object_id: int) -> None:
        """The owner has it for good; no effect when another has taken its place meanwhile."""
        header = self._waiting(kind, object_id)
        if header is None:
            return
        self._stored.append(header)
        if self._begun:
            self.reply = Reply.GO_BACK if self._missed else Reply.PROGRESS
            self._pass()
        else:
            self._drop()

    def refuse(self, kind: int, object_id: int, reason: Reason) -> None:
        """The owner does not want it."""
        if self._waiting(kind, object_id) is None:
            return
        if self._begun:
            self.refusing = reason
        else:
            self._drop()  # it comes again in this session, and can be refused then

    def refusal_known(self) -> None:
        """The other end knows that the object was refused."""
        self.refusing = None
        self.reply = Reply.GO_BACK
        self._pass()

    def _begin(self, header: Header, payload: bytes) -> LinkObject | None:
        self._begun = True
        if header in self._stored:
            self.reply = Reply.PROGRESS
            self._pass()
            return None
        if header == self._header and self._data:
            self._say_where()
            return None
        if header.length_bytes > self.max_object_bytes:
            self.refusing = Reason.TOO_LARGE
            return None
        if (unwanted := self._judge(header)) is not None:
            self.refusing = unwanted
            return None
        if header != self._header:
            self._damaged = 0
        self._header = header
        self._data.clear()
        return self._take(payload)

    def _take(self, payload: bytes) -> LinkObject | None:
        header = self._header
        assert header is not None
        self._data += payload[: header.length_bytes - len(self._data)]
        self.reply = Reply.PROGRESS
        if len(self._data) < header.length_bytes:
            return None
        data = bytes(self._data)
        if crc32(data) == header.crc32:
            if header.kind in SESSION_KINDS:
                self._pass()  # who asked for it can ask again: nothing waits for its owner
            return LinkObject(header.kind, header.object_id, data)
        self._data.clear()
        self._damaged += 1
        self.reply = Reply.GO_BACK
        if self._damaged == MAX_DAMAGED:
            self.refusing = Reason.DAMAGED
        return None

    def _is_whole(self) -> bool:
        return self._header is not None and len(self._data) == self._header.length_bytes

    def _waiting(self, kind: int, object_id: int) -> Header | None:
        header = self._header
        fits = (
            header is not None and self._is_whole() and (header.kind, header.object_id) == (kind, object_id)
        )
        return header if fits else None

    def _say_where(self) -> None:
        if self.reply is Reply.NOTHING:
            self.reply = Reply.PROGRESS

    def _pass(self) -> None:
        """On to the next transfer."""
        self._transfer = (self._transfer + 1) % NUMBERS
        self._begun = self._missed = False
        self._drop()

    def _drop(self) -> None:
        self._header = None
        self._data.clear()
        self._damaged = 0
