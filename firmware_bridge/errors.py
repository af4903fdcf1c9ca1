"""Errors of the ground floor: each is one sentence.

What the other end does wrong is never an error here but an event: only local faults are raised.
"""

from __future__ import annotations


class BridgeError(Exception):
    """Base of this floor's errors."""


class TransportError(BridgeError):
    """A port cannot be opened, read or written."""


class MisuseError(BridgeError):
    """The owner of a protocol asked for what its state does not allow: a fault of our own program."""
