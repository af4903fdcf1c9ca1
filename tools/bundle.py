"""`seston bundle show|verify`: what is in a bundle, and whether this machine reproduces it."""

from __future__ import annotations

import click


@click.group()
def bundle() -> None:
    """Show or verify a model bundle (a file, or the name of a shipped one)."""


@bundle.command()
@click.argument("path_or_name", metavar="BUNDLE")
@click.option("--json", "as_json", is_flag=True, help="The manifest as JSON.")
@click.option("--card", is_flag=True, help="The model card, Markdown.")
def show(path_or_name: str, as_json: bool, card: bool) -> None:
    """Show labels, calibration, held-back scores and provenance of a bundle."""
    import msgspec

    from edge.inference.bundle import load_bundle

    found = load_bundle(path_or_name)
    if as_json:
        text = msgspec.json.format(msgspec.json.encode({"sha256": found.sha256, "manifest": found.manifest}))
        click.echo(text.decode())
        return
    if card:
        click.echo(found.card)
        return
    manifest, provenance = found.manifest, found.manifest.provenance
    click.echo(f"{found.name}  {found.path}\nsha256 {found.sha256}")
    click.echo(
        f"{len(found.taxa)} labels, {len(found.counted_taxa)} counted taxa, "
        f"{len(found.golden_inputs)} goldens, {len(found.training_hashes)} training images; "
        f"model of {len(found.model)} bytes, "
        f"input {manifest.preprocessing.size_px} px, temperature {found.temperature:g}"
    )
    for source in provenance.sources:
        click.echo(f"from {source.name} ({source.use}); licence: {source.licence}")
    click.echo(f"split {provenance.split}\nmade by {provenance.command}")
    for model, values in manifest.scores.items():
        click.echo(f"{model}: " + ", ".join(f"{key} {value:.3f}" for key, value in values.items()))
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("taxon", "living", "parent", "threshold", "held back", "recall")
    words = {True: "yes", False: "no", None: ""}
    for i, taxon in enumerate(found.counted_taxa[:-1]):
        row = manifest.confusion[i] if i < len(found.taxa) else ()
        table.add_row(
            escape(taxon.label),
            words[taxon.living],
            escape(taxon.parent or ""),
            f"{manifest.thresholds[i]:.3f}",
            str(sum(row)) if row else "",
            f"{row[i] / sum(row):.2f}" if sum(row) else "",
        )
    Console().print(table)


@bundle.command()
@click.argument("path_or_name", metavar="BUNDLE")
def verify(path_or_name: str) -> None:
    """Run the golden inputs under both kernels; exit code 2 when this machine computes something else."""
    from edge.inference.bundle import load_bundle
    from edge.inference.classifier import TOLERANCE, Classifier

    found = load_bundle(path_or_name)
    click.echo(f"{found.name}  sha256 {found.sha256}")
    for kernels, allowed in TOLERANCE.items():
        difference = Classifier(found, kernels=kernels).golden_difference()
        click.echo(
            f"{kernels} kernels: {len(found.golden_inputs)} goldens, "
            f"largest difference {difference} of {allowed} allowed"
        )
