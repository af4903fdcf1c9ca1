"""`seston export`: dives as others take them; what EcoTaxa would make of an archive. The commands alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tools.export_dives import dwca, netcdf, odv
from tools.uvp6_project import ecopart
from tools.uvp6_project import export as uvp6

if TYPE_CHECKING:
    from tools.shore.ecotaxa.export import Exported
    from tools.shore.ecotaxa.legend import Legend
    from tools.shore.ecotaxa.report import Report

SHOWN = 10
"""Findings of one rule that are printed."""


@click.group()
def export() -> None:
    """Write dives for EcoTaxa, EcoPart, netCDF, ODV and OBIS; check archives as EcoTaxa would."""


for _name, _command in (
    ("netcdf", netcdf), ("odv", odv), ("dwca", dwca), ("uvp6", uvp6), ("ecopart", ecopart),
):  # fmt: skip
    export.add_command(_command, _name)


@export.command()
@click.argument("dives", metavar="DIVE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("ecotaxa.zip"), show_default=True,
    help="Zip to write; FILE-1.zip, FILE-2.zip ... when it takes several.",
)  # fmt: skip
@click.option("--lat", type=click.FloatRange(-90, 90), help="Latitude of all dives, degrees north.")
@click.option("--lon", type=click.FloatRange(-180, 180), help="Longitude of all dives, degrees east.")
@click.option(
    "--positions", type=click.Path(dir_okay=False, path_type=Path),
    help="CSV with the columns sample, lat, lon: where each dive was.",
)  # fmt: skip
@click.option(
    "--taxa", type=click.Path(dir_okay=False, path_type=Path),
    help="CSV with the columns taxon, ecotaxa_id, ecotaxa_name: what EcoTaxa calls them.",
)  # fmt: skip
@click.option(
    "--only-known", is_flag=True, help="Give no category to what has no EcoTaxa id: nobody is asked."
)
@click.option(
    "--legend", "legend_file", type=click.Path(dir_okay=False, path_type=Path),
    help="compute_vignette.txt: how vignettes are shown. By default as a UVP6's, with a bar of 2 mm.",
)  # fmt: skip
@click.option(
    "--field", "fields", multiple=True, metavar="NAME=VALUE",
    help="A column for all rows, say sample_ship=Tara; may be given again.",
)  # fmt: skip
@click.option(
    "--max-mb", type=click.IntRange(1), default=500, show_default=True, help="Largest zip, MB (2**20)."
)
@click.option("--no-check", is_flag=True, help="Do not check what was written.")
def ecotaxa(
    dives: tuple[Path, ...],
    out: Path,
    lat: float | None,
    lon: float | None,
    positions: Path | None,
    taxa: Path | None,
    only_known: bool,
    legend_file: Path | None,
    fields: tuple[str, ...],
    max_mb: int,
    no_check: bool,
) -> None:
    """Write each DIVE, a folder with a dive.sqlite, as a sample into a zip that EcoTaxa imports."""
    from tools.shore.dives import Place
    from tools.shore.ecotaxa.check import check_archive
    from tools.shore.ecotaxa.export import Wishes, export_dives
    from tools.shore.ecotaxa.legend import Legend
    from tools.shore.ecotaxa.names import read_categories
    from tools.shore.ecotaxa.rules import Verdict
    from tools.shore.exports.positions import read_positions

    if (lat is None) != (lon is None):
        raise click.UsageError("--lat and --lon go together")
    places = {} if lat is None else {"": Place(lat, lon)}
    wishes = Wishes(
        legend=Legend() if legend_file is None else _legend(legend_file),
        categories={} if taxa is None else read_categories(taxa),
        only_known=only_known,
        places={**places, **({} if positions is None else read_positions(positions).places)},
        fields=_fields(fields),
        most_bytes=max_mb * 2**20,
    )
    target = out if out.suffix.lower() == ".zip" else out.with_name(f"{out.name}.zip")
    done = export_dives(dives, target, wishes, _show if sys.stderr.isatty() else None)
    _tell(done)
    if not no_check:
        for path in done.zips:
            report = check_archive(path)
            if report.of(Verdict.REFUSED) or report.of(Verdict.CHANGED):
                tell_report(report, every=False)
            else:
                click.echo(f"checked: {report.verdict()}")


@export.command()
@click.argument("archives", metavar="ARCHIVE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--all", "every", is_flag=True, help="Print every finding that was kept.")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write what was found here."
)
@click.option(
    "--keep", type=click.Path(dir_okay=False, path_type=Path),
    help="Write a zip with the rows, columns and images that EcoTaxa would take.",
)  # fmt: skip
def check(archives: tuple[Path, ...], every: bool, json_file: Path | None, keep: Path | None) -> None:
    """Judge each ARCHIVE (zip, folder or table) as EcoTaxa would; exit code 1 when it is refused."""
    from tools.shore.ecotaxa.check import check_archive
    from tools.shore.ecotaxa.keep import keep_good

    if keep is not None and len(archives) > 1:
        raise click.UsageError("--keep goes with one archive")
    reports = []
    for path in archives:
        report = check_archive(path)
        reports.append(report)
        tell_report(report, every=every)
        if keep is not None:
            click.echo(keep_good(path, report, keep))
    if json_file is not None:
        json_file.write_text(
            json.dumps([one.as_dict() for one in reports], indent=1) + "\n", encoding="utf-8"
        )
    if any(report.is_refused for report in reports):
        raise click.exceptions.Exit(1)


def tell_report(report: Report, *, every: bool) -> None:
    """Print what was found: the verdict, then rule by rule the places, then what nobody can know here."""
    from tools.shore.ecotaxa.rules import RULES, Verdict

    click.echo(f"{report.name}: {report.verdict()}")
    click.echo(f"  {report.holds()}")
    for verdict in Verdict:
        for name, n in report.counts.items():
            rule = RULES[name]
            if rule.verdict is not verdict:
                continue
            click.echo(f"  {verdict.value}: {rule.says} [{name}: {n:,}]")
            found = [one for one in report.findings if one.rule is rule]
            for one in found if every else found[:SHOWN]:
                click.echo(f"    {one}")
            left = n - (len(found) if every else min(SHOWN, len(found)))
            if left:
                click.echo(f"    ... and {left:,} more")


def _show(name: str, objects: int) -> None:
    """Say on the terminal how far it is."""
    click.echo(f"\r{name}: {objects:,} objects ", nl=False, err=True)


def _tell(done: Exported) -> None:
    """Print what was written and what was not."""
    for path in done.zips:
        click.echo(f"{path}  {path.stat().st_size / 2**20:,.1f} MB")
    samples = f"{len(done.samples)} sample{'s' if len(done.samples) > 1 else ''}"
    click.echo(f"{done.objects:,} objects of {samples}: {', '.join(done.samples)}")
    if done.without_vignette:
        click.echo(f"{done.without_vignette:,} particles are left out: their vignettes were not kept.")
    if done.remeasured < done.objects:
        click.echo(
            f"{done.objects - done.remeasured:,} objects are without measures: their vignettes do not show"
            " what was logged."
        )
    for name in done.unplaced:
        click.echo(
            f"{name}: its place is not known: no latitude and longitude, depth as at 45 degrees; give --lat"
            " and --lon, or --positions."
        )
    if done.without_id:
        names = ", ".join(f"{name} ({n:,})" for name, n in done.without_id.most_common())
        click.echo(
            f"Without an EcoTaxa id: {names}. EcoTaxa asks for those it does not know by name, once; give"
            " --taxa, or --only-known to leave them without a category."
        )
    for fault in done.faults:
        click.echo(f"left out: {fault}", err=True)


def _legend(path: Path) -> Legend:
    from edge.errors import InputError
    from tools.shore.ecotaxa.legend import read_settings

    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as cause:
        raise InputError(f"cannot be read ({cause.strerror})", file=path, remedy="check the path") from cause
    return read_settings(text, str(path))[0]


def _fields(given: tuple[str, ...]) -> dict[str, str]:
    from tools.shore.ecotaxa import rules

    found = {}
    for one in given:
        name, is_set, value = one.partition("=")
        name = name.strip().lower()
        prefix, _, rest = name.partition("_")
        if not is_set or prefix not in ("sample", "acq", "process") or not rest or name in rules.IDS:
            raise click.UsageError(f"--field {one}: give sample_, acq_ or process_NAME=VALUE, and no id")
        if len(value) > rules.MOST_TEXT or any(letter in value for letter in '\t\n\r"'):
            raise click.UsageError(
                f"--field {name}: at most {rules.MOST_TEXT} characters, no tabs, lines or quotes"
            )
        if name == "sample_sampletype" and value not in rules.SAMPLE_TYPES:
            raise click.UsageError(f"--field {name}: is {value!r}; P is a depth profile, T a time series")
        found[name] = value.strip()
    return found
