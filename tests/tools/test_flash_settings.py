"""What an installer decides, without environments: which version runs, whose configuration, what is refused.

Its own modules, on folders of a test instead of /opt and /etc; disks fail here at every step in turn.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from tools.cli import main
from tools.flashing.installer import Contents, write_file
from tools.flashing.on_board import places, settings, versions
from tools.flashing.on_board.payload import Manifest, Payload
from tools.flashing.on_board.refusal import Refusal

A, B = "0.1.0-aaaaaaaaaaaa-cp311", "0.1.0-bbbbbbbbbbbb-cp311"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A board's folders."""
    opt, etc, data = tmp_path / "opt/seston", tmp_path / "etc/seston", tmp_path / "var/lib/seston"
    for name, place in (
        ("HOME", opt), ("VERSIONS", opt / "versions"), ("CURRENT", opt / "current"),
        ("PREVIOUS", opt / "previous"), ("SWITCHING", opt / ".switching"), ("ETC", etc),
        ("CONFIG", etc / "float.toml"), ("DATA", data), ("KEYS", data / "keys.toml"),
        ("USER", pwd.getpwuid(os.geteuid()).pw_name),
    ):  # fmt: skip
        monkeypatch.setattr(places, name, place)
    (opt / "versions").mkdir(parents=True)
    return opt


def version(home, name):
    place = home / "versions" / name
    (place / "venv").mkdir(parents=True)
    (place / "venv/program").write_text(name)
    versions.seal(place, 0)
    return place


def test_a_version_without_its_mark_is_a_half_and_goes(home):
    whole, half = version(home, A), version(home, B)
    (half / "complete").unlink()
    (home / "versions/.trial-x").mkdir()
    assert versions.complete() == [whole]
    versions.remove_halves()
    assert list((home / "versions").iterdir()) == [whole]


def test_a_changed_a_lost_file_and_changed_sums_are_damage(home):
    one = version(home, A)
    assert versions.damaged(one) is None
    (one / "venv/program").write_text("else")
    assert versions.damaged(one) == "venv/program"
    (one / "venv/program").unlink()
    assert versions.damaged(one) == str(one / "venv/program")
    (one / "files.sha256").write_text("")
    assert versions.damaged(one) == "files.sha256"


def test_of_several_of_one_name_the_one_that_runs_is_first(home):
    first, second, _ = version(home, A), version(home, f"{A}.2"), version(home, B)
    assert versions.named(A) == [first, second]
    versions.switch(second)
    assert versions.named(A) == [second, first]


def test_one_goes_back_to_the_one_before_and_not_to_a_damaged_one(home):
    a, b, mended = version(home, A), version(home, B), version(home, f"{B}.2")
    versions.switch(a)
    versions.switch(b)
    versions.switch(mended, is_mended=True)
    assert (versions.current(), versions.previous()) == (mended, a)
    assert versions.prune() == [B]
    versions.switch(a)
    assert (versions.current(), versions.previous()) == (a, mended)


class DiskError(OSError):
    """The disk, at a step."""


@pytest.mark.parametrize("call", ["replace", "symlink_to", "fsync"])
def test_a_disk_that_fails_at_any_step_of_a_switch_leaves_a_whole_version(home, monkeypatch, call):
    a, b = version(home, A), version(home, B)
    owner = os if call == "fsync" else Path
    real, seen = getattr(owner, call), []
    for step in range(1, 5):
        versions.switch(a)
        versions.switch(b)
        versions.switch(a)
        left = [step]

        def fail(*words, left=left):
            left[0] -= 1
            if left[0] == 0:
                raise DiskError
            return real(*words)

        monkeypatch.setattr(owner, call, fail)
        try:
            versions.switch(b)
            failed = False
        except DiskError:
            failed = True
        monkeypatch.setattr(owner, call, real)
        assert versions.current() in (a, b)
        assert versions.previous() in (a, b)
        assert versions.current() != versions.previous()
        seen.append(failed)
        versions.switch(b)  # called again, it is done
        assert (versions.current(), versions.previous()) == (b, a)
    assert seen == [True, True, False, False]


def payload(folder, config="offered", keys=None):
    contents = Contents()
    contents.add("etc/float.toml", config.encode(), "etc")
    contents.add("etc/optics.toml", b"optics", "etc")
    if keys:
        contents.add("keys.toml", keys.encode(), "keys")
    file = folder / "one.run"
    write_file(file, Manifest("1", "any", "2.17", 0, ("3.11",), tuple(contents.entries)), contents)
    return Payload(file)


def files(folder):
    return {str(one.relative_to(folder)): one.read_text() for one in folder.rglob("*") if one.is_file()}


def test_a_first_configuration_is_written_and_a_person_s_stays(home, tmp_path):
    for text, changed in (("offered", True), ("newer", False), ("newer", False)):
        one = settings.Settings(payload(tmp_path, text), None)
        one.put_in_place()
        assert one.is_changed == changed
    assert files(places.ETC) == {"float.toml": "offered", "optics.toml": "optics", "float.toml.new": "newer"}


def test_a_given_configuration_is_taken_and_taken_back(home, tmp_path):
    places.ETC.mkdir(parents=True)
    places.CONFIG.write_text("mine")
    given = tmp_path / "given.toml"
    given.write_text("given")
    one = settings.Settings(payload(tmp_path, keys="keys"), given)
    with one.on_trial(version(home, A)) as trial:
        assert trial.read_text() == "given"
        assert files(places.ETC) == {"float.toml": "mine"}
    one.put_in_place()
    assert one.is_changed
    assert files(places.ETC) == {"float.toml": "given", "float.toml.old": "mine", "optics.toml": "optics",
                                 "float.toml.new": "offered"}  # fmt: skip
    assert files(places.DATA) == {"keys.toml": "keys"}
    one.take_back()
    assert (files(places.ETC), files(places.DATA)) == ({"float.toml": "mine"}, {})
    with pytest.raises(Refusal, match=r"nowhere.toml cannot be read"):
        settings.Settings(payload(tmp_path), tmp_path / "nowhere.toml")


def test_keys_that_are_lost_are_a_change_and_others_lie_beside(home, tmp_path):
    for there, changed, after in (
        (None, True, {"keys.toml": "keys"}),
        ("keys", False, {"keys.toml": "keys"}),
        ("rotated", False, {"keys.toml": "rotated", "keys.toml.new": "keys"}),
    ):
        if there:
            places.KEYS.write_text(there)
        settings.Settings(payload(tmp_path, keys="keys"), None).put_in_place()
        one = settings.Settings(payload(tmp_path, keys="keys"), None)
        if not there:
            places.KEYS.unlink()
        one.put_in_place()
        assert (one.is_changed, files(places.DATA)) == (changed, after)


def test_a_model_is_looked_for_in_the_version_on_trial(home, tmp_path):
    given = tmp_path / "given.toml"
    given.write_text(f'bundle = "{places.CURRENT}/models/mine.seston"\n')
    place = version(home, A)
    with settings.Settings(payload(tmp_path), given).on_trial(place) as trial:
        assert trial.read_text() == f'bundle = "{place}/models/mine.seston"\n'
        folder = trial.parent
    assert not folder.exists()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('bundle = "mine.seston"', "bundle: is mine.seston, which is not inside; give --model mine.seston"),
        ('bundle = "demo"\noptics_file = "none.toml"', "optics_file: is none.toml, which is not there"),
        ('bundle = "demo"\noptics_file = "/etc/x"', "optics_file: is /etc/x; name a file beside"),
        ("bundle = ", "is not TOML"),
    ],
)
def test_a_configuration_that_could_not_start_is_refused_when_built(tmp_path, capsys, config, said):
    file = tmp_path / "float.toml"
    optics = "[optics]\npixel_um = 73.0\nimage_volume_l = 0.7\nthreshold = 22\n"
    file.write_text(f"{config}\n{optics if 'mine' in config else ''}")
    with pytest.raises(SystemExit) as ended:
        main(["flash", "bundle", "--config", str(file), "--out", str(tmp_path)])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert f"{file}: {said}" in told
    assert not list(tmp_path.glob("*.run"))


def test_what_is_wrong_in_the_file_beside_is_told_of_that(tmp_path, capsys):
    (tmp_path / "float.toml").write_text('bundle = "demo"\noptics_file = "optics.toml"\n')
    (tmp_path / "optics.toml").write_text("pixel_um = 73.0\n")
    with pytest.raises(SystemExit):
        main(["flash", "bundle", "--config", str(tmp_path / "float.toml"), "--out", str(tmp_path)])
    assert f"{tmp_path / 'optics.toml'}: pixel_um: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "data", "said"),
    [("--keys", b"nonsense = 1\n", "nonsense"), ("--edgetpu", b"<html>", "is no library for aarch64"),
     ("--model", b"PK", "odd")],
)  # fmt: skip
def test_what_goes_in_is_looked_at_first(tmp_path, capsys, option, data, said):
    file = tmp_path / "odd"
    file.write_bytes(data)
    with pytest.raises(SystemExit) as ended:
        main(["flash", "bundle", option, str(file), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert str(file) in told
    assert said in told
    assert not (tmp_path / "out").exists()
