"""`seston simulate`: a recording replayed as a dive, to the very bytes a float would send, and back on shore.

The loop is the instrument's own (`edge.instrument`), on the recording's clock. Where the recording has a
truth, the dive is scored against it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from edge.config import Config, load_config
from edge.divelog import DiveLog
from edge.errors import ConfigError, RecordingError
from edge.frame import FrameOutcome, Phase
from edge.inference.bundle import Bundle, load_bundle
from edge.instrument import Instrument, Observer
from edge.live import Live
from edge.logged import begin_dive, climatology_in, codebook_in, plan_messages, read_climatology, summarise
from edge.mission import Mission, State
from edge.optics import Optics
from edge.profile import Profile
from edge.recording import Recording, RecordingInfo, open_recording, read_image
from edge.taxonomy import UNCLASSIFIED
from edge.telemetry.decoded import DecodedDive
from edge.telemetry.decoder import decode_messages
from edge.telemetry.planned import Plan
from edge.telemetry.summary import WHOLE_DIVE
from edge.telemetry.whole_dive import doubt_of, health_codes
from tools.hosting.exchange import Exchange
from tools.scoring import TruthScorer

NOMINAL_OPTICS = Optics(pixel_um=73, image_volume_l=0.6, threshold=21, aa_um2=2300, exp=1.136)
"""A typical UVP6, for recordings that do not say their optics: sizes and volumes are then only nominal."""
MOST_FAULTS = 10
"""Sentences on a project that are shown; `seston uvp6 check` shows all."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a replayed dive gave: the board's profile, the messages, and what the shore made of them."""

    out: Path
    bundle: Bundle
    profile: Profile
    plan: Plan
    shore: DecodedDive
    truth: dict[str, Any] | None
    remarks: tuple[str, ...]
    first_notes: dict[FrameOutcome, str]


def simulate_dive(
    recording: Recording,
    config: Config,
    bundle: Bundle,
    out: Path,
    *,
    dive_number: int = 0,
    progress: Any = None,
) -> Simulated:
    """Replay a recording as a dive into the folder `out` (dive.sqlite, messages/, truth.json).

    `config` must hold optics. `progress` is called with each frame's record.
    """
    scorer = _scorer_of(recording, config, bundle)
    with begin_replay(recording, config, bundle, out / "dive.sqlite", dive_number=dive_number) as log:
        plan = replay_into(
            log, recording, config, bundle,
            observe=None if scorer is None else scorer.observe,
            live=Live(out, (taxon.label for taxon in bundle.counted_taxa)),
            progress=progress,
        )  # fmt: skip
        return _seen_from_shore(log, plan, plan.messages, bundle, out, scorer)


def begin_replay(
    recording: Recording, config: Config, bundle: Bundle, file: Path, *, dive_number: int = 0
) -> DiveLog:
    """Begin the log of a recording's dive."""
    return begin_dive(
        file, config, bundle, dive_number=dive_number, time_ms=int(recording.time_ms[0]),
        climatology=read_climatology(config),
        recording={"path": recording.path.name, **msgspec.to_builtins(recording.info)},
    )  # fmt: skip


def replay_into(
    log: DiveLog,
    recording: Recording,
    config: Config,
    bundle: Bundle,
    *,
    observe: Observer | None = None,
    live: Live | None = None,
    progress: Any = None,
    prefetch: bool = True,
) -> Plan:
    """Take every frame of a recording as the instrument does, and end the dive; returns its messages' plan.

    `progress` is called with each frame's record; `prefetch` reads one frame ahead, in a thread.
    """
    flat = config.vision.flat_field
    known = recording.pressure_dbar[np.isfinite(recording.pressure_dbar)]
    rising = known.size > 0 and known[-1] < known[0] == known.max()
    instrument = Instrument(
        config, bundle, log,
        mission=Mission(State.ASCENT if rising else State.DESCENT),
        flat_field=None if flat is None else read_image(flat),
        observe=observe,
        live=live,
    )  # fmt: skip
    left_out = 0
    for frame in recording.frames(prefetch=prefetch):
        if not instrument.is_due(frame):
            left_out += 1
            continue
        for logged in instrument.take(frame):
            if progress is not None:
                progress(logged.record)
    if left_out:
        log.set_meta("frames_not_taken", left_out)
    return instrument.finish()


def simulate_hosted(
    recording: Recording,
    config: Config,
    bundle: Bundle,
    out: Path,
    exchange: Exchange,
    *,
    host: str = "native",
    progress: Any = None,
) -> Simulated:
    """As `simulate_dive`, with the real service, and a simulated float or modem at the other end of its line.

    The messages are those that the other end took. What was said stands in `exchange`. `host` is `native`,
    `uvp6`, or `sbd` for an instrument on its own.
    """
    from tools.hosting import simulation
    from tools.hosting.simulation import Stage, new_folder

    scorer = _scorer_of(recording, config, bundle)
    run = {
        "native": simulation.dive_with_native_float,
        "uvp6": simulation.dive_with_uvp6_host,
        "sbd": simulation.dive_with_sbd_modem,
    }[host]
    taken = run(
        Stage(
            recording, config, bundle, new_folder(out), exchange,
            None if scorer is None else scorer.observe, progress or (lambda frame: None),
        )
    )  # fmt: skip
    messages = taken.messages
    shutil.copyfile(taken.log, out / "dive.sqlite")
    with DiveLog.open(out / "dive.sqlite") as log:
        log.set_meta("recording", {"path": recording.path.name, **msgspec.to_builtins(recording.info)})
        return _seen_from_shore(log, plan_messages(log), messages, bundle, out, scorer)


def _scorer_of(recording: Recording, config: Config, bundle: Bundle) -> TruthScorer | None:
    truth = recording.truth()
    return None if truth is None else TruthScorer(truth, config, bundle)


def _seen_from_shore(
    log: DiveLog, plan: Plan, messages: Sequence[bytes], bundle: Bundle, out: Path, scorer: TruthScorer | None
) -> Simulated:
    """Write the messages that came, decode them, and compare with the truth where there is one."""
    profile = summarise(log).profile
    notes = {
        FrameOutcome(row["outcome"]): row["note"]
        if row["source"] in row["note"]
        else f"{row['source']}: {row['note']}"
        for row in reversed(log.frames())
        if row["note"]
    }
    write_messages(log, messages, out / "messages")
    codebook, climatology = codebook_in(log), climatology_in(log)
    regions = () if climatology is None else (climatology,)
    (shore,) = decode_messages(messages, [codebook], regions).dives
    scores = None
    if scorer is not None:
        for record in log.records():
            scorer.outcome(record)
        corrected = shore.corrected()
        scores = scorer.result(profile.taxa(), shore.taxa(), None if corrected is None else corrected[0][0])
        (out / "truth.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    return Simulated(out, bundle, profile, plan, shore, scores, _remarks(log, profile), notes)


def _remarks(log: DiveLog, profile: Profile) -> tuple[str, ...]:
    """What was done less of, and why, in sentences."""
    left_out = log.meta("vignettes_left_out") if log.has_meta("vignettes_left_out") else 0
    not_taken = log.meta("frames_not_taken") if log.has_meta("frames_not_taken") else 0
    unnamed = sum(int(part.unnamed.sum()) for part in profile.phases)
    told = (
        (left_out, "vignettes were not kept: the zone or the quota does not allow it, or the disk is full."),
        (
            unnamed,
            "larger particles were sized but not classified: zone, budget or time did not allow it, or "
            "there is no vignette of them.",
        ),
        (not_taken, "frames of the recording were not taken: the schedule asks for fewer."),
    )
    return tuple(f"{number} {sentence}" for number, sentence in told if number) + tuple(
        f"From frame {data['frame']} on the share of "
        f"{'what lies outside all zones' if data['zone'] < 0 else 'zone ' + str(data['zone'] + 1)} "
        f"in {data['good']} is used up."
        for _, data in log.inputs("used-up")
    )


def write_messages(log: DiveLog, messages: Sequence[bytes], folder: Path) -> None:
    """Write messages of a dive as files, with the codebook that reads them."""
    folder.mkdir(exist_ok=True)
    number = log.meta("dive_number")
    for part, message in enumerate(messages):
        (folder / f"{number:05d}-{part:03d}.msg").write_bytes(message)
    text = json.dumps(log.meta("codebook"), sort_keys=True, indent=1)
    (folder / "codebook.json").write_text(text + "\n", encoding="utf-8")
    climatology = climatology_in(log)
    if climatology is not None:
        (folder / "climatology.json").write_bytes(climatology.to_json() + b"\n")


def complete_config(
    config_file: Path | None,
    info: RecordingInfo,
    *,
    bundle: str | None = None,
    threshold: int | None = None,
    message_bytes: int | None = None,
    budget_bytes: int | None = None,
) -> tuple[Config, bool]:
    """Configuration with optics, and whether they are only nominal.

    Optics come from the configuration, else from the recording, else from a nominal UVP6; options win.
    """
    config = Config() if config_file is None else load_config(config_file)
    optics = config.optics or info.optics
    nominal = optics is None
    optics = optics or NOMINAL_OPTICS
    telemetry = {"message_bytes": message_bytes, "budget_bytes": budget_bytes}
    try:
        if threshold is not None:
            optics = msgspec.convert({**msgspec.to_builtins(optics), "threshold": threshold}, Optics)
        chosen = {name: value for name, value in telemetry.items() if value is not None}
        sent = msgspec.convert({**msgspec.to_builtins(config.telemetry), **chosen}, type(config.telemetry))
    except msgspec.ValidationError as cause:
        raise ConfigError(str(cause), field="option", remedy="see seston simulate --help") from None
    config = msgspec.structs.replace(
        config,
        optics=optics,
        telemetry=sent,
        bundle=bundle or config.bundle,
        platform=config.platform or info.instrument.unit or info.platform,
    )
    return config, nominal


def prepare_folder(out: Path, *, force: bool) -> None:
    """Make the output folder; a dive that is already there is only replaced when told so."""
    if (out / "dive.sqlite").exists():
        if not force:
            raise RecordingError(
                "holds a dive already",
                file=out,
                field="--out",
                remedy="choose another folder, or add --force",
            )
        for name in ("messages", "shore", "float"):
            shutil.rmtree(out / name, ignore_errors=True)
        for file in (
            *out.glob("dive.sqlite*"),
            out / "truth.json",
            out / "report.html",
            out / "exchange.txt",
        ):
            file.unlink(missing_ok=True)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise RecordingError(f"cannot be made ({cause})", file=out, remedy="choose another folder") from cause


def parse_pressure(text: str | None) -> tuple[float, float] | None:
    """`START:END` in dbar."""
    if text is None:
        return None
    try:
        start, end = (float(part) for part in text.split(":"))
    except ValueError:
        raise RecordingError(
            f"{text!r} is not START:END", field="--pressure", remedy="give two numbers in dbar, such as 0:500"
        ) from None
    return start, end


@click.command()
@click.argument("recording_path", metavar="RECORDING", type=click.Path(path_type=Path))
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration (TOML).")
@click.option("--bundle", help="Name or path of a bundle; wins over the configuration.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/dive"), show_default=True)
@click.option("--fps", type=float, help="Frames a second of a bare folder or video.")
@click.option("--pressure", metavar="START:END", help="Pressure of a bare folder or video, dbar.")
@click.option("--threshold", type=int, help="Grey threshold; wins over the configuration.")
@click.option("--message-bytes", type=int, help="Largest message; wins over the configuration.")
@click.option("--budget-bytes", type=int, help="Sum of all messages; wins over the configuration.")
@click.option("--profile", help="Which profile of a UVP6 project; may be left out where there is one.")
@click.option("--dive-number", type=click.IntRange(0, 65535), default=0, show_default=True)
@click.option(
    "--host", type=click.Choice(["native", "uvp6", "sbd"]),
    help="Run the whole service on a simulated clock: commanded by a float over the native link, or by one "
    "that takes it for a UVP6, or on its own with an Iridium modem.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a dive that is already in the output folder.")
@click.option("--no-report", is_flag=True, help="Leave out netCDF and the HTML report.")
def simulate(
    recording_path: Path,
    config_file: Path | None,
    bundle: str | None,
    out: Path,
    fps: float | None,
    pressure: str | None,
    threshold: int | None,
    message_bytes: int | None,
    budget_bytes: int | None,
    profile: str | None,
    dive_number: int,
    host: str | None,
    force: bool,
    no_report: bool,
) -> None:
    """Replay RECORDING (a folder or a video) as a dive.

    Segments, measures and classifies every frame, codes the profile into messages within the budget, decodes
    them again as the shore would, and shows what became of the counts.

    A UVP6 project, or a *_Particule.zip of one, is a recording too: its images are counted already, so only
    its vignettes are classified.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console()
    recording = open_replay(recording_path, fps=fps, pressure=parse_pressure(pressure), profile=profile)
    config, nominal = complete_config(
        config_file, recording.info, bundle=bundle, threshold=threshold,
        message_bytes=message_bytes, budget_bytes=budget_bytes,
    )  # fmt: skip
    model = load_bundle(config.bundle)
    if host is not None and dive_number:
        raise ConfigError(
            "is the instrument's own to count", field="--dive-number", remedy="leave it out with --host"
        )
    prepare_folder(out, force=force)
    if nominal:
        console.print(
            "[yellow]The recording does not say its optics: sizes and volumes are those of a nominal UVP6 "
            "(73 um, 0.6 L). Give [bold]\\[optics][/bold] in a configuration.[/yellow]"
        )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("frames", total=recording.n_frames)
        if host is None:
            done = simulate_dive(
                recording, config, model, out, dive_number=dive_number,
                progress=lambda _record: bar.advance(task),
            )  # fmt: skip
        else:
            exchange = Exchange()
            try:
                done = simulate_hosted(
                    recording,
                    config,
                    model,
                    out,
                    exchange,
                    host=host,
                    progress=lambda _frame: bar.advance(task),
                )
            finally:
                exchange.write(out / "exchange.txt")
    if host is not None:
        exchange.show(console)
    show(done, console)
    show_faults(recording, console)
    if not no_report:
        write_shore_products(out, console)


def open_replay(
    path: Path, *, fps: float | None, pressure: tuple[float, float] | None, profile: str | None
) -> Recording:
    """Open what is to be replayed: a recording, or a profile of a UVP6 project."""
    from tools.shore.uvp6_project.reader import is_project

    if not is_project(path):
        if profile is not None:
            raise RecordingError(
                "is of UVP6 projects, and this is none", field="--profile", file=path, remedy="leave it out"
            )
        return open_recording(path, fps=fps, pressure=pressure)
    if fps is not None or pressure is not None:
        raise RecordingError(
            "are in the project", field="--fps and --pressure", file=path, remedy="leave them out"
        )
    from tools.shore.uvp6_project.replay import open_cast

    return open_cast(path, profile)


def show_faults(recording: Recording, console: Any) -> None:
    """Say what of a UVP6 project could not be used."""
    from tools.shore.uvp6_project.replay import CastRecording

    faults = recording.faults if isinstance(recording, CastRecording) else ()
    for fault in faults[:MOST_FAULTS]:
        console.print("[yellow]Not used:[/yellow] ", end="")
        console.print(fault, markup=False, highlight=False, soft_wrap=True)
    if len(faults) > MOST_FAULTS:
        console.print(f"... and {len(faults) - MOST_FAULTS} more: seston uvp6 check {recording.path}")


def show(done: Simulated, console: Any) -> None:
    """Print the dive as tables: frames by outcome, counts by taxon, messages."""
    from rich.table import Column, Table

    outcomes = done.profile.outcomes()
    shore_outcomes = done.shore.outcomes()
    table = Table("frames", "on board", "on shore", title="Frames by outcome")
    for outcome in FrameOutcome:
        if outcomes[outcome] or shore_outcomes[outcome]:
            table.add_row(outcome.label, str(outcomes[outcome]), str(shore_outcomes[outcome]))
    table.add_section()
    table.add_row("captured", str(outcomes.sum()), str(shore_outcomes.sum()))
    console.print(table)
    for outcome, note in sorted(done.first_notes.items()):
        console.print(f"First {outcome.label} frame: {note}", markup=False)
    console.print(f"Particles of all sizes on board: {done.profile.lpm().sum()}")
    for remark in done.remarks:
        console.print(f"[yellow]{remark}[/yellow]")

    truth = done.truth
    board, shore, corrected = done.profile.taxa(), done.shore.taxa(), done.shore.corrected()
    rows = {taxon.label: [int(board[i]), int(shore[i])] for i, taxon in enumerate(done.bundle.counted_taxa)}
    doubt = {
        taxon.label: "" if wrong is None or taxon.label == UNCLASSIFIED else str(wrong)
        for taxon, wrong in zip(done.bundle.counted_taxa, doubt_of(done.shore), strict=True)
    }
    intervals = {}
    if corrected is not None:
        for taxon, (count, low, high), known in zip(
            done.bundle.counted_taxa, corrected[0].T.tolist(), corrected[1].tolist(), strict=True
        ):
            intervals[taxon.label] = f"{count} ({low}-{high})" if known and high else ""
    columns = ["taxon", "on board", "on shore"]
    if truth is not None:
        columns = ["taxon", "in the water", "on board", "on shore", "shore less water"]
        rows = {name: [c["water"], c["board"], c["shore"]] for name, c in truth["taxa"].items()}
    if any(doubt.values()):
        columns.append("likely wrong")
    if intervals:
        columns.append("corrected (90 %)")
    table = Table(Column(columns[0], overflow="fold"), *columns[1:], title="Counts by taxon")
    for name, counts in sorted(rows.items(), key=lambda row: -max(row[1])):
        if any(counts):
            error = [] if truth is None else [f"{truth['taxa'][name]['error']:+d}"]
            interval = [intervals.get(name, "")] if intervals else []
            wrong = [doubt.get(name, "")] if any(doubt.values()) else []
            table.add_row(name, *map(str, counts), *error, *wrong, *interval)
    console.print(table)
    if truth is not None:
        found = truth["detection"]
        console.print(
            f"Detection: recall {found['recall']:.3f}, precision {found['precision']:.3f} over "
            f"{found['n_truth']} particles; above the size cut recall {found['recall_large']:.3f}. "
            f"Bray-Curtis of the counts against the water: board {truth['bray_curtis_board']:.3f}, "
            f"shore {truth['bray_curtis_shore']:.3f}"
            + (f", corrected {truth['bray_curtis_corrected']:.3f}." if intervals else ".")
        )
        if truth["note"]:
            console.print(truth["note"])
    told = [(field, field.value(code)) for field, code in health_codes(done.shore)]
    known = [f"{field.words} {field.text(value)}" for field, value in told if value is not None]
    if known:
        console.print(f"The instrument: {', '.join(known)}.")
    sizes = [len(message) for message in done.plan.messages]
    console.print(
        f"Sent: {sum(sizes)} bytes in {len(sizes)} messages, the largest {max(sizes, default=0)} bytes."
    )
    for line in describe_layers(done.plan):
        console.print(line)


def describe_layers(plan: Plan) -> list[str]:
    """What was sent coarser than it was counted, and what was not sent, in words."""
    coarse, unsent = [], []
    for layer in plan.layers:
        scope = "dive" if layer.scope == WHOLE_DIVE else Phase(layer.scope).name.lower()
        name = f"{layer.quantity.name.lower()} of the {scope}"
        if layer.height is None:
            unsent.append(name)
        elif not layer.is_lossless:
            coarse.append(f"{name} in {layer.n_cells} cells for {layer.n_bins} bins")
    if not coarse and not unsent:
        return ["Every table was sent bin by bin."]
    lines = [("Sent coarser, to keep to the budget: ", coarse), ("Not sent: ", unsent)]
    return [start + "; ".join(names) + "." for start, names in lines if names]


def write_shore_products(out: Path, console: Any) -> None:
    """Write CSV, netCDF and the report, or say what is needed for them."""
    from tools.shore.decode import decode_files
    from tools.shore.report import write_report

    try:
        decode_files([out / "messages"], out / "shore")
        page = write_report(out)
    except ImportError as missing:
        sentence = f"No report: {missing.name} is not installed; pip install 'seston[shore]'."
        console.print(sentence, markup=False)
        return
    console.print(f"Report: {page}", highlight=False, soft_wrap=True)
