"""`seston reprocess`: archives of recordings, dives and vignettes through another model, on Dask."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from edge.config import Config, load_config
from edge.errors import InputError
from edge.optics import Polarity

PATH = click.Path(path_type=Path)
MOST_FAULTS = 10
"""Sentences that are shown; the table of failures has all."""


@click.command()
@click.argument("archive", metavar="ARCHIVE", type=PATH)
@click.option(
    "--bundle", "path_or_name", required=True, help="A bundle's file, or the name of a shipped one."
)
@click.option(
    "--out", type=PATH, required=True, help="Folder of the results; a run that was cut off goes on."
)
@click.option("--config", "config_file", type=PATH, help="Configuration (TOML) for recordings.")
@click.option(
    "--polarity", type=click.Choice([item.value for item in Polarity]), default=Polarity.DARK_FIELD.value,
    show_default=True, help="Of folders and zips of vignettes: bright-field images are inverted first.",
)  # fmt: skip
@click.option(
    "--dives", "keep_dives", is_flag=True, help="Keep the log of each dive, as the new model has it."
)
@click.option(
    "--workers", type=click.IntRange(min=0),
    help="Processes on this machine (default: one a core); 0: this process alone, without Dask.",
)  # fmt: skip
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="A cluster of Dask that runs already.")
@click.option(
    "--dashboard", type=click.IntRange(0, 65535), default=0, help="Port of Dask's dashboard here; 0: any."
)
def reprocess(
    archive: Path,
    path_or_name: str,
    out: Path,
    config_file: Path | None,
    polarity: str,
    keep_dives: bool,
    workers: int | None,
    scheduler: str | None,
    dashboard: int,
) -> None:
    """Run ARCHIVE through a model: recordings, dives, UVP6 projects, folders and zips of vignettes.

    Recordings are replayed as dives; the kept vignettes of dives are named anew. Tables of objects, frames,
    bins and failures (Parquet) and profiles (netCDF) are the same whoever does the work. What cannot be used
    is named, and the rest goes on: exit code 1 when nothing of a source could be used.
    """
    from rich.console import Console

    from tools.shore.reprocess import run
    from tools.shore.reprocess.sources import NOT_USED

    if workers is not None and scheduler is not None:
        raise click.UsageError("--workers is of this machine, --scheduler of a cluster: give one")
    console = Console()
    job = make_job(path_or_name, out, config_file, invert=polarity == Polarity.BRIGHT_FIELD, keep=keep_dives)
    with contextlib.ExitStack() as open_here:
        if workers == 0:
            n_workers = 1
            doer: run.Doer = run.do_here
        else:
            client = open_here.enter_context(_client(workers, scheduler, dashboard))
            n_workers = max(1, len(client.nthreads()))
            has_page = "dashboard" in client.scheduler_info()["services"]
            page = f"; dashboard: {client.dashboard_link}" if has_page else ""
            told = f"{n_workers} worker{'' if n_workers == 1 else 's'}{page}"
            console.print(told, highlight=False, soft_wrap=True)
            doer = run.do_on(client, n_workers)
        bar = open_here.enter_context(_progress(console))
        summary = run.reprocess(archive, job, doer, n_workers, bar)
    _show(summary, out, console)
    if any(fault.lost == NOT_USED for fault in summary.faults):
        raise SystemExit(1)


def make_job(path_or_name: str, out: Path, config_file: Path | None, *, invert: bool, keep: bool) -> Any:
    """What is the same for all sources; raises `SestonError` when the bundle does not work here."""
    from edge.inference.bundle import load_bundle
    from tools.shore.reprocess.job import Job
    from tools.shore.reprocess.naming import classifier_of

    config = Config() if config_file is None else load_config(config_file)
    flat = config.vision.flat_field
    try:
        flat_hash = None if flat is None else hashlib.sha256(Path(flat).read_bytes()).hexdigest()
    except OSError as cause:
        raise InputError(
            f"cannot be read ({cause.strerror})", file=flat, field="vision.flat_field", remedy="check it"
        ) from cause
    told = json.dumps([msgspec.to_builtins(config), flat_hash, invert, keep], sort_keys=True)
    bundle = load_bundle(path_or_name)
    job = Job(
        out.absolute(), bundle.path.absolute(), bundle.sha256,
        None if config_file is None else config_file.absolute(),
        hashlib.sha256(told.encode()).hexdigest(), invert, keep,
    )  # fmt: skip
    classifier_of(job.bundle, job.bundle_sha256)  # the goldens, before anything is begun
    return job


@contextlib.contextmanager
def _client(workers: int | None, scheduler: str | None, dashboard: int) -> Iterator[Any]:
    from tools.shore.reprocess.run import local_client, remote_client

    if scheduler is not None:
        with remote_client(scheduler) as client:
            yield client
        return
    n = workers or len(os.sched_getaffinity(0))
    with (
        tempfile.TemporaryDirectory(prefix="seston-dask-") as scratch,
        local_client(n, dashboard, Path(scratch)) as client,
    ):
        yield client


@contextlib.contextmanager
def _progress(console: Any) -> Iterator[Any]:
    """Shows how far a run is: sources that are through, objects that were named."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    told = TextColumn("{task.fields[told]}")
    with Progress(BarColumn(), told, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=None, told="looking")

        def watch(course: Any) -> None:
            told = f"{len(course.finished)} of {course.n_sources} sources, {course.n_objects} objects named"
            bar.update(task, total=course.n_sources, completed=course.n_through, told=told)

        yield watch


def _show(summary: Any, out: Path, console: Any) -> None:
    """Print what came of a run."""
    from rich.table import Table

    table = Table("sources", "number", "failed", "objects", title="Reprocessed")
    for kind in dict.fromkeys(one.kind for one in summary.finished):
        found = [one for one in summary.finished if one.kind is kind]
        failed = sum(one.is_failed for one in found)
        table.add_row(kind.value, str(len(found)), str(failed), str(sum(one.objects for one in found)))
    console.print(table)
    if summary.frames:
        told = ", ".join(f"{count} {label}" for label, count in sorted(summary.frames.items()))
        console.print(f"{summary.frames.total()} frames: {told}.", highlight=False)
    for fault in summary.faults[:MOST_FAULTS]:
        console.print(f"[yellow]{fault.lost}:[/yellow] ", end="")
        where = fault.source if fault.file in ("", fault.source) else f"{fault.source}: {fault.file}"
        console.print(f"{where}: {fault.reason}.", markup=False, highlight=False, soft_wrap=True)
    if summary.faults:
        more = len(summary.faults) - MOST_FAULTS
        told = f"... and {more} more; all" if more > 0 else "All"
        console.print(f"{told} are in {out}/failures.parquet", highlight=False, soft_wrap=True)
    if summary.strays:
        console.print(
            f"{len(summary.strays)} sources of an earlier run are not in the archive any more, and their "
            f"results stay: {', '.join(summary.strays[:3])}.",
            markup=False,
        )
    console.print(f"{summary.objects} objects: {out}", highlight=False, soft_wrap=True, markup=False)
