"""What was sorted, for training: a folder a class, or an archive that EcoTaxa imports. It sorts nothing."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from edge.errors import InputError
from edge.images import IMAGE_SUFFIXES, decode_image
from tools.shore.sorting.session import Session
from training.ecotaxa_write import Cell, encode_png, write_archive


class Sorted(NamedTuple):
    """An image that has a name: its number, that name, and what its file is to be called."""

    image: int
    name: str
    file: str


def named_images(session: Session) -> list[Sorted]:
    """Images of clusters that were looked at and have a name, or stand under one that has, in their order.

    Raises
    ------
    InputError
        When there is none.
    """
    state = session.state
    name_of = {
        number: session.name_of(number) for number, one in state.clusters.items() if one.status != "new"
    }
    found = []
    taken: set[tuple[str, str]] = set()
    for row, number in enumerate(state.cluster.tolist()):
        name = name_of.get(number, "")
        if not name:
            continue
        image = int(state.images[row])
        file = PurePosixPath(session.images.file[row]).name
        if (name, file.lower()) in taken:
            file = f"{image:07d}-{file}"
        taken.add((name, file.lower()))
        found.append(Sorted(image, name, file))
    if not found:
        raise InputError(
            "has no cluster that was accepted and has a name",
            file=session.path,
            remedy="name some with `seston sort serve`",
        )
    return found


def write_folders(session: Session, out: Path) -> Counter[str]:
    """Write a folder a class, the files as they came; whole, or not at all. Returns images by class.

    Raises
    ------
    InputError
        When `out` is there and not empty, nothing has a name, or the disk refuses.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("is there already", file=out, remedy="give a new folder")
    found = named_images(session)
    beside = out.with_name(f"{out.name}.part")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        for one in found:
            folder = beside / one.name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / one.file).write_bytes(session.file_bytes(one.image))
        if out.exists():
            out.rmdir()
        beside.rename(out)
    except OSError as cause:
        raise InputError(
            f"cannot be written ({cause.strerror})", file=out, remedy="check the folder and the disk"
        ) from cause
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Counter(one.name for one in found)


class _Pictures(Mapping[str, bytes]):
    """Images of an archive by their name in it, read when they are asked for."""

    def __init__(self, session: Session, image_of: dict[str, int]) -> None:
        self._session, self._image_of = session, image_of

    def __getitem__(self, name: str) -> bytes:
        data = self._session.file_bytes(self._image_of[name])
        is_fit = data.startswith((b"\x89PNG", b"\xff\xd8"))
        return data if is_fit else encode_png(decode_image(data, name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._image_of)

    def __len__(self) -> int:
        return len(self._image_of)


def write_ecotaxa(session: Session, out: Path) -> Counter[str]:
    """Write an archive that EcoTaxa imports, all validated as they were named; returns images by class."""
    found = named_images(session)
    rows: list[dict[str, Cell]] = []
    image_of = {}
    for one in found:
        stem, _, ending = one.file.rpartition(".")
        kept = f".{ending.lower()}" in set(IMAGE_SUFFIXES) & {".png", ".jpg", ".jpeg"}
        file = f"images/{one.image:07d}.{ending.lower() if kept else 'png'}"
        image_of[file] = one.image
        utc, who = session.named_by(one.image)
        rows.append(
            {
                "img_file_name": file,
                "img_rank": 0,
                "object_id": f"{one.image:07d}_{stem}"[:250],
                "object_annotation_category": one.name.partition("__")[0],
                "object_annotation_category_id": _id_of(one.name),
                "object_annotation_status": "validated",
                "object_annotation_person_name": who,
                "object_annotation_date": utc[:10].replace("-", ""),
                "object_annotation_time": utc[11:19].replace(":", ""),
            }
        )
    write_archive(out, rows, _Pictures(session, image_of))
    return Counter(one.name for one in found)


def _id_of(name: str) -> int | None:
    number = name.rpartition("__")[2]
    return int(number) if "__" in name and number.isdigit() and int(number) > 0 else None
