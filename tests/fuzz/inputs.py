"""How the bytes of a fuzzed input are cut: a fuzzer can change the number and the lengths of pieces too."""

from __future__ import annotations


class Reader:
    """Numbers and pieces out of an input; zeros and empty pieces at its end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def number(self, n_bytes: int = 1) -> int:
        """A big-endian number."""
        return int.from_bytes(self.take(n_bytes).ljust(n_bytes, b"\0"), "big")

    def take(self, n_bytes: int) -> bytes:
        """The next bytes."""
        piece = self._data[self._at : self._at + n_bytes]
        self._at += n_bytes
        return piece

    def pieces(self) -> list[bytes]:
        """The rest, as pieces with their length in two bytes before each."""
        found = []
        while self:
            found.append(self.take(self.number(2)))
        return found


def joined(pieces: list[bytes]) -> bytes:
    """What `Reader.pieces` reads."""
    return b"".join(len(piece).to_bytes(2, "big") + piece for piece in pieces)
