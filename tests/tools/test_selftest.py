"""The test on deck, with real ports and frames: what is well is said to be, what is not is named."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import threading
import tty

import cv2
import msgspec
import numpy as np
import pytest

from edge.config import load_config
from edge.inference.bundle import load_bundle
from edge.selftest import Status, _noise, run_checks
from tests.edge.inference.test_classifier import off_by
from tests.edge.test_instrument import scene
from tests.tools.test_simulate import seston

pytestmark = pytest.mark.board
CONFIG = """
bundle = "demo"
platform = "float 17"
[optics]
pixel_um = 73
image_volume_l = 0.6
threshold = 21
aa_um2 = 2300
exp = 1.136
[run.camera]
kind = "replay"
source = "{frames}"
frame_rate_hz = 20
"""


class Answerer:
    """The other end of a line: says something again and again, or an answer to each line."""

    def __init__(self, says=b"", answer=b""):
        self.host, self.instrument = pty.openpty()
        tty.setraw(self.instrument)
        os.set_blocking(self.host, False)
        self.port, self.says, self.answer = os.ttyname(self.instrument), says, answer
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.ended.wait(0.05):
            with contextlib.suppress(BlockingIOError):
                heard = os.read(self.host, 4096) if self.answer else b""
                os.write(self.host, self.says or (self.answer if heard else b""))

    def close(self):
        self.ended.set()
        self.thread.join()
        os.close(self.host)
        os.close(self.instrument)


@pytest.fixture
def answer():
    ends = []

    def make(**what):
        ends.append(Answerer(**what))
        return ends[-1].port

    yield make
    for end in ends:
        end.close()


def write(tmp_path, pictures, more=""):
    frames = tmp_path / "frames"
    frames.mkdir()
    for i, picture in enumerate(pictures):
        cv2.imwrite(str(frames / f"{i:03d}.png"), picture)
    file = tmp_path / "seston.toml"
    file.write_text(CONFIG.format(frames=frames) + more)
    return file


def checks(file, tmp_path, bundle=None):
    return {
        check.name: check for check in run_checks(load_config(file), bundle or load_bundle("demo"), tmp_path)
    }


def test_all_is_well_and_the_record_says_so(tmp_path, answer):
    pressure = answer(says=b"0.12, 12.5\r\n")
    modem = answer(answer=b"\r\nOK\r\n")
    more = f'[run]\ndeliver = "modem"\n[run.modem]\nport = "{modem}"\n[run.pressure]\nport = "{pressure}"\n'
    file = write(tmp_path, [scene(i) for i in range(6)], more)
    (tmp_path / "keys.toml").write_text("")
    code, said = seston("selftest", "--config", file, "--folder", tmp_path)
    assert code == 0, said
    assert "NOT READY" not in said
    record = json.loads((tmp_path / "selftest.json").read_text())
    found = {check["name"]: check for check in record["checks"]}
    for name in ("camera", "light", "lens", "noise", "model", "memory", "modem", "pressure", "keys"):
        assert found[name]["status"] == "good", found[name]
        assert name in said
    assert found["camera"]["told"] == {"frames": 6, "faults": 0, "width_px": 400, "height_px": 300}
    assert found["pressure"]["told"]["pressure_dbar"] == pytest.approx(0.12)
    assert found["host"]["status"] == found["accelerator"]["status"] == "-"
    assert record["platform"] == "float 17"
    assert 0 < sum(check["seconds"] for check in found.values()) <= record["seconds"] + 0.1 * len(found)
    assert not (tmp_path / "selftest.part").exists()


def test_what_is_not_there_is_named_and_the_rest_goes_on(tmp_path):
    more = '[run]\ndeliver = "modem"\n[run.modem]\nport = "/dev/nowhere1"\n'
    more += '[run.pressure]\nport = "/dev/nowhere2"\n'
    file = write(tmp_path, [], more)
    code, said = seston("selftest", "--config", file, "--folder", tmp_path)
    assert code == 1
    assert "NOT READY: camera, modem, pressure." in said
    found = checks(file, tmp_path)
    for name in ("camera", "modem", "pressure"):
        assert found[name].status is Status.BAD
    assert "/dev/nowhere1" in found["modem"].message
    assert found["light"].status is found["lens"].status is Status.NONE
    assert found["model"].status is Status.GOOD


def test_a_modem_that_is_mute_and_a_sensor_at_depth_are_bad(tmp_path, answer):
    more = f'[run]\ndeliver = "modem"\n[run.modem]\nport = "{answer()}"\n'
    file = write(
        tmp_path,
        [scene(1)],
        more + f'[run.pressure]\nport = "{answer(says=b"50.1, 4.0" + bytes([13, 10]))}"\n',
    )
    found = checks(file, tmp_path)
    assert "gave no answer within 5 s" in found["modem"].message
    assert "the dive would begin now" in found["pressure"].message
    assert found["modem"].status is found["pressure"].status is Status.BAD


@pytest.mark.parametrize(
    ("picture", "name", "status", "words"),
    [
        (np.full((300, 400), 255, np.uint8), "light", Status.BAD, "too bright"),
        (np.zeros((300, 400), np.uint8), "light", Status.LOOK, "nothing is above the threshold"),
        (np.zeros((300, 400), np.uint8), "lens", Status.LOOK, "no particle in view"),
        (scene(0, haze=40), "noise", Status.LOOK, "specks"),
    ],
)
def test_what_a_person_has_to_look_at(tmp_path, picture, name, status, words):
    check = checks(write(tmp_path, [picture]), tmp_path)[name]
    assert check.status is status
    assert words in check.message


def test_noise_says_the_threshold_that_ends_it(tmp_path):
    rng = np.random.default_rng(1)
    picture = np.minimum(rng.exponential(8, (300, 400)), 60).astype(np.uint8)
    noisy = checks(write(tmp_path, [picture]), tmp_path)["noise"]
    assert noisy.told["specks"] > 100
    config = load_config(tmp_path / "seston.toml")
    better = msgspec.structs.replace(
        config, optics=msgspec.structs.replace(config.optics, threshold=noisy.told["threshold_wanted"])
    )
    again = {c.name: c for c in run_checks(better, load_bundle("demo"), tmp_path)}["noise"]
    assert again.status is Status.GOOD


def test_frames_without_light_tell_the_noise_where_there_are_any(tmp_path):
    checks(write(tmp_path, [scene(0)]), tmp_path)
    config = load_config(tmp_path / "seston.toml")
    rng = np.random.default_rng(2)
    dark = rng.integers(0, 12, (300, 400)).astype(np.uint8)
    told = _noise(config, [scene(0)], [dark])
    assert told[:1] + told[2:] == (Status.GOOD, {"threshold_wanted": 11})
    dark[10:20, :40] = config.optics.threshold + 9
    status, text, told = _noise(config, [scene(0)], [dark])
    assert (status, told) == (Status.LOOK, {"threshold_wanted": config.optics.threshold + 9})
    assert f"the threshold is {config.optics.threshold}" in text


def test_a_model_that_computes_something_else_is_bad(tmp_path):
    check = checks(write(tmp_path, [scene(0)]), tmp_path, off_by(load_bundle("demo"), 3))["model"]
    assert check.status is Status.BAD
    assert "golden outputs are not reproduced" in check.message


def test_health_needs_nothing(tmp_path):
    code, said = seston("health", "--folder", tmp_path)
    assert code == 0, said
    assert "storage" in said
    assert "clock" in said


def test_the_accelerator_alone_needs_no_configuration_and_no_hardware(tmp_path):
    code, said = seston("selftest", "--accelerator", tmp_path / "libedgetpu.so.1")
    assert code == 1
    assert f"{tmp_path / 'libedgetpu.so.1'} is not there" in said
    assert "NOT READY: tpu library." in said
    assert "then the processor took over: goldens reproduced" in said
    code, said = seston("selftest")
    assert code == 2
    assert "Missing option '--config'" in said


def test_a_configured_accelerator_is_tried_with_the_rest(tmp_path):
    file = write(tmp_path, [scene(1)], '[classify]\naccelerator = "libnowhere.so.1"\n')
    code, said = seston("selftest", "--config", file, "--folder", tmp_path)
    assert code == 1
    found = {check["name"]: check for check in json.loads((tmp_path / "selftest.json").read_text())["checks"]}
    assert "cannot be used" in found["model"]["message"]
    assert found["tpu library"]["status"] == "BAD"
    assert found["tpu fallback"]["status"] == "good"
    _, said = seston("selftest", "--config", file, "--accelerator")
    assert "libnowhere.so.1 is in none of" in said
