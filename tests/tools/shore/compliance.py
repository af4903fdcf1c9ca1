"""The IOOS compliance checker, as it is, but for what it looks up again and again in the same open file.

For each variable of ours it asks some forty times anew which variables are coordinates, each time through all
of them: 95 % of its time. Here such an answer is remembered while a file is checked; no check is left out.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

_PARAMETERS = (["nc"], ["nc", "variable"])
"""Of the look-ups: of the file alone, or of a variable by its name. They change nothing and read no clock."""


def findings(path: Path, suites: tuple[str, ...]) -> dict[str, list[tuple[int, str, tuple[str, ...]]]]:
    """By suite what the checker found wrong: (weight, name, sentences)."""
    from compliance_checker.runner import CheckSuite

    CheckSuite.load_all_available_checkers()
    checks = CheckSuite()
    data = checks.load_dataset(str(path))
    found = {}
    with remembered():
        for suite in suites:
            results, errors = checks.run_all(data, [suite], [])[suite]
            assert not errors, errors
            found[suite] = []
            for one in results:
                right = one.value if isinstance(one.value, bool) else one.value[0] == one.value[1]
                if not right:  # what is right may say where it found what it looked for
                    found[suite].append((one.weight, one.name, tuple(one.msgs or ())))
    return found


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """Remember the look-ups of the one file that is checked meanwhile."""
    from compliance_checker.cf import util

    with contextlib.ExitStack() as stack:
        for name, function in inspect.getmembers(util, inspect.isfunction):
            is_lookup = name.startswith(("get_", "is_geophysical", "guess_", "coordinate_dim"))
            if is_lookup and list(inspect.signature(function).parameters) in _PARAMETERS:
                stack.enter_context(mock.patch.object(util, name, _remembering(function)))
        yield


def _remembering(function):
    known = {}

    @functools.wraps(function)
    def ask(nc, *variable):
        if any(not isinstance(one, str) for one in variable):
            return function(nc, *variable)
        key = id(nc), variable
        if key not in known:
            known[key] = function(nc, *variable)
        return copy.copy(known[key])  # a caller may change its own

    return ask
