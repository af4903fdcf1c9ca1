"""`seston replay`: profile and messages made anew from a dive log alone; they must be the float's bytes."""

from __future__ import annotations

from pathlib import Path

import click

from edge.divelog import DiveLog
from edge.errors import DiveLogError
from edge.logged import plan_messages

WITHOUT = {
    "vignettes_not_fetched": "were not fetched",
    "vignettes_deleted": "were deleted for room",
}
"""Facts of a log that has lost its vignettes: the bytes of a replay are then not those of the float."""


@click.command()
@click.argument("dive", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write the messages here too.")
def replay(dive: Path, out: Path | None) -> None:
    """Rebuild profile and messages of DIVE (its folder or log) and compare them with what was sent."""
    with DiveLog.open(dive) as log:
        sent = log.messages()
        again = plan_messages(log).messages
        number = log.meta("dive_number")
        gone = {name: log.meta(name) for name in WITHOUT if log.has_meta(name)}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for part, message in enumerate(again):
            (out / f"{number:05d}-{part:03d}.msg").write_bytes(message)
    if not sent:
        click.echo(f"The dive had not sent anything; its log makes {_size(again)}.")
    elif list(again) == sent:
        click.echo(f"Identical: {_size(again)}.")
    elif gone:
        (name, n), *_ = gone.items()
        raise DiveLogError(
            f"lacks {n} vignettes that {WITHOUT[name]}: pictures that were sent cannot be made again, and "
            f"messages without them differ ({_size(again)}, {_size(sent)} were sent)",
            file=dive,
            remedy="replay the log with its vignettes, if there is one",
        )
    else:
        raise DiveLogError(
            f"gives {_size(again)} where {_size(sent)} were sent, and they differ",
            file=dive,
            remedy="replay it with the version of seston that flew",
        )


def _size(messages: tuple[bytes, ...] | list[bytes]) -> str:
    return f"{sum(map(len, messages))} bytes in {len(messages)} messages"
