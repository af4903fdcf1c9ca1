"""Loads one library of an Edge TPU and says, line by line in JSON, what it answers. Run as a program by
`edge.inference.edgetpu_library.ask`, for this process may be aborted by it: it imports nothing of ours.

The C interface: google-coral/libedgetpu, tflite/public/edgetpu_c.h; that of a delegate:
tensorflow/lite/delegates/external/external_delegate_interface.h.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys


class _Device(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int), ("path", ctypes.c_char_p))


_KINDS = {0: "pci", 1: "usb"}
_REPORT = ctypes.CFUNCTYPE(None, ctypes.c_char_p)


def main(file: str, out: int) -> None:
    """Ask the library; what is being done is said before it is done."""

    def tell(**what: object) -> None:
        os.write(out, json.dumps(what).encode() + b"\n")

    tell(doing="it was loaded")
    try:
        library = ctypes.CDLL(file)
    except OSError as error:
        tell(problem=f"it cannot be loaded ({error})")
        return
    if hasattr(library, "edgetpu_version"):
        tell(doing="its version was asked")
        library.edgetpu_version.restype = ctypes.c_char_p
        tell(version=(library.edgetpu_version() or b"").decode("utf-8", "replace"))
    if hasattr(library, "edgetpu_list_devices"):
        tell(doing="its devices were listed")
        library.edgetpu_list_devices.restype = ctypes.POINTER(_Device)
        n = ctypes.c_size_t()
        found = library.edgetpu_list_devices(ctypes.byref(n))
        listed = [found[i] for i in range(n.value)] if found else []
        told = [
            f"{_KINDS.get(one.kind, one.kind)} {(one.path or b'').decode('utf-8', 'replace')}"
            for one in listed
        ]
        if found and hasattr(library, "edgetpu_free_devices"):
            library.edgetpu_free_devices.argtypes = [ctypes.POINTER(_Device)]
            library.edgetpu_free_devices.restype = None
            library.edgetpu_free_devices(found)
        tell(devices=told)
    names = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")
    lacking = [name for name in names if not hasattr(library, name)]
    if lacking:
        tell(problem=f"it lacks the function {lacking[0]}")
        return
    tell(is_delegate=True, doing="it made its delegate")
    said: list[str] = []
    report = _REPORT(lambda text: said.append((text or b"").decode("utf-8", "replace")))
    create, destroy = (getattr(library, name) for name in names)
    strings = ctypes.POINTER(ctypes.c_char_p)
    create.argtypes, create.restype = [strings, strings, ctypes.c_size_t, _REPORT], ctypes.c_void_p
    destroy.argtypes, destroy.restype = [ctypes.c_void_p], None
    delegate = create(None, None, 0, report)
    tell(makes_delegate=delegate is not None, said=" ".join(said), doing="its delegate was taken down")
    if delegate is not None:
        destroy(delegate)
    tell(doing="it was let go")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
