"""Runs `seston export ...` as a person does, in this process."""

from __future__ import annotations

import contextlib
import io

from tools.cli import main


def seston(*words: object) -> tuple[int, str]:
    """Exit code, and everything that was printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            main([str(word) for word in words])
        except SystemExit as left:
            code = left.code
            return (code if isinstance(code, int) else 0), out.getvalue()
    return 0, out.getvalue()
