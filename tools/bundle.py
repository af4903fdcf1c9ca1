"""`seston bundle`: what is in a bundle, whether it runs here as it should, and where its model would run."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from training.edgetpu import Verdict

COMPILER = "edgetpu_compiler"
TIMEOUT_S = 300.0


@click.group()
def bundle() -> None:
    """Show, verify or check a model bundle (a file, or the name of a shipped one)."""


@bundle.command()
@click.argument("path_or_name", metavar="BUNDLE")
@click.option("--json", "as_json", is_flag=True, help="The manifest as JSON.")
@click.option("--card", is_flag=True, help="The model card, Markdown.")
@click.option(
    "--html",
    "html_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the model card as one HTML page, with the confusion matrix, here.",
)
def show(path_or_name: str, as_json: bool, card: bool, html_file: Path | None) -> None:
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
    if html_file is not None:
        from training.card import write_card_html

        html_file.write_text(write_card_html(found.manifest), encoding="utf-8")
        click.echo(html_file)
        return
    manifest, provenance = found.manifest, found.manifest.provenance
    click.echo(f"{found.name}  {found.path}\nsha256 {found.sha256}")
    click.echo(
        f"{len(found.classes)} classes, {len(found.counted_taxa)} counted taxa, "
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
    from rich.table import Column, Table

    from training.card_facts import taxon_rows

    label, parent = (Column(name, overflow="fold") for name in ("taxon", "parent"))
    table = Table(label, "living", parent, "threshold", "held back", "named", "as a parent")
    words = {True: "yes", False: "no", None: ""}
    rows = taxon_rows(manifest)
    for i, taxon in enumerate(found.counted_taxa[:-1]):
        row = rows[i] if i < len(rows) else None  # a parent alone has no images
        table.add_row(
            escape(taxon.label),
            words[taxon.living],
            escape(taxon.parent or ""),
            f"{manifest.thresholds[i]:.3f}",
            str(row.held_back) if row else "",
            f"{row.right / row.held_back:.2f}" if row and row.held_back else "",
            f"{row.parents / row.held_back:.2f}" if row and row.parents else "",
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


@bundle.command()
@click.argument("path_or_name", metavar="BUNDLE")
@click.argument("dataset", metavar="DATASET", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The new bundle.")
@click.option("--bright-field", is_flag=True, help="The images are dark on white.")
def reference(path_or_name: str, dataset: Path, out: Path, bright_field: bool) -> None:
    """Add to BUNDLE what its images look like, so that a dive can tell how far its own are from them.

    DATASET is as for `seston evaluate`; images that the bundle was trained on are left out. Bundles that
    `seston retrain` makes have it.
    """
    from rich.progress import Progress

    from edge.inference.bundle import load_bundle
    from training.bundle_export import publish_bundle
    from training.datasets import read_dataset
    from training.reference import with_reference

    found = load_bundle(path_or_name)
    data = read_dataset(dataset, found.preprocessing, invert=bright_field)
    with Progress(transient=True) as progress:
        task = progress.add_task("classifying", total=len(data.files))
        packed = with_reference(found, data, step=lambda n, of: progress.update(task, completed=n, total=of))
    made = publish_bundle(packed, out)
    click.echo(f"{out}  sha256 {made.sha256}")


@bundle.command("edgetpu-check")
@click.argument("path_or_name", metavar="BUNDLE|MODEL.tflite")
@click.option("--json", "as_json", is_flag=True, help="Every operation as JSON.")
def edgetpu_check(path_or_name: str, as_json: bool) -> None:
    """Name every operation of the model that would not run on the Edge TPU; exit code 2 when there is one.

    Needs neither an Edge TPU nor its compiler. Where edgetpu_compiler is installed, its verdict stands beside
    ours, and its word counts.
    """
    from edge.errors import BundleError
    from training.edgetpu import check_edgetpu

    model = _read_model(path_or_name)
    verdict = check_edgetpu(model, path_or_name)
    compiled = _compile(model)
    if as_json:
        import msgspec

        plain = {
            "model": path_or_name,
            "maps": not verdict.on_cpu,
            "operations": [asdict(operation) for operation in verdict.operations],
            "warnings": verdict.warnings,
            "compiler": None if compiled is None else asdict(compiled),
        }
        click.echo(msgspec.json.format(msgspec.json.encode(plain)).decode())
    else:
        _tell(verdict, compiled)
    if verdict.on_cpu:
        first = verdict.on_cpu[0]
        raise BundleError(
            f"{len(verdict.on_cpu)} of {len(verdict.operations)} operations would stay on the CPU, "
            f"the first is operation {first.index}, {first.op} ({first.reasons[0]})",
            file=path_or_name,
            remedy="change them and convert the model again, or run it on the CPU",
        )
    if compiled is not None and (compiled.refused or compiled.on_cpu):
        does = "refuses the model" if compiled.refused else f"leaves {compiled.on_cpu} on the CPU"
        raise BundleError(
            f"all operations were expected to map, but {COMPILER} {does}",
            file=path_or_name,
            remedy=f"believe {COMPILER}, and report the model",
        )


@bundle.command("edgetpu-add")
@click.argument("path_or_name", metavar="BUNDLE")
@click.argument("compiled", metavar="COMPILED.tflite")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The new bundle.")
def edgetpu_add(path_or_name: str, compiled: str, out: Path) -> None:
    """Put what edgetpu_compiler made of the model of BUNDLE beside that model, for boards with an Edge TPU.

    The model for the processor stays: it takes over when the Edge TPU fails.
    """
    from edge.inference.bundle import load_bundle
    from training.bundle_export import publish_bundle
    from training.edgetpu import with_compiled

    packed = with_compiled(load_bundle(path_or_name), _read_model(compiled), compiled)
    click.echo(f"{out}  sha256 {publish_bundle(packed, out).sha256}")


@dataclass(frozen=True, slots=True)
class _Compiled:
    """What the compiler said: its version, its lines, how many operations it mapped and how many not."""

    version: str
    lines: tuple[str, ...]
    mapped: int = 0
    on_cpu: int = 0
    refused: bool = False


def _read_model(path_or_name: str) -> bytes:
    """The flatbuffer of a .tflite file, of a bundle, or of a shipped bundle by its name."""
    from edge.errors import BundleError
    from edge.inference.bundle import MAX_BYTES, load_bundle

    path = Path(path_or_name)
    if path.suffix != ".tflite":
        return load_bundle(path_or_name).model
    try:
        if path.stat().st_size <= MAX_BYTES:
            return path.read_bytes()
    except FileNotFoundError:
        raise BundleError("is not there", file=path, remedy="give a .tflite file or a bundle") from None
    except OSError as cause:
        raise BundleError(f"cannot be read ({cause})", file=path, remedy="check the file") from cause
    raise BundleError(f"is larger than {MAX_BYTES >> 20} MiB", file=path, remedy="give a smaller model")


def _compile(model: bytes) -> _Compiled | None:
    """Run the Edge TPU compiler on the model in a folder of its own; None where it is not installed."""
    import shutil
    import subprocess
    import tempfile

    program = shutil.which(COMPILER)
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.tflite"
        file.write_bytes(model)
        command = [program, "-s", "-o", folder, str(file)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as cause:
            return _Compiled("", (f"gave no answer: {cause}",))
    text = done.stdout + done.stderr
    found = re.search(r"Compiler version (\S+)", text)
    version = found[1] if found else ""
    rows = re.findall(r"^([A-Z][A-Z0-9_]*)[ \t]+(\d+)[ \t]+(\S.*?)[ \t]*$", text, re.MULTILINE)
    if done.returncode or not rows:
        return _Compiled(version, tuple(text.strip().splitlines()[-3:]), refused=True)
    mapped = sum(int(count) for _, count, status in rows if status == "Mapped to Edge TPU")
    lines = tuple(f"{op}, {count}: {status}" for op, count, status in rows)
    return _Compiled(version, lines, mapped, sum(int(count) for _, count, _ in rows) - mapped)


def _tell(verdict: Verdict, compiled: _Compiled | None) -> None:
    """Print a table of the kinds of operation, and a line for every one that stays on the CPU."""
    from collections import Counter

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    every = Counter(operation.op for operation in verdict.operations)
    left = Counter(operation.op for operation in verdict.on_cpu)
    table = Table("operation", "Edge TPU", "CPU")
    for op in sorted(every):
        table.add_row(escape(op), str(every[op] - left[op]), str(left[op]))
    mapped = every.total() - left.total()
    table.add_section()
    table.add_row("all", str(mapped), str(left.total()))
    Console().print(table)
    for operation in verdict.on_cpu:
        place = f"{operation.index}" if not operation.graph else f"{operation.graph}/{operation.index}"
        reasons = "; ".join(operation.reasons)
        click.echo(f"operation {place}, {operation.op}, output {operation.output!r}: {reasons}")
    for warning in verdict.warnings:
        click.echo(f"mind: {warning}")
    if compiled is None:
        click.echo(f"{COMPILER} is not installed: this is our reading of the file alone")
        return
    said = f"{compiled.mapped} on the Edge TPU, {compiled.on_cpu} on the CPU"
    if not compiled.mapped + compiled.on_cpu:
        said = "refuses the model" if compiled.refused else "has no verdict"
    click.echo(
        f"{' '.join([COMPILER, *compiled.version.split()])}: {said}; here: {mapped} and {left.total()}"
    )
    for line in compiled.lines:
        click.echo(f"  {line}")
