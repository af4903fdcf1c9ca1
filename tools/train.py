"""`seston train`: from sorted images to a bundle, in one command; how the shipped bundles were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge.optics import Polarity


@click.command()
@click.argument("dataset", required=False, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the run."
)
@click.option("--name", help="Name of the bundle; by default the data set's.")
@click.option(
    "--drawn", type=click.IntRange(min=5), help="Instead of DATASET, draw this many particles a kind."
)
@click.option(
    "--polarity",
    type=click.Choice([item.value for item in Polarity]),
    default=Polarity.DARK_FIELD.value,
    show_default=True,
    help="How particles look in DATASET.",
)
@click.option(
    "--taxonomy", type=click.Path(path_type=Path), help="TOML with living flags, parents and limits."
)
@click.option("--licence", default="not stated", help="Licence and source of DATASET, for the card.")
@click.option("--weights", type=click.Path(path_type=Path), help="Begin with these (.npz).")
@click.option(
    "--weights-source", default="not stated", help="What they are; a former run's say so themselves."
)
@click.option("--all-images", is_flag=True, help="Hold nothing back: only weights, no bundle.")
@click.option(
    "--size", default=96, show_default=True, type=click.IntRange(8, 512), help="Side of the input, px."
)
@click.option(
    "--alpha", default=0.35, show_default=True, type=click.FloatRange(0.05, 2), help="Network width."
)
@click.option(
    "--features", default=1280, show_default=True, type=click.IntRange(8), help="Last layer's width."
)
@click.option(
    "--epochs", default=10, show_default=True, type=click.IntRange(1), help="Passes over the images."
)
@click.option(
    "--settle", default=3, show_default=True, type=click.IntRange(1), help="Passes to get used to int8."
)
@click.option("--batch", default=64, show_default=True, type=click.IntRange(1), help="Images a step.")
@click.option(
    "--rate", default=1.5e-3, show_default=True, type=click.FloatRange(1e-6, 1), help="Learning rate."
)
@click.option(
    "--balance",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="1 draws all classes alike.",
)
@click.option(
    "--prior-power",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="How much of the classes' shares is taken off the logits.",
)
@click.option(
    "--precision",
    default=0.7,
    show_default=True,
    type=click.FloatRange(0, 0.99),
    help="Wanted precision of decisions.",
)
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of all chance.")
def train(
    dataset: Path | None,
    out: Path,
    name: str | None,
    drawn: int | None,
    polarity: str,
    taxonomy: Path | None,
    licence: str,
    weights: Path | None,
    weights_source: str,
    all_images: bool,
    size: int,
    alpha: float,
    features: int,
    epochs: int,
    settle: int,
    batch: int,
    rate: float,
    balance: float,
    prior_power: float,
    precision: float,
    seed: int,
) -> None:
    """Train a model on DATASET, a folder or zip with one folder a class, and write its bundle."""
    if (dataset is None) == (drawn is None):
        raise click.UsageError("give either DATASET or --drawn N")
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from edge.inference.preprocessing import Preprocessing
    from training.fit import Schedule
    from training.model import Architecture
    from training.recipe import Recipe, run_recipe

    recipe = Recipe(
        name=name or (dataset.stem if dataset else "drawn"),
        dataset=None if dataset is None else str(dataset),
        drawn_per_kind=drawn or 5,
        polarity=Polarity(polarity),
        taxonomy=None if taxonomy is None else str(taxonomy),
        licence=licence,
        weights=None if weights is None else str(weights),
        weights_source=weights_source,
        preprocessing=Preprocessing(size_px=size, black_permille=100),
        architecture=Architecture(alpha=alpha, features=features),
        schedule=Schedule(epochs=epochs, batch=batch, rate=rate, balance=balance),
        settling=Schedule(epochs=settle, batch=batch, rate=0.4 * rate, warm_up=0.3, balance=balance),
        prior_power=prior_power,
        precision=precision,
        seed=seed,
        hold_back=not all_images,
    )
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console
    ) as progress:
        task = progress.add_task("reading images", total=None)

        def report(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        result = run_recipe(recipe, out, _command(click.get_current_context()), report)
    for fault in result.faults:
        click.echo(f"left out: {fault}", err=True)
    for model, values in result.scores.items():
        click.echo(f"{model}: " + ", ".join(f"{key} {value:.3f}" for key, value in values.items()))
    if result.bundle is None:
        click.echo(f"{out / 'weights.npz'}")
    else:
        click.echo(f"{result.bundle.path}  sha256 {result.bundle.sha256}")


def _command(context: click.Context) -> str:
    """The command as one would type it beside the files: no folder of this machine goes out."""
    words = ["seston train"]
    for parameter in context.command.params:
        value: Any = context.params.get(parameter.name or "")
        if (
            value is None
            or value is False
            or context.get_parameter_source(parameter.name or "") is (click.core.ParameterSource.DEFAULT)
        ):
            continue
        text = value.name if isinstance(value, Path) else str(value)
        text = f"'{text}'" if " " in text else text
        if isinstance(parameter, click.Argument):
            words.append(text)
        elif value is True:
            words.append(parameter.opts[0])
        else:
            words += [parameter.opts[0], text]
    return " ".join(words)
