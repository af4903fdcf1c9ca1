"""A project in the words of another firmware generation, and back again, without loss.

Configurations change from one generation to the next: fields come and go (`firmware_bridge.uvp6.lines`). What
the new generation has no place for is kept beside, and put back when the project is converted again; what it
has and the old one had not is filled with the vendor's usual value, and taken away again. Images, and all
other files, are the same in all generations.

What is kept stands in the configuration files themselves as a comment, and for lines HW_CONF and ACQ_CONF,
which have no comments, in `KEPT_FILE`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import PurePosixPath

import msgspec

from edge.errors import RecordingError
from edge.structs import Section, to_struct
from firmware_bridge.uvp6.lines import ACQ_FIELDS, HW_FIELDS, Generation
from tools.shore.uvp6_project.model import Particles, Project
from tools.shore.uvp6_project.rows import DataFile
from tools.shore.uvp6_project.texts import decode, encode

KEPT_FILE = "doc/seston_generations.json"
NO_TAXO = "NO_RE"
FIELDS = {"HW_CONF": HW_FIELDS, "ACQ_CONF": ACQ_FIELDS}
USUAL = {
    "Time_between_lighting_power_up_and_trigger": "0", "IP_adress": "192.168.0.128", "Version": "ver2022.02",
    "Blocs_per_PT": "1", "Limit_lpm_detection_size": "10", "Minimum_object_number": "0", "Aux_mode": "0",
    "Aux_param_1": "0", "Aux_param_2": "0",
}  # fmt: skip
"""Values of fields that a generation alone has, as real configurations hold them."""
_BLANKS = {
    Generation.V2021: frozenset({"HW_CONF", "ACQ_CONF"}), Generation.V2022_01: frozenset[str](),
    Generation.V2022_02: frozenset[str](),
}  # fmt: skip
"""Blank lines: firmware of 2021 and before writes them, and readers made for it count on them."""
_KEPT, _ADDED = "seston keeps:", "seston added:"


class Kept(Section, frozen=True):
    """What a file had before, that its generation has no place for.

    Attributes
    ----------
    kept
        Values by field by configuration.
    added
        Fields that were filled with a usual value: they go when they are not wanted any more.
    blank_after
        By generation (its value): where blank lines stood.
    """

    kept: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    added: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    blank_after: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be lost without it."""
        return not (any(self.kept.values()) or any(self.added.values()) or self.blank_after)


def convert_project(project: Project, target: Generation) -> Project:
    """The project as firmware of another generation would have written it.

    Raises
    ------
    RecordingError
        When a file is of a generation that is not known here, or `KEPT_FILE` cannot be read.
    """
    kept = _read_kept(project)
    again: dict[str, Kept] = {}

    def convert(name: str, place: str, data: DataFile) -> DataFile:
        done, rest = convert_data(data, target, kept.get(name, Kept()), place)
        if not rest.is_empty:
            again[name] = rest
        return done

    sequences = {
        name: convert(name, f"{project.place}/{name}", data) for name, data in project.sequences.items()
    }
    samples = []
    for sample in project.samples:
        own = sample.particles
        if own is not None:
            data = convert(own.name, own.place, own.data)
            own = Particles(own.name, data, _convert_metadata(own.metadata, target), own.place)
        samples.append(dataclasses.replace(sample, particles=own))
    texts = {name: _convert_text(name, content, target) for name, content in project.texts.items()}
    others = {name: read for name, read in project.others.items() if name != KEPT_FILE}
    if again:
        told = json.dumps(msgspec.to_builtins(again), indent=1, sort_keys=True) + "\n"
        others[KEPT_FILE] = told.encode
    return dataclasses.replace(
        project, sequences=sequences, samples=tuple(samples), texts=texts, others=others
    )


def convert_data(data: DataFile, target: Generation, kept: Kept, place: str) -> tuple[DataFile, Kept]:
    """Images with the configuration lines of another generation, and what must be kept of the old ones.

    Raises
    ------
    RecordingError
        When a line cannot be read: nobody knows then which of its values is which.
    """
    source = data.generation
    if source is target:
        return data, kept
    lines = dict(data.configurations)
    kept_now, added_now = {}, {}
    for kind, fields in FIELDS.items():
        found = data.configuration(kind)
        if isinstance(found, str):
            raise RecordingError(
                found, file=place, field=kind, remedy="copy the line from the instrument again"
            )
        values, old, added = found.values, kept.kept.get(kind, {}), kept.added.get(kind, {})
        usual = USUAL | _taxo(values, lines)
        wanted = fields[target]
        filled = {name: usual[name] for name in wanted if name not in values and name not in old}
        lines[kind] = ",".join([kind, *((values | old | filled)[name] for name in wanted)])
        # What was filled in, and never changed, is nobody's value.
        dropped = {
            name: value for name, value in values.items() if name not in wanted and added.get(name) != value
        }
        kept_now[kind] = {name: value for name, value in old.items() if name not in wanted} | dropped
        added_now[kind] = {name: value for name, value in added.items() if name in wanted} | filled
    blanks = dict(kept.blank_after)
    if source is not None and data.blank_after != _BLANKS[source]:
        blanks[source.value] = tuple(sorted(data.blank_after))
    blank_after = frozenset(blanks.pop(target.value, _BLANKS[target]))
    done = dataclasses.replace(data, configurations=lines, blank_after=blank_after)
    return done, Kept(kept=kept_now, added=added_now, blank_after=blanks)


def _taxo(values: Mapping[str, str], lines: Mapping[str, str]) -> dict[str, str]:
    """Whether objects are classified, as each firmware says it: a flag, or the name of a TAXO_CONF."""
    if "Taxo_conf" in values:
        return {"Taxo_flag": "0" if values["Taxo_conf"] in (NO_TAXO, "") else "1"}
    is_off = values.get("Taxo_flag", "0").lower() in ("0", "false", "")
    own = lines.get("TAXO_CONF", "").split(",")[1:2] or [NO_TAXO]
    return {"Taxo_conf": NO_TAXO if is_off else own[0]}


def _read_kept(project: Project) -> dict[str, Kept]:
    read = project.others.get(KEPT_FILE)
    if read is None:
        return {}
    place = f"{project.place}/{KEPT_FILE}"
    try:
        told = json.loads(read())
        return {name: to_struct(one, Kept, file=place, error=RecordingError) for name, one in told.items()}
    except (ValueError, AttributeError, RecursionError) as cause:
        raise RecordingError(
            f"is not what seston wrote ({cause})", file=place, remedy="bring the file back, or remove it"
        ) from None


# Files of `name = value` lines


def _convert_text(name: str, content: bytes, target: Generation) -> bytes:
    """HW_*.txt or ACQ_*.txt of another generation; other texts are the same in all."""
    kind = f"{PurePosixPath(name).name.partition('_')[0].upper()}_CONF"
    if kind not in FIELDS:
        return content
    text, encoding = decode(content)
    lines = _convert_lines(text.split("\n"), kind, target, "//", " = ", drops=True)
    return encode("\n".join(lines), encoding)


def _convert_metadata(text: str, target: Generation) -> str:
    """metadata.ini with all that a reader of the target's looks for; values that it has no use for stay."""
    parts: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.startswith("["):
            parts.append([])
        parts[-1].append(line)
    done: list[str] = []
    for part in parts:
        kind = part[0].strip().strip("[]") if part else ""
        done += _convert_lines(part, kind, target, ";", "=", drops=False) if kind in FIELDS else part
    return "\n".join(done)


def _convert_lines(
    lines: list[str], kind: str, target: Generation, comment: str, sign: str, *, drops: bool
) -> list[str]:
    """Lines without what the target has no place for, and with what it wants: all of it can be undone."""
    wanted = set(FIELDS[kind][target])
    sets = [set(fields) for fields in FIELDS[kind].values()]
    changing = set[str]().union(*sets) - sets[0].intersection(*sets)
    end = "\r" if any(line.endswith("\r") for line in lines) else ""
    done: list[str] = []
    values: dict[str, str] = {}
    last_value = 0
    is_added = False
    for line in lines:
        keeps = line.startswith(f"{comment} {_KEPT} ")
        bare = line.removeprefix(f"{comment} {_KEPT} ")
        name, equal, value = (part.strip() for part in bare.partition("="))
        if line.startswith(f"{comment} {_ADDED} "):
            is_added = True
            continue
        if not equal or (line.startswith(comment) and not keeps):
            done.append(line)
        elif is_added and name not in wanted:
            is_added = False  # it was filled in, and nobody wants it any more
            continue
        else:
            if is_added:
                done.append(f"{comment} {_ADDED} {name}{end}")
            is_dropped = drops and name in changing and name not in wanted
            done.append(f"{comment} {_KEPT} {bare}" if is_dropped else bare)
            if not is_dropped:
                values[name] = value
            last_value = len(done)
        is_added = False
    usual = USUAL | _taxo(values, {}) if drops else USUAL
    lacking = (
        [name for name in FIELDS[kind][target] if name in usual and name not in values] if values else []
    )
    filled = [
        line
        for name in lacking
        if name != "Version"  # the firmware says it, no file does
        for line in (f"{comment} {_ADDED} {name}{end}", f"{name}{sign}{usual[name]}{end}")
    ]
    return [*done[:last_value], *filled, *done[last_value:]]
