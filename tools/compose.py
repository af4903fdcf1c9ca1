"""`seston compose`: a recording whose every particle is known, from a scenario or along a real cast.

The work is in `tools.composing`; here options meet, and nonsense is refused before anything is written.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from edge.errors import ConfigError, RecordingError
from edge.frame import FrameOutcome
from edge.inference.bundle import load_bundle
from tools.composing.casts import plan_cast
from tools.composing.painter import Painter
from tools.composing.plan import Plan
from tools.composing.scenario import FOLDER, Scenario, check_labels, layers_of, load_scenario, plan_scenario
from tools.composing.vignettes import DrawnSource, Source, VignetteSource
from tools.composing.writer import RecordingWriter
from tools.shore.uvp6_project.cast import read_cast

DEMO = FOLDER / "demo.toml"
MAX_FRAMES_UNASKED = 500
CAST_FRAMES = 60


@dataclass(frozen=True, slots=True)
class Composed:
    """What was written: frames by outcome, particles planted and those of them that have a name, bytes."""

    outcomes: dict[FrameOutcome, int]
    n_particles: int
    n_named: int
    n_bytes: int
    notes: tuple[str, ...]


def compose_recording(
    out: Path,
    *,
    scenario_file: Path | None = None,
    vignettes: Path | None = None,
    vignette_pixel_um: float | None = None,
    cast_file: Path | None = None,
    n_frames: int | None = None,
    seed: int = 1,
    bundle: str | None = None,
) -> Composed:
    """Write a recording with its truth into the new folder `out`; the same arguments give the same bytes.

    Parameters are those of the command. Raises a `SestonError` for any that make no sense together, before
    anything is written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RecordingError("is there already", file=out, remedy="name a new folder, or remove this one")
    if n_frames is not None and n_frames < 1:
        raise ConfigError(f"is {n_frames}", field="--frames", remedy="ask for at least one frame")
    if (vignettes is None) != (vignette_pixel_um is None):
        raise ConfigError(
            "go together, and one of them is missing",
            field="--vignettes and --vignette-pixel-um",
            remedy="give both: the vignettes and the size of their pixel in the scene, um",
        )
    scenario_path = scenario_file or DEMO
    scenario = load_scenario(scenario_path)
    notes: list[str] = []
    if cast_file is not None:
        if scenario_file is None:
            scenario = Scenario(classified_from_um=scenario.classified_from_um)
        elif scenario.legs or scenario.taxa:
            raise ConfigError(
                "come from the cast",
                file=scenario_file,
                field="legs and taxa",
                remedy="leave them out, or leave --cast out",
            )
        cast = read_cast(cast_file)
        scenario = msgspec.structs.replace(scenario, optics=cast.optics)
    min_area_px = scenario.optics.min_area_px(scenario.classified_from_um)
    source: Source
    if vignettes is not None and vignette_pixel_um is not None:
        if vignette_pixel_um <= 0:
            raise ConfigError(
                f"is {vignette_pixel_um:g}", field="--vignette-pixel-um", remedy="give micrometres above 0"
            )
        trained_on = frozenset[bytes]() if bundle is None else load_bundle(bundle).training_hashes
        source = real = VignetteSource(vignettes, vignette_pixel_um, scenario.optics, min_area_px, trained_on)
        notes.append(
            f"{sum(real.counts.values())} vignettes of {len(real.labels)} classes; left out: "
            f"{real.n_trained_on} that the bundle was trained on, {real.n_unusable} without a particle of "
            f"{min_area_px} px."
        )
        if scenario_file is None and cast_file is None:  # the built-in dive, with what there is to plant
            deepest = max(leg.end_dbar for leg in scenario.legs)
            scenario = msgspec.structs.replace(scenario, taxa=layers_of(real.counts, deepest))
    else:
        source = DrawnSource(scenario.optics.threshold)
    check_labels(scenario.taxa, source.labels, scenario_path)
    if cast_file is not None:
        plan = plan_cast(cast, n_frames or CAST_FRAMES, min_area_px, scenario.faults.shares, seed)
    else:
        plan = plan_scenario(scenario, scenario_path, n_frames, seed)
    if n_frames is None and len(plan.frames) > MAX_FRAMES_UNASKED:
        raise ConfigError(
            f"ask for {len(plan.frames)} frames, more than {MAX_FRAMES_UNASKED}",
            file=scenario_path,
            field="legs",
            remedy=f"say --frames {len(plan.frames)} if you mean it",
        )
    painter = Painter(scenario.camera, scenario.optics, source, min_area_px, seed)
    try:
        return _write(out, plan, painter, scenario, notes)
    except OSError as cause:
        raise RecordingError(
            f"cannot be written ({cause.strerror or cause})",
            file=out,
            remedy="make room, or choose another folder",
        ) from cause


def _write(out: Path, plan: Plan, painter: Painter, scenario: Scenario, notes: list[str]) -> Composed:
    outcomes: dict[FrameOutcome, int] = {}
    n_particles = n_named = n_left_out = 0
    with RecordingWriter(out, plan, scenario.optics) as writer:
        for index, frame in enumerate(plan.frames):
            pixels, planted = painter.paint(index, frame)
            writer.add(index, frame, pixels, planted)
            outcomes[frame.outcome] = outcomes.get(frame.outcome, 0) + 1
            if frame.outcome is not FrameOutcome.UNLIT:
                n_particles += len(planted)
                n_named += len(planted.labels)
                n_left_out += len(frame.large) - len(planted.labels)
    if n_left_out:
        notes.append(f"{n_left_out} large particles found no room and are not in the truth.")
    return Composed(outcomes, n_particles, n_named, writer.n_bytes, tuple(notes))


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--scenario", "scenario_file", type=click.Path(path_type=Path), help="Scenario TOML.")
@click.option(
    "--vignettes", type=click.Path(path_type=Path), help="Folder or zip of <class>/<image>; else drawn ones."
)
@click.option("--vignette-pixel-um", type=float, help="Pixel of the vignettes in the scene, um.")
@click.option(
    "--cast", "cast_file", type=click.Path(path_type=Path), help="Particule.zip of a real UVP6 cast."
)
@click.option("--frames", "n_frames", type=int, help=f"Frames in all (a cast: {CAST_FRAMES}).")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--bundle", help="Leave out vignettes that this bundle (name or file) was trained on.")
def compose(
    out: Path,
    scenario_file: Path | None,
    vignettes: Path | None,
    vignette_pixel_um: float | None,
    cast_file: Path | None,
    n_frames: int | None,
    seed: int,
    bundle: str | None,
) -> None:
    """Make a recording with its truth in the new folder OUT.

    Without options it is the demonstration dive. The same seed gives the same files.
    """
    begun = time.monotonic()
    done = compose_recording(
        out,
        scenario_file=scenario_file,
        vignettes=vignettes,
        vignette_pixel_um=vignette_pixel_um,
        cast_file=cast_file,
        n_frames=n_frames,
        seed=seed,
        bundle=bundle,
    )
    kinds = ", ".join(f"{n} {outcome.label}" for outcome, n in sorted(done.outcomes.items()))
    click.echo(
        f"{out}: {sum(done.outcomes.values())} frames ({kinds}), {done.n_particles} particles, "
        f"{done.n_named} of them named, {done.n_bytes / 1e6:.0f} MB in {time.monotonic() - begun:.1f} s."
    )
    for note in done.notes:
        click.echo(note)
