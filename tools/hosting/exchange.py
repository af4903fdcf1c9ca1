"""What two ends of a line said to each other, in words and in time, for a person to read."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """Something that one end said.

    Attributes
    ----------
    at_s
        Seconds since power-on; of the first where it stands for several.
    end
        Who said it.
    words
        What, in words.
    times
        How often it was said in a row, with other numbers.
    """

    at_s: float
    end: str
    words: str
    times: int = 1


@dataclass(slots=True)
class Exchange:
    """Lines in the order of time."""

    said: list[tuple[float, str, str, str]] = field(default_factory=list)

    def add(self, at_s: float, end: str, words: str, kind: str = "") -> None:
        """Note what was said; those of one end and `kind` in a row are shown as one line."""
        self.said.append((at_s, end, words, kind))

    def lines(self) -> Iterator[Line]:
        """Lines to show: of several of one end and kind in a row the first, and how many there were."""
        for (end, kind), run in itertools.groupby(self.said, key=lambda said: (said[1], said[3])):
            if kind:
                (at_s, _, words, _), *more = run
                yield Line(at_s, end, words, 1 + len(more))
            else:
                yield from (Line(at_s, end, words) for at_s, _, words, _ in run)

    def write(self, file: Path) -> None:
        """Write everything that was said, a line each."""
        lines = [f"{at_s:12.3f} s  {end:<17} {words}\n" for at_s, end, words, _ in self.said]
        file.write_text("".join(lines), encoding="utf-8")

    def show(self, console: Any) -> None:
        """Print the lines as a table."""
        from rich.table import Table

        table = Table("time", "who", "says", title="Exchange with the host")
        for line in self.lines():
            more = "" if line.times == 1 else f" … and {line.times - 1} more like it"
            table.add_row(clock_text(line.at_s), line.end, line.words + more)
        console.print(table)


def clock_text(seconds: float) -> str:
    """Seconds since power-on as people read them: 1 d 02:03:04.5."""
    tenths = round(10 * seconds)
    days, rest = divmod(tenths, 864_000)
    hours, rest = divmod(rest, 36_000)
    minutes, rest = divmod(rest, 600)
    text = f"{hours:02d}:{minutes:02d}:{rest / 10:04.1f}"
    return f"{days} d {text}" if days else text
