"""Dives as a person names them, a folder with a log or messages, as tables; what cannot be used is listed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from edge.errors import InputError, MessageError, SestonError
from edge.telemetry import Codebook, decode_messages
from edge.telemetry.climatology import Climatology
from edge.telemetry.decoded import DecodedDive
from tools.shore.decode import CLIMATOLOGIES, CODEBOOKS, message_files, read_messages
from tools.shore.dives import LoggedDive, find_messages, is_log, open_log
from tools.shore.exports.from_log import from_log
from tools.shore.exports.positions import NO_POSITIONS, Positions, located
from tools.shore.exports.tables import DiveTables, from_messages
from tools.shore.receiving.products import known_files


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person says of all dives.

    Attributes
    ----------
    positions
        Where dives and floats were.
    cruise
        Name of the cruise where the recording has none.
    codebooks, climatologies
        Further files to decode messages with.
    received
        Messages that shore received of the dives whose logs are given.
    """

    positions: Positions = NO_POSITIONS
    cruise: str = ""
    codebooks: tuple[Path, ...] = ()
    climatologies: tuple[Path, ...] = ()
    received: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A dive to export: where it comes from, its tables, and what messages said of it (from a log)."""

    path: Path
    dive: DiveTables
    said: DecodedDive | None = None


def read_dives(paths: Iterable[Path], wishes: Wishes) -> tuple[list[Source], list[str]]:
    """Dives of some paths, one after another, and a sentence for each path or file that was not used.

    Raises the first refusal when no dive can be used.
    """
    given = list(dict.fromkeys(paths))
    found: list[Source] = []
    refusals: list[SestonError] = []
    faults: list[str] = []
    for path in (one for one in given if is_log(one)):
        try:
            with open_log(path) as log:
                found.append(_of_log(path, log, wishes))
        except SestonError as refused:
            refusals.append(refused)
    messages = [find_messages(one) or one for one in given if not is_log(one)]
    if messages:
        try:
            books, climatologies = (
                [*given, *dict.fromkeys(file for one in messages for file in known_files(one, pattern))]
                for given, pattern in (
                    (wishes.codebooks, CODEBOOKS),
                    (wishes.climatologies, CLIMATOLOGIES),
                )
            )
            result, unused = read_messages(messages, books, climatologies)
            faults += [f"{file}: {reason.rstrip('.')}." for file, reason in unused]
            for decoded in result.dives:
                dive = from_messages(decoded, cruise=wishes.cruise)
                found.append(Source(messages[0], located(dive, message_files(messages), wishes.positions)))
        except SestonError as refused:
            refusals.append(refused)
    if not found and refusals:
        raise refusals[0]
    _refuse_twice(found)
    return found, faults + [str(one) for one in refusals]


def _of_log(path: Path, log: LoggedDive, wishes: Wishes) -> Source:
    dive = from_log(log)
    if not dive.cruise and wishes.cruise:
        dive = replace(dive, cruise=wishes.cruise)
    at_hand = [one for one in (dive.codebook, log.climatology) if one is not None]
    beside = log.log.path.parent / "messages"
    said = None
    if wishes.received:
        said = _received(wishes.received, dive, wishes, at_hand)
    elif any(beside.glob("*.msg")):
        said = _received((beside,), dive, wishes, at_hand)
    elif logged := log.log.messages():
        known = [] if log.climatology is None else [log.climatology]
        said = next(iter(decode_messages(logged, [dive.codebook], known).dives), None)
    return Source(path, located(dive, message_files(wishes.received), wishes.positions), said)


def _received(
    paths: tuple[Path, ...], dive: DiveTables, wishes: Wishes, at_hand: list[Codebook | Climatology]
) -> DecodedDive | None:
    """What messages say of this dive; None when none of them is of it."""
    try:
        result, _ = read_messages(paths, wishes.codebooks, wishes.climatologies, at_hand)
    except MessageError:
        if wishes.received:
            raise
        return None
    return next(
        (
            one
            for one in result.dives
            if one.codebook.sha256 == dive.codebook.sha256 and one.is_of(dive.decoded.dive_number)
        ),
        None,
    )


def sha256_of(path: Path) -> str:
    """Of a file's bytes, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _refuse_twice(found: list[Source]) -> None:
    seen: dict[tuple[str, int], Source] = {}
    for one in found:
        key = one.dive.codebook.sha256, one.dive.decoded.dive_number
        if key in seen and seen[key].dive.start_s == one.dive.start_s:
            raise InputError(
                f"is dive {key[1]}, which {seen[key].path} is too", file=one.path, remedy="name it once"
            )
        seen[key] = one
