"""The optics file: read, changed by one calibration at a time, written whole. May be incomplete on the way.

What is written is what `edge.config` reads: as a configuration, or by `optics_file` in one.
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from edge.calibration import Calibration
from edge.durable import write_durably
from edge.errors import ConfigError
from edge.optics import Optics
from edge.structs import to_struct
from tools.calibrating.frames import sha256_of

NEEDED = {"threshold": "light", "pixel_um": "pixel", "image_volume_l": "volume"}
"""What optics cannot be without, and the command that finds it."""
_STAND_IN: dict[str, Any] = {"pixel_um": 73.0, "image_volume_l": 0.6, "threshold": 21}
_DEPENDS_ON = {
    "size": ("threshold", "polarity", "image_volume_l"),
    "volume": ("pixel_um",),
}
"""What a calibration holds for: when it changes, the calibration has to be made again."""


class _Tables(msgspec.Struct, forbid_unknown_fields=True):
    optics: dict[str, Any] = {}
    calibration: dict[str, Calibration] = {}


@dataclass(frozen=True, slots=True)
class Draft:
    """Optics that may not be complete.

    Attributes
    ----------
    file
        Where they stand, or will.
    optics
        What is known, by the names of `Optics`.
    calibration
        How each part was found.
    """

    file: Path
    optics: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Calibration] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        """Names without which there are no optics."""
        return [name for name in NEEDED if name not in self.optics]

    def complete(self, **instead: Any) -> Optics:
        """Optics, what is unknown and not needed by the caller filled up; `instead` wins."""
        known = {**_STAND_IN, **self.optics, **instead}
        return to_struct(known, Optics, file=self.file, error=ConfigError)

    def need(self, name: str, given: Any = None) -> Any:
        """A value that a command cannot do without; raises `ConfigError` when nobody gave it."""
        if given is not None:
            return given
        if name in self.optics:
            return self.optics[name]
        raise ConfigError(
            "is missing",
            file=self.file,
            field=f"optics.{name}",
            remedy=f"give --{name.replace('_', '-')}, or find it with seston calibrate {NEEDED[name]}",
        )

    def with_found(
        self,
        part: str,
        *,
        method: str,
        optics: Mapping[str, Any],
        found: Mapping[str, float],
        errors: Mapping[str, float],
        residuals: Sequence[Mapping[str, float | str]] = (),
        conditions: Mapping[str, float | str] | None = None,
        sources: Sequence[Path] = (),
        remarks: Sequence[str] = (),
        now: datetime.datetime | None = None,
    ) -> Draft:
        """The optics with one part found: `optics` are the keys that change."""
        record = Calibration(
            date=now or datetime.datetime.now(datetime.UTC).replace(microsecond=0),
            method=method,
            version=version("seston"),
            found={name: _short(value) for name, value in found.items()},
            standard_errors={name: _short(value) for name, value in errors.items()},
            residuals=tuple(
                {k: v if isinstance(v, str) else _short(v) for k, v in row.items()} for row in residuals
            ),
            conditions=dict(conditions or {}),
            sources={str(path): sha256_of(path) for path in sources},
            previous={name: float(self.optics[name]) for name in found if name in self.optics},
            remarks=tuple(remarks),
        )
        changed = {**self.optics, **optics}
        made = Draft(self.file, changed, {**self.calibration, part: record})
        made.complete()
        return made

    def stale(self) -> list[str]:
        """Calibrations that were made under other conditions than stand here now, in sentences."""
        return [
            f"{part} was calibrated with {name} {told[name]}, which is {self.optics[name]} now: "
            "calibrate it again"
            for part, names in _DEPENDS_ON.items()
            if part in self.calibration and (told := self.calibration[part].conditions)
            for name in names
            if name in told and name in self.optics and told[name] != self.optics[name]
        ]

    def write(self) -> None:
        """Write the file, whole or not at all."""
        import tomli_w

        data: dict[str, Any] = {"optics": self.optics}
        if self.calibration:
            data["calibration"] = {
                part: {k: v for k, v in msgspec.to_builtins(one).items() if v not in ({}, [], (), None)}
                for part, one in self.calibration.items()
            }
        head = "# Optics of one unit, by `seston calibrate`; usable with --config, or as optics_file.\n\n"
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_durably(self.file, (head + tomli_w.dumps(data)).encode())
        except OSError as cause:
            raise ConfigError(
                f"cannot be written ({cause.strerror})", file=self.file, remedy="choose another --file"
            ) from cause


def _short(value: float) -> float:
    """To eight digits: more is noise, and reads badly."""
    return float(f"{value:.8g}")


def read_draft(file: Path) -> Draft:
    """An optics file, or an empty draft where there is none yet.

    Raises
    ------
    ConfigError
        Not TOML, other tables than [optics] and [calibration], or values out of range.
    """
    if not file.exists():
        return Draft(file)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as cause:
        raise ConfigError(f"cannot be read ({cause})", file=file, remedy="correct or remove it") from cause
    other = sorted(set(data) - {"optics", "calibration"})
    if other:
        raise ConfigError(
            f"holds {other[0]}, so it is a whole configuration",
            file=file,
            field="--file",
            remedy='name a file for the optics alone, and put optics_file = "..." in the configuration',
        )
    tables = to_struct(data, _Tables, file=file, error=ConfigError)
    draft = Draft(file, dict(tables.optics), dict(tables.calibration))
    draft.complete()
    return draft
