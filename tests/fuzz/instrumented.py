"""One target under atheris, which ends the process itself. Called by `python -m tests.fuzz`."""

from __future__ import annotations

import importlib
import sys

import atheris


def main() -> None:
    """Hand over to libFuzzer: the name to call this by again, the target's name, then its arguments."""
    _, again, name, *arguments = sys.argv
    with atheris.instrument_imports(
        include=["edge", "firmware_bridge", "reedsolo", "tools.shore.receiving", "tools.shore.uvp6_project"]
    ):
        targets = importlib.import_module("tests.fuzz.targets")
    atheris.Setup([again, *arguments], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
