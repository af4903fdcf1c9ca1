"""`seston bench thumbnails`: pictures of particles in the bytes of a message, beside other image formats.

Each format gets its best: for every number of bytes the side and quality whose picture is most like the
original, scaled back to a common size by one and the same filter.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.inference.bundle import load_bundle
from edge.inference.classifier import Classifier
from edge.telemetry.resample import resize, similarity
from edge.telemetry.thumbnail import decode_thumbnail, encode_thumbnail, shrink

Pixels = NDArray[np.uint8]

IMAGES = 200
BYTES = (150, 250, 320)
BUNDLE = "darkfield"
DATA = Path("../shared/data/pwssc.zip")
COMMON_SIDE_PX = 128
"""Pictures are compared at the original's size, or this where the original is larger."""
SIDES_PX = (12, 16, 24, 32, 40, 48, 56, 64, 80, 96, 128)
BLACKS = (0, 2, 4, 6, 8, 12, 16, 24)
"""Greys below one of these are made black: ours chooses for itself, the others are shown with and without."""


class Format(NamedTuple):
    """An image format: how it writes at a quality (from 0, the worst), how it reads, how many qualities."""

    write: Callable[[Pixels, int], bytes]
    read: Callable[[bytes], Pixels]
    n_qualities: int


def bench(images: int = IMAGES, data: Path | None = None) -> dict[str, Any]:
    """Compare on so many held-back images of a data set, drawn in turn from all of its classes."""
    source = data or DATA
    if not source.exists():
        raise InputError("is not there", file=source, remedy="name sorted dark-field images with --data")
    bundle = load_bundle(BUNDLE)
    vignettes, taxa = _held_back(source, images)
    classifier = Classifier(bundle)
    answers = classifier.answer(vignettes).taxon_scores.argmax(axis=1)
    rows: list[list[Any]] = []
    numbers: dict[str, float] = {
        "images": len(vignettes),
        "original_accuracy": float((answers == taxa).mean()),
    }
    contenders = _contenders(vignettes)
    for n_bytes in BYTES:
        for name, by_bytes in contenders.items():
            scores = _judge(vignettes, by_bytes[n_bytes], classifier, answers, taxa)
            rows.append([str(n_bytes), name, *scores.values()])
            numbers |= {f"{name}_{n_bytes}_{key}": value for key, value in scores.items()}
    return {
        "title": f"Pictures of {len(vignettes)} held-back dark-field particles in the same bytes",
        "columns": [
            *("bytes", "format", "fits, %", "side, px", "SSIM", "SSIM, 10 % below"),
            *("answers as before, %", "answers right, %"),
        ],
        "rows": rows,
        "notes": [
            f"{source.name}, fold held back in training, all classes in turn. On the originals "
            f"{100 * numbers['original_accuracy']:.1f} % of the answers of `{BUNDLE}` are right.",
            "SSIM of the picture scaled to the original's size (at most "
            f"{COMMON_SIDE_PX} px), 7 px windows; a picture that does not fit counts as black.",
            "Each format at the side and quality with the highest SSIM that fit the bytes; JPEG optimised, "
            "WebP method 6, AVIF 4:0:0 speed 0, JPEG XL bare codestream effort 9.",
            "+ black: greys below the best of the same thresholds as ours made black after decoding, chosen "
            "with the original at hand, at no cost of bytes.",
        ],
        "numbers": numbers,
    }


def _held_back(source: Path, n: int) -> tuple[list[Pixels], NDArray[np.int64]]:
    """Vignettes of the held-back fold, each class in turn, and the true taxon of each."""
    from training.datasets import read_dataset
    from training.split import split_dataset

    bundle = load_bundle(BUNDLE)
    found = read_dataset(source, bundle.preprocessing, taxonomy=bundle.manifest, keep_pixels=True)
    assert found.pixels is not None
    held_back = np.flatnonzero(split_dataset(found).held_back)
    shuffled = np.random.default_rng(1).permutation(held_back)
    turn = np.zeros(len(found.labels), dtype=np.int64)
    seen: dict[int, int] = {}
    for i in shuffled.tolist():
        label = int(found.labels[i])
        turn[i] = seen[label] = seen.get(label, -1) + 1
    chosen = shuffled[np.argsort(turn[shuffled], kind="stable")[:n]]
    taxon = np.array(bundle.manifest.class_taxon, dtype=np.int64)
    return [found.pixels[i] for i in chosen.tolist()], taxon[found.labels[chosen]]


def _contenders(vignettes: list[Pixels]) -> dict[str, dict[int, list[Pixels | None]]]:
    """Decoded pictures by format and bytes; None where none fits."""
    found: dict[str, dict[int, list[Pixels | None]]] = {
        "seston": {n: [decode_thumbnail(encode_thumbnail(one, n)) for one in vignettes] for n in BYTES}
    }
    for name, form in _formats().items():
        plain: dict[int, list[Pixels | None]] = {n: [] for n in BYTES}
        blackened: dict[int, list[Pixels | None]] = {n: [] for n in BYTES}
        for vignette in vignettes:
            written: dict[tuple[int, int], bytes] = {}
            for n_bytes in BYTES:
                best = _best(vignette, n_bytes, form, written)
                plain[n_bytes].append(best[0])
                blackened[n_bytes].append(best[1])
        found |= {name: plain, f"{name} + black": blackened}
    return found


def _best(
    vignette: Pixels, n_bytes: int, form: Format, written: dict[tuple[int, int], bytes]
) -> tuple[Pixels | None, Pixels | None]:
    """The picture that fits and is most like the vignette; and that when its dark greys are made black.

    `written` keeps the bytes of each side and quality, for the next number of bytes.
    """
    reference = shrink(vignette, COMMON_SIDE_PX)
    best: list[tuple[int, Pixels | None]] = [(-1, None), (-1, None)]
    for side_px in SIDES_PX:
        picture = shrink(vignette, side_px)
        fitting, low, high = None, 0, form.n_qualities
        while low < high:
            middle = (low + high) // 2
            if (side_px, middle) not in written:
                written[side_px, middle] = form.write(picture, middle)
            data = written[side_px, middle]
            if len(data) <= n_bytes:
                fitting, low = data, middle + 1
            else:
                high = middle
        if fitting is not None:
            for black, shown in _blackened(form.read(fitting), reference):
                for which in (0, 1) if black == 0 else (1,):
                    likeness = similarity(reference, resize(shown, *reference.shape))
                    if likeness > best[which][0]:
                        best[which] = (likeness, shown)
        if side_px >= max(vignette.shape):
            break
    return best[0][1], best[1][1]


def _blackened(decoded: Pixels, reference: Pixels) -> list[tuple[int, Pixels]]:
    """The picture as it is, and at the black at which it is most like the reference."""
    found, best = [(0, decoded)], -1
    for black in BLACKS:  # likeness rises with the black and then falls
        shown = np.where(decoded < black, np.uint8(0), decoded)
        likeness = similarity(reference, resize(shown, *reference.shape))
        if likeness < best:
            break
        best = likeness
        found[1:] = [(black, shown)]
    return found


def _formats() -> dict[str, Format]:
    """The other formats."""
    import imagecodecs
    from PIL import Image

    def saved(picture: Pixels, **options: Any) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, **options)
        return buffer.getvalue()

    def opened(data: bytes) -> Pixels:
        return np.asarray(Image.open(io.BytesIO(data)).convert("L"), dtype=np.uint8)

    def jpeg_xl(picture: Pixels, quality: int) -> bytes:
        return bytes(imagecodecs.jpegxl_encode(picture, distance=25 * 2 ** (-quality / 8), effort=9))

    def read_jpeg_xl(data: bytes) -> Pixels:
        return np.asarray(imagecodecs.jpegxl_decode(data), dtype=np.uint8)

    return {
        "JPEG": Format(lambda one, q: saved(one, format="JPEG", quality=q + 1, optimize=True), opened, 100),
        "WebP": Format(lambda one, q: saved(one, format="WEBP", quality=q, method=6), opened, 101),
        "AVIF": Format(
            lambda one, q: saved(one, format="AVIF", quality=q, speed=0, subsampling="4:0:0"), opened, 101
        ),
        "JPEG XL": Format(jpeg_xl, read_jpeg_xl, 64),
    }


def _judge(
    vignettes: list[Pixels],
    pictures: list[Pixels | None],
    classifier: Classifier,
    answers: NDArray[np.int64],
    taxa: NDArray[np.int64],
) -> dict[str, float]:
    """What a format's pictures are worth."""
    from skimage.metrics import structural_similarity

    likeness, again = [], []
    for vignette, picture in zip(vignettes, pictures, strict=True):
        shown = np.zeros((1, 1), dtype=np.uint8) if picture is None else picture
        reference = shrink(vignette, COMMON_SIDE_PX)
        window = min(7, *(side - 1 + side % 2 for side in reference.shape))
        likeness.append(
            structural_similarity(reference, resize(shown, *reference.shape), win_size=window, data_range=255)
        )
        again.append(resize(shown, *vignette.shape))
    found = classifier.answer(again).taxon_scores.argmax(axis=1)
    fits = [picture is not None for picture in pictures]
    sides = [max(picture.shape) for picture in pictures if picture is not None]
    there = np.array(fits)
    return {
        "fits_percent": 100 * float(there.mean()),
        "side_px": float(np.median(sides)) if sides else float("nan"),
        "ssim": float(np.mean(likeness)),
        "ssim_low": float(np.quantile(likeness, 0.1)),
        "same_percent": 100 * float(((found == answers) & there).mean()),
        "right_percent": 100 * float(((found == taxa) & there).mean()),
    }
