"""One version's own Python environment, made from the wheels inside the file; nothing is fetched.

The same file makes the same bytes on every board, under whatever clock: files are dated by the build, and
byte code is checked by nothing that a clock or a copy could change.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.flashing.on_board import places
from tools.flashing.on_board.machine import this_python
from tools.flashing.on_board.payload import Payload
from tools.flashing.on_board.refusal import Refusal

LIMIT_S = 3600.0
"""A step that takes longer hangs: it takes minutes on the slowest board."""


def make(payload: Payload, version: Path) -> None:
    """Fill the folder of a version: environment, models, libraries.

    The system's packages are seen behind the wheels: cameras come from there (Picamera2, Aravis, gpiod).
    """
    manifest, python = payload.manifest, this_python()
    wheels = version / "wheels"
    wheels.mkdir(parents=True)
    inside = manifest.of("wheel", python)
    for entry in inside:
        payload.copy(entry, wheels)
    (pip,) = (payload.copy(entry, wheels) for entry in manifest.of("pip", python))
    asked = "".join(f"{one.name}=={one.version} --hash=sha256:{one.sha256}\n" for one in inside)
    (wheels / "requirements.txt").write_text(asked)
    venv = version / "venv"
    clean = clean_environment(manifest.epoch_s, wheels)
    _run([sys.executable, "-I", "-m", "venv", "--without-pip", "--system-site-packages", str(venv)], clean)
    own = str(venv / "bin" / "python")
    _run([
        own, "-B", "-I", f"{pip}/pip", "install", "--quiet", "--no-index", "--no-deps", "--ignore-installed",
        "--no-compile", "--require-hashes", "--no-cache-dir", "--disable-pip-version-check",
        "--root-user-action", "ignore", "--no-warn-script-location",
        "--find-links", str(wheels), "--requirement", str(wheels / "requirements.txt"),
    ], clean)  # fmt: skip
    shutil.rmtree(wheels)
    site = next((venv / "lib").glob("python*/site-packages"))
    _run([own, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(site)], clean)
    for kind in ("model", "lib"):
        for entry in manifest.of(kind, python):
            (version / f"{kind}s").mkdir(exist_ok=True)
            payload.copy(entry, version / f"{kind}s")
    for file in version.rglob("*"):
        os.utime(file, (manifest.epoch_s, manifest.epoch_s), follow_symlinks=False)


def clean_environment(epoch_s: int, temporary: Path) -> dict[str, str]:
    """For every child: nothing of the caller's pip, Python or language settings."""
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root",
        "TMPDIR": str(temporary),
        "PIP_CONFIG_FILE": os.devnull, "PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": str(epoch_s),
        **{name: os.environ[name] for name in ("QEMU_CPU", "TERM") if name in os.environ},
    }  # fmt: skip


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, env=environment, cwd=places.HOME, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    if done.returncode:
        last = next((line for line in reversed(done.stdout.splitlines()) if line.strip()), "it said nothing")
        step = next(word for word in ("compileall", "install", "venv") if word in command)
        raise Refusal(f"{step} ended with {done.returncode} ({last.strip()}); nothing was changed.")
