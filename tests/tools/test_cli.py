"""The command itself: help without imports, and a sentence where a traceback would be."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tools.cli import COMMANDS, EXTRA_OF, cli, main


@pytest.mark.board
def test_help_names_every_command():
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    for name in COMMANDS:
        assert f"  {name} " in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_of_its_own(name):
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


@pytest.mark.board
@pytest.mark.parametrize(("package", "command"), [("keras", "train"), ("jinja2", "report")])
def test_a_missing_extra_is_named(package, command, tmp_path, monkeypatch, capsys):
    module, _, attribute = COMMANDS[command][0].partition(":")
    callback = getattr(importlib.import_module(module), attribute)

    def fail(*_args, **_options):
        raise ModuleNotFoundError(f"No module named '{package}'", name=f"{package}.layers")

    monkeypatch.setattr(callback, "callback", fail)
    monkeypatch.setattr(callback, "params", [])
    with pytest.raises(SystemExit) as ended:
        main([command])
    assert ended.value.code == 2
    assert (
        capsys.readouterr().err
        == f"seston: {package} is not installed; pip install 'seston[{EXTRA_OF[package]}]'.\n"
    )


@pytest.mark.board
def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path):
    code = "from tools.cli import main; main()"
    (tmp_path / "file").write_text("in the way")
    done = subprocess.run(
        [sys.executable, "-c", code, "compose", str(tmp_path / "file" / "recording"), "--frames", "1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("seston: ")
    assert "Traceback" not in done.stderr
