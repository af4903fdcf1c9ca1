"""The process is killed again and again, through whole dives; see `judge` for what must hold after each."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.durability.aboard import Aboard, Promises, World, drain
from tests.durability.judge import judge

LONGEST_LIFE_S = 0.4
PIPE_BYTES = 1 << 20


@dataclass
class Tally:
    """What happened."""

    kills: int = 0
    dives: int = 0
    frames: int = 0
    messages: int = 0
    delivered: int = 0
    seconds: float = 0.0
    when: Counter[str] = field(default_factory=Counter)

    def rows(self) -> list[tuple[str, str]]:
        """For people."""
        return [
            ("kills", f"{self.kills} in {self.seconds:.0f} s"),
            ("dives ended", str(self.dives)),
            ("frames promised, all found", str(self.frames)),
            ("messages queued, none changed", str(self.messages)),
            ("messages delivered, none made again", str(self.delivered)),
            *((f"killed {name}", str(n)) for name, n in sorted(self.when.items())),
        ]


def kill_again_and_again(folder: Path, kills: int, seed: int, *, most_s: float = float("inf")) -> Tally:
    """Kill the service so often, or for so long; raises `AssertionError` at the first broken promise."""
    chance = random.Random(seed)
    aboard, world, promised, tally = Aboard(), World(), Promises(), Tally()
    began_s = time.monotonic()
    while tally.kills < kills and time.monotonic() - began_s < most_s:
        before = world.ticks
        lines, is_dead = _one_life(aboard, folder, world, LONGEST_LIFE_S * chance.random() ** 2)
        assert is_dead, f"the service ended by itself, see {folder}/last-words"
        for line in lines:
            promised.hear(line)
        tally.kills += 1
        tally.when[_when(lines, world.ticks - before)] += 1
        if (folder / "dives").exists():
            judge(folder, promised)
    tally.dives, tally.frames = len(promised.ended), sum(promised.frames.values())
    tally.messages, tally.delivered = len(promised.data), len(promised.delivered)
    tally.seconds = time.monotonic() - began_s
    return tally


def _when(lines: list[str], ticks: int) -> str:
    """What the process had last said."""
    if not lines:
        return "in a dive, before a bloc was full" if ticks else "while it started"
    last = lines[-1].split()[0]
    return {
        "frames": "between two blocs", "put": "after messages were queued",
        "delivered": "handing messages over", "ended": "after a dive had ended",
    }[last]  # fmt: skip


def _one_life(aboard: Aboard, folder: Path, world: World, life_s: float) -> tuple[list[str], bool]:
    """What the process promised, and whether it lived until it was killed."""
    hear, tell = os.pipe()
    fcntl.fcntl(tell, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    child = os.fork()
    if child == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the interpreter greets every life
            aboard.run(
                folder, world, lambda line: os.write(tell, f"{line}\n".encode()) and None, lambda: False
            )
        except BaseException as error:  # noqa: BLE001
            (folder / "last-words").write_text(repr(error), encoding="utf-8")
        finally:
            os._exit(1)
    os.close(tell)
    time.sleep(life_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.set_blocking(hear, False)
    lines = drain(hear)
    os.close(hear)
    return lines, os.WIFSIGNALED(status)
