"""`seston unit`: what is printed is a unit that systemd takes, for this machine."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.cli import main
from tools.unit import unit_for

LATER_KEYS = ("RestartSteps", "RestartMaxDelaySec")
"""Of systemd 254; those before ignore them."""


def parsed(text):
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str
    unit.read_string(text)
    return unit["Service"]


def test_it_is_for_this_machine(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tools.unit.grp.getgrall", lambda: [type("Group", (), {"gr_name": "video"})()])
    with pytest.raises(SystemExit) as ended:
        main(["unit", "--config", "float.toml", "--user", "ada", "--folder", "/var/lib/seston/a"])
    assert not ended.value.code
    told = parsed(capsys.readouterr().out)
    program = Path(sys.executable).parent / "seston"
    assert (
        told["ExecStart"]
        == f"{program} run --alone --config {tmp_path}/float.toml --folder /var/lib/seston/a"
    )
    assert (told["User"], told["SupplementaryGroups"]) == ("ada", "video")
    assert (told["StateDirectory"], told["ReadWritePaths"]) == ("seston/a", "-/var/lib/seston/a")
    elsewhere = parsed(unit_for(Path("/etc/float.toml"), "ada", Path("/data")))
    assert (elsewhere["StateDirectory"], elsewhere["ReadWritePaths"]) == ("", "-/data")


def test_a_path_that_a_unit_cannot_name_is_a_sentence(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["unit", "--folder", "/data/my float"])
    assert ended.value.code == 2
    assert "is /data/my float, which a unit cannot name; use letters" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_it(tmp_path):
    program = Path(sys.executable).parent / "seston"
    if not program.exists():
        pytest.skip("seston is not installed beside this Python")
    file = tmp_path / "seston.service"
    file.write_text(unit_for(tmp_path / "float.toml", "root", Path("/var/lib/seston")))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False
    )
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "seston.service" in line]
    assert done.returncode == 0, ours
    assert all(any(key in line for key in LATER_KEYS) for line in ours), ours
    broken = tmp_path / "broken" / "seston.service"
    broken.parent.mkdir()
    broken.write_text(file.read_text().replace("WatchdogSec=180", "WatchdogSec=often"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(broken)], capture_output=True, text=True, check=False
    )
    assert "Failed to parse" in done.stdout + done.stderr, "it looks"
