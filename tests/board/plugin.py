"""What pytest does differently on an emulated board: `pytest -p tests.board.plugin`.

There everything takes ten to fifty times longer. So Hypothesis tries few examples, which is to find what this
processor computes otherwise and not what none should, and tests that say so are left out, with the reason.
"""

from __future__ import annotations

import hypothesis
import pytest

EXAMPLES = 8


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Few examples; nothing that is marked `not_emulated`."""
    for item in items:
        mark = item.get_closest_marker("not_emulated")
        if mark is not None:
            item.add_marker(pytest.mark.skip(reason=f"not emulated: {mark.args[0]}"))
        test = getattr(item, "obj", None)
        if getattr(test, "is_hypothesis_test", False):
            _limit(getattr(test, "__func__", test))


def _limit(test: object) -> None:
    known = getattr(test, "_hypothesis_internal_use_settings", None) or hypothesis.settings.default
    few = hypothesis.settings(known, max_examples=min(known.max_examples, EXAMPLES), deadline=None)
    test._hypothesis_internal_use_settings = few  # type: ignore[attr-defined]
