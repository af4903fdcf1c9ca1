"""`make fuzz`: coverage-guided fuzzing of the targets for a limited time; needs the `fuzz` extra (atheris).

python -m tests.fuzz [TARGET ...] [--seconds 60]   look for inputs that break a target
python -m tests.fuzz TARGET --replay FILE          run one input again
python -m tests.fuzz --keep                        minimise what was found into the corpus of the tests
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "out" / "fuzz"
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
NAMES = (
    "messages",
    "sealed",
    "parity",
    "request",
    "link",
    "logs",
    "modem",
    "uvp6",
    "packets",
    "cts5",
    "webhook",
    "config",
    "project",
    "ecopart",
    "torn",
)
MAX_INPUT_BYTES = 1200
LONGER_INPUT_BYTES = {"project": 3000, "ecopart": 6000}
"""Where one good file is longer than that."""
SLOWEST_INPUT_S = 20
MOST_MEMORY_MB = 1024
KEPT_FILES = 40
"""Most files that a target keeps."""


def main() -> int:
    """Exit code 1 when an input broke a target."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES) + "; all when left out")
    parser.add_argument("--seconds", type=int, default=60, help="time for each target")
    parser.add_argument("--seed", type=int, default=0, help="the same inputs each time; 0 tries others")
    parser.add_argument("--replay", type=Path, metavar="FILE")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    targets = arguments.targets or list(NAMES)
    if unknown := set(targets) - set(NAMES):
        parser.error(f"no target is called {', '.join(sorted(unknown))}")
    if arguments.replay:
        from tests.fuzz.targets import TARGETS

        TARGETS[targets[0]](arguments.replay.read_bytes())
        return 0
    if importlib.util.find_spec("atheris") is None:
        sys.stdout.write("fuzz: skipped: atheris is not here (pip install -e '.[fuzz]'; Linux on x86-64)\n")
        return 0
    if arguments.keep:
        return max(_keep(name) for name in targets)
    return max(_fuzz(name, arguments.seconds, arguments.seed) for name in targets)


def _fuzz(name: str, seconds: int, seed: int) -> int:
    """Fuzz a target in a process of its own; says in a line what came of it."""
    folder = WORK / name
    found = folder / "corpus"
    found.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*-*"):
        old.unlink()
    _write_seeds(name, found)
    longest = LONGER_INPUT_BYTES.get(name, MAX_INPUT_BYTES)
    limits = [
        f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={longest}",
        f"-timeout={SLOWEST_INPUT_S}", f"-rss_limit_mb={MOST_MEMORY_MB}",
        f"-artifact_prefix={folder}/", "-print_final_stats=1",
    ]  # fmt: skip
    code, text = _libfuzzer(name, [*limits, str(found), *_if_there(CORPUS / name)])
    stats = dict(line[6:].split(":", 1) for line in text.splitlines() if line.startswith("stat::"))
    runs = stats.get("number_of_executed_units", "0").strip()
    coverage = [line for line in text.splitlines() if " cov: " in line]
    edges = coverage[-1].split(" cov: ")[1].split()[0] if coverage else "?"
    sys.stdout.write(f"fuzz {name}: {runs} inputs, {edges} edges, {'FAILED' if code else 'nothing broke'}\n")
    for file in sorted(folder.glob("*-*")):
        sys.stdout.write(f"  python -m tests.fuzz {name} --replay {file.relative_to(ROOT)}\n")
    if code:
        sys.stdout.write(text[-4000:])
    sys.stdout.flush()
    return int(code != 0)


def _keep(name: str) -> int:
    """Minimise what was found and what is kept: as few inputs as reach the same, the smallest first."""
    from tests.fuzz.targets import seeds

    fresh = WORK / name / "kept"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    found = WORK / name / "corpus"
    found.mkdir(parents=True, exist_ok=True)
    _write_seeds(name, found)
    code, text = _libfuzzer(name, ["-set_cover_merge=1", str(fresh), str(found), *_if_there(CORPUS / name)])
    if code:
        sys.stdout.write(text[-4000:])
        return 1
    inputs = sorted((file.read_bytes() for file in fresh.iterdir()), key=len)[:KEPT_FILES]
    shutil.rmtree(CORPUS / name, ignore_errors=True)
    (CORPUS / name).mkdir(parents=True)
    for data in {*inputs, *seeds(name)}:
        (CORPUS / name / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    n = len(list((CORPUS / name).iterdir()))
    sys.stdout.write(f"fuzz {name}: {n} files kept\n")
    return 0


def _write_seeds(name: str, folder: Path) -> None:
    from tests.fuzz.targets import seeds

    for data in seeds(name):
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def _if_there(folder: Path) -> list[str]:
    return [str(folder)] if folder.is_dir() else []


def _libfuzzer(name: str, arguments: list[str]) -> tuple[int, str]:
    # To merge, libFuzzer calls itself again by the name it was called by: that must be something to execute.
    again = WORK / name / "again"
    again.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.fuzz.instrumented "$0" {name} "$@"\n')
    again.chmod(0o755)
    done = subprocess.run(
        [again, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout


if __name__ == "__main__":
    sys.exit(main())
