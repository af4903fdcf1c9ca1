"""`seston evaluate`: how well a bundle names sorted images that it has not seen. Here only the command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.optics import Polarity

if TYPE_CHECKING:
    from training.trial import Trial


@click.command()
@click.argument("path_or_name", metavar="BUNDLE")
@click.argument("dataset", metavar="DATASET", type=click.Path(path_type=Path))
@click.option(
    "--taxonomy",
    type=click.Path(path_type=Path),
    help="TOML that merges, renames or drops classes of DATASET.",
)
@click.option(
    "--polarity",
    type=click.Choice([item.value for item in Polarity]),
    default=Polarity.DARK_FIELD.value,
    show_default=True,
    help="bright-field images are inverted first.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write everything here, with the surest mistakes by file name.",
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page like the card here.",
)
@click.option("--all", "every", is_flag=True, help="Also score images that the bundle was trained on.")
def evaluate(
    path_or_name: str,
    dataset: Path,
    taxonomy: Path | None,
    polarity: str,
    json_file: Path | None,
    html_file: Path | None,
    every: bool,
) -> None:
    """Score BUNDLE on DATASET: a folder or zip with one folder a class, or an EcoTaxa export.

    Classes are matched by name, by what the bundle's own training did with that name, or by taxon. Images of
    classes that the bundle does not know tell how well it sees that they are new to it. Images that it was
    trained on are left out.
    """
    from edge.inference.bundle import load_bundle
    from training.datasets import read_dataset
    from training.trial import try_bundle

    bundle = load_bundle(path_or_name)
    data = read_dataset(
        dataset, bundle.preprocessing, invert=polarity == Polarity.BRIGHT_FIELD, taxonomy=taxonomy
    )
    found = try_bundle(bundle, data, every=every)
    if json_file is not None:
        import msgspec

        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(found.everything())))
    if html_file is not None:
        from training.card import write_card_html

        heading = f"{bundle.name} on {data.name}"
        html_file.write_text(
            write_card_html(found.manifest, heading=heading, notes=found.notes), encoding="utf-8"
        )
    _tell(found)
    for fault in data.faults:
        click.echo(f"left out: {fault}", err=True)


def _tell(found: Trial) -> None:
    """Print scores, classes and taxa."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    from training import card_facts as facts

    console, manifest = Console(), found.manifest
    click.echo(f"{found.bundle.name}  sha256 {found.bundle.sha256}\non {found.data.name}")
    for note in (*found.notes, *facts.how_measured(manifest)):
        click.echo(note)
    scores = Table("score", "int8", "90 %", title="scores")
    for row in facts.score_rows(manifest):
        scores.add_row(row.words, row.int8, row.int8_interval)
    console.print(scores)

    def rate(one: facts.Rate) -> tuple[str, str]:
        span = "" if one.low is None or one.high is None else f"{one.low:.2f} to {one.high:.2f}"
        return ("" if one.rate is None else f"{one.rate:.2f}"), span

    classes = Table(
        Column("class", overflow="fold"), "images", "recall", "90 %", "precision", "90 %", title="by class"
    )
    for of_class in facts.class_rows(manifest):
        if of_class.held_back:
            cells = (*rate(of_class.recall), *rate(of_class.precision))
            classes.add_row(escape(of_class.name), str(of_class.held_back), *cells)
    taxa = Table(
        Column("taxon", overflow="fold"),
        "images",
        "named",
        "as a parent",
        "unclassified",
        "wrongly",
        title="by taxon",
    )
    for of_taxon in facts.taxon_rows(manifest):
        if of_taxon.held_back:
            counts = (
                of_taxon.held_back,
                of_taxon.right,
                of_taxon.parents,
                of_taxon.unclassified,
                of_taxon.wrong,
            )
            taxa.add_row(escape(of_taxon.label), *map(str, counts))
    for table in (classes, taxa):
        if table.row_count:
            console.print(table)
    for title, rows, remarks in facts.other_facts(manifest):
        for remark in remarks:
            click.echo(remark)
        if rows:
            other = Table("", *rows.columns, title=title)
            for name, row_cells in rows.rows:
                other.add_row(escape(name), *row_cells)
            console.print(other)
