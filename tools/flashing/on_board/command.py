"""What the installer does, in its order: check, build beside, try, switch, test, start; or go back.

Until the switch nothing that runs is touched; the switch is one rename; after it, a service that does not
become ready brings the version before back by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from tools.flashing.on_board import environment, machine, places, settings, system, versions
from tools.flashing.on_board.payload import Payload
from tools.flashing.on_board.refusal import Refusal

VERIFY = "tools.flashing.verify"
VERIFY_LIMIT_S, SELFTEST_LIMIT_S = 900.0, 600.0


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 2 after a sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog=f"sudo sh {Path(sys.argv[0]).name}",
        description="Install seston on this board, without a network.",
    )
    parser.add_argument("--check", action="store_true", help="check file and machine, change nothing")
    parser.add_argument("--rollback", action="store_true", help="go back to the version before")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration for this float (TOML)")
    parser.add_argument(
        "--image", action="store_true",
        help="into the root of an image, on another machine: no service, no self-test, and the model's "
        "answers are tried at the first start on the board",
    )  # fmt: skip
    parser.add_argument("--no-start", action="store_true", help="leave the service stopped")
    parser.add_argument("--no-selftest", action="store_true", help="do not try camera, light and ports")
    asked = parser.parse_args(arguments)
    os.umask(0o022)
    # Ended by a person, or by a terminal that is unplugged: what was begun is taken away on the way out.
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _interrupted)
    try:
        if asked.rollback:
            with _alone():
                rollback(is_started=not asked.no_start)
            return 0
        payload = Payload(Path(sys.argv[0]))
        check(payload)
        if asked.check:
            say(f"This machine can have seston {payload.manifest.version}; nothing was changed.")
            return 0
        with _alone():
            install(
                payload, asked.config, is_started=not (asked.no_start or asked.image),
                is_tested=not (asked.no_selftest or asked.image), is_image=asked.image,
            )  # fmt: skip
    except Refusal as reason:
        print(f"seston: {reason}", file=sys.stderr)  # noqa: T201 the sentence is what the command is for
        return 2
    except OSError as cause:
        place = f"{cause.filename}: " if cause.filename else ""
        print(f"seston: {place}{cause.strerror or cause}; check the disk, then again.", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def check(payload: Payload) -> None:
    """Refuse a wrong machine or a full disk before anything is written."""
    machine.refuse_another(payload.manifest)
    if _named(payload) not in {one.name for one in versions.complete()}:
        machine.refuse_little_space(payload.manifest)


def install(
    payload: Payload, config: Path | None, *, is_started: bool, is_tested: bool, is_image: bool
) -> None:
    """Bring the board to this version, or say that it is there."""
    versions.remove_halves()
    before = versions.current()
    name = _named(payload)
    version = places.VERSIONS / name
    settings_after = settings.Settings(payload, config)
    if not (version / versions.MARK).is_file():
        version = _build(payload, version, settings_after, is_image=is_image)
    elif (file := versions.damaged(version)) is not None:
        say(f"{name} is here, but {file} is damaged: it is installed anew beside it.")
        version = _build(payload, _another(version), settings_after, is_image=is_image)
    else:
        say(f"{name} is here, and whole.")
        _try_out(version, settings_after, is_quick=True)
    if before == version and versions.is_switching():
        before = versions.left()  # cut off after its switch: it has not shown yet that it runs
    elif before != version:
        settings.keep_of(before)
        versions.begin(before)
        versions.switch(version)
    settings_after.put_in_place()
    _leave_program(payload)
    changed = system.put_in_place(version)
    if before == version and not changed and not settings_after.is_changed:
        say("Nothing was to be done.")
        return
    for place in changed:
        say(f"wrote {place}")
    _bring_up(version, before, settings_after, is_started=is_started, is_tested=is_tested)
    versions.finish()
    for gone in versions.prune():
        say(f"removed {gone}")
    say(f"seston {payload.manifest.version} is installed.")


def rollback(*, is_started: bool) -> None:
    """Go back to the version before, with a configuration that it takes."""
    now, before = versions.current(), versions.previous()
    if before is None:
        raise Refusal("there is no version before this one on the board; nothing was changed.")
    if (file := versions.damaged(before)) is not None:
        raise Refusal(f"{before.name} is damaged ({file}); nothing was changed.")
    settings.fit(before, lambda file: _verify(before, file, is_quick=True)[0] == 0)
    settings.keep_of(now)
    versions.switch(before)
    versions.finish()
    system.put_in_place(before)
    say(f"{before.name} is what runs now; seston-rollback goes back to {now.name if now else 'nothing'}.")
    if is_started and machine.is_systemd_running() and system.is_enabled():
        reason = system.start()
        say("The service runs." if reason is None else f"The service does not start: {reason}.")


def say(line: str) -> None:
    """One line for the person."""
    print(line, flush=True)  # noqa: T201 a program at the terminal


def _build(payload: Payload, version: Path, after: settings.Settings, *, is_image: bool) -> Path:
    """A whole new version, or none."""
    say(f"Installing {version.name} ...")
    places.VERSIONS.mkdir(parents=True, exist_ok=True)
    try:
        environment.make(payload, version)
        system.prepare_user(payload.manifest.epoch_s)
        rules = b"".join(payload.read(one) for one in payload.manifest.of("rules"))
        system.lay_down(version, _unit(version), rules)
        settings.lay_down(payload, version)
        for file in (version, *(version / system.SYSTEM).iterdir(), version / system.SYSTEM):
            os.utime(file, (payload.manifest.epoch_s, payload.manifest.epoch_s))
        _try_out(version, after, is_quick=is_image)
        versions.seal(version, payload.manifest.epoch_s)
    except BaseException:
        versions.remove(version)
        raise
    return version


def _unit(version: Path) -> bytes:
    code, text = system.as_user(
        [version / "venv/bin/seston", "unit", "--program", places.CURRENT / "venv/bin/seston",
         "--user", places.USER, "--config", places.CONFIG, "--folder", places.DATA],
        is_shown=False, limit_s=VERIFY_LIMIT_S,
    )  # fmt: skip
    if code:
        raise Refusal(f"seston unit ended with {code} ({_last(text)}); nothing was changed.")
    return text.encode()


def _try_out(version: Path, after: settings.Settings, *, is_quick: bool) -> None:
    """The version must import, parse the configuration and reproduce the model's answers."""
    with after.on_trial(version) as file:
        code, text = _verify(version, file, is_quick=is_quick)
    if code == 0:
        for line in text.splitlines():
            say(f"  {line}")
        return
    still = versions.current()
    goes_on = f"; {still.name} still runs" if still else ""
    raise Refusal(f"{_last(text).removeprefix('seston: ').removesuffix('.')}; nothing was changed{goes_on}.")


def _verify(version: Path, config: Path, *, is_quick: bool) -> tuple[int, str]:
    command = [
        version / "venv/bin/python",
        "-m",
        VERIFY,
        "--config",
        config,
        *(["--quick"] if is_quick else []),
    ]
    return system.as_user(command, is_shown=False, limit_s=VERIFY_LIMIT_S)


def _bring_up(
    version: Path, before: Path | None, after: settings.Settings, *, is_started: bool, is_tested: bool
) -> None:
    """Try the hardware while nobody else has it, then start the service; go back if it is not ready."""
    is_started = is_started and machine.is_systemd_running() and system.is_enabled()
    system.stop()
    if is_tested:
        say("Self-test (what is not wired up yet is told, and is no fault of the installation):")
        system.as_user(
            [version / "venv/bin/seston", "selftest", "--config", places.CONFIG, "--folder", places.DATA],
            is_shown=True, limit_s=SELFTEST_LIMIT_S,
        )  # fmt: skip
    if not is_started:
        say("The service is not started. Later: systemctl start seston")
        return
    reason = system.start()
    if reason is None:
        say("The service runs.")
        return
    if before is None or before == version:
        raise Refusal(
            f"installed, but the service does not become ready: {reason}; see journalctl -u seston."
        )
    after.take_back()
    versions.switch(before)
    system.put_in_place(before)
    versions.finish()
    versions.remove(version)
    again = system.start()
    runs = (
        f"{before.name} runs again" if again is None else f"{before.name} is back, and does not start either"
    )
    raise Refusal(f"the service does not become ready: {reason}; {runs}.")


def _leave_program(payload: Payload) -> None:
    """Leave this program on the board: an engineer goes back without the file."""
    for name, data in payload.program().items():
        place = places.BIN / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_file() or place.read_bytes() != data:
            places.write(place, data)
    script = f'#!/bin/sh\nexec python3 -I -B {places.BIN} --rollback "$@"\n'.encode()
    place = places.BIN / places.ROLLBACK.name
    if not place.is_file() or place.read_bytes() != script:
        places.write(place, script, 0o755)


def _named(payload: Payload) -> str:
    """Name of the version's folder: what is inside, and for which Python, for a system may get another."""
    python = machine.this_python().replace(".", "")
    return f"{payload.manifest.version}-{payload.digest[:12]}-cp{python}"


def _another(version: Path) -> Path:
    """A folder for the same version, beside one that is damaged."""
    number = 2
    while (version.parent / f"{version.name}.{number}").exists():
        number += 1
    return version.parent / f"{version.name}.{number}"


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One at a time: two would take each other's folders for halves."""
    if os.geteuid() != 0:
        raise Refusal("only root may install; call it with sudo.")
    places.HOME.mkdir(parents=True, exist_ok=True)
    with places.LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal("another installation is under way; wait for it.") from None
        yield


def _interrupted(number: int, _: object) -> NoReturn:
    raise Refusal(f"interrupted ({signal.Signals(number).name}); what ran before still runs.")


def _last(text: str) -> str:
    """The sentence in what a program said, or else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("seston: ")]
    return (said or lines or ["it said nothing"])[-1]
