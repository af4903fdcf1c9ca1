"""The process that drives a camera of GigE Vision or USB3 Vision by Aravis: it may hang or die.

Started by `edge.cameras.genicam` as a script of the system's Python, which has PyGObject; so it imports
nothing but that and the standard library, and nobody imports it. It takes one byte a command (`s`: start,
`t`: trigger) and ends when its input ends. It gives messages: two lengths (uint32, big-endian), a JSON
object, and pixels.

References: Aravis 0.8 (ArvCamera, ArvStream, ArvBufferStatus).
"""

from __future__ import annotations

import json
import os
import select
import struct
import sys
from typing import Any

N_BUFFERS = 8
POP_US = 50_000
IDLE_S = 0.1
TOLERANCE = 0.02
TORN = {
    "MISSING_PACKETS": "packets of it are missing",
    "WRONG_PACKET_ID": "packets of it have a wrong number",
    "SIZE_MISMATCH": "it has a wrong size",
    "TIMEOUT": "it was not complete in time",
    "FILLING": "it was not complete",
    "ABORTED": "it was broken off",
}


class _RefusedError(Exception):
    """The camera cannot be used: problem, field and remedy."""


class _Output:
    """Where messages go."""

    def __init__(self, file: int) -> None:
        self._file = file

    def send(self, message: dict[str, Any], pixels: bytes = b"") -> None:
        """Write one whole; waits for the reader."""
        head = json.dumps(message).encode()
        for part in (struct.pack(">II", len(head), len(pixels)) + head, pixels):
            left = memoryview(part)
            while left:
                left = left[os.write(self._file, left) :]


def main() -> None:
    """Open the camera that the first argument (JSON) describes; messages go to the file of the second."""
    told, output = json.loads(sys.argv[1]), _Output(int(sys.argv[2]))
    try:
        try:
            aravis, errors = _import_aravis()
            camera = _open(aravis, errors, told)
            notes = _set_up(camera, errors, told)
            _serve(aravis, errors, camera, told, notes, output)
        except _RefusedError as refused:
            problem, field, remedy = refused.args
            output.send({"kind": "refused", "problem": problem, "field": field, "remedy": remedy})
        except BrokenPipeError:
            raise
        except Exception as cause:  # noqa: BLE001 nobody hears of it otherwise
            output.send({"kind": "lost", "problem": f"its process fails ({_words(cause)})"})
    except BrokenPipeError:
        pass  # nobody listens any more


def _import_aravis() -> tuple[Any, type[Exception]]:
    try:
        import gi

        gi.require_version("Aravis", "0.8")
        from gi.repository import Aravis, GLib
    except (ImportError, ValueError):
        raise _RefusedError(
            'is "genicam", and this machine has no Aravis', "kind",
            "install it with `apt install gir1.2-aravis-0.8 python3-gi`",
        ) from None  # fmt: skip
    return Aravis, GLib.Error


def _open(aravis: Any, errors: type[Exception], told: dict[str, Any]) -> Any:
    try:
        camera = aravis.Camera.new(told["source"] or None)
    except (errors, TypeError) as cause:
        raise _RefusedError(
            f"cannot be opened ({_words(cause)})", "source",
            "check its address, its cable and its power, and that nobody else has it",
        ) from None  # fmt: skip
    return camera


def _set_up(camera: Any, errors: type[Exception], told: dict[str, Any]) -> list[str]:
    """Set what is told; returns what the camera did not take."""
    notes: list[str] = []

    def ask(name: str, value: Any, write: Any, read: Any) -> None:
        if value is None:
            return
        try:
            write(value)
            found = read()
        except errors as cause:
            notes.append(f"does not take {name} {value:g} ({_words(cause)})")
            return
        if abs(found - value) > TOLERANCE * value:
            notes.append(f"does not take {name} {value:g}: it has {found:g}")

    try:
        camera.set_pixel_format_from_string("Mono8")
    except errors as cause:
        raise _RefusedError(
            f"cannot be set to Mono8 ({_words(cause)})", "pixel_format",
            "take a camera that has it, and that nobody else controls",
        ) from None  # fmt: skip
    if told["width_px"] is not None:
        ask("width_px", told["width_px"], lambda v: camera.set_region(0, 0, v, told["height_px"]),
            lambda: camera.get_region()[2])  # fmt: skip
        ask("height_px", told["height_px"], lambda v: None, lambda: camera.get_region()[3])
    _set_trigger(camera, errors, told)
    if told["trigger"] == "free":
        ask("frame_rate_hz", told["frame_rate_hz"], camera.set_frame_rate, camera.get_frame_rate)
    ask("exposure_us", told["exposure_us"], camera.set_exposure_time, camera.get_exposure_time)
    ask("gain", told["gain"], camera.set_gain, camera.get_gain)
    if camera.is_gv_device():
        ask("packet_bytes", told["packet_bytes"], camera.gv_set_packet_size, camera.gv_get_packet_size)
    return notes


def _set_trigger(camera: Any, errors: type[Exception], told: dict[str, Any]) -> None:
    sources = {"software": "Software", "hardware": told["trigger_line"]}
    try:
        if told["trigger"] == "free":
            camera.clear_triggers()
        else:
            camera.set_trigger(sources[told["trigger"]])
    except errors as cause:
        if told["trigger"] != "free":
            raise _RefusedError(
                f"takes no trigger of {sources[told['trigger']]} ({_words(cause)})", "trigger",
                "choose one that the camera has",
            ) from None  # fmt: skip


def _serve(
    aravis: Any,
    errors: type[Exception],
    camera: Any,
    told: dict[str, Any],
    notes: list[str],
    output: _Output,
) -> None:
    """Give every frame until nobody wants any, or the camera is gone."""
    lost: list[str] = []
    camera.get_device().connect("control-lost", lambda *_: lost.append("it does not answer any more"))
    *_, width, height = camera.get_region()
    stream = _open_stream(aravis, errors, camera)
    output.send({"kind": "ready", "shape": [height, width], "notes": notes})
    try:
        _follow(errors, camera, stream, lost, output, is_software=told["trigger"] == "software")
        if lost:
            output.send({"kind": "lost", "problem": lost[0]})
    finally:
        if lost:
            os._exit(0)  # the library waits long for a camera that is gone
        try:
            camera.stop_acquisition()
        except errors:
            os._exit(0)


def _follow(
    errors: type[Exception],
    camera: Any,
    stream: Any,
    lost: list[str],
    output: _Output,
    *,
    is_software: bool,
) -> None:
    """Do as we are told, and give what comes, until our input ends or the camera is lost."""
    is_started, owed = False, 0
    while not lost:
        is_idle = not is_started or (is_software and not owed)
        if select.select([0], [], [], IDLE_S if is_idle else 0)[0]:
            commands = os.read(0, 64)
            if not commands:
                return
            try:
                if b"s" in commands:
                    camera.start_acquisition()
                    is_started = True
                for _ in range(commands.count(b"t")):
                    camera.software_trigger()
                    owed += 1
            except errors as cause:
                lost.append(_words(cause))
        if not is_started or (is_software and not owed):
            continue
        buffer = stream.timeout_pop_buffer(POP_US)
        if buffer is not None:
            owed = max(0, owed - 1)
            _give(buffer, output)
            stream.push_buffer(buffer)


def _open_stream(aravis: Any, errors: type[Exception], camera: Any) -> Any:
    try:
        stream = camera.create_stream(None, None)
        payload = camera.get_payload()
    except (errors, TypeError) as cause:
        raise _RefusedError(
            f"gives no stream ({_words(cause)})", "source", "check that nobody else has it"
        ) from None
    for _ in range(N_BUFFERS):
        stream.push_buffer(aravis.Buffer.new_allocate(payload))
    return stream


def _give(buffer: Any, output: _Output) -> None:
    status = buffer.get_status().value_nick.upper().replace("-", "_")
    message: dict[str, Any] = {
        "kind": "frame", "number": buffer.get_frame_id(), "device_ns": buffer.get_timestamp() or None,
    }  # fmt: skip
    if status != "SUCCESS":
        output.send({**message, "problem": TORN.get(status, f"the library says {status}")})
        return
    height, width = buffer.get_image_height(), buffer.get_image_width()
    pixels = buffer.get_data()[: height * width]
    output.send({**message, "shape": [height, width], "problem": ""}, pixels)


def _words(cause: Exception) -> str:
    return str(getattr(cause, "message", cause)).rstrip(".")


if __name__ == "__main__":
    main()
