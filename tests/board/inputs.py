"""What both machines are given: recordings composed here, dives made of them here, and real images.

Composing is no part of what must be the same everywhere; its files are carried over.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import msgspec

from tests.board.findings import Input, simulate
from tests.tools.test_simulate import SCENARIO
from tools.compose import compose_recording

N_VIGNETTES = 60
CAST_FRAMES = N_FRAMES = 3
PWSSC_PIXEL_UM = 35.0


def make_inputs(folder: Path, data: Path) -> list[str]:
    """Make the inputs in a new folder; returns what real data there was none of, in sentences."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    scenario = folder / "scenario.toml"
    scenario.write_text(SCENARIO, encoding="utf-8")
    compose_recording(folder / "composed/recording", scenario_file=scenario, seed=4)
    _describe(folder / "composed", Input(bundle="demo"))
    missing = []
    casts, vignettes, frames = (
        data / "uvp6_casts/03_Particule.zip",
        data / "pwssc.zip",
        data / "darkfield_frames",
    )
    if casts.is_file() and vignettes.is_file():
        compose_recording(
            folder / "cast/recording", cast_file=casts, vignettes=vignettes, vignette_pixel_um=PWSSC_PIXEL_UM,
            n_frames=CAST_FRAMES, seed=4,
        )  # fmt: skip
        _describe(folder / "cast", Input(bundle="darkfield"))
    else:
        missing.append("no real cast: its frames are left out")
    if frames.is_dir():
        (folder / "frames/recording").mkdir(parents=True)
        for file in sorted(frames.glob("*.png"))[:N_FRAMES]:
            shutil.copy(file, folder / "frames/recording")
        _describe(folder / "frames", Input(bundle="darkfield", fps=1.0, pressure="0:20", threshold=40))
    else:
        missing.append("no real dark-field frames: they are left out")
    for name, bundle in (("pwssc", "darkfield"), ("planktonset", "shadowgraph"), ("uvp6", "demo")):
        if (data / f"{name}.zip").is_file():
            _take_some(data / f"{name}.zip", folder / "vignettes" / bundle)
        else:
            missing.append(
                f"no real images of {name}: {bundle} sees its goldens and what was segmented alone"
            )
    return missing


def _describe(folder: Path, how: Input) -> None:
    """Say how it is replayed, and make the dive whose log both machines read."""
    (folder / "input.json").write_bytes(msgspec.json.encode(how))
    simulate(folder, how, folder / "dive")


def _take_some(images: Path, folder: Path) -> None:
    """Images of a data set, evenly spread over it."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(images) as archive:
        names = sorted(one for one in archive.namelist() if one.endswith((".png", ".jpg")))
        for n, name in enumerate(names[:: max(1, len(names) // N_VIGNETTES)]):
            (folder / f"{n:04d}{Path(name).suffix}").write_bytes(archive.read(name))
