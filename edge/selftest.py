"""The test on deck: everything that a dive needs, tried for real, in under a minute; and how the board fares.

A check never raises and never stops the next one: what goes wrong in it is its result.
"""

from __future__ import annotations

import enum
import functools
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.cameras.camera import Camera
from edge.clock import SystemClock, WallClock
from edge.config import Config
from edge.ends import open_camera, tie_to_ports
from edge.errors import SestonError
from edge.frame import Frame
from edge.health import battery_mv, board_temperature_c
from edge.hosts import NativeHost
from edge.inference.bundle import Bundle
from edge.inference.worker import WorkerClassifier
from edge.installed_keys import KEYS_FILE
from edge.logged import optics_of
from edge.optics import Polarity
from edge.run_config import Delivery, HostKind, ModemKind, PressureSource, Trigger
from edge.sensors.serial import SerialPressure
from edge.vision.quality import noise_threshold, sharpness
from edge.vision.segmentation import find_foreground, join
from firmware_bridge.errors import BridgeError
from firmware_bridge.link import Peer as LinkPeer
from firmware_bridge.link_records import Role
from firmware_bridge.transport import open_transport

N_FRAMES = 6
CAMERA_S, LISTEN_S, PRESSURE_S = 15.0, 5.0, 4.0
"""Longest time given to the camera, to who is at the other end of a line, and to the pressure sensor."""
DISK_BYTES = 8_000_000
LEAST_FREE_MB, LEAST_MEMORY_MB = 500, 100
SLOW_DISK_MB_S = 2.0
HOT_C, LEAST_BATTERY_MV = 75, 3_300
OLDEST_UTC_MS = 1_767_225_600_000
"""2026-01-01: a clock that says less was never set."""
NOISY_SPECKS = 100


class Status(enum.StrEnum):
    """What a check comes to."""

    GOOD = "good"
    LOOK = "look"
    """It may be as it should be: somebody has to look."""
    BAD = "BAD"
    NONE = "-"
    """The board or the configuration has nothing of the kind."""


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one check; `told` are the numbers behind the sentence, with units in their names."""

    name: str
    status: Status
    message: str
    seconds: float = 0.0
    told: dict[str, float | int | str | bool | None] = field(default_factory=dict)


Found = tuple[Status, str, dict[str, float | int | str | bool | None]]


def run_checks(config: Config, bundle: Bundle, folder: Path) -> Iterator[Check]:
    """Every check, one after another, as they are done.

    Parameters
    ----------
    config
        Complete, with optics.
    folder
        Where `seston run` keeps its data.
    """
    frames: list[Frame] = []
    yield timed("camera", lambda: _camera(config, frames))
    there = [frame for frame in frames if frame.pixels is not None]
    pictures = [frame.pixels for frame in there if frame.lit and frame.pixels is not None]
    dark = [frame.pixels for frame in there if not frame.lit and frame.pixels is not None]
    for name, check in (("light", _light), ("lens", _lens)):
        yield timed(name, functools.partial(check, config, pictures))
    yield timed("noise", functools.partial(_noise, config, pictures, dark))
    yield timed("model", lambda: _model(config, bundle))
    yield from board_checks(folder)
    yield timed("host", lambda: _host(config))
    yield timed("modem", lambda: _modem(config))
    yield timed("pressure", lambda: _pressure(config))
    yield timed("keys", lambda: _keys(folder))


def board_checks(folder: Path, *, is_disk_tried: bool = True) -> Iterator[Check]:
    """The board alone: nothing is switched on for it; nothing is written either, unless the disk is tried."""
    yield timed("storage", lambda: _storage(folder, is_tried=is_disk_tried))
    yield timed("memory", _memory)
    yield timed("temperature", _temperature)
    yield timed("voltage", _voltage)
    yield timed("clock", _clock)


def timed(name: str, check: Callable[[], Found]) -> Check:
    """Run one check; what it raises is its result."""
    begun_s = time.monotonic()
    try:
        status, message, told = check()
    except (SestonError, BridgeError, OSError) as error:
        status, message, told = Status.BAD, str(error), {}
    except Exception as error:  # noqa: BLE001 a driver may raise anything: the other checks go on
        status, message, told = Status.BAD, f"{type(error).__name__}: {error}", {}
    return Check(name, status, message, round(time.monotonic() - begun_s, 2), told)


def _camera(config: Config, frames: list[Frame]) -> Found:
    camera = config.run.camera
    said: list[str] = []
    clock = SystemClock()
    with closing(open_camera(camera, WallClock(clock), clock.monotonic_s, said.append)) as opened:
        # Where we fire the light, every second frame is without it, to know the noise.
        fires = camera.trigger is Trigger.SOFTWARE and camera.strobe.startswith("gpio:")
        frames += _take(opened, camera.frame_rate_hz, 2 if fires else None)
    good = [frame for frame in frames if frame.pixels is not None]
    if not good:
        why = frames[0].note if frames else f"no frame within {CAMERA_S:g} s"
        return Status.BAD, f"{camera.source}: {why}", {"frames": 0}
    height, width = good[0].pixels.shape if good[0].pixels is not None else (0, 0)
    told: dict[str, float | int | str | bool | None] = {
        "frames": len(good), "faults": len(frames) - len(good), "width_px": width, "height_px": height,
    }  # fmt: skip
    faults = (
        f", {len(frames) - len(good)} were lost: {_first_note(frames)}" if len(frames) > len(good) else ""
    )
    text = f"{len(good)} frames of {width} x {height} px{faults}" + "".join(f"; {line}" for line in said)
    return Status.LOOK if faults or said else Status.GOOD, text, told


def _take(camera: Camera, frame_rate_hz: float, black_every: int | None) -> list[Frame]:
    """Some frames, for at most `CAMERA_S`."""
    frames: list[Frame] = []
    until_s = time.monotonic() + CAMERA_S
    camera.start(frame_rate_hz, black_every)
    try:
        while len(frames) < N_FRAMES and time.monotonic() < until_s and not camera.is_over:
            frame = camera.next_frame(0.2)
            if frame is not None:
                frames.append(frame)
    finally:
        camera.stop()
    return frames


def _first_note(frames: Sequence[Frame]) -> str:
    return next((frame.note for frame in frames if frame.note), "")


def _light(config: Config, pictures: Sequence[NDArray[np.uint8]]) -> Found:
    if not pictures:
        return Status.NONE, "no frame to look at", {}
    grey = statistics.median(float(picture[::8].mean()) for picture in pictures)
    saturated = max(float((picture[::8] == 255).mean()) for picture in pictures)
    told: dict[str, float | int | str | bool | None] = {
        "mean_grey": round(grey, 2), "saturated_permille": round(1000 * saturated, 1),
    }  # fmt: skip
    text = f"mean grey {grey:.1f} of 255, {100 * saturated:.1f} % of the pixels are white"
    bright_field = optics_of(config).polarity == Polarity.BRIGHT_FIELD
    if bright_field and grey < 40:
        return Status.BAD, f"{text}: too dark for bright field; is the light on?", told
    if not bright_field and max(int(picture.max()) for picture in pictures) < optics_of(config).threshold:
        return Status.LOOK, f"{text}; nothing is above the threshold: wave something before the lens", told
    if saturated > config.vision.saturated_fraction or (not bright_field and grey > 100):
        return Status.BAD, f"{text}: too bright; shorten the exposure, or keep the daylight out", told
    return Status.GOOD, text, told


def _lens(config: Config, pictures: Sequence[NDArray[np.uint8]]) -> Found:
    """Sharpness of what is in view; on deck nobody can tell dirt from a thing that does not move."""
    if not pictures:
        return Status.NONE, "no frame to look at", {}
    optics = optics_of(config)
    white = [p if optics.polarity == Polarity.DARK_FIELD else np.asarray(255 - p) for p in pictures]
    found = [find_foreground(picture, optics.threshold) for picture in white]
    small = [one for one in found if one.fraction <= config.vision.over_exposed_fraction]
    if not small:
        return Status.LOOK, "too much is bright to look at particles: try it in the dark", {}
    sharp = [sharpness(one.pixels, join(one)) for one in small]
    known = [value for value in sharp if value is not None]
    if not known:
        return Status.LOOK, "no particle in view to tell the focus by", {}
    value = statistics.median(known)
    told: dict[str, float | int | str | bool | None] = {"sharpness": round(value, 3)}
    if value < config.vision.blur_sharpness:
        limit = config.vision.blur_sharpness
        return Status.BAD, f"sharpness {value:.3f}, at least {limit:.3f} is wanted: clean or focus it", told
    return Status.GOOD, f"sharpness {value:.3f} of 1", told


def _noise(config: Config, pictures: Sequence[NDArray[np.uint8]], dark: Sequence[NDArray[np.uint8]]) -> Found:
    """The threshold that ends what is seen without light; where there is light alone, that ends specks.

    Specks of one or two pixels, which no water gives in such numbers.
    """
    optics = optics_of(config)
    if dark and optics.polarity == Polarity.DARK_FIELD:
        ends = max(map(noise_threshold, dark))
        text = f"without light it ends at grey {ends}, the threshold is {optics.threshold}"
        return Status.GOOD if ends <= optics.threshold else Status.LOOK, text, {"threshold_wanted": ends}
    if not pictures:
        return Status.NONE, "no frame to look at", {}
    if optics.polarity != Polarity.DARK_FIELD:
        return Status.NONE, "told from unlit frames, in dark field alone", {}
    specks = _specks(pictures[0], optics.threshold)
    enough = next((t for t in range(optics.threshold, 256) if _specks(pictures[0], t) <= NOISY_SPECKS), 255)
    told: dict[str, float | int | str | bool | None] = {"specks": specks, "threshold_wanted": enough}
    text = f"{specks} specks of 1 or 2 px in a frame at threshold {optics.threshold}"
    if specks > NOISY_SPECKS:
        return Status.LOOK, f"{text}; threshold {enough} leaves {NOISY_SPECKS}", told
    return Status.GOOD, text, told


def _specks(picture: NDArray[np.uint8], threshold: int) -> int:
    foreground = find_foreground(picture, threshold)
    return 0 if foreground.fraction > 0.5 else int((join(foreground).area_px <= 2).sum())


def _model(config: Config, bundle: Bundle) -> Found:
    """The goldens in the process that runs aboard, with its accelerator where one is configured."""
    classify = config.classify
    said: list[str] = []
    worker = WorkerClassifier(
        bundle, threads=classify.threads, accelerator=classify.accelerator, timeout_s=classify.timeout_s,
        say=said.append,
    )  # fmt: skip
    try:
        ticket = worker.submit(list(bundle.golden_inputs))
        until_s = time.monotonic() + classify.timeout_s + 1
        while time.monotonic() < until_s:
            if any(named.ticket == ticket and named.answers for named in worker.collect(0.2)):
                break
        pace_ms = 1000 * (worker.pace_s or 0.0)
        accelerated = worker.is_accelerated
    finally:
        worker.close()
    accelerated = accelerated and bundle.compiled is not None  # else nothing of it runs there
    where = "on the accelerator" if accelerated else "on the processor"
    told: dict[str, float | int | str | bool | None] = {
        "sha256": bundle.sha256, "ms_a_vignette": round(pace_ms, 2), "accelerated": accelerated,
    }  # fmt: skip
    text = f"{bundle.name} {bundle.sha256[:12]}, goldens reproduced, {pace_ms:.2f} ms a vignette {where}"
    if classify.accelerator is not None and not accelerated:
        why = worker.given_up or "the model is not compiled for the accelerator"
        return Status.LOOK, f"{text}: {why}", told
    return Status.GOOD, text, told


def _storage(folder: Path, *, is_tried: bool) -> Found:
    free_mb = shutil.disk_usage(folder).free // 1_000_000
    mb_s = _written_mb_s(folder) if is_tried else None
    told: dict[str, float | int | str | bool | None] = {"free_mb": free_mb}
    text = f"{free_mb / 1000:,.1f} GB free"
    if mb_s is not None:
        told["written_mb_s"] = round(mb_s, 1)
        text += f", {mb_s:,.0f} MB/s written and synced"
    if free_mb < LEAST_FREE_MB:
        return Status.BAD, f"{text}: fetch the old dives and remove them", told
    return Status.LOOK if mb_s is not None and mb_s < SLOW_DISK_MB_S else Status.GOOD, text, told


def _written_mb_s(folder: Path) -> float:
    probe = folder / "selftest.part"
    begun_s = time.monotonic()
    try:
        with probe.open("wb") as file:
            file.write(os.urandom(DISK_BYTES))
            file.flush()
            os.fsync(file.fileno())
        return DISK_BYTES / 1e6 / max(time.monotonic() - begun_s, 1e-6)
    finally:
        probe.unlink(missing_ok=True)


def _memory() -> Found:
    text = Path("/proc/meminfo").read_text(encoding="ascii") if Path("/proc/meminfo").exists() else ""
    rows = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    if "MemAvailable" not in rows:
        return Status.NONE, "the system does not say", {}
    free_mb = int(rows["MemAvailable"].split()[0]) * 1024 // 1_000_000
    status = Status.GOOD if free_mb >= LEAST_MEMORY_MB else Status.BAD
    return status, f"{free_mb:,} MB free", {"free_mb": free_mb}


def _temperature() -> Found:
    degrees = board_temperature_c()
    if degrees is None:
        return Status.NONE, "the board has no sensor", {}
    return Status.LOOK if degrees >= HOT_C else Status.GOOD, f"{degrees} °C", {"board_c": degrees}


def _voltage() -> Found:
    found_mv = battery_mv()
    if found_mv is None:
        return Status.NONE, "the board has no battery that it can read", {}
    status = Status.LOOK if found_mv < LEAST_BATTERY_MV else Status.GOOD
    return status, f"{found_mv / 1000:.2f} V", {"battery_mv": found_mv}


def _clock() -> Found:
    now = datetime.now(UTC)
    has_rtc = any(Path("/dev").glob("rtc*"))
    told: dict[str, float | int | str | bool | None] = {
        "utc": now.isoformat(timespec="seconds"),
        "rtc": has_rtc,
    }
    text = f"{now:%Y-%m-%d %H:%M:%S} UTC, {'with' if has_rtc else 'without'} a clock of its own"
    if now.timestamp() * 1000 < OLDEST_UTC_MS:
        return Status.LOOK, f"{text}: host or network have to tell the time", told
    return Status.GOOD if has_rtc else Status.LOOK, text, told


def _host(config: Config) -> Found:
    host = config.run.host
    if host.kind is HostKind.NONE:
        return Status.NONE, "none is configured: pressure begins and ends dives", {}
    if host.kind is HostKind.UVP6:
        with closing(open_transport(host.port, host.baud)):
            return Status.LOOK, f"{host.port} is open at {host.baud} baud; a UVP6's host speaks first", {}
    clock = SystemClock()
    peer = LinkPeer(Role.INSTRUMENT, WallClock(clock).boot)
    line = tie_to_ports(clock.monotonic_s)(peer, host.port, host.baud)
    with closing(NativeHost(peer, line, clock.monotonic_s, stale_s=config.run.pressure.stale_s)) as opened:
        until_s = clock.monotonic_s() + LISTEN_S
        while opened.is_silent and clock.monotonic_s() < until_s:
            opened.poll(0.1)
        if opened.is_silent:
            return Status.LOOK, f"{host.port}: nobody answered within {LISTEN_S:g} s", {"answers": False}
    return Status.GOOD, f"{host.port}: the float answers", {"answers": True}


def _modem(config: Config) -> Found:
    modem = config.run.modem
    if config.run.deliver is not Delivery.MODEM:
        return Status.NONE, f"none is configured: messages go to the {config.run.deliver.value}", {}
    is_imt = modem.kind is ModemKind.IMT
    asked, wanted = (b"GET apiVersion {}\r", b"apiVersion") if is_imt else (b"AT\r", b"OK")
    with closing(open_transport(modem.port, modem.baud)) as port:
        heard, until_s = b"", time.monotonic() + LISTEN_S
        while wanted not in heard and time.monotonic() < until_s:
            port.write(asked)
            port.wait(1.0)
            heard = (heard + port.read())[-4096:]
    if wanted in heard:
        return Status.GOOD, f"{modem.port}: the modem answers", {"answers": True}
    return Status.BAD, f"{modem.port}: the modem gave no answer within {LISTEN_S:g} s", {"answers": False}


def _pressure(config: Config) -> Found:
    told = config.run.pressure
    if told.source is not PressureSource.PORT:
        return Status.NONE, f"comes from the {told.source.value}", {}
    with closing(SerialPressure(told, time.monotonic)) as sensor:
        until_s = time.monotonic() + PRESSURE_S
        reading = sensor.read()
        while reading is None and time.monotonic() < until_s:
            time.sleep(0.05)
            reading = sensor.read()
        problem = sensor.fault or f"{sensor.unreadable} lines were no reading"
    if reading is None:
        return Status.BAD, f"{told.port}: no pressure within {PRESSURE_S:g} s, {problem}", {}
    dbar = reading.pressure_dbar
    status = Status.GOOD if abs(dbar) < config.mission.start_dbar else Status.BAD
    text = f"{dbar:.2f} dbar"
    if status is Status.BAD:
        text += f": on deck it should be below {config.mission.start_dbar:g}; the dive would begin now"
    return status, text, {"pressure_dbar": dbar}


def _keys(folder: Path) -> Found:
    if (folder / KEYS_FILE).is_file():
        return Status.GOOD, f"{KEYS_FILE} is there", {"installed": True}
    return Status.LOOK, "none are installed: nobody can command this unit at sea", {"installed": False}
