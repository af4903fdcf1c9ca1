"""How a process has ended, in words."""

from __future__ import annotations

import signal


def ending(code: int | None) -> str:
    """Words for what `subprocess` gives as the return code of a process that is gone."""
    if code is not None and code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with {code}"
