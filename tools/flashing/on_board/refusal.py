"""The one error of the installer: a sentence for the person at the board."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 it is a refusal: nothing broke
    """What cannot be done, and what to do about it; nothing was changed that counts."""
