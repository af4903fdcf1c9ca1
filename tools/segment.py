"""`seston segment`: one image in, a table of its particles out; the instrument's own segmentation."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import click

COLUMNS = ("x_px", "y_px", "width_px", "height_px", "area_px", "mean_grey", "sd_grey", "on_border")


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "--threshold",
    required=True,
    type=click.IntRange(0, 254),
    help="Foreground is strictly above this grey (0-255, white on black).",
)
@click.option(
    "--background",
    type=click.Choice(["none", "flat-field"]),
    default="none",
    show_default=True,
    help="What is taken away first (a running median needs a recording: see `seston simulate`).",
)
@click.option("--flat-field", type=click.Path(path_type=Path), help="Image of the flat field.")
@click.option(
    "--polarity",
    type=click.Choice(["dark-field", "bright-field"]),
    default="dark-field",
    show_default=True,
    help="Particles are bright on black, or dark on white.",
)
@click.option("--bits", type=click.IntRange(9, 16), help="Bits that a 16-bit image really uses.")
@click.option("--csv", "out", type=click.Path(path_type=Path), help="File to write instead of the screen.")
def segment_image(
    image: Path,
    threshold: int,
    background: str,
    flat_field: Path | None,
    polarity: str,
    bits: int | None,
    out: Path | None,
) -> None:
    """Segment IMAGE into a CSV of particles, one a row, down to one pixel.

    x_px and y_px are the upper left corner of the box; the grey is white on black.
    """
    from edge.config import Background, VisionConfig
    from edge.errors import ImageError, InputError
    from edge.images import read_image
    from edge.optics import Optics, Polarity
    from edge.vision.background import BackgroundRemover
    from edge.vision.segmentation import segment

    if (flat_field is None) == (background == "flat-field"):
        raise click.UsageError("--background flat-field and --flat-field go together")
    pixels = read_image(image, bits)
    flat = None if flat_field is None else read_image(flat_field, bits)
    if flat is not None and flat.shape != pixels.shape:
        (height, width), (rows, columns) = pixels.shape, flat.shape
        raise ImageError(
            f"is {columns} x {rows} px where the image is {width} x {height} px",
            file=flat_field,
            remedy="use a flat field of the image's size",
        )
    # Only the polarity of these optics is looked at.
    optics = Optics(pixel_um=1, image_volume_l=1, threshold=threshold, polarity=Polarity(polarity))
    remover = BackgroundRemover(VisionConfig(background=Background(background)), optics, flat)
    regions = segment(remover.remove(pixels), threshold)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    numbers = [getattr(regions, name).tolist() for name in COLUMNS[:-1]]
    writer.writerows(zip(*numbers, regions.on_border.astype(int).tolist(), strict=True))
    if out is None:
        click.echo(text.getvalue(), nl=False)
        return
    try:
        out.write_text(text.getvalue(), encoding="utf-8")
    except OSError as cause:
        raise InputError(
            f"cannot be written ({cause.strerror})", file=out, field="--csv", remedy="choose another place"
        ) from cause
