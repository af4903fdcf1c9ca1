"""Run by the installer inside a new version's own environment, before anything is switched to it.

Does all of `seston run` import, from this environment and not from the system's; does the model give its
goldens here; is the configuration one? It touches no camera and no port.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import sysconfig
from pathlib import Path

from edge.errors import InputError, SestonError

BEFORE = frozenset(sys.modules)
"""With what the system's Python loads for everybody at its start, by .pth files of Debian packages."""
ROOMS = ("edge", "firmware_bridge")
COMMANDS = (
    "tools.cli",
    "tools.run",
    "tools.selftest",
    "tools.unit",
    "tools.bundle",
    "tools.fetch",
    "tools.keys",
)
NOT_OURS_TO_IMPORT = ("edge.cameras.genicam_process",)
"""Run by the system's Python, with the system's Aravis."""
UNWANTED = ("tensorflow", "keras", "matplotlib", "pandas", "xarray", "scipy")


def main() -> int:
    """Exit code 0 and a line for each thing that is right, or 2 and a sentence."""
    parser = argparse.ArgumentParser(prog="python -m tools.flashing.verify", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="the configuration alone")
    asked = parser.parse_args()
    try:
        if not asked.quick:
            print(f"program: {_imports()} modules, all of its own environment")  # noqa: T201
        print(_configuration(asked.config, is_quick=asked.quick))  # noqa: T201
    except SestonError as reason:
        print(f"seston: {reason}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def _imports() -> int:
    """Import all that `seston run` may; number of modules that came with the wheels."""
    names = [module for room in ROOMS for module in _modules(room) if module not in NOT_OURS_TO_IMPORT]
    for name in (*names, *COMMANDS):
        importlib.import_module(name)
    own = Path(sys.prefix).resolve()
    standard = [Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib")]
    n_own = 0
    for name, module in sorted(sys.modules.items()):
        place = getattr(module, "__file__", None)
        if place is None or name in BEFORE:
            continue
        file = Path(place).resolve()
        if file.is_relative_to(own):
            n_own += 1
        elif not any(file.is_relative_to(one) for one in standard) or "dist-packages" in file.parts:
            raise InputError(
                "comes from the system and not from the installer",
                file=file,
                remedy="make the installer anew",
            )
    if there := [name for name in UNWANTED if name in sys.modules]:
        raise InputError(f"imports {', '.join(there)}", field="seston run", remedy="make the installer anew")
    return n_own


def _modules(room: str) -> list[str]:
    package = importlib.import_module(room)
    return [room, *(found.name for found in pkgutil.walk_packages(package.__path__, f"{room}."))]


def _configuration(file: Path, *, is_quick: bool) -> str:
    from edge.config import load_config
    from edge.inference.bundle import load_bundle
    from edge.inference.classifier import TOLERANCE, Classifier
    from edge.logged import optics_of

    config = load_config(file)
    optics_of(config)
    bundle = load_bundle(config.bundle)
    if is_quick:
        return f"configuration: of {config.platform}, with {bundle.name}"
    for kernels in TOLERANCE:
        Classifier(bundle, kernels=kernels)  # refuses a bundle whose goldens it does not reproduce
    n = len(bundle.golden_inputs)
    return f"configuration: of {config.platform}; model {bundle.name} gives its {n} answers"


if __name__ == "__main__":
    sys.exit(main())
