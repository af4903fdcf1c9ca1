"""What pytest does differently on an emulated board: `pytest -p tests.board.plugin`.

There everything takes ten to fifty times longer. So Hypothesis tries few examples, which is to find what this
processor computes otherwise and not what none should, and tests that say so are left out, with the reason.
"""

from __future__ import annotations

import hypothesis
import pytest

EXAMPLES = 8
TOO_LONG = {
    "test_hosts.py": (
        "test_a_dive_whose_messages_could_not_be_made", "test_pressure_that_has_grown_old",
        "test_a_budget_from_the_host", "test_power_is_let_go", "test_messages_wait_for_a_float",
        "test_who_reads_logs_is_no_host", "test_a_float_that_was_not_reset",
        "test_a_dive_goes_on_and_ends_though", "test_a_dive_that_has_no_room",
    ),
    "test_fetch.py": ("test_in_a_dive_nothing_is_sent",),
    "test_live.py": ("test_the_log_and_the_messages", "test_an_instrument_that_nobody"),
    "test_overload.py": ("test_who_is_left_unnamed", "test_a_dive_without_overload"),
    "test_quantification.py": ("test_of_many_objects",),
    "test_run.py": ("test_a_dive_from_a_video",),
    "test_segmentation.py": ("test_twenty_thousand_particles",),
    "test_watchdog.py": ("test_a_real_run_is_ready",),
}  # fmt: skip
"""Tests that take longer than a whole module should, by the beginnings of their names: whole dives, again and
again. One of each kind runs, and `tests.board.findings` makes dives of its own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Few examples; nothing that is marked `not_emulated`, or takes too long."""
    for item in items:
        mark = item.get_closest_marker("not_emulated")
        reason = None if mark is None else mark.args[0]
        if item.name.startswith(TOO_LONG.get(item.path.name, ())):
            reason = "it takes minutes there"
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=f"not emulated: {reason}"))
        test = getattr(item, "obj", None)
        if getattr(test, "is_hypothesis_test", False):
            _limit(getattr(test, "__func__", test))


def _limit(test: object) -> None:
    known = getattr(test, "_hypothesis_internal_use_settings", None) or hypothesis.settings.default
    few = hypothesis.settings(known, max_examples=min(known.max_examples, EXAMPLES), deadline=None)
    test._hypothesis_internal_use_settings = few  # type: ignore[attr-defined]
