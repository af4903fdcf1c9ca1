"""What to say in a budget: which tables of a dive how finely, in which messages. Pure, in integers.

Each table is a ladder: totals, then ever finer cells, then exact counts; a rung has a worth (the stated
utility) and a cost, measured by coding, never estimated. The rungs worth most for their bits are taken, which
is the best of all plans but for less than one rung (a knapsack over concave ladders). What does not fit is
sent coarser. Nothing is cut off in silence.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import replace

from edge.errors import InputError
from edge.telemetry.climatology import Climatology
from edge.telemetry.expectation import Expectation
from edge.telemetry.header import (
    MAX_PARTS,
    MIN_MESSAGE_BYTES,
    SHORT_BELOW_BYTES,
    Header,
    MessageKind,
    codebook_id,
    header_bytes,
    pack,
    parity_lead,
    uncovered_bytes,
)
from edge.telemetry.ladder import Ladder, Rung, choose
from edge.telemetry.packer import Packer
from edge.telemetry.parity import LENGTH_BYTES, MAX_PARITY, parity_bodies
from edge.telemetry.picture import Picture, encode_picture
from edge.telemetry.planned import WEIGHTS, Plan, PlannedLayer, Priorities
from edge.telemetry.summary import WHOLE_DIVE, DiveSummary, Quantity

_ALWAYS = (Quantity.DIVE, Quantity.UNPLACED)
_TRIES = 8
MAX_PICTURE_BYTES = 340
_LEAST_PICTURE_BYTES = 120
"""A picture in less is not recognised."""


def plan(
    summary: DiveSummary,
    budget_bytes: int,
    message_bytes: int,
    *,
    climatology: Climatology | None = None,
    priorities: Priorities | None = None,
    quantities: Collection[Quantity] | None = None,
    n_parity: int = 0,
    pictures: Sequence[Picture] = (),
    is_layered: bool = False,
) -> Plan:
    """Messages of a dive: none above `message_bytes`, together at most `budget_bytes`.

    Parameters
    ----------
    climatology
        That which the codebook names; it is used when it makes the messages say more, or be shorter.
    priorities
        What matters most.
    quantities
        The only tables to send; all when None.
    n_parity
        Parity messages: so many of all messages may be lost without loss of content.
    pictures
        Pictures of particles, the most wanted first: what room is left when all tables have gone whole is
        theirs, a message each.
    is_layered
        Send size spectra companded first and what makes them exact in the last messages, rather than exact
        at once: a transmission that ends early has said more. It takes some bytes more.

    Raises
    ------
    InputError
        When not even the totals of the dive fit in the budget: it says how many bytes they need.
    """
    if message_bytes < MIN_MESSAGE_BYTES:
        raise InputError(
            f"is {message_bytes}, the smallest is {MIN_MESSAGE_BYTES}",
            field="message_bytes",
            remedy="use a larger one",
        )
    if not 0 <= n_parity <= MAX_PARITY:
        raise InputError(
            f"is {n_parity}, 0 to {MAX_PARITY} can be sent", field="n_parity", remedy="use fewer"
        )
    if climatology is not None and climatology.sha256 != summary.codebook.climatology_sha256:
        raise InputError(
            "is not the one that the codebook names",
            field="climatology",
            remedy="make the codebook with this climatology",
        )
    wanted = _wanted(summary, quantities)
    if not wanted:
        raise InputError("name no table that this dive has", field="quantities", remedy="name one, or none")
    sides = [None] if climatology is None else [climatology, None]
    planners: list[_Planner] = []
    plans: list[Plan] = []
    refused = []
    for side in sides:
        expectation = Expectation(summary.codebook, side)
        planner = _Planner(
            summary,
            expectation,
            wanted,
            priorities or Priorities(),
            budget_bytes,
            message_bytes,
            n_parity,
            is_layered=is_layered,
        )
        if plans and not planner.may_beat(planners[0]):
            break
        planners.append(planner)
        try:
            plans.append(planner.plan())
        except InputError as error:
            refused.append(error)
    if not plans:
        raise refused[-1]
    best = max(plans, key=lambda found: (found.worth, -found.n_bytes, not found.is_regional))
    shown = _picture_messages(summary, pictures, budget_bytes - best.n_bytes, message_bytes)
    return replace(best, messages=(*best.messages, *shown), n_pictures=len(shown))


def plan_totals(
    summary: DiveSummary, budget_bytes: int, message_bytes: int, climatology: Climatology | None = None
) -> Plan:
    """What of a dive's totals fits in a budget that `plan` refuses: the first taxa, the rest is missing.

    Shore sees what is missing and may ask for it. `InputError` when `plan` would refuse `message_bytes`, or
    the budget is below `MIN_MESSAGE_BYTES`.
    """
    limit_bytes = min(message_bytes, budget_bytes)
    wanted = _wanted(summary, None)
    found = []
    for side in [climatology] if climatology is None else [climatology, None]:
        expectation = Expectation(summary.codebook, side)
        planner = _Planner(summary, expectation, wanted, Priorities(), budget_bytes, limit_bytes, 0)
        found.append(planner.totals())
    return min(found, key=lambda one: one[0])[1]


def _picture_messages(
    summary: DiveSummary, pictures: Sequence[Picture], room_bytes: int, message_bytes: int
) -> list[bytes]:
    """A message for each picture that there is room for."""
    short = message_bytes < SHORT_BELOW_BYTES
    header = header_bytes(0, 1, is_short=short)
    bodies: list[bytes] = []
    for picture in pictures:
        most = min(message_bytes, MAX_PICTURE_BYTES, room_bytes) - header
        if most < _LEAST_PICTURE_BYTES:
            break
        try:
            bodies.append(encode_picture(picture, most, len(summary.codebook.taxa)))
        except InputError:  # a particle beyond all that a picture can say: the dive goes without it
            continue
        room_bytes -= len(bodies[-1]) + header
    identity = codebook_id(summary.codebook, is_short=short)
    return [
        pack(
            Header(identity, summary.dive_number, part, len(bodies), MessageKind.PICTURE, short),
            body,
            summary.codebook,
        )
        for part, body in enumerate(bodies)
    ]


def code_at(
    summary: DiveSummary,
    quantity: Quantity,
    step: int,
    message_bytes: int,
    climatology: Climatology | None = None,
    *,
    whole: bool = False,
) -> tuple[bytes, ...]:
    """Messages of one table bin by bin, or of the whole dive, companded at a step; to measure with."""
    scopes = [WHOLE_DIVE] if whole else [int(part.phase) for part in summary.profile.phases]
    wanted = [(quantity, scope) for scope in scopes]
    planner = _Planner(
        summary, Expectation(summary.codebook, climatology), wanted, Priorities(), 0, message_bytes, 0
    )
    return planner.at(step)


def _wanted(summary: DiveSummary, quantities: Collection[Quantity] | None) -> list[tuple[Quantity, int]]:
    """Tables of a dive in the order of sending, the important ones in the first messages."""
    parts = summary.profile.phases
    tables = [(Quantity.DIVE, WHOLE_DIVE)]
    tables += [(Quantity.UNPLACED, part.phase) for part in parts if part.unplaced_frames.any()]
    tables += [(quantity, WHOLE_DIVE) for quantity in summary.extras]
    tables += [
        (quantity, part.phase)
        for quantity in WEIGHTS
        for part in parts
        if not quantity.is_of_dive and (quantity is not Quantity.UNNAMED or part.unnamed.any())
    ]
    return [table for table in tables if quantities is None or table[0] in quantities]


class _Planner:
    """Makes one plan, with one expectation."""

    def __init__(
        self,
        summary: DiveSummary,
        expectation: Expectation,
        wanted: Sequence[tuple[Quantity, int]],
        priorities: Priorities,
        budget_bytes: int,
        message_bytes: int,
        n_parity: int,
        *,
        is_layered: bool = False,
    ) -> None:
        self._is_layered = is_layered
        self._summary, self._expectation = summary, expectation
        self._budget_bytes, self._n_parity = budget_bytes, n_parity
        self._is_short = message_bytes < SHORT_BELOW_BYTES
        self._kind = MessageKind.FLAT if expectation.climatology is None else MessageKind.REGIONAL
        self._uncovered = uncovered_bytes(is_short=self._is_short)
        self._extra = header_bytes(0, 1, is_short=self._is_short) + 2 + LENGTH_BYTES - self._uncovered
        self._limit_bytes = message_bytes - (self._extra if n_parity else 0)
        if self._limit_bytes < MIN_MESSAGE_BYTES:
            raise InputError(
                f"is {message_bytes}, with parity the smallest is {MIN_MESSAGE_BYTES + self._extra}",
                field="message_bytes",
                remedy="use a larger one, or no parity",
            )
        # More parts than a header can number would be refused on shore: half-full messages are the worst.
        self._budget_bytes = min(budget_bytes, MAX_PARTS * self._limit_bytes // 2)
        self._ladders = [
            ladder
            for quantity, scope in wanted
            for ladder in self._make(quantity, scope, priorities)
            if ladder.columns
        ]

    def plan(self) -> Plan:
        """The plan, by the whole dive alone when the phases do not fit."""
        for ladder in self._ladders:
            ladder.rung = ladder.rungs[0] if ladder.is_needed else None
        first = self._pack(self._ladders)
        if self._bytes(first) > self._budget_bytes:
            self._ladders = self._whole_dive()
            for ladder in self._ladders:
                ladder.rung = ladder.rungs[0] if ladder.is_needed else None
            first = self._pack(self._ladders)
            if self._bytes(first) > self._budget_bytes:
                least = self._bytes(first)
                raise InputError(
                    f"is {self._budget_bytes}, the totals of this dive need {least}",
                    field="budget_bytes",
                    remedy=f"allow at least {least} bytes",
                )
        return self._best(first)

    def totals(self) -> tuple[int, Plan]:
        """Totals of taxa alone, and of these what fits; before it the bytes of all of them."""
        self._ladders = self._whole_dive()[:1]
        (ladder,) = self._ladders
        ladder.rung = ladder.rungs[0]
        messages = self._pack(self._ladders)
        ends = list(itertools.accumulate(map(len, messages)))
        n_kept = sum(end <= self._budget_bytes for end in ends)
        return ends[-1], self._made(messages[:n_kept], self._worth())

    def may_beat(self, other: _Planner) -> bool:
        """Whether the rungs of another one's plan, with another expectation, take fewer bits with ours."""
        if len(self._ladders) != len(other._ladders):  # that one has room for totals of the dive alone
            return True
        pairs = [
            (ours, theirs.rungs.index(theirs.rung), theirs.packed_bits)
            for ours, theirs in zip(self._ladders, other._ladders, strict=True)
            if theirs.is_regional and theirs.rung is not None
        ]
        most, spent = sum(packed_bits for _, _, packed_bits in pairs), 0
        for ours, at, _ in pairs:
            bits = ours.bits_of(at, most - spent)
            if bits is None:
                return False
            spent += bits
        return spent < most

    def at(self, step: int) -> tuple[bytes, ...]:
        """Messages of all tables bin by bin at a step of companding."""
        for ladder in self._ladders:
            fit = [rung for rung in ladder.rungs if rung.height == 0 and rung.step == step]
            ladder.rung = (fit or ladder.rungs)[-1]
        return self._pack(self._ladders)

    def _best(self, first: tuple[bytes, ...]) -> Plan:
        """Fill the budget: choose for a number of bits, pack, and correct the number by what was needed."""
        best = self._made(first, self._worth())
        whole = self._all_of_it()
        if whole is not None:
            return self._made(whole, self._worth())
        overhead = header_bytes(0, 1, is_short=self._is_short) + 1
        n_messages = max(1, self._budget_bytes // self._limit_bytes)
        capacity = 8 * (self._budget_bytes - overhead * n_messages)
        tried = set()
        for _ in range(_TRIES):
            spent, bound = choose(self._ladders, max(0, capacity))
            key = tuple(ladder.rung for ladder in self._ladders)
            if key in tried:
                break
            tried.add(key)
            found = self._pack(self._ladders)
            left = self._budget_bytes - self._bytes(found)
            if left >= 0:
                if self._worth() >= best.worth:
                    best = self._made(found, max(bound, best.worth_bound))
                if all(ladder.rung is ladder.rungs[-1] for ladder in self._ladders):
                    break
                capacity = max(capacity, spent) + 8 * left - 4
            else:
                capacity = min(capacity, spent) + 8 * left
        return best

    def _made(self, messages: tuple[bytes, ...], bound: int) -> Plan:
        """The plan of messages that were just packed."""
        return Plan(
            (*messages, *self._parity(messages)),
            tuple(_layer(ladder) for ladder in self._ladders),
            self._kind is MessageKind.REGIONAL,
            self._worth(),
            max(bound, self._worth()),
        )

    def _all_of_it(self) -> tuple[bytes, ...] | None:
        """Messages of all tables without loss, all rungs set to the last; None when they do not fit.

        It saves measuring all rungs. Where there is less than a bit for a cell it is not even tried.
        """
        if 8 * self._budget_bytes < sum(ladder.n_cells for ladder in self._ladders):
            return None
        for ladder in self._ladders:
            ladder.rung = ladder.rungs[-1]
        found = self._pack(self._ladders, self._budget_bytes)
        return found if found and self._bytes(found) <= self._budget_bytes else None

    def _worth(self) -> int:
        return sum(ladder.rung.worth for ladder in self._ladders if ladder.rung is not None)

    def _bytes(self, messages: Sequence[bytes]) -> int:
        """Bytes of the messages with their parity."""
        longest = max(map(len, messages))
        return sum(map(len, messages)) + self._n_parity * (longest + self._extra)

    def _pack(self, ladders: Sequence[Ladder], most_bytes: int | None = None) -> tuple[bytes, ...]:
        """Code the ladders at their rungs into messages; none when they are soon seen to take more."""
        summary, short = self._summary, self._is_short
        for parts_bytes in itertools.count(1):
            packer = Packer(self._expectation, self._limit_bytes, parts_bytes, is_short=short)
            for ladder in ladders:
                packer.add(ladder)
                if most_bytes is not None and packer.n_bytes > most_bytes:
                    return ()
            for ladder in ladders:
                packer.add_remainder(ladder)
            bodies = packer.close()
            if len(bodies) <= 1 << (7 * parts_bytes):
                break
        identity = codebook_id(summary.codebook, is_short=short)
        return tuple(
            pack(
                Header(identity, summary.dive_number, part, len(bodies), self._kind, short),
                body,
                summary.codebook,
                parts_bytes,
            )
            for part, body in enumerate(bodies)
        )

    def _parity(self, messages: Sequence[bytes]) -> list[bytes]:
        summary, short = self._summary, self._is_short
        bodies = parity_bodies([message[self._uncovered :] for message in messages], self._n_parity)
        lead = parity_lead(self._n_parity, self._kind)
        identity = codebook_id(summary.codebook, is_short=short)
        return [
            pack(
                Header(identity, summary.dive_number, part, len(messages), MessageKind.PARITY, short),
                lead + body,
                summary.codebook,
            )
            for part, body in enumerate(bodies)
        ]

    def _make(self, quantity: Quantity, scope: int, priorities: Priorities) -> list[Ladder]:
        """Ladders of a table: one for each set of taxa and each depths that are worth the same."""
        weight = priorities.quantities.get(quantity, WEIGHTS.get(quantity, 1))
        is_needed = quantity in (*_ALWAYS, Quantity.FRAMES, Quantity.UNNAMED, Quantity.TAXA)
        if not weight and not is_needed:
            return []
        whole = Ladder(
            self._summary,
            self._expectation,
            quantity,
            scope,
            max(weight, 1),
            is_needed,
            is_layered=self._is_layered,
        )
        ladders = [whole]
        if quantity is Quantity.TAXA and scope != WHOLE_DIVE and priorities.taxa:
            worth: dict[int, list[int]] = {}
            for column, taxon in enumerate(self._summary.codebook.taxa):
                worth.setdefault(max(1, priorities.taxa.get(taxon.label, 1)), []).append(column)
            ladders = [
                whole.part(tuple(worth[times]), whole.first, whole.last, times)
                for times in sorted(worth, reverse=True)
            ]
        return [part for ladder in ladders for part in self._zones(ladder, priorities)]

    def _zones(self, ladder: Ladder, priorities: Priorities) -> list[Ladder]:
        """A ladder cut where the worth of depths changes."""
        edges = ladder.edges_dbar
        if not edges or not priorities.depths_dbar or not ladder.quantity.has_bins:
            return [ladder]

        def times(bin_: int) -> int:
            middle = (edges[bin_] + edges[bin_ + 1]) // 2
            found = [n for low, high, n in priorities.depths_dbar if low <= middle < high]
            return max(1, *found) if found else 1

        runs = [(n, list(bins)) for n, bins in itertools.groupby(range(ladder.first, ladder.last), key=times)]
        return [ladder.part(ladder.columns, bins[0], bins[-1] + 1, n) for n, bins in runs]

    def _whole_dive(self) -> list[Ladder]:
        """Ladders for a budget in which the phases have no room: totals of the dive."""
        known = {ladder.quantity for ladder in self._ladders}
        order = (
            Quantity.TAXA, Quantity.UNNAMED, Quantity.FRAMES, Quantity.DIVE, Quantity.SIZES,
            *self._summary.extras,
        )  # fmt: skip
        wanted = [quantity for quantity in order if quantity in known]
        return [
            ladder
            for i, quantity in enumerate(wanted)
            if (
                ladder := Ladder(
                    self._summary, self._expectation, quantity, WHOLE_DIVE, WEIGHTS.get(quantity, 4), i == 0
                )
            ).columns
        ]


def _layer(ladder: Ladder) -> PlannedLayer:
    rung: Rung | None = ladder.rung
    return PlannedLayer(
        ladder.quantity,
        ladder.scope,
        ladder.columns,
        ladder.first,
        ladder.last,
        None if rung is None else rung.height,
        0 if rung is None else rung.step,
        0 if rung is None else len(ladder.cells(rung.height)) - 1,
        ladder.last - ladder.first,
        -(-ladder.packed_bits // 8) if rung is not None else 0,
        rung is not None and rung.is_refined,
    )
