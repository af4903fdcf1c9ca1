"""The legend below a vignette, drawn as EcoTaxa draws it from `compute_vignette.txt`. Pure.

Gamma, then inversion, then scale; below, a footer with a bar of so many millimetres, its ends two pixels
down, and its length in words above it (ecotaxa_back BO/Vignette.py; a UVP6's settings). EcoTaxa writes with a
TrueType font; here a font of five by seven pixels stands for it, the same on every machine.
"""

from __future__ import annotations

import configparser
import functools
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError

Pixels = NDArray[np.uint8]
_LEFT_PX, _UP_PX, _BESIDE_PX = 9, 4, 10
_NEARLY_WHITE = 254  # as EcoTaxa has it: a footer can be told from a white image
_GLYPHS = {
    "0": "01110 10001 10011 10101 11001 10001 01110", "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00010 00100 01000 11111", "3": "11111 00010 00100 00010 00001 10001 01110",
    "4": "00010 00110 01010 10010 11111 00010 00010", "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110", "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110", "9": "01110 10001 10001 01111 00001 00010 01100",
    ".": "0 0 0 0 0 0 1", " ": "00 00 00 00 00 00 00", "m": "00000 00000 11010 10101 10101 10101 10101",
    "e": "00000 00000 01110 10001 11111 10000 01110", "-": "00000 00000 00000 11111 00000 00000 00000",
    "+": "00000 00100 00100 11111 00100 00100 00000",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Legend:
    """How a vignette is shown; names and defaults are those of a UVP6's compute_vignette.txt.

    Attributes
    ----------
    gamma
        Grey becomes 255 * (grey / 255) ** (1 / gamma).
    invert
        Whether white on black becomes black on white, after gamma.
    scalebarsize_mm
        Length of the bar.
    keeporiginal
        Whether the untouched image is kept beside it, under rank 100.
    fontcolor
        "black" on nearly white, or "white" on black.
    fontheight_px, footerheight_px
        Of the text and of the whole footer.
    scale
        The image is enlarged so many times.
    """

    gamma: float = 1.0
    invert: bool = True
    scalebarsize_mm: float = 2.0
    keeporiginal: bool = True
    fontcolor: str = "black"
    fontheight_px: int = 6
    footerheight_px: int = 31
    scale: float = 1.0

    def bar_px(self, pixel_um: float) -> int:
        """Length of the bar, px of the vignette as shown."""
        return int(round(self.scalebarsize_mm * 1000 / pixel_um) * self.scale)

    def draw(self, pixels: Pixels, pixel_um: float) -> Pixels:
        """A vignette as it is shown, uint8 (height, width), of one in white on black.

        It is widened to the bar and ten pixels more where it is narrower.
        """
        picture = self._shown(pixels)
        ink, plain = (255, 0) if self.fontcolor == "white" else (0, _NEARLY_WHITE)
        bar = self.bar_px(pixel_um)
        height, width = picture.shape
        whole = np.full((height + self.footerheight_px, max(width, bar + _BESIDE_PX)), plain, dtype=np.uint8)
        whole[:height, :width] = picture
        whole[-_UP_PX, _LEFT_PX : _LEFT_PX + bar + 1] = ink
        whole[1 - _UP_PX : -1, [_LEFT_PX, _LEFT_PX + bar]] = ink
        text = _text(f"{self.scalebarsize_mm:g} mm", max(1, round(self.fontheight_px / 6)))
        top = max(whole.shape[0] - _BESIDE_PX - self.fontheight_px, height)
        room = whole[top : whole.shape[0] - _UP_PX - 1, _LEFT_PX + 1 :]
        shown = text[: room.shape[0], : room.shape[1]]
        room[: shown.shape[0], : shown.shape[1]][shown] = ink
        return whole

    def _shown(self, pixels: Pixels) -> Pixels:
        shown = _greys(self.gamma, self.invert)[pixels]
        if self.scale != 1:
            size = (max(1, int(shown.shape[1] * self.scale)), max(1, int(shown.shape[0] * self.scale)))
            shown = cv2.resize(shown, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
        return shown

    def settings(self) -> dict[str, str]:
        """As process fields: name in the settings file and value as it stands there."""
        return {one.name: _as_written(getattr(self, one.name)) for one in fields(self)}


def read_settings(text: str, file: str) -> tuple[Legend, float | None]:
    """Legend of a compute_vignette.txt, and the pixel it names, um, or None.

    Raises `InputError` with the field that is missing or of another kind.
    """
    parser = configparser.ConfigParser()
    try:
        parser.read_string(text, file)
        section = parser["vignette"]
    except (configparser.Error, KeyError) as cause:
        raise InputError(
            f"has no section that can be read ({str(cause).splitlines()[0]})",
            file=file, field="[vignette]", remedy="take a compute_vignette.txt of a UVP6",
        ) from None  # fmt: skip
    defaults = Legend()
    given: dict[str, Any] = {}
    for one in fields(Legend):
        told = section.get(one.name, fallback=None)
        if told is None and one.name != "keeporiginal":
            raise InputError("is missing", file=file, field=one.name, remedy="add it")
        given[one.name] = _value(told or "n", getattr(defaults, one.name), file, one.name)
    legend = Legend(**given)
    for name in ("gamma", "scalebarsize_mm", "scale", "fontheight_px", "footerheight_px"):
        if not 0 < getattr(legend, name) < 1e4:
            raise InputError(
                f"is {getattr(legend, name):g}", file=file, field=name, remedy="give one above 0"
            )
    if legend.footerheight_px <= _UP_PX:
        raise InputError("has no room for the bar", file=file, field="footerheight_px", remedy="give 31")
    if legend.fontcolor not in ("black", "white"):
        raise InputError(
            f"is {legend.fontcolor!r}", file=file, field="fontcolor", remedy="give black or white"
        )
    pixel = section.get("pixel_size", fallback=None)
    return legend, None if pixel is None else float(_value(pixel, 0.0, file, "Pixel_Size"))


def _value(text: str, like: object, file: str, name: str) -> Any:
    try:
        if isinstance(like, bool):
            return text.strip().lower() == "y"
        return text.strip() if isinstance(like, str) else type(like)(text)  # type: ignore[call-arg]
    except ValueError:
        raise InputError(f"is {text!r}, no number", file=file, field=name, remedy="correct it") from None


def _as_written(value: object) -> str:
    if isinstance(value, bool):
        return "y" if value else "n"
    return f"{value:g}" if isinstance(value, float) else str(value)


@functools.lru_cache(maxsize=16)
def _greys(gamma: float, invert: bool) -> Pixels:
    """What each grey is shown as, uint8 (256,)."""
    grey = np.arange(256, dtype=np.float64)
    table = (np.power(grey / 255, 1 / gamma) * 255 if gamma != 1 else grey).astype(np.uint8)
    return np.asarray(255 - table if invert else table, dtype=np.uint8)


@functools.lru_cache(maxsize=16)
def _text(words: str, times: int) -> NDArray[np.bool_]:
    """Words as pixels, bool (7 * times, width)."""
    columns = [np.zeros((7, 1), dtype=np.bool_)]
    for letter in words:
        rows = [[bit == "1" for bit in row] for row in _GLYPHS.get(letter, _GLYPHS[" "]).split()]
        columns += [np.array(rows, dtype=np.bool_), np.zeros((7, 1), dtype=np.bool_)]
    return np.kron(np.hstack(columns[1:]), np.ones((times, times), dtype=np.bool_)).astype(np.bool_)
