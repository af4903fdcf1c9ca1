"""Orders that wait for a float's next call: files in FOLDER/<imei>/orders/, renamed when the float has them.

They are signed commands as `seston command` writes them; nothing here judges them.
"""

from __future__ import annotations

from pathlib import Path

from edge.durable import PART, sync_folder

FOLDER, SENT_SUFFIX = "orders", ".sent"
MAX_ORDERS = 16
"""So many go up in one call; the others in the next."""
MAX_ORDER_BYTES = 65_536


def waiting(folder: Path, imei: str) -> list[bytes]:
    """Orders for a modem, in the order of their names; what is empty or too long is none.

    Raises
    ------
    OSError
        When one cannot be read.
    """
    return [data for _, data in _files(folder, imei)][:MAX_ORDERS]


def delivered(folder: Path, imei: str, data: bytes) -> None:
    """The float has it for good; raises `OSError` when the disk refuses: then it goes again."""
    for file, found in _files(folder, imei):
        if found == data:
            file.replace(file.with_name(file.name + SENT_SUFFIX))
            sync_folder(file.parent)


def _files(folder: Path, imei: str) -> list[tuple[Path, bytes]]:
    place = folder / imei / FOLDER
    files = sorted(file for file in place.glob("*") if file.suffix not in (PART, SENT_SUFFIX))
    sized = [file for file in files if file.is_file() and 1 <= file.stat().st_size <= MAX_ORDER_BYTES]
    return [(file, file.read_bytes()) for file in sized]
