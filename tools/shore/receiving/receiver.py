"""The receiver: ports and a folder of files in, messages on disk, dives decoded after them.

One thread writes messages, another decodes; the event loop only talks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.shore.decode import CLIMATOLOGIES, CODEBOOKS, ShoreFiles
from tools.shore.receiving import orders
from tools.shore.receiving.arrival import (
    MAX_PAYLOAD_BYTES,
    UNKNOWN_TIME_S,
    Arrival,
    Claims,
    Unreadable,
    check,
    read_file_name,
    read_mail,
)
from tools.shore.receiving.calls import Calls
from tools.shore.receiving.ports import Ports
from tools.shore.receiving.products import decode_dive, is_due
from tools.shore.receiving.store import DIVE, Store

INBOX = "inbox"
POLL_S = 1.0
"""Time between two looks at the inbox and at the codebooks."""
SETTLE_S = 0.2
"""A dive is decoded so long after a message: others often follow at once."""
STATUS_EVERY_S = 10.0
UNUSED_SUFFIX = ".unused"
MAX_FILE_BYTES = 2 * MAX_PAYLOAD_BYTES
"""A mail with the largest message in Base64."""


def _in_file(file: Path) -> tuple[Arrival | Unreadable | None, bytes]:
    """The message in a file of the inbox, and its bytes; None when it is no message's file."""
    raw = file.read_bytes()
    if file.suffix == ".eml":
        found = read_mail(raw)
        return (None if isinstance(found, Unreadable) else found), raw
    named = read_file_name(file.name)
    if named is None or len(raw) > MAX_PAYLOAD_BYTES:
        return None, raw
    return check(Arrival(*named, UNKNOWN_TIME_S, raw, "file")), raw


Stamp = tuple[tuple[str, int], ...]


class Receiver:
    """Everything behind the ports.

    Parameters
    ----------
    store
        Where messages go.
    say
        Takes one line for a person.
    webhook_path, claims
        See `Ports`.
    shore
        What else shore knows: registry, positions, who made the data; read at each decoding.
    """

    def __init__(
        self,
        store: Store,
        say: Callable[[str], None],
        webhook_path: str = "",
        claims: Claims | None = None,
        shore: ShoreFiles | None = None,
    ) -> None:
        self._store, self._shore = store, shore or ShoreFiles()
        self._say = say
        self._disk = ThreadPoolExecutor(max_workers=1)
        self._due: dict[Path, None] = {}
        self._undecoded: dict[Path, None] = {}
        self._wake = asyncio.Event()
        self._status = ""
        self.ports = Ports(self._take, store.status, webhook_path, claims)
        self.inbox = store.folder / INBOX
        self.inbox.mkdir(exist_ok=True)

    async def listen_calls(self, host: str, port: int, imei: str) -> int:
        """Listen for calls of a modem, and make the folder for its orders; see `Ports`."""
        with contextlib.suppress(OSError):  # of a disk that refuses the first message will tell
            (self._store.folder / imei / orders.FOLDER).mkdir(parents=True, exist_ok=True)
        calls = Calls(imei, self._store.folder, self._take, self._say)
        return await self.ports.listen_calls(host, port, calls)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; then finish what has begun: answers, and the dive that is being decoded."""
        for dive in self._store.dives():
            if is_due(dive):
                self._mark(dive)
        jobs = [asyncio.create_task(job) for job in (self._decode(), self._look(), self._tell())]
        ended = asyncio.create_task(stop.wait())
        await asyncio.wait([ended, *jobs], return_when=asyncio.FIRST_COMPLETED)
        await self.ports.close()
        for job in [ended, *jobs]:
            job.cancel()
        for done in await asyncio.gather(*jobs, return_exceptions=True):
            if isinstance(done, Exception):
                raise done  # a job never ends by itself
        await asyncio.get_running_loop().run_in_executor(None, self._disk.shutdown)

    async def _take(self, found: Arrival | Unreadable, raw: bytes) -> None:
        """Keep what came; returns when it is on the disk."""
        loop = asyncio.get_running_loop()
        try:
            if isinstance(found, Unreadable):
                await loop.run_in_executor(self._disk, self._store.malformed, raw)
                return
            _, dive = await loop.run_in_executor(self._disk, self._store.take, found, raw)
        except OSError as error:
            self._say(f"a message was not confirmed, the disk refuses it: {error}")
            raise
        if dive is not None:
            self._mark(dive)
            # Where its sessions were tells where the next dive began.
            later = [one for one in dive.parent.glob(f"{DIVE}*") if one.name > dive.name]
            if later:
                self._mark(min(later))

    def _mark(self, dive: Path) -> None:
        self._due[dive] = None
        self._wake.set()

    async def _decode(self) -> None:
        """Decode dives one after another, those with new messages."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(SETTLE_S)
            self._wake.clear()
            while self._due:
                dive = next(iter(self._due))
                del self._due[dive]
                decoding = asyncio.ensure_future(asyncio.to_thread(decode_dive, dive, self._shore))
                try:
                    await asyncio.wait([decoding])
                except asyncio.CancelledError:
                    await asyncio.wait([decoding])  # a product is whole before we go
                    raise
                self._undecoded.pop(dive, None)
                if (error := decoding.exception()) is not None:  # our own fault must not stop receiving
                    self._say(f"{dive.parent.name}/{dive.name}: cannot be decoded: {error!r}")
                    continue
                sentence, complete = decoding.result()
                if not complete:
                    self._undecoded[dive] = None
                self._say(sentence)

    async def _look(self) -> None:
        """Take files from the inbox, and try again what lacked a codebook when one has come."""
        seen: dict[Path, int] = {}
        books = self._books()
        while True:
            seen = await self._take_files(seen)
            if (now := self._books()) != books:
                books = now
                for dive in list(self._undecoded):
                    self._mark(dive)
            await asyncio.sleep(POLL_S)

    async def _take_files(self, seen: dict[Path, int]) -> dict[Path, int]:
        """Take files that have not grown since the last look; returns the sizes of those that are there."""
        sizes: dict[Path, int] = {}
        for file in sorted([*self.inbox.glob("*.sbd"), *self.inbox.glob("*.eml")]):
            with contextlib.suppress(OSError):
                sizes[file] = file.stat().st_size
                if seen.get(file) != sizes[file]:
                    continue
                found, raw = _in_file(file) if sizes[file] <= MAX_FILE_BYTES else (None, b"")
                if found is None:
                    file.replace(file.with_name(file.name + UNUSED_SUFFIX))
                    self._say(
                        f"{file.name} in the inbox is not named IMEI_MOMSN.sbd, no mail of Iridium's, or too "
                        "long: left out"
                    )
                    continue
                await self._take(found, raw)
                file.unlink()
        return sizes

    def _books(self) -> Stamp:
        """Codebooks, climatologies and registry that are there, and when they were written."""
        folder, found = self._store.folder, []
        registry = [] if self._shore.fleet is None else [self._shore.fleet]
        for pattern in (CODEBOOKS, CLIMATOLOGIES):
            for file in sorted([*folder.glob(pattern), *folder.glob(f"*/{pattern}"), *registry]):
                with contextlib.suppress(OSError):
                    found.append((str(file), file.stat().st_mtime_ns))
        return tuple(found)

    async def _tell(self) -> None:
        """Say the status when it is another."""
        while True:
            await asyncio.sleep(STATUS_EVERY_S)
            if (status := self._store.status()) != self._status:
                self._status = status
                self._say(status)
