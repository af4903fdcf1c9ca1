"""Whether a TFLite model was compiled for the Edge TPU, and the runtime that it asks for; told by its bytes.

Not in here: which operations of a model could be compiled (`training.edgetpu`).
"""

from __future__ import annotations

import struct

CUSTOM_OP = "edgetpu-custom-op"
"""The operation into which the compiler puts all that the Edge TPU runs."""
_NAME = struct.pack("<I", len(CUSTOM_OP)) + CUSTOM_OP.encode() + b"\0"
_PACKAGE = b"DWN1"
"""Identifier of the flatbuffer that such an operation holds (google-coral/libedgetpu, executable.fbs)."""


def is_compiled(model: bytes) -> bool:
    """Whether any of it runs on an Edge TPU."""
    return _NAME in model


def runtime_asked(model: bytes) -> int | None:
    """The lowest RuntimeVersion that a compiled model takes; None when it does not say so.

    The library refuses a higher one than its own: "Package requires runtime version (14), which is newer
    than this runtime version (13)".
    """
    asked = []
    at = model.find(_PACKAGE)
    while at >= 4:
        try:
            # Field 0 of the root table, `min_runtime_version: int`.
            base = at - 4
            root = base + struct.unpack_from("<I", model, base)[0]
            table = root - struct.unpack_from("<i", model, root)[0]
            size, _, offset = struct.unpack_from("<3H", model, table)
            if size >= 6 and offset:
                asked.append(int(struct.unpack_from("<i", model, root + offset)[0]))
        except (struct.error, IndexError):
            pass
        at = model.find(_PACKAGE, at + 1)
    return max((one for one in asked if 0 < one < 1000), default=None)
