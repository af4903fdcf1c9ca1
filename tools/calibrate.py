"""`seston calibrate`: pixel, volume, light and sizes of a unit, each fitted, with its error, into one file.

The fits are in `tools.calibrating`. Each command finds one part of the optics, says what is missing still,
and changes nothing when it refuses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from edge.config import Config, load_config
from edge.errors import ConfigError, InputError
from edge.images import read_image
from edge.logged import optics_of
from edge.optics import Polarity
from tools.calibrating.beads import Bead, find_peak, fit_beads
from tools.calibrating.frames import light_of, open_frames, particles_of
from tools.calibrating.inputs import listed_beads, measured_sheet, positive, read_reference, two_numbers
from tools.calibrating.light import judge_light
from tools.calibrating.optics_file import Draft, read_draft
from tools.calibrating.reference import Counted, fit_reference
from tools.calibrating.sheet import volume_of
from tools.calibrating.target import Kind, Scale, check_scale, find_points, fit_scale, mean_scale
from tools.calibrating.telling import finish, page, say_state

F = TypeVar("F", bound=Callable[..., Any])
EXISTING = click.Path(path_type=Path)


def _file_options(command: F) -> F:
    made = click.option("--dry-run", is_flag=True, help="Show what was found and write nothing.")(command)
    return click.option(
        "--file", "optics_file", type=click.Path(dir_okay=False, path_type=Path),
        default=Path("optics.toml"), show_default=True, help="Optics file that is made, or changed.",
    )(made)  # fmt: skip


def _seeing_options(command: F) -> F:
    """Of commands that segment a recording."""
    made = click.option(
        "--config", "config_file", type=EXISTING,
        help="Configuration of the unit: frames are judged and segmented by its [vision].",
    )(command)  # fmt: skip
    made = click.option(
        "--threshold", type=click.IntRange(0, 254), help="Grey threshold; that of the file by default."
    )(made)
    return click.option(
        "--html",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write a page with a picture of the fit.",
    )(made)


@click.group()
def calibrate() -> None:
    """Find the optics of a unit: `light`, `pixel`, `volume`, then `beads` or `reference`.

    Each writes its part into the optics file with date, method, errors and what is left over.
    """


@calibrate.command()
@click.argument("images", nargs=-1, required=True, type=EXISTING)
@click.option("--target", type=click.Choice(["dots", "chessboard"]), required=True)
@click.option("--points", required=True, metavar="COLUMNSxROWS", help="Dots, or inner corners, such as 11x8.")
@click.option("--pitch-um", required=True, type=float, help="Distance of neighbouring points, um.")
@_file_options
def pixel(
    images: tuple[Path, ...], target: str, points: str, pitch_um: float, optics_file: Path, dry_run: bool
) -> None:
    """Pixel size from IMAGES of a flat target in the middle of the sheet of light, in water."""
    columns, rows = two_numbers(points, "--points")
    positive(pitch_um, "--pitch-um")
    if min(columns, rows) < 3:
        raise InputError(f"is {points}", field="--points", remedy="use a target of at least 3 x 3 points")
    draft = read_draft(optics_file)
    scales: list[Scale] = []
    residuals: list[dict[str, float | str]] = []
    remarks: list[str] = []
    for image in images:
        picture = read_image(image)
        found = find_points(picture, Kind(target), columns, rows, file=str(image))
        scale = fit_scale(found, columns, rows, pitch_um)
        check_scale(scale, (picture.shape[0], picture.shape[1]), found, file=str(image))
        scales.append(scale)
        residuals.append({
            "file": str(image), "pixel_um": scale.pixel_um, "across_um": scale.x_um, "down_um": scale.y_um,
            "skew": scale.skew, "residual_px": scale.residual_px, "worst_px": scale.worst_px,
            "distortion": scale.distortion,
        })  # fmt: skip
        click.echo(
            f"{image}: {scale.pixel_um:.3f} um (across {scale.x_um:.3f}, down {scale.y_um:.3f}), "
            f"{scale.n_points} points, residual {scale.residual_px:.3f} px, "
            f"distortion {100 * scale.distortion:+.2f} % at the outermost point"
        )
    value, se = mean_scale(scales)
    worst = max((one.distortion for one in scales), key=abs)
    if abs(worst) > 0.01:
        remarks.append(f"The lens bends lines by {100 * worst:+.1f} %: sizes differ so much over the view.")
    if len(images) == 1:
        remarks.append("One picture: the error does not hold how the target stood. Take three or more.")
    made = draft.with_found(
        "pixel", method=f"{target}, {columns} x {rows} points {pitch_um:g} um apart",
        optics={"pixel_um": round(value, 4)}, found={"pixel_um": round(value, 4)}, errors={"pixel_um": se},
        residuals=residuals, sources=images, remarks=remarks,
    )  # fmt: skip
    finish(made, "pixel", dry_run)


@calibrate.command()
@click.option("--size", metavar="WIDTHxHEIGHT", help="Size of a frame, px.")
@click.option("--frame", type=EXISTING, help="A frame, in place of --size.")
@click.option("--depth-mm", type=float, help="Thickness of the sheet of light, mm.")
@click.option("--depth-se-mm", type=float, default=None, help="Its standard error, mm.")
@click.option(
    "--sheet", type=EXISTING, help="CSV of light across the sheet: position_mm, light, and place if several."
)
@click.option(
    "--edge",
    type=float,
    default=0.5,
    show_default=True,
    help="The sheet ends at this share of its brightest.",
)
@click.option("--pixel-um", type=float, help="Pixel; that of the file by default.")
@_file_options
def volume(
    size: str | None, frame: Path | None, depth_mm: float | None, depth_se_mm: float | None,
    sheet: Path | None, edge: float, pixel_um: float | None, optics_file: Path, dry_run: bool,
) -> None:  # fmt: skip
    """Volume of a frame: field times thickness of the sheet of light."""
    if (size is None) == (frame is None):
        raise click.UsageError("give --size or --frame")
    if (depth_mm is None) == (sheet is None):
        raise click.UsageError("give --depth-mm or --sheet")
    draft = read_draft(optics_file)
    width_px, height_px = two_numbers(size, "--size") if size is not None else _size_of(frame)
    pixel_found = float(draft.need("pixel_um", pixel_um))
    positive(pixel_found, "--pixel-um")
    remarks: list[str] = []
    residuals: list[dict[str, float | str]] = []
    if sheet is not None:
        depth_mm, depth_se_mm, residuals = measured_sheet(sheet, edge, remarks)
    assert depth_mm is not None
    positive(depth_mm, "--depth-mm")
    if depth_se_mm is None:
        remarks.append("Nobody said how well the thickness is known: the error is that of the pixel alone.")
    known = draft.calibration.get("pixel")
    pixel_se = known.standard_errors.get("pixel_um", 0.0) if known is not None and pixel_um is None else 0.0
    found = volume_of(width_px, height_px, pixel_found, pixel_se, depth_mm, depth_se_mm or 0.0)
    click.echo(
        f"Field {found.width_mm:.1f} x {found.height_mm:.1f} mm, sheet {depth_mm:.2f} mm: "
        f"{found.image_volume_l:.4f} L a frame, standard error {found.se_l:.4f} L"
    )
    litres = float(f"{found.image_volume_l:.6g}")
    made = draft.with_found(
        "volume",
        method="field x thickness" + ("" if sheet is None else f" to {100 * edge:g} % of the light"),
        optics={"image_volume_l": litres}, found={"image_volume_l": litres, "depth_mm": depth_mm},
        errors={"image_volume_l": found.se_l} | ({} if depth_se_mm is None else {"depth_mm": depth_se_mm}),
        residuals=residuals,
        conditions={"pixel_um": pixel_found, "width_px": width_px, "height_px": height_px},
        sources=[one for one in (frame, sheet) if one is not None], remarks=remarks,
    )  # fmt: skip
    finish(made, "volume", dry_run)


def _size_of(frame: Path | None) -> tuple[int, int]:

    assert frame is not None
    height, width = read_image(frame).shape
    return width, height


@calibrate.command("light")
@click.argument("recording", type=EXISTING)
@click.option(
    "--polarity", type=click.Choice(["dark-field", "bright-field"]), help="That of the file by default."
)
@click.option("--config", "config_file", type=EXISTING, help="Configuration of the unit, for its [vision].")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with maps.")
@_file_options
def light_command(
    recording: Path, polarity: str | None, config_file: Path | None, html: Path | None,
    optics_file: Path, dry_run: bool,
) -> None:  # fmt: skip
    """Threshold from lit and unlit frames of RECORDING, and how even and strong the light is."""
    draft = read_draft(optics_file)
    field = Polarity(polarity or draft.optics.get("polarity", "dark-field"))
    bright = field is Polarity.BRIGHT_FIELD
    config = _config(draft, config_file, polarity=field)
    found = light_of(open_frames(recording), config)
    remarks = judge_light(found, bright_field=bright)
    even = found.evenness(bright_field=bright)
    told = {
        "threshold": found.threshold, "ground_threshold": found.ground_threshold,
        "noise_grey": found.noise_grey, "ground_grey": float(found.ground.max()),
        "saturated_share": found.saturated, "hot_pixels": found.hot_pixels,
        "lit_frames": found.n_lit, "unlit_frames": found.n_unlit,
    }  # fmt: skip
    if found.n_unlit:
        told |= {"noise_threshold": found.noise_threshold, "black_grey": found.black_grey}
    if not math.isnan(even):
        told["evenness"] = even
    click.echo(
        f"{found.n_lit} lit frames, {found.n_unlit} unlit: noise {found.noise_grey:.2f} grey, ground "
        f"{found.ground.min():.0f} to {found.ground.max():.0f}; threshold {found.threshold}"
        + ("" if math.isnan(even) else f"; dimmest part {100 * even:.0f} % of the brightest")
    )
    made = draft.with_found(
        "light", method="lit and unlit frames" if found.n_unlit else "lit frames",
        optics={"threshold": found.threshold, "polarity": field.value}, found=told, errors={},
        conditions={"background": config.vision.background.value}, sources=[recording], remarks=remarks,
    )  # fmt: skip
    finish(made, "light", dry_run)
    if html is not None:
        from tools.calibrating.page import draw_light

        page(html, "Light", made, "light", draw_light(found, made.complete()))


@calibrate.command()
@click.argument("sources", nargs=-1, required=True, type=EXISTING)
@click.option(
    "--esd-um", type=float, multiple=True, help="Diameter of the beads of each recording, in their order."
)
@click.option("--exp", type=float, help="Fix Exp and fit Aa alone; needed with less than three sizes.")
@_seeing_options
@_file_options
def beads(
    sources: tuple[Path, ...], esd_um: tuple[float, ...], exp: float | None, config_file: Path | None,
    threshold: int | None, html: Path | None, optics_file: Path, dry_run: bool,
) -> None:  # fmt: skip
    """Aa and Exp from recordings of beads of one size each.

    SOURCES are recordings, with an --esd-um each; or one CSV: recording, esd_um, and esd_sd_um if it is known
    how well the diameter is known.
    """
    draft = read_draft(optics_file)
    listed = listed_beads(sources, esd_um)
    if exp is not None and not 0.5 <= exp <= 2:
        raise InputError(f"is {exp:g}", field="--exp", remedy="give 0.5 to 2, such as 1.136")
    pixel_um = float(draft.need("pixel_um"))
    config = _config(draft, config_file, threshold=threshold)
    seen = []
    for recording, diameter, sd in listed:
        found = particles_of(open_frames(recording), config)
        peak = find_peak(found.area_px[~found.on_border], diameter, pixel_um, file=str(recording))
        seen.append(Bead(str(recording), diameter, sd, peak))
        click.echo(
            f"{recording}: {peak.n} single beads of {diameter:g} um, {peak.area_px:.1f} px "
            f"(spread {100 * peak.spread:.1f} %); left out: {peak.n_pairs} pairs, {peak.n_smaller} smaller"
        )
    remarks = []
    sizes = len({diameter for _, diameter, _ in listed})
    if exp is None and sizes < 3:
        exp = float(draft.optics.get("exp", 1.0))
        remarks.append(
            f"{sizes} size{'' if sizes == 1 else 's'} of beads: Exp was left at {exp:g}, Aa alone was fitted."
        )
    fit = fit_beads(seen, fixed_exp=exp)
    if len(seen) == (1 if fit.exp_is_fixed else 2):
        remarks.append("As many sizes as values: nothing is left over to judge the fit by.")
    residuals: list[dict[str, float | str]] = [
        {"beads": bead.name, "esd_um": bead.esd_um, "area_px": bead.peak.area_px, "n": bead.peak.n,
         "spread": bead.peak.spread, "pairs": bead.peak.n_pairs, "esd_off": float(left)}
        for bead, left in zip(seen, fit.residuals, strict=True)
    ]  # fmt: skip
    changed = {"aa_um2": float(f"{fit.aa_um2:.6g}"), "exp": round(fit.exp, 6)}
    errors = {"aa_um2": fit.aa_se_um2, "exp": fit.exp_se}
    if threshold is not None:
        changed["threshold"] = threshold
    quality = {} if math.isnan(fit.chi2_per_freedom) else {"chi2_per_freedom": fit.chi2_per_freedom}
    made = draft.with_found(
        "size", method=f"beads of {sizes} sizes" + (", Exp fixed" if fit.exp_is_fixed else ""),
        optics=changed, found=changed | quality, errors=errors,
        residuals=residuals, conditions=_conditions(config), sources=_paths(sources, listed), remarks=remarks,
    )  # fmt: skip
    finish(made, "size", dry_run)
    if html is not None:
        from tools.calibrating.page import draw_beads

        page(html, "Beads", made, "size", draw_beads(seen, fit))


@calibrate.command()
@click.argument("recording", type=EXISTING)
@click.argument("table", metavar="REFERENCE.csv", type=EXISTING)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the standard errors.")
@_seeing_options
@_file_options
def reference(
    recording: Path, table: Path, seed: int, config_file: Path | None, threshold: int | None,
    html: Path | None, optics_file: Path, dry_run: bool,
) -> None:  # fmt: skip
    """Aa and Exp such that RECORDING holds what a reference instrument counted in the same water.

    REFERENCE.csv has esd_min_um, esd_max_um, and concentration_per_l or count and volume_l.
    """
    draft = read_draft(optics_file)
    theirs = read_reference(table)
    draft.need("pixel_um")
    litres = float(draft.need("image_volume_l"))
    config = _config(draft, config_file, threshold=threshold)
    found = particles_of(open_frames(recording), config)
    optics = optics_of(config)
    fit = fit_reference(
        Counted(found.area_px, found.frame, found.n_frames, litres), theirs,
        start=(optics.area_unit_um2, optics.exp), seed=seed,
    )  # fmt: skip
    click.echo(
        f"{found.n_frames} frames, {found.n_frames * litres:.1f} L, {len(found.area_px)} particles; "
        f"{int(fit.used.sum())} of {len(fit.used)} classes used; root mean square of the difference of log10 "
        f"concentration {fit.rms_log10:.3f}"
    )
    changed = {"aa_um2": float(f"{fit.aa_um2:.6g}"), "exp": round(fit.exp, 6)}
    if threshold is not None:
        changed["threshold"] = threshold
    residuals: list[dict[str, float | str]] = [
        {"esd_min_um": float(low), "esd_max_um": float(high), "used": "yes" if used else "no",
         "reference_per_l": float(wanted), "per_l": float(got)}
        for low, high, used, wanted, got in zip(
            theirs.lower_um, theirs.upper_um, fit.used, theirs.per_l, fit.per_l, strict=True)
    ]  # fmt: skip
    made = draft.with_found(
        "size", method="reference instrument", optics=changed,
        found={**changed, "rms_log10": fit.rms_log10}, errors={"aa_um2": fit.aa_se_um2, "exp": fit.exp_se},
        residuals=residuals, conditions={**_conditions(config), "image_volume_l": litres},
        sources=[recording, table], remarks=[],
    )  # fmt: skip
    finish(made, "size", dry_run)
    if html is not None:
        from tools.calibrating.page import draw_reference

        page(html, "Reference", made, "size", draw_reference(theirs, fit))


@calibrate.command()
@_file_options
def show(optics_file: Path, dry_run: bool) -> None:
    """Show an optics file: what was found, when, how, and what is missing or out of date."""
    if not optics_file.exists():
        raise ConfigError("is not there", file=optics_file, remedy="make it with seston calibrate light")
    draft = read_draft(optics_file)
    for part, one in draft.calibration.items():
        values = ", ".join(
            f"{name} {value:.6g}"
            + (f" ± {one.standard_errors[name]:.2g}" if name in one.standard_errors else "")
            for name, value in one.found.items()
        )
        click.echo(f"{part}, {one.date:%Y-%m-%d %H:%M} UTC, {one.method}: {values}")
    say_state(draft)


def _config(draft: Draft, config_file: Path | None, **instead: Any) -> Config:
    """Configuration with the optics as far as they are known; the threshold must be, unless it is sought."""
    given = {name: value for name, value in instead.items() if value is not None}
    if "polarity" not in instead:
        given["threshold"] = draft.need("threshold", instead.get("threshold"))
    config = Config() if config_file is None else load_config(config_file)
    return msgspec.structs.replace(config, optics=draft.complete(**given))


def _conditions(config: Config) -> dict[str, float | str]:

    optics = optics_of(config)
    return {
        "threshold": optics.threshold,
        "polarity": optics.polarity.value,
        "background": config.vision.background.value,
    }


def _paths(sources: Sequence[Path], listed: Sequence[tuple[Path, float, float]]) -> list[Path]:
    tables = [one for one in sources if one.is_file() and one.suffix.lower() == ".csv"]
    return [*tables, *(path for path, _, _ in listed)]
