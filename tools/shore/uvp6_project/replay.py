"""A sample of a UVP6 project as a recording: every image a frame that has been counted.

No segmentation is run: size spectra are the histograms, and vignettes, which stand for the particles above
the instrument's limit, are measured and named. A line that is no image is a corrupt frame. An image's
temperature is the instrument's own; the water's comes from the sample's CTD cast, at the image's pressure.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.counted import Counted
from edge.errors import RecordingError
from edge.frame import Frame, FrameOutcome
from edge.profile import EMPTY_HISTOGRAM, AreaHistogram
from edge.recording import Instrument, Recording, RecordingInfo
from edge.truth import Truth
from tools.shore.uvp6_project.cast import Cast, cast_of, open_sample
from tools.shore.uvp6_project.rows import BadLine, Spectrum
from tools.shore.uvp6_project.tables import CTD_PRESSURE, CTD_SALINITY, CTD_TEMPERATURE, TextTable
from tools.shore.uvp6_project.texts import number
from tools.shore.uvp6_project.vignettes import Vignettes

INTERNAL_TEMPERATURE = "internal_temperature_c"


@dataclass(frozen=True, slots=True)
class CastRecording(Recording):
    """See `edge.recording.Recording`.

    Attributes
    ----------
    cast, vignettes
        What is replayed.
    project_faults
        What was wrong in the project when it was opened.
    """

    cast: Cast
    vignettes: Vignettes
    project_faults: tuple[str, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """What of the project could not be used so far, a sentence each."""
        return (*self.project_faults, *self.vignettes.faults)

    def truth(self) -> Truth | None:
        """None: what was in the water is not known."""
        return None

    def _read_frames(self) -> Iterator[Frame]:
        for i in range(self.n_frames):
            counted, note = self._counted(i)
            yield Frame(
                index=i,
                time_ms=int(self.time_ms[i]),
                pressure_dbar=float(self.pressure_dbar[i]),
                lit=bool(self.lit[i]),
                pixels=None,
                source=self.names[i],
                environment={name: float(values[i]) for name, values in self.environment.items()},
                fault=FrameOutcome.CORRUPT if counted is None else None,
                note=note,
                counted=counted,
            )

    def _counted(self, i: int) -> tuple[Counted | None, str]:
        try:
            found = self.cast.spectrum(i)
        except RecordingError as error:
            return None, str(error)
        if found is None:
            return Counted(FrameOutcome.OVER_EXPOSED), ""
        histogram = histogram_of(found)
        if not self.lit[i]:
            return Counted(FrameOutcome.UNLIT, histogram), ""
        if not histogram.n_particles:
            return Counted(FrameOutcome.EMPTY), ""
        return Counted(FrameOutcome.ANALYSED, histogram, tuple(self.vignettes.of(self.names[i]))), ""


def open_cast(path: str | PathLike[str], profile: str | None = None) -> CastRecording:
    """A sample of a project as a recording.

    Parameters
    ----------
    path
        Project (folder or zip), or a `*_Particule.zip`.
    profile
        Which sample; may be left out where there is one.

    Raises
    ------
    RecordingError
        When there is none, several and none was chosen, or nothing of it can be read.
    """
    project, sample = open_sample(path, profile)
    cast = cast_of(sample, project)
    times_ms = np.rint(1000 * cast.time_s).astype(np.int64)
    span_s = max(1.0, float(cast.time_s[-1] - cast.time_s[0]))
    vignettes = Vignettes(cast.vignettes)
    start = datetime.datetime.fromtimestamp(times_ms[0] / 1000, tz=datetime.UTC)
    info = RecordingInfo(
        frame_rate_hz=float(f"{max(1, len(cast) - 1) / span_s:.6g}"),
        start_utc=start,
        instrument=Instrument(unit=cast.unit),
        optics=cast.optics,
        position=cast.position,
        cruise=cast.cruise,
        profile=cast.profile,
    )
    names = tuple(f"line {image.line}" if isinstance(image, BadLine) else image.time for image in cast.images)
    return CastRecording(
        path=Path(path),
        info=info,
        names=names,
        time_ms=times_ms,
        pressure_dbar=cast.pressure_dbar,
        lit=cast.lit,
        phases=(None,) * len(cast),
        environment={INTERNAL_TEMPERATURE: cast.temperature_c, **_water(cast.ctd, cast.pressure_dbar)},
        files=(),
        cast=cast,
        vignettes=vignettes,
        project_faults=project.faults,
    )


def histogram_of(spectrum: Spectrum) -> AreaHistogram:
    """The same particles as the dive log keeps them: the sum of mean greys in hundredths."""
    grey_centi = np.rint(100 * spectrum.mean_grey).astype(np.int64) * spectrum.count
    there = spectrum.count > 0
    if not there.any():
        return EMPTY_HISTOGRAM
    return AreaHistogram(spectrum.area_px[there], spectrum.count[there], grey_centi[there])


def _water(ctd: TextTable | None, pressure_dbar: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
    """Temperature and salinity of the water at the images' pressures, where a CTD cast tells them.

    Linear between its readings, NaN outside.
    """
    if ctd is None:
        return {}
    records = ctd.records()
    found = {}
    for name, column in (("temperature_c", CTD_TEMPERATURE), ("salinity", CTD_SALINITY)):
        pairs = [(number(record.get(CTD_PRESSURE, "")), number(record.get(column, ""))) for record in records]
        known = sorted((at, value) for at, value in pairs if at is not None and value is not None)
        if known:
            at, values = np.array(known).T
            found[name] = np.interp(pressure_dbar, at, values, left=np.nan, right=np.nan)
    return found
