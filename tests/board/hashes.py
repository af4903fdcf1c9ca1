"""Hashes of the messages of a few generated dives, to compare between machines.

The dives are made in integers alone: where two machines differ, it is the coding and not the dive. Runs with
what the board has and hypothesis, which the dives' module imports.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Sequence

import numpy as np

from edge.frame import N_OUTCOMES, Phase
from edge.profile import Profile
from edge.telemetry import DiveSummary, decode_messages, plan
from edge.telemetry.missing import Request, encode_request
from edge.telemetry.parity import parity_bodies, restore
from tests.edge.telemetry.dives import FIVE_DBAR, make_codebook, make_phase

CASES = {
    # name: (bins of a phase, taxa, size classes, bits of the largest counts, budget and message, bytes)
    "few counts, all of it": (60, 8, 10, 3, 10**6, 340),
    "many counts, all of it": (60, 5, 6, 12, 10**6, 340),
    "counts beyond 32 bits": (24, 3, 4, 34, 10**6, 340),
    "cut to a budget": (60, 8, 10, 5, 900, 340),
    "small messages": (40, 4, 6, 4, 700, 51),
}


def hashes() -> dict[str, str]:
    """SHA-256 by case, of all messages and their parity; every case is decoded again and compared."""
    found = {
        name: _hash_of(_dive(seed, *case[:4]), *case[4:]) for seed, (name, case) in enumerate(CASES.items())
    }
    asked = [Request.of_parts(n, 40, random.Random(n).sample(range(40), 9)) for n in range(50)]
    found["request"] = hashlib.sha256(encode_request(asked).data).hexdigest()
    return found


def _dive(seed: int, n_bins: int, n_taxa: int, n_classes: int, bits: int) -> DiveSummary:
    r = random.Random(seed)
    book = make_codebook(n_taxa, FIVE_DBAR, n_classes, max_dbar=5 * n_bins)

    def table(columns: int, bits: int) -> np.ndarray:
        # Patchy: a row's counts have about its own number of bits.
        rows = [[r.getrandbits(1 + r.randrange(bits)) for _ in range(columns)] for _ in range(n_bins)]
        return np.array(rows, dtype=np.int64)

    parts = [
        make_phase(book, phase, table(n_taxa, bits), table(n_classes, bits), table(N_OUTCOMES, 4))
        for phase in (Phase.DESCENT, Phase.PARK)
    ]
    return DiveSummary(seed, book, Profile(tuple(parts)), 1_700_000_000_000, 1_700_000_900_000)


def _hash_of(dive: DiveSummary, budget_bytes: int, message_bytes: int) -> str:
    messages = plan(dive, budget_bytes, message_bytes).messages
    parity = parity_bodies(messages, 2)
    (found,) = decode_messages(messages, [dive.codebook])
    assert found.is_complete
    assert found.taxa().tolist() == dive.profile.taxa().tolist()
    assert restore(len(messages), dict(enumerate(messages[1:], 1)), dict(enumerate(parity)), 2) == {
        0: messages[0]
    }
    return _sha256([*messages, *parity])


def _sha256(items: Sequence[bytes]) -> str:
    return hashlib.sha256(b"".join(len(item).to_bytes(4, "big") + item for item in items)).hexdigest()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(hashes()))
