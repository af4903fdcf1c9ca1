"""`seston train`, `quantize` and `retrain`: from sorted images to a bundle, as the shipped ones were made."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.errors import ConfigError, InputError
from edge.optics import Polarity

if TYPE_CHECKING:
    from training.recipe import Recipe
    from training.run import Watcher

OUT = click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the run."
)
DATASET_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.argument("dataset", required=False, type=click.Path(path_type=Path)),
    click.option(
        "--config", type=click.Path(path_type=Path), help="TOML of a run: all that is not said here."
    ),
    click.option("--name", help="Name of the bundle; by default the data set's."),
    click.option("--drawn", type=click.IntRange(min=5), help="Instead of DATASET, draw this many a kind."),
    click.option(
        "--polarity",
        type=click.Choice([item.value for item in Polarity]),
        help="How particles look in DATASET.",
    ),
    click.option("--taxonomy", type=click.Path(path_type=Path), help="TOML with merges, taxa and parents."),
    click.option("--licence", help="Licence and source of DATASET, for the card."),
    click.option("--from", "bundle", help="Go on from this bundle: a file, or a shipped one's name."),
    click.option("--weights", type=click.Path(path_type=Path), help="Begin with these (.npz)."),
    click.option("--weights-source", help="What they are; a former run's say so themselves."),
    click.option(
        "--teacher",
        type=click.Path(path_type=Path),
        help="Folder of a run whose network teaches; how much, schedule.distil says.",
    ),
    click.option(
        "--pretrain",
        "unsorted",
        type=click.Path(path_type=Path),
        help="Learn from these images first, sorted or not: a folder, zip or dive.",
    ),
    click.option("--epochs", type=click.IntRange(0), help="Passes over the images."),
    click.option("--seed", type=click.IntRange(0), help="Of all chance."),
    click.option("--all-images", is_flag=True, help="Hold nothing back: only weights, no bundle."),
    click.option(
        "--all-statuses", is_flag=True, help="Take rows of an EcoTaxa export nobody validated, too."
    ),
    click.option("--leave-out", multiple=True, metavar="CLASS", help="Do not learn this class."),
    click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any key, e.g. schedule.decay=0.05."
    ),
)


def with_dataset(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say what is learnt from, and how."""
    for option in reversed(DATASET_OPTIONS):
        command = option(command)
    return command


@click.command()
@with_dataset
@OUT
@click.option("--dry-run", is_flag=True, help="Report what DATASET holds, and train nothing.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="With --dry-run: the report as JSON."
)
@click.option("--cross-validate", is_flag=True, help="Train and quantize once a fold; no bundle.")
def train(out: Path, dry_run: bool, json_file: Path | None, cross_validate: bool, **given: Any) -> None:
    """Train a network on DATASET: class folders, a zip of them, or an EcoTaxa export.

    Stopped, the same command goes on. `seston quantize RUN` makes the bundle.
    """
    quieten()
    recipe = recipe_of(given)
    if dry_run:
        _survey(recipe, json_file)
        return
    from training.crossval import cross_validate as over_folds
    from training.run import train as run_training

    with _watcher() as watcher:
        if cross_validate:
            told = over_folds(recipe, out, watcher)
        else:
            prepared = run_training(recipe, out, watcher)
            told = None
    if told is not None:
        for model, values in told.items():
            click.echo(f"{model}: " + ", ".join(f"{key} {value:.3f}" for key, value in values.items()))
        return
    _say_left_out(prepared.data.faults, prepared.split.left_out)
    click.echo(f"trained: {out}. Next: seston quantize {out}")


@click.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
def quantize(run: Path) -> None:
    """Turn the trained network in the folder RUN into an int8 bundle; refuses one that lost too much."""
    quieten()
    _quantize(run)


@click.command()
@with_dataset
@OUT
def retrain(out: Path, **given: Any) -> None:
    """Train, quantize and score in one command; with --from, the new model is compared with the old one."""
    quieten()
    from training.run import train as run_training

    recipe = recipe_of(given)
    with _watcher() as watcher:
        prepared = run_training(recipe, out, watcher)
    _say_left_out(prepared.data.faults, prepared.split.left_out)
    path = _quantize(out, prepared)
    if recipe.begin.bundle and recipe.data.dataset:
        compare_with_former(path, recipe)


def compare_with_former(path: Path, recipe: Recipe) -> None:
    """Compare a new bundle with the one it went on from, on the images that its training held back.

    Where the two have no class in common there is nothing to compare; the new bundle stands nevertheless.
    """
    from tools.compare import compare

    data = recipe.data
    arguments = [str(path), recipe.begin.bundle, data.dataset, "--polarity", data.polarity.value]
    if data.taxonomy:
        arguments += ["--taxonomy", data.taxonomy]
    if data.all_statuses:
        arguments.append("--all-statuses")
    for number in data.held_back:
        arguments += ["--fold", str(number)]
    try:
        compare.main(arguments, standalone_mode=False)
    except InputError as error:
        click.echo(f"not compared: {error}", err=True)


def quieten() -> None:
    """TensorFlow tells much that is no taxonomist's business."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _quantize(run: Path, prepared: Any = None) -> Path:
    from training.run import quantize as run_quantization

    with _watcher() as watcher:
        bundle = run_quantization(run, command_line(), watcher, prepared)
    for model, values in bundle.manifest.scores.items():
        click.echo(f"{model}: " + ", ".join(f"{key} {value:.3f}" for key, value in values.items()))
    click.echo(f"{bundle.path}  sha256 {bundle.sha256}")
    return bundle.path


def recipe_of(given: dict[str, Any]) -> Recipe:
    """Recipe from the TOML, the bundle it goes on from, and the options; options win."""
    from edge.inference.bundle import load_bundle
    from edge.structs import to_struct
    from training.recipe import Recipe

    plain: dict[str, Any] = {}
    if given["config"] is not None:
        plain = _read(given["config"])
    if given["bundle"]:
        from training.from_bundle import read_recipe_of

        former = tomllib.loads(load_bundle(given["bundle"]).run)
        read_recipe_of(load_bundle(given["bundle"]))
        for section in ("preprocessing", "architecture"):
            plain[section] = former[section]
    dataset: Path | None = given["dataset"]
    for path, value in (
        ("name", given["name"]),
        ("seed", given["seed"]),
        ("data.dataset", None if dataset is None else str(dataset)),
        ("data.drawn_per_kind", given["drawn"]),
        ("data.polarity", given["polarity"]),
        ("data.taxonomy", None if given["taxonomy"] is None else str(given["taxonomy"])),
        ("data.licence", given["licence"]),
        ("data.all_statuses", given["all_statuses"] or None),
        ("data.held_back", [] if given["all_images"] else None),
        ("data.leave_out", list(given["leave_out"]) or None),
        ("begin.bundle", given["bundle"]),
        ("begin.weights", None if given["weights"] is None else str(given["weights"])),
        ("begin.weights_source", given["weights_source"]),
        ("begin.teacher", None if given["teacher"] is None else str(given["teacher"])),
        ("pretraining.images", None if given["unsorted"] is None else str(given["unsorted"])),
        ("schedule.epochs", given["epochs"]),
        *(_setting(text) for text in given["settings"]),
    ):
        if value is not None:
            _put(plain, path, value)
    named = plain.get("data", {})
    if dataset is not None and given["drawn"]:
        raise click.UsageError("give either DATASET or --drawn N")
    if not named.get("dataset") and "drawn_per_kind" not in named:
        raise click.UsageError("give either DATASET or --drawn N, or a --config that names one")
    plain.setdefault("name", dataset.stem if dataset else "drawn")
    return to_struct(plain, Recipe, file=given["config"], error=ConfigError)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as cause:
        raise ConfigError(f"cannot be read ({cause})", file=path, remedy="check the file") from cause


def _setting(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    try:
        if not separator:
            raise ValueError("no =")
        return key.strip(), tomllib.loads(f"x = {value}")["x"]
    except (ValueError, tomllib.TOMLDecodeError):
        raise click.BadParameter(f"{text!r} is not KEY=VALUE with a TOML value", param_hint="--set") from None


def _put(plain: dict[str, Any], path: str, value: Any) -> None:
    *sections, key = path.split(".")
    for section in sections:
        plain = plain.setdefault(section, {})
        if not isinstance(plain, dict):
            raise ConfigError("is not a section", field=section, remedy="correct the key of --set")
    plain[key] = value


def _survey(recipe: Recipe, json_file: Path | None) -> None:
    import msgspec
    from rich.console import Console

    from training.run import prepare_data
    from training.survey import survey

    prepared = prepare_data(recipe)
    found = survey(prepared.data, prepared.split)
    Console().print(found.table())
    _say_left_out(prepared.data.faults, prepared.split.left_out)
    if json_file is not None:
        try:
            json_file.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
        except OSError as cause:
            raise InputError(
                f"cannot be written ({cause})", file=json_file, remedy="check folder and disk"
            ) from cause


def _say_left_out(*lists: tuple[str, ...]) -> None:
    """Name what was left out: the first twenty of each kind, and how many more."""
    for sentences in lists:
        for sentence in sentences[:20]:
            click.echo(f"left out: {sentence}", err=True)
        if len(sentences) > 20:
            click.echo(f"left out: {len(sentences) - 20} more.", err=True)


@contextmanager
def _watcher() -> Iterator[Watcher]:
    """A progress bar with loss, balanced accuracy and the time left; Ctrl-C says how to go on."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from training.fit import EpochEnd
    from training.fit import Progress as Step
    from training.run import Watcher

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    seen = {"stage": "", "balanced": ""}
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=None)

        def stage(name: str) -> None:
            seen.update(stage=name, balanced="")
            progress.reset(task, total=None, description=name)

        def step(told: Step) -> None:
            progress.update(
                task,
                total=told.n_steps,
                completed=told.step,
                description=f"{seen['stage']}: epoch {told.epoch + 1}, loss {told.loss:.3f}, "
                f"accuracy {told.accuracy:.3f}{seen['balanced']}",
            )

        def epoch(name: str, told: EpochEnd) -> None:
            seen["balanced"] = f", held back balanced {told.balanced_accuracy:.3f}"
            console.print(
                f"{name}, epoch {told.epoch + 1}: loss {told.loss:.3f}, accuracy {told.accuracy:.3f}, "
                f"balanced accuracy of the held-back images {told.balanced_accuracy:.3f}"
            )

        try:
            yield Watcher(stage, step, epoch)
        except KeyboardInterrupt:
            console.print("stopped; the same command goes on after the last finished epoch")
            raise SystemExit(130) from None


def _without_folders(text: str) -> str:
    """A value as typed, such as one of --set, with every path in it cut to its name."""
    return re.sub(r"[^\s'\"=,\[]*/(?=[^/\s'\"\],]+)", "", text)


def command_line() -> str:
    """The command as one would type it beside the files: no folder of this machine goes out."""
    context = click.get_current_context()
    words = [f"seston {context.info_name}"]
    for parameter in context.command.params:
        value: Any = context.params.get(parameter.name or "")
        if context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.DEFAULT:
            continue
        for one in value if isinstance(value, tuple) else (value,):
            text = one.name if isinstance(one, Path) else str(one)
            if parameter.name in ("bundle", "settings"):  # texts that may hold a path
                text = _without_folders(text)
            text = f"'{text}'" if " " in text else text
            if isinstance(parameter, click.Argument):
                words.append(text)
            elif one is True:
                words.append(parameter.opts[0])
            elif one is not None and one is not False:
                words += [parameter.opts[0], text]
    return " ".join(words)
