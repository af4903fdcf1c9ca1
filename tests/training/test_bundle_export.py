"""Taxonomy files, and publishing whole or not at all."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from edge.errors import BundleError, ConfigError
from edge.inference.bundle import load_bundle
from edge.taxonomy import Taxon, build_tree
from training.bundle_export import publish_bundle, read_taxonomy

CLASSES = (Taxon(label="Calanus", ecotaxa_id=5), Taxon(label="Copepod"), Taxon(label="Snow"))


def write(tmp_path, text):
    path = tmp_path / "t.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_the_classes_are_the_taxa():
    assert read_taxonomy(None, CLASSES) == (CLASSES, (), ())


def test_a_file_adds_what_it_says(tmp_path):
    path = write(
        tmp_path,
        """
        limits = ["Few images."]
        [taxa]
        Calanus = { living = true, parent = "Copepod", aphia_id = 9 }
        Copepod = { parent = "Crustacea" }
        [parents]
        Crustacea = { living = true }
        """,
    )
    taxa, parents, limits = read_taxonomy(path, CLASSES)
    assert taxa == (
        Taxon(label="Calanus", living=True, parent="Copepod", aphia_id=9, ecotaxa_id=5),
        Taxon(label="Copepod", parent="Crustacea"),
        Taxon(label="Snow"),
    )
    assert parents == (Taxon(label="Crustacea", living=True),)
    assert limits == ("Few images.",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[taxa]\nSnw = {}", "t.toml: taxa.Snw: is no class of the data set"),
        ("[taxa]\nSnow = { alive = true }", "alive: is not a key known here"),
        ('[taxa]\nSnow = { parent = "Marine" }', "the parent 'Marine' of 'Snow' is unknown"),
        ('[taxa]\nSnow = { living = "yes" }', "living"),
        ("taxa = ", "cannot be read"),
    ],
)
def test_a_wrong_file_is_a_sentence(tmp_path, text, sentence):
    with pytest.raises(ConfigError) as caught:
        read_taxonomy(write(tmp_path, text), CLASSES)
    assert sentence in str(caught.value)


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        read_taxonomy(tmp_path / "none.toml", CLASSES)


def test_the_table_of_pwssc_fits_its_folders(shared):
    with zipfile.ZipFile(shared / "data" / "pwssc.zip") as archive:
        folders = sorted({name.split("/")[0] for name in archive.namelist()})
    import training

    path = Path(training.__file__).parent / "pwssc.toml"
    taxa, parents, limits = read_taxonomy(path, [Taxon(label=folder) for folder in folders])
    tree = build_tree(taxa, parents)
    assert len(taxa) == 34
    assert len(limits) == 3
    by_label = {taxon.label: taxon for taxon in taxa}
    assert by_label["Snow"].living is False
    assert by_label["Unknown"].living is None
    assert tree.counted[tree.up[[taxon.label for taxon in taxa].index("Oithona")]].label == "Copepod"


def test_a_bundle_is_proven_before_it_is_put_in_place(tmp_path):
    good = load_bundle("demo").path.read_bytes()
    target = tmp_path / "new" / "x.seston"
    assert publish_bundle(good, target).path == target
    assert target.read_bytes() == good
    with pytest.raises(BundleError):
        publish_bundle(good[:-1], tmp_path / "y.seston")
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot be written"):
        publish_bundle(good, tmp_path / "file" / "z.seston")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["file", "x.seston"]
