"""`bundle.json`: everything about a model but its arrays, as structs. Reading it is `bundle`'s."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from edge.drift import Reference
from edge.inference.preprocessing import Preprocessing
from edge.taxonomy import Taxon

FORMAT = 2
"""Version of the bundle's format."""

Unit = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1)]
Whole = Annotated[int, msgspec.Meta(ge=0)]
Side = Annotated[int, msgspec.Meta(ge=1, le=1 << 14)]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A data set or a set of weights the model learnt from: its name, licence, number of images, and use."""

    name: str
    licence: str
    use: str
    images: Whole = 0


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the model comes from.

    Attributes
    ----------
    sources
        What it learnt from, in order.
    split
        Which images were held back, in words.
    seed, command
        Of the last training.
    packages
        Versions of what trained and converted it.
    """

    sources: tuple[Source, ...]
    split: str
    seed: int
    command: str
    packages: dict[str, str]


class Correction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `edge.quantification.count_from_scores` needs to know of a model.

    Attributes
    ----------
    implied
        Prevalence of the taxa at which the scores are right, (n,), all above 0.
    usual
        Prevalence of the taxa in usual water, (n,), all above 0.
    spread
        By how much the odds of a taxon are off in one piece of water or another.
    """

    implied: tuple[Positive, ...]
    usual: tuple[Positive, ...]
    spread: Annotated[float, msgspec.Meta(ge=0)]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`bundle.json`: everything about a model but its arrays.

    Attributes
    ----------
    format
        Version of the bundle's format.
    name
        Short name.
    classes
        The k names that the network tells apart, in the order of its outputs.
    taxa
        The n taxa that are counted and sent; every class belongs to one.
    class_taxon
        Index of the taxon of each class, (k,).
    parents
        Taxa that others roll up to and that no class belongs to.
    source_classes
        Label of the taxon that each class of the training data went to, by its name there; "" when it was
        dropped.
    preprocessing
        For `edge.inference.preprocessing.prepare`.
    temperature
        The logits are divided by it before the softmax, so that scores are probabilities.
    least_evidence
        What lies below this `evidence` is unlike all that the model learnt, and `unclassified` whatever its
        scores; None rejects nothing.
    thresholds
        Lowest probability of every counted taxon but `unclassified` (see `TaxonTree.decide`).
    correction
        How counts are corrected; None when that was not measured to be better than counting answers.
    reference
        How held-back images look to the model, by the name it gives them: what a dive's drift is measured
        against (`edge.drift`); None when nobody measured it.
    confusion
        (k, k) held-back images by true class and by the class with the highest score.
    decisions
        (n, m) held-back images by true taxon and by counted taxon, after reject, thresholds and roll-up.
    scores
        Held-back scores: ``{"int8": {"accuracy": ...}, "float": ...}``.
    facts
        What else was measured, for the card: intervals, reliability, parity, counts (JSON).
    golden_sizes
        (height, width) of the golden inputs, px.
    provenance
        Where it comes from.
    """

    name: str
    classes: tuple[str, ...]
    taxa: tuple[Taxon, ...]
    class_taxon: tuple[Whole, ...]
    parents: tuple[Taxon, ...] = ()
    source_classes: dict[str, str] = msgspec.field(default_factory=dict)
    preprocessing: Preprocessing
    temperature: Annotated[float, msgspec.Meta(gt=0, le=1000)]
    least_evidence: float | None = None
    thresholds: tuple[Unit, ...]
    correction: Correction | None = None
    reference: Reference | None = None
    confusion: tuple[tuple[Whole, ...], ...]
    decisions: tuple[tuple[Whole, ...], ...]
    scores: dict[str, dict[str, float]]
    golden_sizes: tuple[tuple[Side, Side], ...]
    provenance: Provenance
    facts: dict[str, Any] = msgspec.field(default_factory=dict)
    format: int = FORMAT
