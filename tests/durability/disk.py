"""A disk below SQLite that loses power: what was not synced is lost in part, out of order, or torn.

An APSW VFS in memory. Its files have what is durable and what was done since the last sync; at a chosen call
power goes, and every call after it fails. `remains` says what may be found then.
"""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import apsw

from tests.durability.torn import torn


class PowerCutError(BaseException):
    """The process is no more: nothing aboard may catch this."""


class DiskFile:
    """One file: what is on the disk for certain (None: not even a name), what it is now, and the way."""

    def __init__(self) -> None:
        self.durable: bytes | None = None
        self.now: bytearray | None = None
        self.since: list[tuple[str, int, bytes]] = []

    def do(self, kind: str, at: int, data: bytes = b"") -> None:
        self.since.append((kind, at, data))
        self.now = _done(self.now, kind, at, data)

    def sync(self) -> None:
        self.durable = None if self.now is None else bytes(self.now)
        self.since.clear()


def _done(
    held: bytearray | None, kind: str, at: int, data: bytes, chance: random.Random | None = None
) -> bytearray | None:
    if kind == "delete":
        return None
    return torn(bytearray() if held is None else held, kind, at, data, chance)


class Disk:
    """All files, by path; counts calls that change something, and loses power at one of them."""

    def __init__(self, cut_at: int | None = None) -> None:
        self.files: dict[str, DiskFile] = {}
        self.calls = 0
        self.cut_at = cut_at
        self.is_off = False

    def file(self, name: str) -> DiskFile:
        return self.files.setdefault(name, DiskFile())

    def add(self, path: Path) -> None:
        """A file that was there before, durable."""
        file = self.file(str(path.absolute()))
        file.durable = path.read_bytes()
        file.now = bytearray(file.durable)

    def power(self) -> None:
        """One more call."""
        if self.is_off or self.calls == self.cut_at:
            self.is_off = True
            raise apsw.IOError("power is gone")
        self.calls += 1

    def remains(self, chance: random.Random | None) -> dict[str, bytes]:
        """Files after the cut: of what was not synced nothing (None), or some, in any order, some torn."""
        found = {}
        for name, file in self.files.items():
            held = None if file.durable is None else bytearray(file.durable)
            if chance is not None:
                some = [one for one in file.since if chance.random() < 0.6]
                if chance.random() < 0.5:
                    chance.shuffle(some)
                for kind, at, data in some:
                    held = _done(held, kind, at, data, chance)
            if held is not None:
                found[name] = bytes(held)
        return found


class OpenFile:
    """What SQLite reads and writes."""

    def __init__(self, disk: Disk, name: str, *, goes: bool) -> None:
        self._disk, self._name, self._goes = disk, name, goes

    def _held(self) -> bytearray:
        return self._disk.file(self._name).now or bytearray()

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return bytes(self._held()[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.power()
        self._disk.file(self._name).do("write", offset, bytes(data))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._disk.power()
        self._disk.file(self._name).do("truncate", size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.power()
        self._disk.file(self._name).sync()

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._held())

    def xClose(self) -> None:  # noqa: N802
        if self._goes:
            self._disk.files.pop(self._name, None)

    def xLock(self, level: int) -> None:  # noqa: N802
        pass

    def xUnlock(self, level: int) -> None:  # noqa: N802
        pass

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        return 4096

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE


class DiskVFS(apsw.VFS):
    """The names on a disk."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__(f"disk-{id(disk)}", "")

    def xOpen(self, name: object, flags: list[int]) -> OpenFile:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        flags[1] = flags[0]
        goes = bool(flags[0] & apsw.SQLITE_OPEN_DELETEONCLOSE)
        path = f"temporary-{self._disk.calls}-{len(self._disk.files)}" if path is None else str(path)
        if self._disk.file(path).now is None:
            self._disk.power()
            self._disk.file(path).do("write", 0)
        return OpenFile(self._disk, path, goes=goes)

    def xAccess(self, path: str, flags: int) -> bool:  # noqa: N802
        return self._disk.file(path).now is not None

    def xDelete(self, path: str, syncdir: bool) -> None:  # noqa: N802
        self._disk.power()
        file = self._disk.file(path)
        file.do("delete", 0)
        if syncdir:
            file.sync()


class Connection:
    """What `sqlite3.connect` gives, as far as `edge` uses it, on a disk that loses power.

    APSW's VFS has no shared memory: the file is locked for one connection, as it is aboard in fact.
    """

    def __init__(self, disk: Disk, vfs: DiskVFS, file: str) -> None:
        self._disk = disk
        self._db = self._do(lambda: apsw.Connection(str(file), vfs=f"disk-{id(disk)}"))
        self._vfs = vfs
        self.execute("PRAGMA locking_mode=EXCLUSIVE")
        self.execute("PRAGMA wal_autocheckpoint=12")

    def _do(self, what):
        try:
            return what()
        except apsw.Error as error:
            if self._disk.is_off:
                raise PowerCutError from None
            translated = sqlite3.OperationalError(str(error))
            translated.sqlite_errorcode = error.extendedresult
            raise translated from None

    def execute(self, statement, values=()):
        return self._do(lambda: self._db.execute(statement, values))

    def executemany(self, statement, rows):
        return self._do(lambda: self._db.executemany(statement, rows))

    def executescript(self, script):
        return self.execute(script)

    @property
    def in_transaction(self):
        return self._db.in_transaction

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self._db.in_transaction:
            self.execute("ROLLBACK" if kind else "COMMIT")

    def close(self):
        self._do(self._db.close)


def connector(disk: Disk):
    """In place of `sqlite3.connect`."""
    vfs = DiskVFS(disk)
    return lambda file, **_: Connection(disk, vfs, str(Path(file).absolute()))
