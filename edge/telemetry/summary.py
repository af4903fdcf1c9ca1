"""What a dive has to say: its summary, and each quantity of it as columns along bins. Pure.

A quantity is a table of whole numbers: bins of one phase by named columns. Counts are exact; means travel as
whole steps of a stated size.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.frame import N_OUTCOMES, FrameOutcome, Phase
from edge.profile import PhaseProfile, Profile
from edge.taxonomy import Taxon
from edge.telemetry.codebook import Codebook
from edge.telemetry.health import CONDITION_FIELDS, HEALTH_FIELDS, Condition, Health
from edge.telemetry.replies import MAX_REPLIES, REPLY_PARTS, Reply, reply_codes

Ints = NDArray[np.int64]

WHOLE_DIVE = 3
"""Scope beside the phases 0..2: totals of all phases, in one bin."""
MAX_COUNT = (1 << 40) - 1
"""Largest count of a column in a phase; three of them are still within what the count tree codes."""
_MAX_SUM = (1 << 48) - 1
"""Largest sum behind a mean in one bin: sums over the at most 2 ** 14 bins of a phase cannot wrap around."""
ESD_PERCENTS = (5, 25, 50, 75, 95)
"""Quantiles of the size distribution within a taxon that are sent, percent."""
NO_ESD = -1
"""Log step of all quantiles of a taxon that was not seen."""
MAX_ESD_STEP = 1000
"""Largest log step of an ESD, far beyond any particle."""


class Quantity(enum.IntEnum):
    """A table of the summary. The numbers travel in messages: never renumber, only append."""

    DIVE = 0
    """Facts of the whole dive: see `DIVE_FACTS`."""
    FRAMES = 1
    """Frames by outcome."""
    UNPLACED = 2
    """Frames by outcome that had no pressure."""
    TAXA = 3
    """Classified particles by taxon."""
    SIZES = 4
    """Particles by size class."""
    NOISE = 5
    """Particles by size class in unlit frames."""
    TEMPERATURE = 6
    """Mean temperature."""
    GREY = 7
    """Mean grey of the particles of a size class."""
    ESD = 8
    """Mean ESD of the classified particles of a taxon."""
    CORRECTED = 9
    """Classified particles of the whole dive by taxon, corrected for what the classifier confuses, and by how
    much the 90 % interval reaches below and above that: all taxa thrice."""
    ESD_QUANTILES = 10
    """Quantiles of the ESD of the classified particles of each living taxon (`ESD_PERCENTS`), taxon by taxon:
    the log step of the lowest + 1, and by how many steps each is above the one before; all 0 of a taxon that
    was not seen. Taxon by taxon, so that a run of zeros is one run, and a taxon is seldom cut in two."""
    DOUBT = 11
    """By taxon, how many of the classified particles are expected to have a wrong name."""
    HEALTH = 12
    """Health of the instrument: see `edge.telemetry.health`."""
    REPLIES = 13
    """What became of commands from shore: see `edge.telemetry.replies`."""
    REMAINDER = 14
    """What companding left out of `SIZES`: both together are exact. A layer on the wire, never a result."""
    UNNAMED = 15
    """Particles large enough to be classified that were not, for want of time; sent if a phase has any."""
    CONDITION = 16
    """What camera, model and process came to: see `edge.telemetry.health`."""

    @property
    def is_mean(self) -> bool:
        """True for means, which have steps and may be absent; False for counts."""
        return self in (Quantity.TEMPERATURE, Quantity.GREY, Quantity.ESD)

    @property
    def has_bins(self) -> bool:
        """False for the quantities that are one row."""
        return self is not Quantity.UNPLACED and not self.is_of_dive

    @property
    def is_of_dive(self) -> bool:
        """True for the quantities that only the whole dive has."""
        return self in _OF_DIVE


_OF_DIVE = (
    Quantity.DIVE, Quantity.CORRECTED, Quantity.ESD_QUANTILES, Quantity.DOUBT, Quantity.HEALTH,
    Quantity.REPLIES, Quantity.CONDITION,
)  # fmt: skip


class DiveFact(enum.IntEnum):
    """Columns of `Quantity.DIVE`."""

    START_S = 0
    """UTC, seconds since 1970-01-01."""
    DURATION_S = 1
    PHASES = 2
    """Bit mask of the phases that the dive has; three bits higher, of those that have `UNNAMED`."""
    UNPLACED_FRAMES = 3
    """Frames without pressure; when 0, `UNPLACED` is not sent."""


@dataclass(frozen=True, slots=True)
class DiveSummary:
    """Everything that messages are made from.

    Attributes
    ----------
    dive_number
        0..65535: tells dives apart on shore.
    codebook, profile
        The schema, and the counts that it describes.
    start_ms, end_ms
        UTC, milliseconds since 1970-01-01.
    corrected
        Corrected counts of the dive and both ends of their 90 % interval, int64 (3, n_taxa); None when
        nothing was corrected.
    esd_quantiles
        Log steps of the ESD quantiles of every living taxon, int64 (n_living, 5) by `ESD_PERCENTS`; all
        `NO_ESD` of one that was not seen. None when they are not known.
    doubt
        Expected number of wrong names by taxon, int64 (n_taxa,); None when it is not known.
    health
        How the instrument fared; None when nobody looked.
    condition
        What camera, model and process came to; None when nobody looked.
    replies
        To commands from shore, at most `MAX_REPLIES`.
    """

    dive_number: int
    codebook: Codebook
    profile: Profile
    start_ms: int = 0
    end_ms: int = 0
    corrected: Ints | None = None
    esd_quantiles: Ints | None = None
    doubt: Ints | None = None
    health: Health | None = None
    condition: Condition | None = None
    replies: tuple[Reply, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.dive_number <= 0xFFFF:
            raise _refuse("dive_number", f"is {self.dive_number}", "use 0 to 65535")
        if not 0 <= self.start_ms <= self.end_ms < 1 << 48:
            raise _refuse("start_ms", "is negative, after end_ms or beyond any date", "correct the clock")
        for part in self.profile.phases:
            _check(part, self.codebook)
        if self.corrected is not None:
            _check_corrected(self.corrected, len(self.codebook.taxa))
        if self.esd_quantiles is not None:
            _check_esd_quantiles(self.esd_quantiles, len(living_taxa(self.codebook.taxa)))
        if self.doubt is not None:
            _check_doubt(self.doubt, len(self.codebook.taxa))
        if len(self.replies) > MAX_REPLIES:
            raise _refuse(
                "replies",
                f"are {len(self.replies)}, {MAX_REPLIES} can be sent with a dive",
                "leave the others for the next",
            )

    @property
    def extras(self) -> tuple[Quantity, ...]:
        """The tables that only some dives have and only the whole dive has, the most important first."""
        there = {
            Quantity.REPLIES: bool(self.replies),
            Quantity.HEALTH: self.health is not None,
            Quantity.CORRECTED: self.corrected is not None,
            Quantity.DOUBT: self.doubt is not None,
            Quantity.CONDITION: self.condition is not None,
            Quantity.ESD_QUANTILES: self.esd_quantiles is not None,
        }
        return tuple(quantity for quantity, is_there in there.items() if is_there)

    def scope(self, phase: int) -> PhaseProfile:
        """The profile of a phase."""
        return next(part for part in self.profile.phases if part.phase == phase)

    def counts(self, quantity: Quantity, scope: int) -> Ints:
        """A count quantity as int64 (n_bins, n_columns)."""
        if scope == WHOLE_DIVE:
            if quantity is Quantity.DIVE:
                return self._facts()
            if quantity.is_of_dive:
                return self._extra(quantity)
            total = np.zeros((1, n_columns(self.codebook, quantity)), dtype=np.int64)
            for part in self.profile.phases:
                total += self.counts(quantity, part.phase).sum(axis=0)
                if quantity is Quantity.FRAMES:
                    total += part.unplaced_frames
            return total
        part = self.scope(scope)
        match quantity:
            case Quantity.FRAMES:
                return part.frames
            case Quantity.UNPLACED:
                return part.unplaced_frames[None]
            case Quantity.TAXA:
                return part.taxa
            case Quantity.SIZES | Quantity.REMAINDER:
                return part.lpm
            case Quantity.NOISE:
                return part.noise
            case Quantity.UNNAMED:
                return part.unnamed[:, None]
            case _:
                raise ValueError(f"{quantity.name} is not a count")

    def means(self, quantity: Quantity, scope: int) -> tuple[Ints, Ints]:
        """A mean quantity as sums and numbers of readings, each int64 (n_bins, n_columns)."""
        part = self.scope(scope)
        match quantity:
            case Quantity.TEMPERATURE:
                return part.temperature_mc_sum[:, None], part.n_temperature[:, None]
            case Quantity.GREY:
                return part.lpm_grey_centi_sum, part.lpm
            case Quantity.ESD:
                return part.taxa_esd_um_sum, part.taxa
            case _:
                raise ValueError(f"{quantity.name} is not a mean")

    def _facts(self) -> Ints:
        phases = sum(1 << part.phase for part in self.profile.phases)
        phases += sum(1 << part.phase + len(Phase) for part in self.profile.phases if part.unnamed.any())
        unplaced = sum(int(part.unplaced_frames.sum()) for part in self.profile.phases)
        start_s = self.start_ms // 1000
        return np.array([[start_s, -(-self.end_ms // 1000) - start_s, phases, unplaced]], dtype=np.int64)

    def _extra(self, quantity: Quantity) -> Ints:
        """A table of `extras`, int64 (1, n_columns)."""
        if quantity not in self.extras:
            raise ValueError(f"the dive has no {quantity.name}")
        row: Ints | list[int] = []
        if quantity is Quantity.CORRECTED and self.corrected is not None:
            count, low, high = self.corrected
            row = np.concatenate([count, count - low, high - count])
        elif quantity is Quantity.ESD_QUANTILES and self.esd_quantiles is not None:
            row = np.diff(self.esd_quantiles, prepend=NO_ESD, axis=1).ravel()
        elif quantity is Quantity.DOUBT and self.doubt is not None:
            row = self.doubt
        elif quantity is Quantity.HEALTH and self.health is not None:
            row = self.health.codes()
        elif quantity is Quantity.CONDITION and self.condition is not None:
            row = self.condition.codes()
        else:
            row = reply_codes(self.replies)
        return np.asarray(row, dtype=np.int64)[np.newaxis]


def living_taxa(taxa: Sequence[Taxon]) -> tuple[int, ...]:
    """Indices of the taxa that are known to live: those whose sizes are sent."""
    return tuple(i for i, taxon in enumerate(taxa) if taxon.living)


def n_columns(codebook: Codebook, quantity: Quantity) -> int:
    """Number of columns of a quantity."""
    return len(column_names(codebook, quantity))


def column_names(codebook: Codebook, quantity: Quantity) -> tuple[str, ...]:
    """Names of the columns: outcomes, taxa, lower limits of size classes in um."""
    match quantity:
        case Quantity.DIVE:
            return tuple(fact.name.lower() for fact in DiveFact)
        case Quantity.FRAMES | Quantity.UNPLACED:
            return tuple(outcome.label for outcome in FrameOutcome)
        case Quantity.TAXA | Quantity.ESD | Quantity.DOUBT:
            return tuple(taxon.label for taxon in codebook.taxa)
        case Quantity.CORRECTED:
            return tuple(f"{taxon.label}{end}" for end in ("", " below", " above") for taxon in codebook.taxa)
        case Quantity.ESD_QUANTILES:
            living = [codebook.taxa[i].label for i in living_taxa(codebook.taxa)]
            return tuple(f"{label} {percent} %" for label in living for percent in ESD_PERCENTS)
        case Quantity.HEALTH:
            return tuple(field.name for field in HEALTH_FIELDS)
        case Quantity.CONDITION:
            return tuple(field.name for field in CONDITION_FIELDS)
        case Quantity.REPLIES:
            return tuple(f"reply {i + 1} {part}" for i in range(MAX_REPLIES) for part in REPLY_PARTS)
        case Quantity.TEMPERATURE:
            return ("water",)
        case Quantity.UNNAMED:
            return ("not classified",)
        case _:
            return tuple(f"{limit:g}" for limit in codebook.optics.size_class_limits_um)


def tree_edges(codebook: Codebook, scope: int, n_bins: int) -> tuple[int, ...]:
    """Bin edges as the count tree measures them: dbar, or 10 a bin where patches have no known length."""
    if scope in (Phase.DESCENT, Phase.ASCENT):
        return codebook.edges(Phase(scope), n_bins)
    return tuple(range(0, 10 * n_bins + 1, 10))


def _check(part: PhaseProfile, codebook: Codebook) -> None:
    """Refuse a profile that the codebook does not describe, and counts that no message can carry."""
    name, n = part.phase.name.lower(), part.n_bins
    if not 1 <= n <= codebook.max_bins(part.phase):
        raise _refuse(
            f"{name}.edges",
            f"has {n} bins, 1 to {codebook.max_bins(part.phase)} can be sent",
            "choose longer bins in [profile]",
        )
    if tuple(part.edges.tolist()) != codebook.edges(part.phase, n):
        raise _refuse(f"{name}.edges", "are not the codebook's", "use one configuration for both")
    taxa, classes = len(codebook.taxa), codebook.optics.n_size_classes
    shapes = {
        "frames": (n, N_OUTCOMES), "unplaced_frames": (N_OUTCOMES,), "taxa": (n, taxa), "lpm": (n, classes),
        "noise": (n, classes), "n_temperature": (n,), "lpm_grey_centi_sum": (n, classes),
        "taxa_esd_um_sum": (n, taxa), "temperature_mc_sum": (n,), "unnamed": (n,),
    }  # fmt: skip
    for field, shape in shapes.items():
        array = getattr(part, field)
        if array.shape != shape or array.dtype != np.int64:
            raise _refuse(
                f"{name}.{field}",
                f"is {array.dtype} {array.shape}, int64 {shape} was expected",
                "use one configuration for codebook and profile",
            )
        high = _MAX_SUM if field.endswith("_sum") else MAX_COUNT
        low = -high if field == "temperature_mc_sum" else 0
        if array.size and not low <= int(array.min()) <= int(array.max()) <= high:
            raise _refuse(
                f"{name}.{field}", f"holds values outside {low}..{high}", "check how it was counted"
            )
        if high == MAX_COUNT and array.size and int(array.sum(axis=0).max()) > MAX_COUNT:
            raise _refuse(f"{name}.{field}", f"sums to more than {MAX_COUNT}", "check how it was counted")


def _check_corrected(corrected: Ints, n_taxa: int) -> None:
    """Refuse corrected counts that are no counts, or lie outside their intervals."""
    fits = corrected.shape == (3, n_taxa) and corrected.dtype == np.int64
    if not fits or not 0 <= int(corrected.min(initial=0)) <= int(corrected.max(initial=0)) <= MAX_COUNT:
        raise _refuse("corrected", "are no counts of the codebook's taxa", "use one bundle for both")
    if (corrected[1] > corrected[0]).any() or (corrected[0] > corrected[2]).any():
        raise _refuse("corrected", "lie outside their intervals", "check how they were estimated")


def _check_esd_quantiles(steps: Ints, n_living: int) -> None:
    """Refuse quantiles that are no rising log steps of the codebook's living taxa."""
    if steps.shape != (n_living, len(ESD_PERCENTS)) or steps.dtype != np.int64:
        raise _refuse(
            "esd_quantiles", "are not those of the codebook's living taxa", "use one bundle for both"
        )
    if not NO_ESD <= int(steps.min(initial=0)) <= int(steps.max(initial=0)) <= MAX_ESD_STEP:
        raise _refuse("esd_quantiles", f"lie outside 0..{MAX_ESD_STEP}", "check the sizes in the log")
    if (np.diff(steps, axis=1) < 0).any() or (
        (steps == NO_ESD).any(axis=1) != (steps == NO_ESD).all(axis=1)
    ).any():
        raise _refuse("esd_quantiles", "do not rise from quantile to quantile", "check how they were found")


def _check_doubt(doubt: Ints, n_taxa: int) -> None:
    """Refuse expected numbers of wrong names that are no counts."""
    fits = doubt.shape == (n_taxa,) and doubt.dtype == np.int64
    if not fits or not 0 <= int(doubt.min(initial=0)) <= int(doubt.max(initial=0)) <= MAX_COUNT:
        raise _refuse("doubt", "are no counts of the codebook's taxa", "use one bundle for both")


def _refuse(field: str, problem: str, remedy: str) -> InputError:
    return InputError(problem, field=field, remedy=remedy)
