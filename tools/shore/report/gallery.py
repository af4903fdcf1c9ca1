"""Which pictures are shown: of each taxon the surest and the least sure vignettes, and those sent. Pure.

In bounded memory. What is not shown is counted, so that the page can say it.
"""

from __future__ import annotations

import base64
import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from edge.divelog_schema import Particle
from edge.taxonomy import UNCLASSIFIED
from edge.telemetry.picture import Picture

NICE_BARS_UM = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
"""Lengths that a scale bar may have."""
BOX_PX = 132
"""Side of the square in which a vignette is shown, CSS pixels."""


@dataclass(frozen=True, slots=True)
class Vignette:
    """One vignette as it is shown.

    Attributes
    ----------
    png_base64
        The image as it was kept, white on black.
    width_px, height_px
        Size on the page, CSS pixels.
    bar_px, bar_text
        Scale bar on the page.
    best, score
        Label with the highest score, and that score.
    esd_um, frame, pressure_dbar, on_border
        As logged; pressure is None when unknown.
    """

    png_base64: str
    width_px: int
    height_px: int
    bar_px: float
    bar_text: str
    best: str
    score: float
    esd_um: int
    frame: int
    pressure_dbar: float | None
    on_border: bool


@dataclass(frozen=True, slots=True)
class SentPicture:
    """One picture that came by message, as it is shown; the fields are those of `Vignette`.

    Attributes
    ----------
    label, reason
        Taxon decided on, and why the particle was chosen, in words.
    detail_px
        Longest side as it came, of so many as the camera saw.
    """

    label: str
    reason: str
    png_base64: str
    width_px: int
    height_px: int
    bar_px: float
    bar_text: str
    score: float
    esd_um: int
    pressure_dbar: int | None
    detail_px: int
    side_px: int


@dataclass(slots=True)
class TaxonGallery:
    """Vignettes of one taxon.

    Attributes
    ----------
    label
        The taxon decided on.
    total
        Particles with that decision.
    kept
        Those of them with a vignette in the log.
    surest, least_sure
        Shown ones by falling and by rising score; none is in both.
    """

    label: str
    total: int = 0
    kept: int = 0
    surest: Sequence[Vignette] = ()
    least_sure: Sequence[Vignette] = ()

    @property
    def shown(self) -> int:
        """Vignettes shown."""
        return len(self.surest) + len(self.least_sure)


@dataclass(slots=True)
class _Pick:
    """The surest and least sure particles of one taxon met so far: two heaps of (rank, order, particle)."""

    total: int = 0
    kept: int = 0
    top: list[tuple[float, int, Particle]] = field(default_factory=list)
    bottom: list[tuple[float, int, Particle]] = field(default_factory=list)


def choose_vignettes(
    particles: Iterable[Particle],
    labels: Sequence[str],
    pressure_dbar: Mapping[int, float | None],
    *,
    max_vignettes: int,
    pixel_um: float,
) -> list[TaxonGallery]:
    """Galleries of all taxa that occur, the most frequent first.

    Parameters
    ----------
    particles
        With vignettes where there are any; read once.
    labels
        Counted taxa; the model's labels come first, in the order of the scores.
    pressure_dbar
        By number of frame.
    max_vignettes
        A taxon at most: the surer half, and the less sure one. 0 shows none.
    pixel_um
        Size of a pixel, for scale bars.
    """
    half = (max_vignettes + 1) // 2
    picks: dict[int, _Pick] = {}
    for order, particle in enumerate(particles):
        pick = picks.setdefault(particle.taxon, _Pick())
        pick.total += 1
        if particle.vignette_png is None:
            continue
        pick.kept += 1
        score = float(particle.scores.max())
        # At equal scores the earlier particle goes first in both.
        _push(pick.top, (score, -order, particle), half)
        _push(pick.bottom, (-score, -order, particle), max_vignettes)
    galleries = []
    for taxon, pick in sorted(picks.items(), key=lambda item: (-item[1].total, item[0])):
        top = sorted(pick.top, key=lambda entry: (-entry[0], -entry[1]))
        seen = {entry[1] for entry in top}
        bottom = sorted(pick.bottom, key=lambda entry: (-entry[0], -entry[1]))
        rest = [entry for entry in bottom if entry[1] not in seen][: max_vignettes - len(top)]
        galleries.append(
            TaxonGallery(
                labels[taxon], pick.total, pick.kept,
                *(
                    [v for v in (_vignette(e[2], labels, pressure_dbar, pixel_um) for e in part) if v]
                    for part in (top, rest)
                ),
            )
        )  # fmt: skip
    return galleries


def scale_bar(width_px: int, pixel_um: float, zoom: float) -> tuple[float, str]:
    """Scale bar of an image `width_px` wide, shown `zoom` times as large: its length in CSS px, and its text.

    It is the longest nice length within two thirds of the box, so that it fits under the narrowest vignette.
    """
    room_um = 2 / 3 * max(width_px * zoom, BOX_PX) * pixel_um / zoom
    length_um = max((bar for bar in NICE_BARS_UM if bar <= room_um), default=NICE_BARS_UM[0])
    text = f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um} µm"
    return round(length_um / pixel_um * zoom, 2), text


def _push(heap: list[tuple[float, int, Particle]], entry: tuple[float, int, Particle], room: int) -> None:
    if len(heap) < room:
        heapq.heappush(heap, entry)
    elif room and entry[:2] > heap[0][:2]:
        heapq.heapreplace(heap, entry)


def _vignette(
    particle: Particle, labels: Sequence[str], pressure_dbar: Mapping[int, float | None], pixel_um: float
) -> Vignette | None:
    """One vignette ready for the page, or None when its image cannot be read."""
    png = particle.vignette_png or b""
    pixels = cv2.imdecode(np.frombuffer(png, dtype=np.uint8), cv2.IMREAD_GRAYSCALE) if png else None
    if pixels is None:
        return None
    height, width = pixels.shape
    shown = _fitted(height, width, pixel_um)
    top = int(particle.scores.argmax())
    return Vignette(
        base64.b64encode(png).decode("ascii"),
        *shown,
        labels[top],
        float(particle.scores[top]),
        particle.esd_um,
        particle.frame,
        pressure_dbar.get(particle.frame),
        particle.on_border,
    )


def _fitted(height: int, width: int, pixel_um: float) -> tuple[int, int, float, str]:
    """Width and height on the page, length and text of the scale bar."""
    zoom = min(3.0, BOX_PX / max(width, height))
    if zoom > 1:
        zoom = float(int(zoom))  # whole pixels stay square
    bar_px, bar_text = scale_bar(width, pixel_um, zoom)
    return max(1, round(width * zoom)), max(1, round(height * zoom)), bar_px, bar_text


def sent_pictures(pictures: Iterable[Picture], labels: Sequence[str], pixel_um: float) -> list[SentPicture]:
    """Pictures that came by message, in the order in which they were wanted."""
    shown = []
    for picture in pictures:
        done, png = cv2.imencode(".png", picture.pixels)
        if not done:
            continue
        height, width = picture.pixels.shape
        detail_px = max(height, width)
        label = labels[picture.taxon] if picture.taxon >= 0 else UNCLASSIFIED
        shown.append(
            SentPicture(
                label, picture.reason.label, base64.b64encode(png.tobytes()).decode("ascii"),
                *_fitted(height, width, pixel_um * picture.side_px / detail_px),
                picture.score_permille / 1000, picture.esd_um, picture.pressure_dbar, detail_px,
                picture.side_px,
            )
        )  # fmt: skip
    return shown
