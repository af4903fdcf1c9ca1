"""Errors of the ground floor: each is one sentence."""

from __future__ import annotations


class BridgeError(Exception):
    """Base of this floor's errors."""


class TransportError(BridgeError):
    """A port cannot be opened, read or written."""
