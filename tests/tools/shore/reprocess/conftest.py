"""An archive of all kinds of sources, small, made once; and the tree of its results."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.tools.made_dive import make_dive
from tests.tools.shore.made_project import made_project
from tests.tools.test_simulate import SCENARIO, seston
from tools.shore.uvp6_project.writer import write_project
from training.drawn import KINDS, draw_particle


def draw_vignettes(folder: Path, n: int, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for i in range(n):
        cv2.imwrite(str(folder / f"{i:04d}.png"), draw_particle(KINDS[i % len(KINDS)], rng, 14.0))
    return folder


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Path:
    """Two recordings, two dives, a UVP6 project, a folder and a zip of vignettes; nobody writes into it."""
    place = tmp_path_factory.mktemp("archive")
    root = place / "archive"
    scenario = place / "scenario.toml"
    scenario.write_text(SCENARIO)
    for seed in (1, 2):
        assert seston("compose", root / f"cruise/rec_{seed}", "--scenario", scenario, "--seed", seed)[0] == 0
    done = seston(
        "simulate", root / "cruise/rec_1", "--bundle", "demo", "--out", root / "dives/a", "--no-report"
    )
    assert done[0] == 0, done[1]
    make_dive(root / "dives/b", seed=3, frames=(40, 8, 30))
    write_project(made_project(), root / "uvp6_project")
    draw_vignettes(root / "sorted/spheres", 30, 5)
    with zipfile.ZipFile(root / "more.zip", "w") as packed:
        for file in sorted(draw_vignettes(place / "more", 25, 6).glob("*.png")):
            packed.write(file, f"class/{file.name}")
    return root


@pytest.fixture
def copy(archive, tmp_path) -> Path:
    """The archive again, to be damaged."""
    return Path(shutil.copytree(archive, tmp_path / "archive"))


def tree(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of the results."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }
