"""`seston update`: signed on shore, brought to a real `seston run` by cable, network or messages."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import cv2
import pytest

from edge.inference.bundle import SHIPPED, load_bundle
from edge.telemetry.codebook import load_codebook
from edge.update_store import Failure
from firmware_bridge import link_records as wire
from firmware_bridge.link import Delivered, Peer
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_wire import Kind
from firmware_bridge.transport import PortLine, open_transport
from tests.edge.test_instrument import scene
from tests.tools.aboard import Instrument, until
from tests.tools.cable import Cable
from tools.cli import main
from tools.update import _sentence

DARKFIELD = SHIPPED / "darkfield.seston"
UNIT = "float-17"


@pytest.fixture(scope="module")
def dives(tmp_path_factory):
    """Folder without dives, beside one of frames."""
    folder = tmp_path_factory.mktemp("aboard") / "dives"
    folder.mkdir()
    (folder.parent / "frames").mkdir()
    for i in range(200):
        cv2.imwrite(str(folder.parent / "frames" / f"{i:03d}.png"), scene(i % 3))
    return folder


@pytest.fixture
def aboard(tmp_path, dives, monkeypatch):
    folder = tmp_path / "float"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    assert seston("keys", "new", "--unit", UNIT)[0] == 0
    assert seston("keys", "install", UNIT, folder)[0] == 0
    with Cable() as cable:
        instrument = Instrument(folder, dives, cable)
        yield instrument
        instrument.stop()


def seston(*arguments, within_s=200):
    """Exit code, and what was said, of a process of its own."""
    command = [sys.executable, "-c", "from tools.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=False)
    return done.returncode, done.stdout + done.stderr


def update(*arguments, to=None):
    way = () if to is None else ("--to", to)
    return seston("update", *arguments, "--unit", UNIT, *way)


class Float:
    """The float's controller at its end of the cable."""

    def __init__(self, aboard):
        self.peer = Peer(wire.Role.HOST, 77)
        self.line = PortLine(self.peer, lambda: open_transport(aboard.cable.ashore, 9600))
        self.events, self.pressure_mdbar = [], 20_000

    def carry(self, is_so):
        until(lambda: self._once() or is_so(), "the float waited in vain")

    def _once(self):
        self.peer.say(wire.Ctd(self.pressure_mdbar))
        self.events += self.line.carry(0.05)


def test_a_model_by_the_network_of_the_deck_runs_proves_itself_and_is_answered(aboard):
    deck = f"tcp:127.0.0.1:{aboard.tcp}"
    aboard.switch.touch()
    until(lambda: "the deck is open" in aboard.said(), "no deck")
    code, said = seston("update", "status", deck)
    assert code == 0, said
    assert f"Model {load_bundle('demo').sha256[:16]}; configuration of the unit's own file." in said
    assert "No update has come." in said
    code, said = update("model", DARKFIELD, "--config", aboard.config, to=deck)
    assert code == 0, said
    assert "It runs, on trial" in said
    assert "has not proven itself yet" in said
    (book,) = list(aboard.folder.parent.glob("codebook-*.json"))
    sha256 = hashlib.sha256(DARKFIELD.read_bytes()).hexdigest()
    assert load_codebook(book.read_bytes()).bundle_sha256 == sha256
    assert aboard.process.poll() is None, "the same process, from its beginning"
    host = Float(aboard)
    host.peer.say(wire.Start(wire.Phase.DESCENT))
    host.carry(lambda: "has proven itself: it stays" in aboard.said())
    host.peer.say(wire.Stop())
    host.pressure_mdbar = 100
    host.carry(lambda: "ended: " in aboard.said())
    host.carry(lambda: aboard.said().count("the deck is open") == 3)
    host.line.close()
    (messages,) = list((aboard.folder / "messages").glob("codebook*"))
    assert load_codebook(messages.read_bytes()).sha256 == load_codebook(book.read_bytes()).sha256
    code, said = seston("update", "status", deck)
    assert f"Model {sha256[:16]}" in said
    assert "has proven itself." in said


def test_a_configuration_that_does_not_start_is_left_and_said(aboard, tmp_path):
    text = aboard.config.read_text()
    (tmp_path / "blind.toml").write_text(text.replace('kind = "replay"', 'kind = "v4l2"\ntrigger = "free"'))
    (tmp_path / "blind.toml").write_text(text.replace("/frames", "/nowhere"))
    code, said = update("config", tmp_path / "blind.toml", to=aboard.cable.ashore)
    assert code == 2, said
    assert "was tried 2 times, and left: what was before it runs." in said
    assert aboard.said().count("an update on trial does not start") == 2
    assert aboard.process.poll() is None


def test_a_configuration_by_messages_from_the_float(aboard, tmp_path):
    (tmp_path / "new.toml").write_text(aboard.config.read_text().replace("threshold = 21", "threshold = 33"))
    code, said = update("config", tmp_path / "new.toml", "--imei", "300234010753370")
    assert code == 0, said
    assert "messages in all; they may come in any order after the first." in said
    files = sorted(tmp_path.glob("command-*.sbd"), key=lambda file: (len(file.name), file.name))
    assert len(files) >= 2
    assert len(files) == len(list(tmp_path.glob("command-*.mt")))
    assert all(file.stat().st_size <= 270 for file in files)
    host = Float(aboard)
    for number, file in enumerate([files[0], *reversed(files[1:])], 1):
        host.peer.send(LinkObject(Kind.COMMAND, number, file.read_bytes()))
    host.carry(lambda: sum(isinstance(event, Delivered) for event in host.events) == len(files))
    host.carry(lambda: "starts anew" in aboard.said())
    host.carry(lambda: aboard.said().count("the host is on the line") == 2)
    host.peer.say(wire.Start(wire.Phase.DESCENT))
    host.carry(lambda: "has proven itself" in aboard.said())
    host.peer.say(wire.Stop())
    host.carry(lambda: "ended: " in aboard.said())
    host.line.close()
    code, said = seston("update", "status", aboard.cable.ashore)
    assert "from shore." in said, said


def test_what_no_key_here_has_signed_is_refused_in_a_sentence(aboard, tmp_path):
    assert seston("keys", "new", "--unit", "other")[0] == 0
    code, said = seston("update", "model", DARKFIELD, "--unit", "other", "--to", aboard.cable.ashore)
    assert code == 2
    assert "does not want it" in said
    assert "is for another unit" in aboard.said()


def test_sentences_for_every_end():
    def told(verdict, detail):
        return _sentence(wire.Runs(1, 2, 7, verdict, detail), 7)

    assert told(0, 5) == "Update 7 has proven itself."
    assert told(6, 300) == "Update 7 is waited for: 300 bytes are missing."
    assert told(6, 0xFFFF) == "Update 7 is waited for: 65,535 bytes or more are missing."
    assert "on trial" not in told(6, 0)
    assert told(7, 2) == "Update 7 was tried 2 times, and left: what was before it runs."
    assert all("was not taken: " in told(5, failure) for failure in (*Failure, 0))
    assert _sentence(wire.Runs(1, 2, 9, 0, 5), 7) == "Update 9 came after it."
    assert _sentence(wire.Runs(1, 2, None, 0, 0), None) == "No update has come."


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(("model", "nowhere.seston"), "is not there"), (("config", "nowhere.toml"), "is not there")],
)
def test_bad_input_is_a_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["update", *arguments, "--unit", UNIT])
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err
