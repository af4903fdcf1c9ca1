"""The demo's data set and the goldens are drawn, and the same at every call."""

from __future__ import annotations

import numpy as np
import pytest

from edge.inference.bundle import load_bundle
from edge.inference.preprocessing import N_NUMBERS, Preprocessing
from training.drawn import KINDS
from training.drawn_set import drawn_dataset, drawn_vignette, golden_inputs


def test_a_set_is_its_seeds():
    spec = Preprocessing(size_px=24)
    data, same, other = (drawn_dataset(3, spec, seed) for seed in (1, 1, 2))
    assert data.images.shape == (3 * len(KINDS), 24, 24, 1)
    assert data.taxonomy.classes == tuple(sorted(KINDS))
    assert np.bincount(data.labels).tolist() == [3] * len(KINDS)
    assert data.numbers.shape == (3 * len(KINDS), N_NUMBERS)
    assert data.sizes_px.shape == (3 * len(KINDS), 2)
    for file, label in zip(data.files, data.labels, strict=True):
        assert file.split("/")[0] == data.taxonomy.classes[label]
    np.testing.assert_array_equal(data.images, same.images)
    assert data.hashes == same.hashes
    assert not set(data.hashes) & set(other.hashes)
    # A larger set begins with the smaller one's images.
    assert set(data.hashes) < set(drawn_dataset(4, spec, 1).hashes)


def test_a_taxonomy_may_merge_and_drop_kinds(tmp_path):
    path = tmp_path / "t.toml"
    path.write_text('[classes]\nbubble = ""\nfibre = "detritus"\naggregate = "detritus"')
    spec = Preprocessing(size_px=24)
    data, whole = drawn_dataset(2, spec, 1, taxonomy=path), drawn_dataset(2, spec, 1)
    assert "detritus" in data.taxonomy.classes
    assert len(data.taxonomy.classes) == len(KINDS) - 2
    assert set(data.hashes) < set(whole.hashes)
    assert len(data.hashes) == len(whole.hashes) - 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_vignette_holds_one_particle_within_its_margin(kind):
    vignette = drawn_vignette(kind, np.random.default_rng(1), 30.0)
    assert vignette.dtype == np.uint8
    assert vignette.max() > 60
    border = np.concatenate([vignette[0], vignette[-1], vignette[:, 0], vignette[:, -1]])
    assert border.max() <= 21


def test_golden_inputs():
    images = golden_inputs()
    assert len(images) >= 12
    assert len({image.shape for image in images}) >= 8
    for image, again in zip(images, golden_inputs(), strict=True):
        np.testing.assert_array_equal(image, again)


def test_no_golden_was_trained_on():
    from edge.inference.bundle import image_hash

    bundle = load_bundle("demo")
    assert not {image_hash(image) for image in bundle.golden_inputs} & bundle.training_hashes
