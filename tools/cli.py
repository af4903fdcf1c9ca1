"""The `seston` command. Subcommands are imported only when they are called.

Each subcommand is a module that has a click command of the name given here; `seston --help` imports none.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from edge.errors import SestonError
from firmware_bridge.errors import BridgeError

COMMANDS: dict[str, tuple[str, str]] = {
    "compose": ("tools.compose:compose", "Make a recording with its truth."),
    "simulate": ("tools.simulate:simulate", "Replay a recording as a dive: frames in, messages out."),
    "run": ("tools.run:run", "Run the instrument: camera, pressure, messages."),
    "unit": ("tools.unit:unit", "Print the service of systemd that runs the instrument."),
    "flash": ("tools.flash:flash", "Make what goes onto a board: an installer without a network."),
    "monitor": ("tools.monitor:monitor", "Show the instrument at work, as a page for the bench."),
    "calibrate": ("tools.calibrate:calibrate", "Find the optics of a unit: pixel, volume, light, sizes."),
    "selftest": ("tools.selftest:selftest", "On deck: try everything that a dive needs."),
    "health": ("tools.selftest:health", "Show how the board fares."),
    "fetch": ("tools.fetch:fetch", "Fetch dives, vignettes and logs from an instrument on deck."),
    "replay": ("tools.replay:replay", "Rebuild profile and messages from a dive log."),
    "plan": ("tools.plan:plan_dive", "Show what a budget would send of a dive, and what more would buy."),
    "climatology": ("tools.climatology:climatology", "Learn from dives what the next ones may expect."),
    "decode": ("tools.shore.decode:decode", "Turn messages into CSV and netCDF."),
    "fleet": ("tools.fleet:fleet", "Keep what messages of any year are read with."),
    "receive": (
        "tools.shore.receive:receive",
        "Take messages from the gateway, and decode dives as they come.",
    ),
    "science": (
        "tools.shore.science.command:science",
        "Spectra, biomass, flux, shapes of a dive, with intervals.",
    ),
    "report": ("tools.shore.report:report", "Make one self-contained HTML page of a dive, or of a fleet."),
    "export": ("tools.export:export", "Write dives for EcoTaxa, EcoPart, netCDF, ODV, OBIS; check archives."),
    "import": ("tools.import_:import_", "Take back what a person sorted: a training set, and a score."),
    "reprocess": ("tools.reprocess:reprocess", "Run archives through another model, on many cores."),
    "sort": ("tools.sort:sort", "Sort images by clusters that grow; list what a dive has that is new."),
    "segment": ("tools.segment:segment_image", "Segment one image into a CSV of particles."),
    "classify": ("tools.classify:classify", "Classify vignettes of a folder or zip into a CSV."),
    "bundle": ("tools.bundle:bundle", "Show, verify or check a model bundle."),
    "retrain": ("tools.train:retrain", "From sorted images to a bundle: train, quantize, score."),
    "train": ("tools.train:train", "Train a network on sorted images, or report what they hold."),
    "quantize": ("tools.train:quantize", "Turn a trained network into an int8 bundle."),
    "evaluate": ("tools.evaluate:evaluate", "Score a bundle on sorted images."),
    "compare": ("tools.compare:compare", "Score bundles and baselines side by side."),
    "keys": ("tools.keys:keys", "Make, install, replace and list the keys that sign commands."),
    "command": ("tools.command:command", "Make signed commands to floats at sea."),
    "update": ("tools.update:update", "Give a unit another model or configuration, signed."),
    "modem": ("tools.modem:modem", "Emulate an Iridium modem, or send with one."),
    "uvp6": ("tools.uvp6:uvp6", "Host a UVP6, pass for one; check and convert UVP6 projects."),
    "slot": ("tools.slot:slot", "On a board from a card: its two systems, a new one, and back."),
    "bench": ("tools.bench.command:bench", "Measure speed, memory and bytes, side by side."),
}


EXTRA_OF = {
    "brotli": "bench", "zstandard": "bench",
    "bokeh": "scale", "dask": "scale", "distributed": "scale", "pyarrow": "scale",
    "scipy": "calibrate", "tomli_w": "calibrate",
    "packaging": "flash",
    "gsw": "shore", "h5netcdf": "shore", "jinja2": "shore", "matplotlib": "shore", "plotly": "shore",
    "xarray": "shore",
    "keras": "train", "sklearn": "train", "tensorflow": "train", "tensorboardX": "train",
    "xgboost": "train",
}  # fmt: skip
"""Which extra of the distribution brings a package that a command of the shore or of training needs."""


class LazyGroup(click.Group):
    """A group that knows its subcommands' names and one-line helps without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the subcommand that was called."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="seston", prog_name="seston")  # looked up when it is asked for
def cli() -> None:
    """The eye and the mind of an autonomous ocean float."""


def main(args: list[str] | None = None) -> Any:
    """Entry point: bad input, a bad port or a full disk becomes one sentence on stderr and exit code 2."""
    try:
        return cli.main(args=args, prog_name="seston")
    except (SestonError, BridgeError) as error:
        click.echo(f"seston: {error}", err=True)
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in EXTRA_OF:
            raise
        extra = EXTRA_OF[package]
        click.echo(f"seston: {package} is not installed; pip install 'seston[{extra}]'.", err=True)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe has gone: nothing to say, and nobody to say it to
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        click.echo(f"seston: {place}{error.strerror or error}; check the disk and your rights.", err=True)
    sys.exit(2)
