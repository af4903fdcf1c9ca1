"""EcoTaxa's ids and names of what a model counts: those the model has, those a person gives in a table."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from edge.errors import InputError
from edge.taxonomy import UNCLASSIFIED, Taxon

COLUMNS = ("taxon", "ecotaxa_id", "ecotaxa_name")


class Category(NamedTuple):
    """A category as it stands in a table of EcoTaxa; `identity` is "" where no id is known."""

    name: str
    identity: str


def read_categories(path: Path) -> dict[str, Category]:
    """Categories by taxon from a CSV with the columns taxon, ecotaxa_id and, if wanted, ecotaxa_name.

    Raises `InputError` with the row and the field.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError("is not there", file=path, remedy="check the path") from None
    except (OSError, UnicodeDecodeError) as cause:
        raise InputError(f"cannot be read ({cause})", file=path, remedy="save it as UTF-8") from cause
    rows = list(csv.reader(text.splitlines(), delimiter="\t" if "\t" in text.partition("\n")[0] else ","))
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if header[:2] != list(COLUMNS[:2]) or not set(header) <= set(COLUMNS):
        raise InputError(
            f"begins with {', '.join(header) or 'nothing'}", file=path, field="row 1",
            remedy=f"begin with {','.join(COLUMNS)}",
        )  # fmt: skip
    found: dict[str, Category] = {}
    for number, row in enumerate(rows[1:], start=2):
        cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
        taxon, identity = cells.get("taxon", ""), cells.get("ecotaxa_id", "")
        if not taxon and not any(cells.values()):
            continue
        if identity and not (identity.isascii() and identity.isdigit() and int(identity) > 0):
            raise InputError(f"is {identity!r}", file=path, field=f"row {number}: ecotaxa_id",
                             remedy="give the number that EcoTaxa shows for the category")  # fmt: skip
        if not taxon or taxon in found:
            raise InputError("stands twice" if taxon else "is empty", file=path, field=f"row {number}: taxon",
                             remedy="one row a taxon")  # fmt: skip
        found[taxon] = Category(cells.get("ecotaxa_name", "") or taxon, identity)
    return found


def categories_of(taxa: Sequence[Taxon], given: Mapping[str, Category]) -> tuple[Category | None, ...]:
    """Category of each counted taxon; None for `unclassified`, which is no category anywhere.

    What is given counts before what the model knows.
    """
    return tuple(
        None
        if taxon.label == UNCLASSIFIED
        else given.get(taxon.label)
        or Category(taxon.label, "" if taxon.ecotaxa_id is None else str(taxon.ecotaxa_id))
        for taxon in taxa
    )
