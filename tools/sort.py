"""`seston sort`: help for a taxonomist with thousands of images. Thin ends of `tools.shore.sorting`."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from edge.optics import Polarity

SHOWN = 20
"""Lines of what was left out that are printed."""
WORK = click.argument("work_file", metavar="WORK", type=click.Path(dir_okay=False, path_type=Path))
BUNDLE = click.option(
    "--bundle", "path_or_name", required=True, help="A bundle's file, or the name of a shipped one."
)
POLARITY = click.option(
    "--polarity", type=click.Choice([item.value for item in Polarity]), default=Polarity.DARK_FIELD.value,
    show_default=True, help="bright-field images are inverted first; a dive's never.",
)  # fmt: skip
WHO = click.option(
    "--who", default=getpass.getuser, show_default="this user", help="Who decides, for the log."
)


@click.group()
def sort() -> None:
    """Sort images by clusters that grow, as MorphoCluster does: embed, cluster, serve, export; novelty."""


@sort.command()
@click.argument(
    "sources", metavar="FOLDER|ZIP|DIVE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@BUNDLE
@click.option(
    "--out",
    "work_file",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Work file; made, or added to.",
)
@POLARITY
def embed(sources: tuple[Path, ...], path_or_name: str, work_file: Path, polarity: str) -> None:
    """Take images into the work file OUT, with what the bundle's network sees in each.

    Stopped, it goes on where it was: give the same command again. What cannot be read, and what is in
    already, is listed and left out.
    """
    from tools.shore.sorting.work import Work

    take_in(sources, path_or_name, work_file, polarity)
    with Work.open(work_file) as work:
        n = work.n_images()
    click.echo(f"{work_file}: {n:,} images; next: seston sort cluster {work_file}")


@sort.command()
@WORK
@click.option(
    "--size", type=click.IntRange(2), help="Least size of a cluster; by default 128, then 64, 32, 16, 8."
)
@WHO
def cluster(work_file: Path, size: int | None, who: str) -> None:
    """Look for dense clusters in what is in none yet: a round. The page has a button for it, too."""
    from tools.shore.sorting.session import Session

    with Session.open(work_file, who) as session:
        n = session.cluster(size)
        told = session.overview()
    click.echo(
        f"{work_file}: {n:,} clusters found; {told['sorted']:,} of {told['images']:,} images are in clusters;"
        f" next: seston sort serve {work_file}"
    )


@sort.command()
@WORK
@click.option("--port", type=click.IntRange(0, 65535), default=8766, show_default=True, help="0: any.")
@WHO
def serve(work_file: Path, port: int, who: str) -> None:
    """Serve the page to sort on, for a browser on this machine.

    Every decision is on the disk before it is answered, with who made it and when; all can be undone.
    """
    from edge.errors import InputError
    from tools.shore.sorting.server import Server

    try:
        server = Server(work_file, who, "127.0.0.1", port)
    except OSError as cause:
        raise InputError(
            f"is {port}, which cannot be had ({cause.strerror or cause})",
            field="--port",
            remedy="choose another, or --port 0 for any",
        ) from None
    server.end_on_signals()
    click.echo(f"http://127.0.0.1:{server.server_address[1]}  (Ctrl-C ends it)")
    try:
        server.serve_forever()
    finally:
        server.server_close()


@sort.command("export")
@WORK
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder to write, a folder a class: for `seston retrain`."
)
@click.option(
    "--ecotaxa",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Zip to write, for EcoTaxa, all validated.",
)
def export_(work_file: Path, out: Path | None, ecotaxa: Path | None) -> None:
    """Write what was accepted and named, to train with or for EcoTaxa; what has no name is left out."""
    from tools.shore.sorting.export import write_ecotaxa, write_folders
    from tools.shore.sorting.session import Session

    if out is None and ecotaxa is None:
        raise click.UsageError("give --out FOLDER, --ecotaxa ZIP, or both")
    with Session.open(work_file, "") as session:
        polarity = session.overview()["polarity"]
        for target, write in ((out, write_folders), (ecotaxa, write_ecotaxa)):
            if target is not None:
                found = write(session, target)
                click.echo(f"{target}: {found.total():,} images of {len(found)} classes")
    if out is not None:
        option = "" if polarity == Polarity.DARK_FIELD.value else f" --polarity {polarity}"
        click.echo(f"next: seston retrain {out}{option} --out run")


@sort.command()
@WORK
def log(work_file: Path) -> None:
    """Print every decision: when, by whom, what, and whether it was taken back."""
    from tools.shore.sorting.work import Work

    with Work.open(work_file) as work:
        for step, utc, who, kind, undone, undone_by in work.history():
            gone = f"  (taken back {undone} by {undone_by})" if undone else ""
            click.echo(f"{step:>6}  {utc}  {who}  {kind}{gone}")


@sort.command()
@click.argument(
    "sources", metavar="DIVE|FOLDER|ZIP...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@BUNDLE
@click.option(
    "--known", type=click.Path(path_type=Path), help="Folder or zip of images that the bundle learnt from."
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("novelty"), show_default=True,
    help="Folder to write.",
)  # fmt: skip
@POLARITY
def novelty(
    sources: tuple[Path, ...], path_or_name: str, known: Path | None, out: Path, polarity: str
) -> None:
    """List what the bundle knows least in a dive: dense clusters first, then single images.

    Into OUT go novelty.html, with the vignettes, novelty.csv, and novelty.sort, a work file for `seston sort
    serve`. With --known the distance to those images counts, otherwise how much the network says it has seen
    the like.
    """
    from tools.shore.sorting import novelty_page
    from tools.shore.sorting.novelty import novel, unlike_any, unlike_known
    from tools.shore.sorting.session import Session
    from tools.shore.sorting.work import Work

    work_file = out / "novelty.sort"
    take_in(sources, path_or_name, work_file, polarity)
    how = f"how little {path_or_name} has seen the like"
    known_totals = None
    if known is not None:
        take_in((known,), path_or_name, out / "known.sort", polarity)
        with Work.open(out / "known.sort") as work:
            known_totals = work.images().totals
        how = f"the distance to the nearest images of {known.name}"
    with Session.open(work_file, "") as session:
        images, views = session.images, session.views
        if known_totals is None:
            unlike = unlike_any(images)
        else:
            unlike = unlike_known(images.totals, known_totals, views)
        found = novel(images, unlike, views)
        (out / "novelty.csv").write_text(novelty_page.table(images, found), encoding="utf-8")
        title = f"What {path_or_name} does not know: {', '.join(path.name for path in sources)}"
        text = novelty_page.page(
            images, found, session.picture, title, how, is_light=polarity == Polarity.BRIGHT_FIELD.value
        )
        (out / "novelty.html").write_text(text, encoding="utf-8")
    click.echo(f"{out / 'novelty.html'}: {len(images.file):,} images, {found.n_clusters:,} clusters first")
    click.echo(f"{out / 'novelty.csv'}\n{work_file}  (seston sort serve takes it)")


def take_in(sources: tuple[Path, ...], path_or_name: str, work_file: Path, polarity: str) -> None:
    """Take sources into a work file, and say what became of each."""
    from edge.inference.bundle import load_bundle
    from edge.inference.classifier import Classifier
    from tools.shore.sorting.embedding import Embedder
    from tools.shore.sorting.sources import Told, add_source
    from tools.shore.sorting.work import Work

    bundle = load_bundle(path_or_name)
    classifier, embedder = Classifier(bundle), Embedder(bundle)
    meta = {
        "bundle": bundle.name, "bundle_sha256": bundle.sha256, "views": bundle.preprocessing.views,
        "polarity": polarity,
    }  # fmt: skip
    invert = polarity == Polarity.BRIGHT_FIELD.value
    with Work.create(work_file, meta) as work:
        for path in sources:
            told = Told(0, 0, [])
            with click.progressbar(length=0, label=path.name, show_pos=True, show_percent=False) as bar:
                for told in add_source(work, path, bundle, embedder, classifier, invert=invert):
                    bar.update(told.n_new - bar.pos)
            known = f", {told.n_known:,} were there" if told.n_known else ""
            left_out = f", {len(told.faults):,} left out" if told.faults else ""
            click.echo(f"{path}: {told.n_new:,} images taken{known}{left_out}")
            tell_faults([what for _, what in told.faults])


def tell_faults(faults: list[str]) -> None:
    """Print what was left out, not without end."""
    for fault in faults[:SHOWN]:
        click.echo(f"left out: {fault}", err=True)
    if len(faults) > SHOWN:
        click.echo(f"left out: ... and {len(faults) - SHOWN:,} more, listed in the work file", err=True)
