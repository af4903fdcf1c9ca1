"""A line of a GPIO chip (`gpiod`, version 2): asked for in one place, and one sentence for what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge.errors import InputError

CHIP = "gpiochip0"


def request_line(
    place: str,
    consumer: str,
    settings: Callable[[Any], dict[str, Any]],
    *,
    field: str,
    error: type[InputError],
) -> tuple[Any, int, Any]:
    """Ask for a line.

    Parameters
    ----------
    place
        `17`, or `gpiochip4:17`.
    consumer
        Who the kernel is told has it.
    settings
        Gives the line's settings from the module `gpiod.line`.
    field, error
        Of the configuration, and what is raised when the line cannot be had.

    Returns
    -------
    The request, the line's number, and the class of its values.
    """
    chip, _, number = place.rpartition(":")
    chip, line = chip or CHIP, int(number)
    where = f"gpio:{chip}:{line}"
    try:
        import gpiod
        import gpiod.line
    except ImportError:
        raise error(
            f"is {where}, and this machine has no gpiod", field=field,
            remedy="install the Python package gpiod, version 2",
        ) from None  # fmt: skip
    try:
        request = gpiod.request_lines(
            f"/dev/{chip}",
            consumer=consumer,
            config={line: gpiod.LineSettings(**settings(gpiod.line))},
        )
    except (OSError, ValueError) as cause:
        raise error(
            f"is {where}, which cannot be had ({cause})", field=field,
            remedy="check chip, line and your rights to it",
        ) from None  # fmt: skip
    return request, line, gpiod.line.Value
