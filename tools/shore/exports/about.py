"""Who made the data, and what may be done with it: one table on shore for all exports, never in a message.

It is no configuration of a board: that is signed, and its hash goes with the data, while a licence or an
address changes years after the dive. It is no content of the registry: nothing there is ever replaced. Names
are ACDD's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from edge.errors import InputError
from edge.structs import Section, read_toml

Text = Annotated[str, msgspec.Meta(min_length=1)]
Mail = Annotated[str, msgspec.Meta(pattern=r"^[^@\s]+@[^@\s]+$")]


class Facts(Section, frozen=True, kw_only=True, omit_defaults=True):
    """What is said of all dives, or of those of one unit; the names of ACDD 1.3."""

    title: Text | None = None
    summary: Text | None = None
    keywords: Text | None = None
    comment: Text | None = None
    creator_name: Text | None = None
    creator_email: Mail | None = None
    creator_url: Text | None = None
    creator_type: Text | None = None
    creator_institution: Text | None = None
    publisher_name: Text | None = None
    publisher_email: Mail | None = None
    publisher_url: Text | None = None
    publisher_type: Text | None = None
    publisher_institution: Text | None = None
    contributor_name: Text | None = None
    contributor_role: Text | None = None
    institution: Text | None = None
    project: Text | None = None
    program: Text | None = None
    license: Text | None = None
    acknowledgement: Text | None = None
    naming_authority: Text | None = None
    references: Text | None = None

    def told(self) -> dict[str, str]:
        """Those that were given, by name."""
        given = msgspec.to_builtins(self)
        return {name: given[name] for name in Facts.__struct_fields__ if given.get(name) is not None}


class About(Facts, frozen=True, kw_only=True, omit_defaults=True):
    """The file: facts of all dives, and in ``[unit.NAME]`` what is otherwise for the dives of a unit."""

    unit: dict[str, Facts] = msgspec.field(default_factory=dict)

    def of(self, platform: str) -> dict[str, str]:
        """Facts of a dive by its codebook's platform."""
        return self.told() | self.unit.get(platform, Facts()).told()


def read_about(path: Path) -> About:
    """Read the file; raises `InputError` by its key."""
    return read_toml(path, About, error=InputError)


def of_all(facts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Facts of a file of several dives: where they differ, one after another."""
    found: dict[str, list[str]] = {}
    for one in facts:
        for name, value in one.items():
            found.setdefault(name, [])
            if value not in found[name]:
                found[name].append(value)
    return {name: "; ".join(values) for name, values in found.items()}
