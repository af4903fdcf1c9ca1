"""The one exception tree. Every message is a sentence a tired person can act on.

A `SestonError` that reaches a command line ends the command with exit code 2 and its sentence; in a
dive it becomes an outcome in the log and the dive goes on. It never carries a traceback to a person.
"""

from __future__ import annotations

from os import PathLike


class SestonError(Exception):
    """Base of every error that is somebody's input, not our fault."""


class InputError(SestonError):
    """Something given to us cannot be used: which file, which field, what to do.

    Parameters
    ----------
    problem
        What is wrong, in words, without a full stop ("is 12 rows long, 13 were expected").
    file, field
        Where; either may be None when there is none.
    remedy
        What the reader should do ("run `seston compose` again").
    """

    def __init__(
        self,
        problem: str,
        *,
        remedy: str,
        file: str | PathLike[str] | None = None,
        field: str | None = None,
    ) -> None:
        self.problem = problem
        self.file = None if file is None else str(file)
        self.field = field
        self.remedy = remedy
        where = "".join(f"{part}: " for part in (self.file, field) if part)
        super().__init__(f"{where}{problem}; {remedy}.")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.problem, self.remedy, self.file, self.field)


def _rebuild(
    kind: type[InputError], problem: str, remedy: str, file: str | None, field: str | None
) -> InputError:
    return kind(problem, remedy=remedy, file=file, field=field)


class ConfigError(InputError):
    """A configuration has an unknown key, a wrong unit or a value out of range."""


class ImageError(InputError):
    """An image file is missing, truncated, of a wrong type or of a wrong size."""


class RecordingError(InputError):
    """A recording cannot be replayed as it is."""


class BundleError(InputError):
    """A model bundle is damaged, foreign, or does not reproduce its golden outputs."""


class MessageError(InputError):
    """Bytes that are not a message, or a message that cannot be decoded with what is at hand."""


class DiveLogError(InputError):
    """A dive log is damaged, of another schema, or the disk under it is full."""
