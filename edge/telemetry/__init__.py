"""From a dive's profile to messages of a few hundred bytes, and back. Pure, in integers."""

from edge.telemetry.codebook import Codebook, load_codebook
from edge.telemetry.decoded import DecodedDive, Provenance
from edge.telemetry.decoder import Decoding, decode_messages
from edge.telemetry.planned import Plan
from edge.telemetry.planner import plan
from edge.telemetry.summary import WHOLE_DIVE, DiveSummary, Quantity

__all__ = [
    "WHOLE_DIVE",
    "Codebook",
    "DecodedDive",
    "Decoding",
    "DiveSummary",
    "Plan",
    "Provenance",
    "Quantity",
    "decode_messages",
    "load_codebook",
    "plan",
]
