"""A bundle's model card, in Markdown for the bundle itself and as one HTML page that opens anywhere.

Both are made from the manifest alone. What they say is decided in `card_facts`, the pictures in
`card_figures`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import groupby
from typing import Any

import numpy as np

from edge.inference.manifest import Manifest
from training import card_facts as facts
from training.card_figures import MANY_CLASSES, colour_key, confusion_svg, reliability_svg


def write_card(manifest: Manifest) -> str:
    """The card, Markdown."""
    return "\n".join(_lines(manifest))


def write_card_html(manifest: Manifest, *, heading: str | None = None, notes: Sequence[str] = ()) -> str:
    """The card as one HTML page without anything from elsewhere.

    Parameters
    ----------
    manifest
        Of any bundle.
    heading
        Of the page; the bundle's name when None.
    notes
        Sentences to stand at its head.

    Raises
    ------
    ImportError
        When jinja2 is missing: ``pip install 'seston[shore]'``.
    """
    import jinja2

    here = files("training")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((here / "card.html").read_text(encoding="utf-8"))
    provenance, classes, found = manifest.provenance, facts.class_rows(manifest), manifest.facts
    scores, counts = facts.score_rows(manifest), found.get("counts") or {}
    return template.render(
        **_matrix(manifest),
        heading=heading or manifest.name,
        notes=notes,
        what=_what(manifest),
        numbers=_numbers(manifest),
        how=facts.how_measured(manifest),
        scores=scores,
        has_float=any(row.float for row in scores),
        mistakes=facts.confusions(manifest),
        classes=classes,
        has_taxa=any(row.taxon for row in classes),
        has_trained=any(row.trained is not None for row in classes),
        taxa=facts.taxon_rows(manifest),
        counts=facts.table_of(counts),
        count_remarks=facts.remarks_of(counts),
        reliability=reliability_svg(found["reliability"]) if found.get("reliability") else "",
        calibration=facts.calibration_remark(manifest),
        parity=facts.parity_table(manifest),
        parity_remark=facts.parity_remark(manifest),
        others=list(facts.other_facts(manifest)),
        provenance=provenance,
        packages=_packages(manifest),
        fingerprint=found.get("fingerprint"),
        limits=facts.limits(manifest),
        css=(here / "card.css").read_text(encoding="utf-8"),
        script=(here / "card.js").read_text(encoding="utf-8"),
    )


def _matrix(manifest: Manifest) -> dict[str, Any]:
    """Picture, legend and data of the confusion matrix; nothing where no image was classified."""
    confusion = np.array(manifest.confusion, dtype=np.int64)
    if not confusion.any():
        return {"matrix": "", "key": [], "cells": ""}
    order = facts.lineage_order(manifest)
    shown, names = confusion[np.ix_(order, order)], [manifest.classes[i] for i in order]
    lineages = facts.lineages(manifest)
    clusters, first = [], 0
    for _, members in groupby(lineages[i][0] for i in order):
        n = len(list(members))
        if 1 < n < len(order):
            clusters.append((first, first + n))
        first += n
    cells = [[i, j, int(shown[i, j])] for i, j in np.argwhere(shown).tolist()]
    picture, label_share = confusion_svg(shown, names, clusters)
    data = json.dumps({"names": names, "cells": cells}, separators=(",", ":"))
    return {
        "matrix": picture,
        "label_share": f"{label_share:.4f}",
        "many": len(names) > MANY_CLASSES,
        "key": colour_key(),
        "cells": data.replace("<", "\\u003c"),  # "<" could end the script element it stands in
    }


def _what(manifest: Manifest) -> str:
    """What the model is, in a line."""
    spec, n_bytes = manifest.preprocessing, manifest.facts.get("model_bytes")
    classes, taxa = len(manifest.classes), len(manifest.taxa)
    parts = [
        f"int8 {manifest.facts.get('network', 'network')}",
        f"{spec.size_px} × {spec.size_px} px grey" + (", told the particle's size" if spec.numbers else ""),
        *([f"{spec.views} views of every vignette"] if spec.views > 1 else []),
        f"{classes} classes" if classes == taxa else f"{classes} classes counted as {taxa} taxa",
        *([f"{n_bytes / 1000:,.0f} kB"] if n_bytes else []),
    ]
    return ", ".join(parts)


def _numbers(manifest: Manifest) -> list[tuple[str, str, str]]:
    """The figures one looks for first: value, name, interval."""
    int8, intervals = manifest.scores.get("int8", {}), manifest.facts.get("intervals") or {}
    found = []
    for name in ("accuracy", "balanced_accuracy", "decided_precision", "unclassified", "calibration_error"):
        if name in int8:
            span = (intervals.get("int8") or {}).get(name)
            found.append((facts.number(int8[name]), facts.words_of(name), facts.number(span)))
    trained = (manifest.facts.get("classes") or {}).get("trained")
    held_back = sum(sum(row) for row in manifest.confusion)
    if trained is not None:
        found.append((f"{held_back:,}", "images held back", f"{sum(trained):,} trained it"))
    elif held_back:
        found.append((f"{held_back:,}", "images", ""))
    return found


def _packages(manifest: Manifest) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(manifest.provenance.packages.items()))


def _lines(manifest: Manifest) -> Iterator[str]:
    """The Markdown, line by line."""
    yield from (f"# {manifest.name}", "", f"{_what(manifest)[0].upper()}{_what(manifest)[1:]}.", "")
    yield from ("## Learnt from", "")
    for source in manifest.provenance.sources:
        images = f", {source.images:,} images" if source.images else ""
        yield f"- {source.name}: {source.use}{images}. Licence: {source.licence}."
    yield from ("", f"Split {manifest.provenance.split}.")
    fingerprint = manifest.facts.get("fingerprint")
    if fingerprint:
        yield f"Fingerprint of the {fingerprint['images']:,} images: `{fingerprint['sha256']}`."
    yield from ("", "## Scores", "", " ".join(facts.how_measured(manifest)), "")
    rows = facts.score_rows(manifest)
    has_float = any(row.float for row in rows)
    columns = ("int8", "90 %", "float", "90 %") if has_float else ("int8", "90 %")
    cells = ((row.int8, row.int8_interval, row.float, row.float_interval) for row in rows)
    body = zip((row.words for row in rows), (row[: len(columns)] for row in cells), strict=True)
    yield from _table(facts.Table(columns, tuple(body)), "score")
    yield from _confusion_lines(manifest)
    yield from _class_lines(manifest)
    yield from _calibration_lines(manifest)
    counts = manifest.facts.get("counts") or {}
    sections: list[tuple[str, facts.Table | None, list[str], str]] = [
        ("Counts by method", facts.table_of(counts), facts.remarks_of(counts), "method"),
        ("float and int8", facts.parity_table(manifest), [facts.parity_remark(manifest)], "score"),
        *(
            (f"{title[0].upper()}{title[1:]}", table, remarks, "")
            for title, table, remarks in facts.other_facts(manifest)
        ),
    ]
    for title, table, remarks, first in sections:
        if table or any(remarks):
            yield from ("", f"## {title}", "", *(remark for remark in remarks if remark))
            yield from ("", *_table(table, first)) if table else ()
    yield from ("", "## Known limits", "", *(f"- {limit}" for limit in facts.limits(manifest)))
    provenance = manifest.provenance
    yield from ("", "## Made by", "", f"`{provenance.command}`, seed {provenance.seed}, with")
    yield from (f"{_packages(manifest)}.", "")


def _confusion_lines(manifest: Manifest) -> Iterator[str]:
    mistakes = facts.confusions(manifest)
    if mistakes:
        yield from ("", "## The most frequent mistakes", "")
        body = tuple((row.truth, (row.answer, str(row.n), f"{100 * row.share:.0f} %")) for row in mistakes)
        yield from _table(facts.Table(("taken for", "images", "of the class"), body), "true class")
    if len(manifest.classes) <= MANY_CLASSES:
        yield from ("", "## Confusion matrix", "", "Rows are true classes, columns answers.", "")
        order = facts.lineage_order(manifest)
        matrix = tuple(
            (f"{at} {manifest.classes[i]}", tuple(str(manifest.confusion[i][j] or "") for j in order))
            for at, i in enumerate(order, start=1)
        )
        yield from _table(facts.Table(tuple(str(at) for at in range(1, len(order) + 1)), matrix), "")


def _class_lines(manifest: Manifest) -> Iterator[str]:
    rows = facts.class_rows(manifest)
    has_taxa = any(row.taxon for row in rows)

    def rate(found: facts.Rate) -> str:
        if found.rate is None:
            return "-"
        span = "" if found.low is None or found.high is None else f" ({found.low:.2f} to {found.high:.2f})"
        return f"{found.rate:.2f}{span}"

    yield from ("", "## Classes", "")
    columns = ("trained on", "held back", "recall (90 %)", "precision (90 %)")
    body = []
    for row in rows:
        trained = "-" if row.trained is None else str(row.trained)
        cells = (trained, str(row.held_back), rate(row.recall), rate(row.precision))
        body.append((row.name, ((row.taxon or row.name, *cells) if has_taxa else cells)))
    yield from _table(facts.Table(("counted as", *columns) if has_taxa else columns, tuple(body)), "class")
    yield from ("", "## What is counted", "")
    yield "Held-back images by what the thresholds, the roll-up to a parent and the reject make of them."
    yield ""
    taxa = []
    for taxon in facts.taxon_rows(manifest):
        became = (taxon.held_back, taxon.right, taxon.parents, taxon.unclassified, taxon.wrong)
        taxa.append((taxon.label, (f"{taxon.threshold:.3f}", *map(str, became))))
    heads = ("threshold", "held back", "named", "as a parent", "unclassified", "wrongly")
    yield from _table(facts.Table(heads, tuple(taxa)), "taxon")


def _calibration_lines(manifest: Manifest) -> Iterator[str]:
    yield from ("", "## Are scores what they say?", "", facts.calibration_remark(manifest))
    found = manifest.facts.get("reliability")
    if found:
        bins = zip(found["score"], found["n"], found["right"], strict=True)
        body = tuple((f"{score:.3f}", (str(n), f"{right:.3f}")) for score, n, right in bins if n)
        yield from ("", *_table(facts.Table(("images", "share right"), body), "mean score"))


def _table(table: facts.Table, first: str) -> Iterator[str]:
    """Lines of a Markdown table; the name of a row to the left, the rest to the right."""
    for name, cells in ((first, table.columns), ("---", ("---:",) * len(table.columns)), *table.rows):
        yield f"| {' | '.join(_cell(text) for text in (name, *cells))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
