"""A file system that loses power: whole folders of files, below every program (FUSE, in memory).

What was not synced since is lost in part and out of order: bytes of files, and names in folders, which are
durable when their folder was synced and not before. Stricter than ext4, as POSIX allows it.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import random
import shutil
import signal
import stat
import struct
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.durability.torn import torn


@dataclass(eq=False)
class File:
    """Bytes, those that are durable, and the way from there."""

    mode: int = 0o644
    now: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    since: list[tuple[str, int, bytes]] = field(default_factory=list)


@dataclass(eq=False)
class Folder:
    """Names, those that are durable, and the way from there: (name, what it is then or None)."""

    now: dict[str, File | Folder] = field(default_factory=dict)
    durable: dict[str, File | Folder] = field(default_factory=dict)
    since: list[list[tuple[str, File | Folder | None]]] = field(default_factory=list)

    def change(self, *names: tuple[str, File | Folder | None]) -> None:
        """All of these at once."""
        self.since.append(list(names))
        _apply(self.now, names)


def _apply(entries: dict[str, File | Folder], names) -> None:
    for name, what in names:
        if what is None:
            entries.pop(name, None)
        else:
            entries[name] = what


class Power:
    """Shared with the process that holds the files: how many calls there were, and at which power goes."""

    def __init__(self) -> None:
        self._held = mmap.mmap(-1, 24)
        self.arm(None)

    def arm(self, cut_at: int | None) -> None:
        self._held[:] = struct.pack("qqq", 0, -1 if cut_at is None else cut_at, 0)

    @property
    def calls(self) -> int:
        return struct.unpack("qqq", self._held[:])[0]

    @property
    def is_off(self) -> bool:
        return bool(struct.unpack("qqq", self._held[:])[2])

    def use(self) -> None:
        """One more call that changes something."""
        calls, cut_at, is_off = struct.unpack("qqq", self._held[:])
        if is_off or calls == cut_at:
            self._held[16:] = struct.pack("q", 1)
            raise OSError(errno.EIO, "power is gone")
        self._held[:8] = struct.pack("q", calls + 1)


def _operations(power: Power, root: Folder):
    """What mfusepy asks; its base class is imported here, for not every machine has libfuse."""
    import mfusepy

    class Operations(mfusepy.Operations):
        use_ns = True

        def __init__(self) -> None:
            self._open: dict[int, File] = {}

        def _at(self, path: str):
            node = root
            for name in filter(None, path.split("/")):
                if not isinstance(node, Folder) or name not in node.now:
                    raise OSError(errno.ENOENT, path)
                node = node.now[name]
            return node

        def _change(self, path: str) -> tuple[Folder, str]:
            """The folder of a name that is to change. At the top every name is durable at once."""
            above, name = path.rsplit("/", 1)
            if not path.endswith("-shm") and above:
                power.use()
            return self._at(above), name

        def _changed(self, folder: Folder) -> int:
            if folder is root:
                self._sync_names(folder)
            return 0

        @staticmethod
        def _sync_names(folder: Folder) -> None:
            folder.durable = dict(folder.now)
            folder.since.clear()

        def getattr(self, path, fh=None):
            node = self._open.get(fh) if fh else None
            node = node or self._at(path)
            if isinstance(node, Folder):
                return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
            return {"st_mode": stat.S_IFREG | node.mode, "st_nlink": 1, "st_size": len(node.now)}

        def readdir(self, path, fh):
            return [".", "..", *self._at(path).now]

        def mkdir(self, path, mode):
            folder, name = self._change(path)
            folder.change((name, Folder()))
            return self._changed(folder)

        def rmdir(self, path):
            folder, name = self._change(path)
            if self._at(path).now:
                raise OSError(errno.ENOTEMPTY, path)
            folder.change((name, None))
            return self._changed(folder)

        def unlink(self, path):
            folder, name = self._change(path)
            folder.change((name, None))
            return 0

        def rename(self, old, new):
            folder, name = self._change(old)
            if self._at(new.rsplit("/", 1)[0]) is not folder:
                raise OSError(errno.EXDEV, new)
            folder.change((name, None), (new.rsplit("/", 1)[1], self._at(old)))
            return 0

        def create(self, path, mode):
            folder, name = self._change(path)
            folder.change((name, File(mode & 0o777)))
            return self.open(path, 0)

        def open(self, path, flags):
            handle = max(self._open, default=0) + 1
            self._open[handle] = self._at(path)
            if flags & os.O_TRUNC:
                self.truncate(path, 0, handle)
            return handle

        def release(self, path, fh):
            del self._open[fh]
            return 0

        def read(self, path, size, offset, fh):
            return bytes(self._open[fh].now[offset : offset + size])

        def write(self, path, data, offset, fh):
            self._do(path, self._open[fh], "write", offset, data)
            return len(data)

        def truncate(self, path, length, fh=None):
            self._do(path, self._open[fh] if fh else self._at(path), "truncate", length)
            return 0

        def _do(self, path, file, kind, at, data=b"") -> None:
            if not path.endswith("-shm"):
                power.use()
                file.since.append((kind, at, data))
            file.now = torn(file.now, kind, at, data)
            if kind == "truncate" and len(file.now) < at:
                file.now.extend(bytes(at - len(file.now)))

        def fsync(self, path, datasync, fh):
            power.use()
            file = self._open[fh]
            file.durable = bytes(file.now)
            file.since.clear()
            return 0

        def fsyncdir(self, path, datasync, fh):
            power.use()
            self._sync_names(self._at(path))
            return 0

        def chmod(self, path, mode):
            self._at(path).mode = mode & 0o777
            return 0

        def utimens(self, path, times=None):
            return 0

        def statfs(self, path):
            free = 1 << 20
            return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": free, "f_bfree": free, "f_bavail": free}

    return Operations()


def dump(node: File | Folder, place: Path, chance: random.Random | None) -> None:
    """Write what may be found after a cut into a real folder."""
    if isinstance(node, File):
        held = bytearray(node.durable)
        for kind, at, data in _some(node.since, chance, in_order=False):
            held = torn(held, kind, at, data, chance)
        place.write_bytes(held)
        return
    place.mkdir()
    entries = dict(node.durable)
    for names in _some(node.since, chance, in_order=True):
        _apply(entries, names)
    for name, below in entries.items():
        if not name.endswith("-shm") and not name.startswith(".fuse_hidden"):
            dump(below, place / name, chance)


def _some(changes, chance: random.Random | None, *, in_order: bool):
    if chance is None:
        return []
    found = [one for one in changes if chance.random() < 0.6]
    if not in_order and chance.random() < 0.5:
        chance.shuffle(found)
    return found


def why_not() -> str | None:
    """Why there can be no such file system here."""
    if not Path("/dev/fuse").exists():
        return "there is no /dev/fuse"
    if os.geteuid() != 0 or shutil.which("umount") is None:
        return "mounting needs root and umount"
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError) as error:
        return f"mfusepy, of the dev extra, with libfuse: {error}"
    return None


@dataclass
class Mounted:
    """The file system: where it is, its power, and what is left of one of its folders."""

    place: Path
    power: Power
    ask: int
    answer: int

    def remains(self, name: str, seed: int | None, place: Path) -> None:
        """Write what may be found of the folder `name` into `place`, which is not there yet."""
        os.write(self.ask, f"{'' if seed is None else seed}\t{name}\t{place}\n".encode())
        said = os.read(self.answer, 1 << 16).decode()
        assert said == "done\n", said


@contextlib.contextmanager
def mounted(place: Path) -> Iterator[Mounted]:
    """Hold the files in a process of its own while the block runs."""
    place.mkdir()
    power = Power()
    asked, ask = os.pipe()
    answer, answered = os.pipe()
    child = os.fork()
    if child == 0:
        _serve(place, power, asked, answered)
    try:
        deadline = time.monotonic() + 20
        while not os.path.ismount(place):
            assert time.monotonic() < deadline, "it does not mount"
            time.sleep(0.01)
        yield Mounted(place, power, ask, answer)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)
        os.kill(child, signal.SIGKILL)  # files that a broken-off run left open would hold it
        os.waitpid(child, 0)
        os.close(ask)
        for one in (asked, answer, answered):
            os.close(one)


def _serve(place: Path, power: Power, asked: int, answered: int) -> None:
    root = Folder()

    def answer() -> None:
        for line in os.fdopen(asked):
            seed, name, target = line.rstrip("\n").split("\t")
            try:
                dump(root.now[name], Path(target), random.Random(int(seed)) if seed else None)
                os.write(answered, b"done\n")
            except Exception as error:  # noqa: BLE001
                os.write(answered, f"{error!r}\n".encode())
        os._exit(0)

    try:
        import mfusepy

        warnings.simplefilter("ignore")
        threading.Thread(target=answer, daemon=True).start()
        mfusepy.FUSE(_operations(power, root), str(place), foreground=True, nothreads=True, hard_remove=True)
    finally:
        os._exit(1)
