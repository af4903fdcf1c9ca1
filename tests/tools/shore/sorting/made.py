"""Drawn particles and work files of them, for the tests of sorting."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge.errors import BundleError
from edge.inference.bundle import load_bundle
from tools.cli import cli
from training.drawn import KINDS
from training.drawn_set import drawn_vignette

SHOWN = KINDS[:4]
"""Kinds that are drawn here."""


def draw(folder: Path, each: int, *, kinds=SHOWN, seed: int = 1) -> Path:
    """`each` PNG of every kind in one folder, `kind-number.png`: nothing but the name tells the kind."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        for i in range(each):
            cv2.imwrite(str(folder / f"{kind}-{i:04d}.png"), drawn_vignette(kind, rng, rng.uniform(14, 40)))
    return folder


def seston(*arguments):
    """Run a command as typed."""
    return CliRunner().invoke(cli, [str(one) for one in arguments], catch_exceptions=False)


def typed(*arguments):
    """The command line of a process of its own."""
    return [sys.executable, "-u", "-c", "from tools.cli import main; main()", *map(str, arguments)]


def make_work(folder: Path, each: int = 40, **how) -> Path:
    """A work file of drawn particles by the shipped demo bundle; skips where there is none."""
    try:
        load_bundle("demo")
    except BundleError as error:
        pytest.skip(f"needs the shipped demo bundle: {error}")
    file = folder / "cast.sort"
    done = seston("sort", "embed", draw(folder / "images", each, **how), "--bundle", "demo", "--out", file)
    assert done.exit_code == 0, done.output
    return file
