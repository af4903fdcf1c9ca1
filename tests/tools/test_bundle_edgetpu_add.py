"""`seston bundle edgetpu-add`: the compiled model travels beside the processor's, whatever comes later."""

from __future__ import annotations

import struct
import zipfile

import pytest

from edge.errors import BundleError
from edge.inference.bundle import COMPILED, load_bundle, parse_bundle, seal
from edge.inference.edgetpu_model import CUSTOM_OP
from tests.tools.test_simulate import seston
from training.edgetpu import with_compiled

NAME = struct.pack("<I", len(CUSTOM_OP)) + CUSTOM_OP.encode() + b"\0"


def test_it_is_added_and_the_rest_stays(tmp_path):
    demo = load_bundle("demo")
    assert demo.compiled is None
    file, out = tmp_path / "model_edgetpu.tflite", tmp_path / "demo.seston"
    file.write_bytes(demo.model + NAME)
    code, said = seston("bundle", "edgetpu-add", "demo", file, "--out", out)
    assert code == 0, said
    made = load_bundle(out)
    assert made.compiled == demo.model + NAME
    assert (made.model, made.manifest, made.card) == (demo.model, demo.manifest, demo.card)
    with zipfile.ZipFile(out) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    del members[COMPILED]
    assert seal(members) == demo.path.read_bytes(), "without it, it is the same bundle to the byte"


def test_what_is_not_its_compiled_model_is_refused(tmp_path):
    demo, other = load_bundle("demo"), load_bundle("darkfield")
    with pytest.raises(BundleError, match="is not compiled for the Edge TPU"):
        with_compiled(demo, demo.model)
    with pytest.raises(BundleError, match="has other inputs or outputs than the model of demo"):
        with_compiled(demo, other.model + NAME)
    with zipfile.ZipFile(demo.path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for wrong in (b"", demo.model, b"PK" + NAME):
        with pytest.raises(BundleError, match="is no model compiled for the Edge TPU"):
            parse_bundle(seal({**members, COMPILED: wrong}), tmp_path)
