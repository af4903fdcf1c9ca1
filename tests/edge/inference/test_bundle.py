"""A bundle comes back whole, and no damage passes."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import BundleError
from edge.inference import bundle as room
from edge.inference.bundle import (
    Bundle,
    image_hash,
    load_bundle,
    pack_bundle,
    parse_bundle,
    seal,
    shipped_bundles,
)
from edge.inference.manifest import Manifest, Provenance, Source
from edge.inference.preprocessing import Preprocessing
from edge.taxonomy import UNCLASSIFIED, Taxon

pytestmark = pytest.mark.board

WHERE = Path("some.seston")
MANIFEST = Manifest(
    name="small",
    classes=("calanus", "snow", "snow_chain"),
    class_taxon=(0, 1, 1),
    taxa=(
        Taxon(label="Calanus", living=True, parent="Copepod", ecotaxa_id=12),
        Taxon(label="Snow", living=False),
    ),
    parents=(Taxon(label="Copepod", living=True),),
    preprocessing=Preprocessing(size_px=32),
    temperature=1.25,
    thresholds=(0.5, 0.25, 0.75),
    confusion=((5, 1, 0), (1, 5, 0), (1, 1, 1)),
    source_classes={"calanus__12": "Calanus", "blur": ""},
    decisions=((4, 0, 1, 1), (1, 7, 0, 1)),
    scores={"int8": {"accuracy": 0.8}},
    golden_sizes=((4, 6), (9, 3)),
    provenance=Provenance(
        sources=(Source(name="drawn", licence="ours", use="training", images=15),),
        split="by image",
        seed=1,
        command="seston train",
        packages={"numpy": "2"},
    ),
)
RUN = 'name = "small"\n'
MODEL = b"\x1c\0\0\0TFL3" + bytes(range(200))
INPUTS = (np.arange(24, dtype=np.uint8).reshape(4, 6), np.arange(27, dtype=np.uint8).reshape(9, 3))
OUTPUTS = {
    "reference": np.array([[-128, 127, 1], [3, -4, 1]], dtype=np.int8),
    "xnnpack": np.array([[-127, 127, 1], [5, 4, 1]], dtype=np.int8),
}
HASHES = [bytes([i] * 5) for i in (9, 3, 7)]


def packed(manifest: Manifest = MANIFEST) -> bytes:
    return pack_bundle(manifest, MODEL, INPUTS, OUTPUTS, HASHES, "# small\n", RUN)


def members() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed())) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def changed(**fields) -> bytes:
    return packed(msgspec.structs.replace(MANIFEST, **fields))


def same(one: Bundle, other: Bundle) -> bool:
    return one.sha256 == other.sha256 and one.manifest == other.manifest


def test_round_trip():
    found = parse_bundle(packed(), WHERE)
    assert found.manifest == MANIFEST
    assert found.model == MODEL
    assert (found.card, found.run) == ("# small\n", RUN)
    assert found.classes == ("calanus", "snow", "snow_chain")
    assert found.training_hashes == frozenset(HASHES)
    for kernels, outputs in OUTPUTS.items():
        np.testing.assert_array_equal(found.golden_outputs[kernels], outputs)
    for got, given_ in zip(found.golden_inputs, INPUTS, strict=True):
        np.testing.assert_array_equal(got, given_)
    assert [taxon.label for taxon in found.counted_taxa] == ["Calanus", "Snow", "Copepod", UNCLASSIFIED]
    assert (found.name, found.temperature, found.preprocessing.size_px) == ("small", 1.25, 32)
    scores = np.array([[0.4, 0.6], [0.6, 0.4], [0.499, 0.501]], dtype=np.float32)
    assert found.decide(scores).tolist() == [1, 0, 1]


def test_classes_are_summed_into_their_taxa():
    found = parse_bundle(packed(), WHERE)
    classes = np.array([[0.45, 0.35, 0.2], [0.6, 0.3, 0.1]], dtype=np.float32)
    np.testing.assert_allclose(found.taxon_scores(classes), [[0.45, 0.55], [0.6, 0.4]], rtol=1e-6)
    assert found.taxon_scores(classes).dtype == np.float32
    assert found.taxon_scores(classes[:0]).shape == (0, 2)
    assert found.decide(found.taxon_scores(classes)).tolist() == [1, 0]


def test_what_has_too_little_evidence_is_unclassified_whatever_its_scores():
    scores = np.array([[0.9, 0.1]] * 4, dtype=np.float32)
    evidence = np.array([2.0, 1.5, 1.4, np.nan], dtype=np.float32)
    assert parse_bundle(packed(), WHERE).decide(scores, evidence).tolist() == [0, 0, 0, 0]
    strict = parse_bundle(changed(least_evidence=1.5), WHERE)
    assert strict.decide(scores, evidence).tolist() == [0, 0, 3, 3]
    assert strict.decide(scores).tolist() == [0, 0, 0, 0]


def test_a_bundle_of_another_format_is_refused_by_its_number():
    with pytest.raises(BundleError, match=r"format: is 1, 2 is read here"):
        parse_bundle(changed(format=1), WHERE)


def test_the_same_parts_give_the_same_bytes_in_whatever_order_the_hashes_come():
    again = pack_bundle(MANIFEST, MODEL, INPUTS, OUTPUTS, [*HASHES[::-1], HASHES[0]], "# small\n", RUN)
    assert again == packed()
    assert changed(name="other") != packed()


def test_a_file_is_read_and_its_hash_is_the_files(tmp_path):
    path = tmp_path / "x.seston"
    path.write_bytes(packed())
    assert same(load_bundle(path), parse_bundle(packed(), path))
    assert load_bundle(str(path)).path == path


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(packed()) - 1), st.integers(1, 255))
def test_no_changed_byte_passes(where, change):
    data = bytearray(packed())
    data[where] ^= change
    with pytest.raises(BundleError):
        parse_bundle(bytes(data), WHERE)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, len(packed()) - 1), st.binary(min_size=1, max_size=8))
def test_no_cut_or_inserted_byte_passes(where, extra):
    data = packed()
    for damaged in (data[:where], data[:where] + extra + data[where:], data + extra, extra):
        with pytest.raises(BundleError):
            parse_bundle(damaged, WHERE)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(members())), st.binary(max_size=300))
def test_a_sealed_bundle_with_a_foreign_member_is_refused_or_whole(name, data):
    """Also what somebody sealed by mistake ends in a sentence, never in another exception."""
    sealed = seal(members() | {name: data})
    # Any text may be the card, any multiple of five bytes the hashes; what goldens of the right size are
    # worth, and whether the runtime takes the model, the classifier finds out.
    whole = {
        room.CARD: data.isascii(),
        room.HASHES: len(data) % 5 == 0,
        room.RUN: data.isascii(),
        room.MODEL: data[4:8] == b"TFL3",
        room.MANIFEST: False,
    }.get(name, len(data) == len(members()[name]))
    if whole:
        assert parse_bundle(sealed, WHERE).manifest == MANIFEST
    elif name not in (room.CARD, room.RUN):
        with pytest.raises(BundleError, match=r"some\.seston"):
            parse_bundle(sealed, WHERE)


@pytest.mark.parametrize("name", sorted(members()))
def test_a_missing_member_is_named(name):
    parts = members()
    del parts[name]
    with pytest.raises(BundleError, match=f"some.seston: {name}: is missing"):
        parse_bundle(seal(parts), WHERE)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"classes": ("a",), "class_taxon": (0,)}, "fewer than two classes"),
        ({"classes": ("a", "b", "a")}, "a class stands twice"),
        ({"class_taxon": (0, 1)}, "3 classes that use all of 2 taxa were expected"),
        ({"class_taxon": (0, 0, 0)}, "3 classes that use all of 2 taxa were expected"),
        ({"class_taxon": (0, 1, 2)}, "3 classes that use all of 2 taxa were expected"),
        ({"taxa": (*MANIFEST.taxa, Taxon(label="Blob")), "class_taxon": (0, 1, 2)}, "4 thresholds were"),
        ({"parents": ()}, "parent 'Copepod' of 'Calanus' is unknown"),
        ({"thresholds": (0.5, 0.5)}, "3 thresholds were expected"),
        ({"confusion": ((1, 2),)}, "3 rows of 3 counts were expected"),
        ({"decisions": ((1, 2), (3, 4))}, "2 rows of 4 counts were expected"),
        ({"golden_sizes": ((4, 6), (9, 4))}, "golden_inputs.bin: its size does not fit"),
        ({"golden_sizes": ()}, "no golden inputs"),
        ({"golden_sizes": ((51, 1),)}, "golden_outputs_reference.bin: 1 rows of 3 classes were expected"),
        ({"thresholds": (0.5, 1.5, 0.5)}, "thresholds"),
        ({"temperature": 0.0}, "temperature"),
        ({"format": 3}, "format"),
    ],
)
def test_parts_that_do_not_fit_are_named(fields, sentence):
    with pytest.raises(BundleError) as caught:
        parse_bundle(changed(**fields), WHERE)
    assert sentence in str(caught.value)


def test_files_that_are_no_bundle(tmp_path):
    for data in (b"", b"PK\x03\x04", b"hello" * 100, packed()[100:]):
        (tmp_path / "x.seston").write_bytes(data)
        with pytest.raises(BundleError, match=r"x\.seston: is"):
            load_bundle(tmp_path / "x.seston")
    with pytest.raises(BundleError, match="cannot be read"):
        load_bundle(tmp_path)
    with pytest.raises(
        BundleError, match=r"is not there; give a file, or the name of a shipped bundle \(.*demo"
    ):
        load_bundle("nothing")


def test_an_unsealed_zip_is_refused(tmp_path):
    path = tmp_path / "x.seston"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members().items():
            archive.writestr(name, data)
    with pytest.raises(BundleError, match="seal"):
        load_bundle(path)


def test_image_hash_is_fixed_and_sees_shape():
    assert image_hash(np.arange(12, dtype=np.uint8).reshape(3, 4)).hex() == "1c55403321"
    assert image_hash(np.zeros((3, 4), np.uint8)) != image_hash(np.zeros((4, 3), np.uint8))
    wide = np.arange(48, dtype=np.uint8).reshape(4, 12)
    assert image_hash(wide[:, 2:7]) == image_hash(wide[:, 2:7].copy())


@pytest.mark.parametrize("name", ["darkfield", "demo", "shadowgraph"])
def test_shipped_bundles(name):
    assert name in shipped_bundles()
    found = load_bundle(name)
    assert found.path.stat().st_size <= 1_000_000
    assert found.name == name
    assert len(found.golden_inputs) >= 12
    assert len({image.shape for image in found.golden_inputs}) >= 8
    assert found.training_hashes
    confusion = np.array(found.manifest.confusion)
    assert found.manifest.scores["int8"]["accuracy"] == pytest.approx(
        np.trace(confusion) / confusion.sum(), abs=1e-4
    )
    decided = np.array(found.manifest.decisions).sum(axis=1)
    true = np.bincount(found.manifest.class_taxon, confusion.sum(axis=1))
    np.testing.assert_array_equal(decided, true)
    assert len(found.counted_taxa) <= 48
    assert set(found.manifest.source_classes.values()) <= {"", *(taxon.label for taxon in found.taxa)}
    for word in ("Learnt from", "balanced accuracy", "Known limits", *found.classes):
        assert word in found.card
    assert "/work" not in found.card
    assert all(taxon.ecotaxa_id is None and taxon.aphia_id is None for taxon in found.taxa)


def test_shipped_decisions_are_not_silly():
    """Most held-back images are named, and naming is surer than the bare argmax."""
    scores = load_bundle("darkfield").manifest.scores["int8"]
    assert scores["unclassified"] < 0.4
    assert scores["decided_precision"] > scores["accuracy"]


def test_bundle_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_bundle(packed(), WHERE).model = b""  # type: ignore[misc]
