"""A cast: the images of one sample of a UVP6 project, with optics, times, pressures, and who measured where.

Of a sample's images those of its `*_Particule.zip` count; where there is none, those of its sequence from
`firstimage` to `endimg` (counted from 1, both included: so the zips of real casts were cut). Histograms are
parsed when asked for: a cast has some ten thousand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.errors import RecordingError
from edge.optics import Optics
from edge.recording import Position
from edge.structs import to_struct
from tools.shore.uvp6_project.files import Archive
from tools.shore.uvp6_project.model import Project, Sample
from tools.shore.uvp6_project.reader import read_project
from tools.shore.uvp6_project.rows import (
    BadLine,
    DataFile,
    ImageRow,
    Spectrum,
    parse_head,
    spectrum_of,
)
from tools.shore.uvp6_project.tables import TextTable
from tools.shore.uvp6_project.texts import degrees, instant, is_blank, number

_REMEDY = "export the cast again"


@dataclass(frozen=True, slots=True)
class Cast:
    """A cast, its histograms not yet parsed.

    Attributes
    ----------
    place
        The file with its images, for sentences.
    optics
        From HW_CONF.
    unit, cruise, profile, position
        From HW_CONF and what is said of the sample; empty or None when they do not say.
    time_s
        UTC, s since 1970, float64 (n,), not falling; of a line that is no image, that of the one before.
    pressure_dbar, temperature_c
        float64 (n,), NaN where the row says so. The temperature is that inside the instrument.
    lit
        bool (n,).
    images
        In the order of capture; also lines that cannot be used, for each was an image.
    vignettes, ctd
        Of the sample, or None.
    vignetting_um
        ESD from which the instrument kept vignettes, None when nobody says it.
    """

    place: str
    optics: Optics
    unit: str
    cruise: str
    profile: str
    position: Position | None
    time_s: NDArray[np.float64]
    pressure_dbar: NDArray[np.float64]
    temperature_c: NDArray[np.float64]
    lit: NDArray[np.bool_]
    images: tuple[ImageRow | BadLine, ...]
    vignettes: Archive | None = None
    ctd: TextTable | None = None
    vignetting_um: float | None = None

    def __len__(self) -> int:
        return len(self.images)

    def spectrum(self, i: int) -> Spectrum | None:
        """Particles of one image by area; None when it was over-exposed. Raises `RecordingError`."""
        image = self.images[i]
        found = image.problem if isinstance(image, BadLine) else spectrum_of(image.body)
        if isinstance(found, str):
            raise RecordingError(found, file=self.place, field=f"line {image.line}", remedy=_REMEDY)
        return found


def read_cast(path: str | PathLike[str], profile: str | None = None) -> Cast:
    """The cast of a `*_Particule.zip`, or one of a project's.

    Raises
    ------
    RecordingError
        When it cannot be read, when there are several and none was chosen, or when a line is no image:
        `cast_of` takes what is good of one.
    """
    project, sample = open_sample(path, profile)
    cast = cast_of(sample, project)
    for image in cast.images:
        if isinstance(image, BadLine):
            raise RecordingError(image.problem, file=cast.place, field=f"line {image.line}", remedy=_REMEDY)
    return cast


def open_sample(path: str | PathLike[str], profile: str | None = None) -> tuple[Project, Sample]:
    """A project and the sample of it that is meant; beside a lone `*_Particule.zip` its vignettes are found.

    Raises
    ------
    RecordingError
        When there is no such sample, or several and none was chosen.
    """
    project = read_project(path, profile)
    with_images = [one for one in project.samples if one.particles or _sequence_of(project, one)]
    ids = ", ".join(sample.id for sample in with_images)
    if profile is not None and profile not in [sample.id for sample in with_images]:
        known = [sample.id for sample in read_project(path).samples]
        raise RecordingError(
            f"has no profile {profile} with images",
            file=path,
            field="--profile",
            remedy=f"choose one of {', '.join(known)}",
        )
    if not with_images:
        raise RecordingError(
            "has no sample with images",
            file=path,
            remedy="give a *_Particule.zip, or a header whose filename is a sequence in raw/",
        )
    chosen = [sample for sample in with_images if profile in (None, sample.id)]
    if len(chosen) != 1:
        raise RecordingError(
            f"has {len(with_images)} profiles",
            file=path,
            field="--profile",
            remedy=f"choose one of {ids}",
        )
    return project, _with_neighbours(Path(path), chosen[0])


def _with_neighbours(path: Path, sample: Sample) -> Sample:
    """A sample read from one file, with the vignettes that lie beside it."""
    beside = path.with_name(f"{sample.id}_Images.zip")
    if path.is_file() and sample.images is None and sample.particles is not None and beside.is_file():
        return dataclasses.replace(sample, images=Archive(beside, str(beside), beside.name))
    return sample


def _sequence_of(project: Project, sample: Sample) -> tuple[str, DataFile] | None:
    """The sequence that a sample is cut from: `filename` is its folder, or its file without `_data.txt`."""
    wanted = sample.about.get("filename", "")
    for name, data in project.sequences.items():
        path = PurePosixPath(name)
        if wanted and wanted in (path.parent.name, path.name[: -len("_data.txt")]):
            return name, data
    return None


def images_of(project: Project, sample: Sample) -> tuple[str, DataFile]:
    """Where a sample's images stand, and they; raises `RecordingError` when there are none."""
    if sample.particles is not None:
        return sample.particles.place, sample.particles.data
    found = _sequence_of(project, sample)
    if found is None:
        raise RecordingError(
            "has no images",
            file=project.place,
            field=f"sample {sample.id}",
            remedy="copy its *_Particule.zip",
        )
    name, data = found
    first, last = (number(sample.about.get(column, "")) for column in ("firstimage", "endimg"))
    images = _in_order(data)
    from_image = max(0, int(first) - 1) if first is not None else 0
    kept = images[from_image : None if last is None else max(from_image, int(last))]
    rows = tuple(image for image in kept if isinstance(image, ImageRow))
    bad = tuple(image for image in kept if isinstance(image, BadLine))
    return f"{project.place}/{name}", dataclasses.replace(data, rows=rows, bad=bad)


def _in_order(data: DataFile) -> tuple[ImageRow | BadLine, ...]:
    """Images in the order of capture, also those whose line cannot be used."""
    images: list[ImageRow | BadLine] = [*data.rows, *(line for line in data.bad if line.is_image)]
    return tuple(sorted(images, key=lambda image: image.line))


def cast_of(sample: Sample, project: Project) -> Cast:
    """The cast of a sample; lines that are no images are in it, as what they are.

    Raises
    ------
    RecordingError
        When there are no images, or HW_CONF does not say how to size them.
    """
    place, data = images_of(project, sample)
    if "HW_CONF" not in data.configurations:
        raise RecordingError("has no HW_CONF line", file=place, remedy=_REMEDY)
    optics = optics_in(data.configurations["HW_CONF"], place)
    images = _in_order(data)
    if not data.rows:
        reason = f" that can be read (line {images[0].line}: {data.bad[0].problem})" if images else ""
        raise RecordingError(f"has no images{reason}", file=place, remedy=_REMEDY)
    head = np.full((len(images), 3), np.nan)
    for i, image in enumerate(images):
        if isinstance(image, ImageRow):
            head[i] = parse_head(image)
    time_s = _filled(head[:, 0])
    about = sample.about
    acquisition = data.configuration("ACQ_CONF")
    return Cast(
        place=place,
        optics=optics,
        unit=data.configurations["HW_CONF"].split(",")[1],
        cruise=about.get("cruise", ""),
        profile=sample.id,
        position=position_in(about),
        # Images are in the order of capture; the clock of old firmware may step back by some milliseconds.
        time_s=np.maximum.accumulate(time_s),
        pressure_dbar=head[:, 1],
        temperature_c=head[:, 2],
        lit=np.array([isinstance(image, BadLine) or image.is_lit for image in images], dtype=np.bool_),
        images=images,
        vignettes=sample.images,
        ctd=sample.ctd,
        vignetting_um=None
        if isinstance(acquisition, str)
        else acquisition.number("Vignetting_lower_limit_size"),
    )


def _filled(time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times without gaps: an unknown one is the one before, or the first that is known."""
    known = np.flatnonzero(np.isfinite(time_s))
    before = np.maximum.accumulate(np.where(np.isfinite(time_s), np.arange(len(time_s)), -1))
    return time_s[np.where(before < 0, known[0], before)]


def optics_in(hardware: str, place: str) -> Optics:
    """Optics from a HW_CONF line, read from its end, where all generations of the firmware agree.

    Raises
    ------
    RecordingError
        When they are no numbers, or out of range.
    """
    values = hardware.split(",")
    values = values[:-1] if values[-1].startswith("ver") else values
    try:
        threshold, aa_um2, exp, pixel_um, volume_l = (float(value) for value in values[-26:-21])
        limits = tuple(float(value) for value in values[-18:])
        whole_threshold = int(threshold)
    except (ValueError, OverflowError):
        raise RecordingError(
            "does not end as a UVP6 writes it", file=place, field="HW_CONF", remedy=_REMEDY
        ) from None
    data: dict[str, Any] = {
        "threshold": whole_threshold, "aa_um2": aa_um2, "exp": exp, "pixel_um": pixel_um,
        "image_volume_l": volume_l, "size_class_limits_um": limits,
    }  # fmt: skip
    return to_struct(data, Optics, file=place, error=RecordingError)


def position_in(about: Mapping[str, str]) -> Position | None:
    """Position of a sample; None when it is not said, or cannot be."""
    latitude, longitude = (degrees(about.get(column, "")) for column in ("latitude", "longitude"))
    try:
        return msgspec.convert({"latitude_deg": latitude, "longitude_deg": longitude}, Position)
    except msgspec.ValidationError:
        return None


def start_of(about: Mapping[str, str]) -> float | None:
    """`sampledatetime` of a sample, s since 1970; None when it is not said, or cannot be."""
    text = about.get("sampledatetime", "")
    found = "" if is_blank(text) else instant(text)
    return None if isinstance(found, str) else found[0].timestamp()
