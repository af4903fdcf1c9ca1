"""Writes telemetry-1.json anew: `python -m tests.golden.make_telemetry`, for a new version alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.edge.telemetry.golden import KINDS, golden_dive, golden_messages, golden_region

FILE = Path(__file__).parent / "telemetry-1.json"


def main() -> None:
    """Write the messages of every kind, and what is needed to read them."""
    dive, region = golden_dive(), golden_region()
    lossless = golden_messages("lossless")
    kept = {
        "codebook": json.loads(dive.codebook.to_json()),
        "codebook_sha256": dive.codebook.sha256,
        "climatology": json.loads(region.to_json()),
        "climatology_sha256": region.sha256,
        "taxa": dive.profile.taxa().tolist(),
        "outcomes": dive.profile.outcomes().tolist(),
        "messages": {kind: [message.hex() for message in golden_messages(kind)] for kind in KINDS},
        "lossless_sha256": hashlib.sha256(b"".join(lossless)).hexdigest(),
    }
    FILE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
