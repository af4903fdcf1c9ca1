"""Which model and configuration run: the unit's own, or an update from shore, which has to prove itself.

An update is announced by a signed command (`edge.orders`), so that its bytes may come by any way. When all of
them are here and have the SHA-256 that was announced, they are tried beside what runs; then one commit makes
them what runs from the next start on. Two starts that do not come far enough, and what was before runs again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.arriving import Arriving
from edge.config import Config, load_config
from edge.errors import BundleError, ConfigError, DiveLogError, SestonError
from edge.images import read_image
from edge.inference.bundle import Bundle, load_bundle
from edge.inference.worker import WorkerClassifier
from edge.intake import Intake, nothing_taken
from edge.logged import codebook_of, priorities_of, read_climatology
from edge.sent_config import unpack_config
from edge.telemetry.replies import MAX_DETAIL, Verdict
from edge.update_store import STORE_FILE, Failure, State, Update, UpdateStore
from firmware_bridge.command_bodies import Announce, Part, What
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_records import Reason, Runs
from firmware_bridge.link_wire import Header

UPDATES_DIR = "updates"
TRIES = 2
"""Starts that an update is given to prove itself."""
PROVEN_FRAMES, PROVEN_STANDBY_S = 20, 600.0
"""It has proven itself by so many frames of a dive, or by being ready for so long without one."""


@dataclass(frozen=True, slots=True)
class Running:
    """What runs.

    Attributes
    ----------
    config, bundle
        Complete; the model.
    model, mark
        SHA-256 of model and configuration where they are an update's, else "".
    trial
        The update that has to prove itself, or None.
    """

    config: Config
    bundle: Bundle
    model: str = ""
    mark: str = ""
    trial: Update | None = None


class Updates:
    """Keeps updates, and says what runs.

    Parameters
    ----------
    folder
        Of the board; updates lie in a folder within it.
    config_file
        The unit's own configuration.
    say
        Takes a sentence for a person.
    to_read
        Nothing is written, and what is not there is not made: to `look_up` alone.

    Attributes
    ----------
    arriving
        What has come of an object of the link that is not whole.
    is_unsettled
        Whether `settle` may have something to do.
    has_news
        Whether an update stands otherwise than `verdicts` last said.

    Raises
    ------
    DiveLogError
        When the disk refuses.
    """

    def __init__(
        self, folder: Path, config_file: Path, say: Callable[[str], None], *, to_read: bool = False
    ) -> None:
        self._folder, self._say = folder / UPDATES_DIR, say
        self._store = UpdateStore(self._folder, to_read=to_read)
        if self._store.problem:
            say(f"ALARM: {self._store.problem}")
        self._config_file = config_file
        self._base = _hash_of_own(config_file)
        self._running: Running | None = None
        self.arriving = Arriving(self._folder)
        self.is_unsettled = self.has_news = True

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    # What runs

    @property
    def mark(self) -> str:
        """SHA-256 of the configuration that runs where it is an update's, else ""."""
        return "" if self._running is None else self._running.mark

    @property
    def is_on_trial(self) -> bool:
        """Whether what runs has to prove itself."""
        return self._running is not None and self._running.trial is not None

    def begin(self) -> Running:
        """What this start runs with; a start with an update on trial is counted before anything is loaded.

        Raises `ConfigError` or `BundleError` when it is the unit's own, and cannot be loaded.
        """
        for update in self._store.adopted(self._base):
            if update.state is State.TRIAL and update.tries >= TRIES:
                self._leave(update, f"has not proven itself in {TRIES} starts")
                continue
            if self._base is None and not update.config:
                continue  # the unit's own configuration cannot be read: no fault of the update
            try:
                if update.state is State.TRIAL:
                    self._store.count_try(update, 1)
            except DiveLogError as error:  # not counted, it could fail for ever
                self._say(f"ALARM: update {update.counter} is not tried: {error}")
                continue
            try:
                self._running = self._load(update)
            except SestonError as error:
                self._leave(update, f"cannot be used: {error}")
                continue
            return self._running
        self._running = self._own()
        return self._running

    def look_up(self) -> Running:
        """What runs, or would run at the next start; nothing is counted."""
        for update in self._store.adopted(self._base):
            if update.state is State.GOOD or update.tries < TRIES:
                return self._load(update)
        return self._own()

    def prove(self, *, frames: int, ready_s: float, was_host_heard: bool, is_classifier_well: bool) -> None:
        """Let an update on trial be good when it has come far enough.

        Parameters
        ----------
        frames
            Analysed since the start.
        ready_s
            Time since the start was ready.
        was_host_heard
            Whether a host has been on the line since: one that was there before has to be there after it.
        is_classifier_well
            Whether the model was never lost.
        """
        running = self._running
        if running is None or running.trial is None or not is_classifier_well:
            return
        is_far = frames >= PROVEN_FRAMES or ready_s >= PROVEN_STANDBY_S
        if is_far and (was_host_heard or not running.trial.needs_host):
            self._store.set_state(running.trial, State.GOOD)
            self.has_news = True
            self._say(f"update {running.trial.counter} has proven itself: it stays")
            self._running = Running(running.config, running.bundle, running.model, running.mark)
            if self._base is not None:
                self._store.tidy(self._base)

    def forgive(self) -> None:
        """This start ends because somebody wants it: it was no try."""
        if self._running is not None and self._running.trial is not None:
            with contextlib.suppress(DiveLogError):  # then it counts
                self._store.count_try(self._running.trial, -1)

    def settle(self, *, has_host: bool) -> bool:
        """Try what is whole, and switch to it; whether the service is to start anew. Takes some seconds.

        Parameters
        ----------
        has_host
            Whether a host is on the line now.
        """
        update, running = self._store.whole(), self._running
        if running is None or self._base is None:
            self.is_unsettled = False
            return False
        if update is None:
            self.is_unsettled = False
            return self._is_behind(running)
        self.has_news = True
        model, config = running.model, running.mark
        if update.what is What.MODEL:
            model = update.sha256
        else:
            config = update.sha256
        try:
            if not self._store.holds(update.what, update.sha256):
                file = self._store.file(update.what, update.sha256)
                raise ConfigError("was damaged on the disk", file=file, remedy="send it again")
            candidate = self._compose(model, config)
            is_named_anew = update.what is What.CONFIGURATION and (
                candidate.config.bundle != running.config.bundle
            )
            if is_named_anew:  # the configuration that comes wants another model than the one before did
                model = ""
                candidate = self._compose("", config)
            if (model, config) == (running.model, running.mark):
                self._store.set_state(update, State.GOOD)
                return False
            try_out(candidate)
        except SestonError as error:
            self._store.set_state(update, State.FAILED, Failure.UNFIT, str(error))
            self._say(f"update {update.counter} is not taken: {error}")
            return False
        self._store.adopt(update, self._base, model, config, needs_host=has_host)
        self._say(f"update {update.counter} is whole and does what it must: it runs from the next start on")
        return True

    def _is_behind(self, running: Running) -> bool:
        """Whether something else than what runs is to run, after a reset."""
        newest = next(iter(self._store.adopted(self._base)), None)
        wanted = ("", "") if newest is None else (newest.model, newest.config)
        return wanted != (running.model, running.mark)

    def _own(self) -> Running:
        config = load_config(self._config_file)
        return Running(config, load_bundle(config.bundle))

    def _load(self, update: Update) -> Running:
        found = self._compose(update.model, update.config)
        trial = update if update.state is State.TRIAL else None
        return Running(found.config, found.bundle, found.model, found.mark, trial)

    def _compose(self, model: str, mark: str) -> Running:
        if mark:
            file = self._store.file(What.CONFIGURATION, mark)
            try:
                data = file.read_bytes()
            except OSError as cause:
                raise ConfigError(f"cannot be read ({cause})", file=file, remedy="send it again") from None
            if hashlib.sha256(data).hexdigest() != mark:
                raise ConfigError("was damaged on the disk", file=file, remedy="send it again")
            config = unpack_config(data, file)
        else:
            config = load_config(self._config_file)
        bundle = load_bundle(self._store.file(What.MODEL, model) if model else config.bundle)
        if model and bundle.sha256 != model:
            raise BundleError("was damaged on the disk", file=bundle.path, remedy="send it again")
        return Running(config, bundle, model, mark)

    def _leave(self, update: Update, why: str) -> None:
        with contextlib.suppress(DiveLogError):
            self._store.set_state(update, State.LEFT, update.tries, why)
        self._say(f"ALARM: update {update.counter} {why}: what was before it runs")

    # What comes

    def announce(self, command: bytes, signer: bytes, counter: int, order: Announce) -> str:
        """See `edge.orders.UpdateKeeper`."""
        told = f"announces a {order.what.name.lower()} of {order.length_bytes:,} bytes"
        update = self._store.announced(command)
        if update is None:
            sha256 = order.sha256.hex()
            update = self._store.announce(command, signer, counter, order.what, order.length_bytes, sha256)
            if order.first:
                self._store.add_part(update, 0, order.first)
        if update.state is not State.WAITS:
            return told
        if self._store.holds(update.what, update.sha256):
            self._store.set_state(update, State.WHOLE)
            self.is_unsettled = True
            return f"{told}, which is here already"
        return f"{told}; {self._look_whether_whole(update)}"

    def add_part(self, signer: bytes, counter: int, part: Part) -> str:
        """See `edge.orders.UpdateKeeper`."""
        update = next(
            (one for one in self._store.all() if (one.signer, one.counter) == (signer, counter)), None
        )
        if update is None or update.state is not State.WAITS:
            return "is of none that is waited for"
        if part.offset_bytes + len(part.data) > update.length_bytes:
            return f"lies behind its end at {update.length_bytes} bytes"
        self._store.add_part(update, part.offset_bytes, part.data)
        return f"of {len(part.data)} bytes is here; {self._look_whether_whole(update)}"

    def wants(self, kind: int, length_bytes: int) -> bool:
        """Whether an object of the link may be what is waited for."""
        try:
            update = self._last(kind)
        except DiveLogError:
            return False
        return update is not None and update.length_bytes == length_bytes

    def take(self, item: LinkObject) -> Reason | None:
        """Keep an object of the link durably, or say why not."""
        try:
            update = self._last(item.kind)
        except DiveLogError as error:
            self._say(f"no update is taken: {error}")
            return Reason.NO_ROOM
        if update is None:
            return Reason.UNWANTED
        if hashlib.sha256(item.data).hexdigest() != update.sha256:
            self._say(f"what came is not what update {update.counter} announced: refused")
            return Reason.UNWANTED
        if update.state is not State.WAITS:
            return None  # it is here already
        try:
            self._store.keep(update, item.data, Header.of(item.kind, item.object_id, item.data))
            self.arriving.forget()
        except (OSError, SestonError) as error:
            self._say(f"update {update.counter} cannot be kept: {error}")
            return Reason.NO_ROOM
        self._say(f"update {update.counter} is whole: {len(item.data):,} bytes")
        self.is_unsettled = self.has_news = True
        return None

    @property
    def headers(self) -> list[Header]:
        """Objects of the link that are here, the newest last."""
        return self._store.headers()

    def _last(self, kind: int) -> Update | None:
        """The last that was announced of a kind, unless it has ended."""
        known = [one for one in self._store.all() if one.command and one.what == kind]
        return known[-1] if known and known[-1].state not in (State.LEFT, State.FAILED) else None

    def reset(self) -> None:
        """See `edge.orders.UpdateKeeper`."""
        if self._store.adopted(self._base):
            self._store.adopt_own(self._base or "")
            self.is_unsettled = self.has_news = True

    def verdicts(self) -> Sequence[tuple[bytes, Verdict, int]]:
        """See `edge.orders.UpdateKeeper`."""
        self.has_news = False
        return [(one.command, *self._verdict(one)) for one in self._store.all() if one.command]

    def _verdict(self, update: Update) -> tuple[Verdict, int]:
        match update.state:
            case State.WAITS:
                return Verdict.WAITS, min(self._store.assembled(update)[1], MAX_DETAIL)
            case State.WHOLE | State.TRIAL:
                return Verdict.WAITS, 0
            case State.GOOD:
                return Verdict.DONE, int(update.sha256[:4], 16)
            case State.LEFT:
                return Verdict.RETURNED, update.detail
            case State.FAILED:
                return Verdict.FAILED, update.detail

    def _look_whether_whole(self, update: Update) -> str:
        data, missing = self._store.assembled(update)
        if missing:
            return f"{missing:,} bytes are waited for"
        if hashlib.sha256(data).hexdigest() != update.sha256:
            self._store.set_state(
                update, State.FAILED, Failure.OTHER_BYTES, "its parts are not what was announced"
            )
            return "its parts are not what was announced: it is given up"
        self._store.keep(update, data)
        self.is_unsettled = self.has_news = True
        return "it is whole"

    def runs(self, bundle: Bundle) -> Runs:
        """What runs, and what became of the last update, for who asks."""
        model, mark = int(bundle.sha256[:16], 16), int(self.mark[:16] or "0", 16)
        last = None
        with contextlib.suppress(DiveLogError):
            last = next((one for one in reversed(self._store.all()) if one.command), None)
        if last is None:
            return Runs(model, mark, None, 0, 0)
        return Runs(model, mark, last.counter, *self._verdict(last))


def look_up(folder: Path, config_file: Path) -> Running:
    """What runs with this folder and configuration, or would at the next start; nothing is written.

    Raises what loading it raises.
    """
    if not (folder / UPDATES_DIR / STORE_FILE).is_file():
        config = load_config(config_file)
        return Running(config, load_bundle(config.bundle))
    updates = Updates(folder, config_file, lambda sentence: None, to_read=True)
    try:
        return updates.look_up()
    finally:
        updates.close()


def intake_of(updates: Updates | None, command: Callable[[bytes], None], bundle: Bundle) -> Intake:
    """What links take: commands, and updates where they are kept."""
    if updates is None:
        return dataclasses.replace(nothing_taken(), command=command)
    return Intake(
        command, updates.wants, updates.take, lambda: updates.runs(bundle), lambda: updates.headers,
        updates.arriving.read, updates.arriving.keep,
    )  # fmt: skip


def try_out(candidate: Running) -> None:
    """Do with a model and a configuration what a start does first, camera and ports aside.

    Raises a `SestonError` that says what does not fit: files that are named and not here, priorities, and a
    model that does not give its golden outputs on this processor, in a process of its own.
    """
    config, bundle = candidate.config, candidate.bundle
    codebook_of(config, bundle, read_climatology(config))
    priorities_of(config.telemetry)
    if config.vision.flat_field is not None:
        read_image(config.vision.flat_field)
    WorkerClassifier(bundle, threads=config.classify.threads, timeout_s=config.classify.timeout_s).close()


def _hash_of_own(config_file: Path) -> str | None:
    """Hash of the unit's own configuration and model; None when they cannot be read.

    A person who changes either on deck means what he does: updates that came before count no more.
    """
    try:
        config = load_config(config_file)
        parts = [config_file.read_bytes()]
        if config.optics_file is not None:
            parts.append((config_file.parent / config.optics_file).read_bytes())
        parts.append(load_bundle(config.bundle).sha256.encode())
    except (SestonError, OSError):
        return None
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
