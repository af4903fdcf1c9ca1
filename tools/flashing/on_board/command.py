"""What the installer does, in its order: check, build beside, try, switch, test, start; or go back.

Until the switch nothing that runs is touched; the switch is one rename; after it, a service that does not
become ready, a signal or a full disk bring the version before back by themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from tools.flashing.on_board import environment, machine, places, settings, signals, system, versions
from tools.flashing.on_board.payload import Payload
from tools.flashing.on_board.refusal import Refusal
from tools.flashing.on_board.signals import Interrupted

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
    signals.end_with_a_sentence()
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
    except Interrupted as reason:
        still = versions.current()
        runs = f"{still.name} is the version that runs" if still else "nothing was installed"
        say(f"seston: {reason}; {runs}.", file=sys.stderr)
        return 2
    except Refusal as reason:
        say(f"seston: {reason}", file=sys.stderr)
        return 2
    except OSError as cause:
        say(f"seston: {_of(cause)}; check the disk, then again.", file=sys.stderr)
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
    there = versions.named(name)
    whole = next((one for one in there if versions.damaged(one) is None), None)
    is_made = whole is None
    if whole is not None:
        version = whole
        say(f"{name} is here, and whole.")
        _try_out(version, settings_after, is_quick=True)
    else:
        if there:
            file = versions.damaged(there[0])
            say(f"{name} is here, but {file} is damaged: it is installed anew beside it.")
            version = _another(version)
        _build(payload, version, settings_after, is_image=is_image)
    was_running = system.is_running()
    changed: list[str] = []
    try:
        with signals.wait():
            if before == version and versions.is_switching():
                before = versions.left()  # cut off after its switch: it has not shown yet that it runs
            elif before != version:
                settings.keep_of(before)
                versions.begin(before)
                versions.switch(version, is_mended=before in there)
            settings_after.put_in_place()
            _leave_program(payload)
            changed = system.put_in_place(version)
        if before == version and not changed and not settings_after.is_changed:
            say("Nothing was to be done.")
            return
        for place in changed:
            say(f"wrote {place}")
        _bring_up(version, is_started=is_started, is_tested=is_tested)
        versions.finish()
    except (Refusal, OSError) as reason:
        told = _of(reason) if isinstance(reason, OSError) else str(reason).removesuffix(".")
        if before is None:
            raise Refusal(f"{told}; {name} is installed, but was not seen to run.") from None
        with signals.wait():
            settings_after.take_back()
            made = version if is_made and version != before else None
            runs = _go_back(before, made, is_started=is_started or was_running)
        raise Refusal(f"{told}; {runs}.") from None
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
    with signals.wait():
        settings.fit(before, lambda file: _verify(before, file, is_quick=True)[0] == 0)
        settings.keep_of(now)
        versions.switch(before)
        versions.finish()
        system.put_in_place(before)
    say(f"{before.name} is what runs now; seston-rollback goes back to {now.name if now else 'nothing'}.")
    if is_started and machine.is_systemd_running() and system.is_enabled():
        reason = system.start()
        say("The service runs." if reason is None else f"The service does not start: {reason}.")


def say(line: str, file: TextIO | None = None) -> None:
    """One line for the person, who may be gone: then the terminal refuses it, and that stops nothing."""
    with contextlib.suppress(OSError):
        print(line, file=file, flush=True)


def _build(payload: Payload, version: Path, after: settings.Settings, *, is_image: bool) -> None:
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
        with signals.wait():
            versions.remove(version)
        raise


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
            if not line.startswith("INFO: "):  # of the model's runtime
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


def _bring_up(version: Path, *, is_started: bool, is_tested: bool) -> None:
    """Try the hardware while nobody else has it, then start the service; `Refusal` if it is not ready."""
    system.stop()
    if is_tested:
        say("Self-test (what is not wired up yet is told, and is no fault of the installation):")
        system.as_user(
            [version / "venv/bin/seston", "selftest", "--config", places.CONFIG, "--folder", places.DATA],
            is_shown=True, limit_s=SELFTEST_LIMIT_S,
        )  # fmt: skip
    if not (is_started and machine.is_systemd_running() and system.is_enabled()):
        say("The service is not started. Later: systemctl start seston")
        return
    if (reason := system.start()) is not None:
        raise Refusal(f"the service does not become ready ({reason}; see journalctl -u seston)")
    say("The service runs.")


def _go_back(before: Path, made: Path | None, *, is_started: bool) -> str:
    """Let the version before run again, and remove the one that was made; what is so now."""
    system.stop()
    versions.switch(before)
    system.put_in_place(before)
    versions.finish()
    if made is not None:
        versions.remove(made)
    if not (is_started and machine.is_systemd_running() and system.is_enabled()):
        return f"{before.name} is back"
    reason = system.start()
    return (
        f"{before.name} runs again" if reason is None else f"{before.name} is back, and does not start either"
    )


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


def _of(cause: OSError) -> str:
    return f"{cause.filename}: {cause.strerror}" if cause.filename else str(cause.strerror or cause)


def _last(text: str) -> str:
    """The sentence in what a program said, or else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("seston: ")]
    return (said or lines or ["it said nothing"])[-1]
