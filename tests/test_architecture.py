"""An arrow may only point down, and pure rooms open nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("firmware_bridge", "edge", "training", "tools")
MAY_IMPORT = {
    "firmware_bridge": {"firmware_bridge"},
    "edge": {"firmware_bridge", "edge"},
    "training": {"edge", "training"},
    "tools": {"firmware_bridge", "edge", "training", "tools"},
}
BOARD_PACKAGES = {
    "ai_edge_litert", "click", "cobs", "cryptography", "cv2", "msgspec", "numpy", "reedsolo", "rich",
    "serial", "tensorflow", "tflite_runtime",
}  # fmt: skip
CAMERA_PACKAGES = {"gi", "gpiod", "picamera2"}
"""Imported inside a function, for one kind of camera or light: a board without it does without."""
PURE = (
    "edge/frame.py", "edge/optics.py", "edge/taxonomy.py", "edge/profile.py", "edge/mission.py",
    "edge/cameras/camera.py", "edge/cameras/clock.py", "edge/cameras/ledger.py",
    "edge/timeline.py", "edge/schedule.py", "edge/overload.py", "edge/quantification.py", "edge/vision",
    "edge/telemetry", "edge/drift.py", "edge/counted.py", "firmware_bridge/ctd.py",
    "firmware_bridge/sans_io.py", "firmware_bridge/framing.py", "firmware_bridge/link.py",
    "firmware_bridge/link_channel.py", "firmware_bridge/link_objects.py", "firmware_bridge/link_records.py",
    "firmware_bridge/link_wire.py", "firmware_bridge/link_logs.py", "firmware_bridge/link_speed.py",
    "firmware_bridge/commands.py", "firmware_bridge/settings.py",
    "firmware_bridge/iridium/at.py", "firmware_bridge/iridium/clock.py",
    "firmware_bridge/iridium/directip.py", "firmware_bridge/iridium/sbd.py", "firmware_bridge/iridium/imt.py",
    "firmware_bridge/iridium/driver.py", "firmware_bridge/iridium/radio.py",
    "firmware_bridge/iridium/sbd_buffers.py", "firmware_bridge/iridium/rudics.py",
    "firmware_bridge/iridium/sbd_words.py", "firmware_bridge/iridium/statuses.py", "firmware_bridge/uvp6",
    "tools/shore/science/intervals.py", "tools/shore/science/spectra.py", "tools/shore/science/flux.py",
    "tools/shore/science/slope.py", "tools/shore/science/carbon.py", "tools/shore/science/biomass.py",
    "tools/shore/science/morphospace.py", "tools/shore/science/orientation.py",
    "tools/shore/science/layers.py", "tools/shore/science/analysis.py", "tools/shore/science/figures.py",
    "tools/shore/science/plots.py", "tools/shore/science/shape_figures.py",
)  # fmt: skip
OPENS_SOMETHING = {
    "os", "io", "socket", "sqlite3", "subprocess", "threading", "time", "datetime", "serial", "pathlib",
    "shutil", "tempfile", "random", "multiprocessing", "asyncio", "select", "signal",
}  # fmt: skip
CALLS = {"open", "print", "input", "exec", "eval"}


def modules(folder: str) -> list[Path]:
    place = ROOT / folder
    return [place] if place.suffix == ".py" else sorted(place.rglob("*.py"))


def imports(file: Path) -> set[str]:
    """Every module named in an import statement anywhere in the file."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("floor", FLOORS)
def test_arrows_point_down(floor):
    for file in modules(floor):
        rooms = {name.split(".")[0] for name in imports(file)} & set(FLOORS)
        assert rooms <= MAY_IMPORT[floor], f"{file.relative_to(ROOT)} imports {rooms - MAY_IMPORT[floor]}"


@pytest.mark.parametrize("floor", ["edge", "firmware_bridge"])
def test_the_board_imports_only_what_the_board_has(floor):
    for file in modules(floor):
        foreign = {
            top
            for top in (name.split(".")[0] for name in imports(file))
            if top not in BOARD_PACKAGES | CAMERA_PACKAGES | set(FLOORS) | set(sys.stdlib_module_names)
        }
        assert not foreign, f"{file.relative_to(ROOT)} imports {foreign}"


def test_what_a_board_may_lack_is_imported_when_it_is_configured():
    for file in modules("edge"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            named = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            named |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
            assert not {name.split(".")[0] for name in named} & CAMERA_PACKAGES, file.relative_to(ROOT)


@pytest.mark.parametrize("room", PURE)
def test_pure_rooms_open_nothing(room):
    if room.endswith(".py") and not (ROOT / room).exists():
        pytest.fail(f"{room} is gone: move its line in this test along")
    for file in modules(room):
        tops = {name.split(".")[0] for name in imports(file)}
        assert not tops & OPENS_SOMETHING, f"{file.relative_to(ROOT)} imports {tops & OPENS_SOMETHING}"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in CALLS, f"{file.relative_to(ROOT)} calls {node.func.id}()"


def test_tensorflow_is_named_only_behind_the_adapter_on_the_board():
    named = [f for f in modules("edge") if any(name.startswith("tensorflow") for name in imports(f))]
    assert [f.name for f in named] in ([], ["litert.py"])


@pytest.mark.board
@pytest.mark.parametrize("module", ["tools.run", "tools.simulate", "edge.instrument"])
def test_running_never_imports_what_the_board_lacks(module):
    heavy = "tensorflow keras matplotlib pandas xarray plotly scipy skimage sklearn"
    code = f"import sys, {module}; sys.exit(' '.join(m for m in '{heavy}'.split() if m in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.board
def test_help_imports_no_opencv():
    code = (
        "import sys; from click.testing import CliRunner; from tools.cli import cli;"
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0;"
        "sys.exit(' '.join(m for m in ('cv2', 'numpy', 'rich', 'msgspec') if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
