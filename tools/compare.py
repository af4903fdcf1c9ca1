"""`seston compare`: bundles, float networks and the incumbents on the same held-back images; the command.

It judges nothing: where intervals overlap, so do the contenders.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from edge.errors import InputError
from edge.optics import Polarity
from tools.train import quieten
from training.split import HELD_BACK_FOLD, N_FOLDS

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("contenders", metavar="CONTENDER...", nargs=-1, required=True)
@click.argument("dataset", metavar="DATASET", type=click.Path(path_type=Path))
@click.option(
    "--taxonomy",
    type=click.Path(path_type=Path),
    help="TOML that merges, renames or drops classes of DATASET; by default as the first bundle has them.",
)
@click.option(
    "--polarity",
    type=click.Choice([item.value for item in Polarity]),
    default=Polarity.DARK_FIELD.value,
    show_default=True,
    help="How particles look in DATASET.",
)
@click.option("--all-statuses", is_flag=True, help="Take rows of an EcoTaxa export nobody validated, too.")
@click.option(
    "--fold",
    "held_back",
    multiple=True,
    type=click.IntRange(0, N_FOLDS - 1),
    help=f"Folds that are held back; {HELD_BACK_FOLD} by default.",
)
@click.option(
    "--network",
    metavar="BUNDLE|RUN",
    help="That cnn-forest sees with; by default the first contender of these.",
)
@click.option(
    "--threshold",
    type=click.IntRange(0, 254),
    help="Of the hand-made features; by default the one that suits them best on training images.",
)
@click.option(
    "--weight-power",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="xgboost: weight of rare classes.",
)
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of the baselines.")
@click.option("--json", "json_file", type=FILE, help="Write all here.")
@click.option("--markdown", "markdown_file", type=FILE, help="Write the tables here.")
def compare(
    contenders: tuple[str, ...],
    dataset: Path,
    taxonomy: Path | None,
    polarity: str,
    all_statuses: bool,
    held_back: tuple[int, ...],
    network: str | None,
    threshold: int | None,
    weight_power: float,
    seed: int,
    json_file: Path | None,
    markdown_file: Path | None,
) -> None:
    """Score every CONTENDER on the held-back part of DATASET, which is read and split as `seston train` does.

    A CONTENDER is a bundle's file or name, a run's folder (its float network), or a baseline that is trained
    on the other part: xgboost and random-forest on 55 hand-made features, cnn-forest on a network's.
    """
    quieten()
    import cv2

    from tools.comparing.contenders import BASELINES, Baselines, BundleEntry, open_entry
    from tools.comparing.contest import Source, prepare_contest
    from tools.comparing.scores import score_all
    from tools.comparing.tables import make_tables, markdown, show
    from training.evaluate import plain

    for file in (json_file, markdown_file):
        if file is not None and not file.parent.is_dir():
            raise InputError("lies in no folder", file=file, remedy="make the folder first")
    if len(set(contenders)) < len(contenders):
        raise click.UsageError("a contender stands twice")
    others = [name for name in contenders if name not in BASELINES]
    if network is None and "cnn-forest" in contenders and not others:
        raise click.UsageError("cnn-forest needs a network: give --network, or a bundle or run beside it")
    if network is not None and "cnn-forest" not in contenders:
        raise click.UsageError("--network is for cnn-forest, which is no contender")
    cv2.setNumThreads(1)
    # What cannot be read should say so before anything is trained.
    entries = {name: open_entry(name) for name in others}
    lender = next(iter(entries.values()), None)
    if network is not None:
        lender = entries[network] if network in entries else open_entry(network)
    # What lends its network has learnt, too: it may not have seen what is scored.
    trained = [*entries.values(), *([lender] if lender and lender not in entries.values() else [])]
    bundle = next((one.bundle for one in entries.values() if isinstance(one, BundleEntry)), None)
    inverted = polarity == Polarity.BRIGHT_FIELD
    source = Source(dataset, inverted, taxonomy, all_statuses, held_back or (HELD_BACK_FOLD,))
    contest = prepare_contest(source, trained, bundle)
    baselines = Baselines(contest, threshold, lender, weight_power, seed)
    given = {name: entry.contender(contest) for name, entry in entries.items()}
    entered = [given[name] if name in given else baselines.contender(name) for name in contenders]
    rows = score_all(contest, entered)
    summary = contest.facts | {"threshold": baselines.threshold, "seed": seed, "contenders": rows}
    tables = make_tables(rows)
    show(tables, summary["notes"])
    if json_file is not None:
        json_file.write_text(json.dumps(plain(summary), indent=1) + "\n", encoding="utf-8")
    if markdown_file is not None:
        markdown_file.write_text(markdown(tables, summary["notes"]), encoding="utf-8")
