"""Frames between the thread that follows the camera and the one that looks at them: neither waits.

Memory is bounded by the frames it may hold: what is dropped or missing between two of them is counted, not
kept, and still comes out in its place, one by one.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from edge.cameras.ledger import Missing, Taken
from edge.frame import FrameOutcome
from edge.run_config import Drop

NO_TIME = "nobody had time for it"


@dataclass(slots=True)
class _Gap:
    """Frames without pixels in a row: how many of each note, from when to when."""

    notes: dict[str, int]
    since_s: float
    until_s: float


class FrameQueue:
    """Keeps at most `limit` frames; when it is full, drops the newest or the oldest."""

    def __init__(self, limit: int, drop: Drop) -> None:
        self._limit, self._drop = limit, drop
        self._entries: deque[Taken | _Gap] = deque()  # no two gaps in a row
        self._n_frames = 0
        self._changed = threading.Condition()

    @property
    def n_entries(self) -> int:
        """Entries held: frames, and gaps between them."""
        return len(self._entries)

    def put(self, entry: Taken | Missing) -> None:
        """Take what came; never waits."""
        with self._changed:
            is_full = self._n_frames == self._limit
            if isinstance(entry, Missing):
                self._lose(entry)
            elif is_full and self._drop is Drop.NEWEST:
                self._lose(Missing(1, entry.taken_s, entry.taken_s, NO_TIME))
            else:
                if is_full:
                    self._lose_oldest()
                self._entries.append(entry)
                self._n_frames += 1
            self._changed.notify()

    def take(self, wait_s: float = 0.0) -> Taken | None:
        """The next frame, waiting at most so long; None when there is none."""
        with self._changed:
            if not self._entries and wait_s > 0:
                self._changed.wait(wait_s)
            if not self._entries:
                return None
            head = self._entries[0]
            if isinstance(head, Taken):
                self._n_frames -= 1
                self._entries.popleft()
                return head
            return self._take_of(head)

    def _take_of(self, gap: _Gap) -> Taken:
        note, count = next(iter(gap.notes.items()))
        taken_s, left = gap.since_s, sum(gap.notes.values()) - 1
        if count > 1:
            gap.notes[note] = count - 1
        else:
            del gap.notes[note]
        if left:
            gap.since_s += (gap.until_s - gap.since_s) / left
        else:
            self._entries.popleft()
        return Taken(taken_s, None, fault=FrameOutcome.DROPPED, note=note)

    def _lose(self, missing: Missing) -> None:
        """Count frames after all that is here."""
        gap = _Gap({missing.note: missing.count}, missing.since_s, missing.until_s)
        if self._entries and isinstance(self._entries[-1], _Gap):
            _join(self._entries[-1], gap)
        else:
            self._entries.append(gap)

    def _lose_oldest(self) -> None:
        """The oldest frame becomes one more of the gaps on both sides of it."""
        before = self._entries.popleft() if isinstance(self._entries[0], _Gap) else None
        oldest = self._entries.popleft()
        assert isinstance(oldest, Taken)
        gap = _Gap({NO_TIME: 1}, oldest.taken_s, oldest.taken_s)
        if isinstance(before, _Gap):
            _join(before, gap)
            gap = before
        if self._entries and isinstance(self._entries[0], _Gap):
            after = self._entries.popleft()
            assert isinstance(after, _Gap)
            _join(gap, after)
        self._entries.appendleft(gap)
        self._n_frames -= 1


def _join(gap: _Gap, later: _Gap) -> None:
    """Make one gap of two in a row."""
    for note, count in later.notes.items():
        gap.notes[note] = gap.notes.get(note, 0) + count
    gap.until_s = max(gap.until_s, later.until_s)
