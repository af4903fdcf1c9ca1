"""Folders become classes, classes become taxa; what does not fit is a sentence."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

import training
from edge.errors import ConfigError
from edge.taxonomy import Taxon, build_tree
from training.drawn import KINDS
from training.taxonomy_file import parse_class, read_taxonomy

FOLDERS = ("Acartia", "Calanus__5", "Copepod", "Snow", "Snow_chain", "hist_a", "hist_b")
SHIPPED = Path(training.__file__).parent


def read(tmp_path, text, folders=FOLDERS):
    path = tmp_path / "t.toml"
    path.write_text(text, encoding="utf-8")
    return read_taxonomy(path, {folder: parse_class(folder) for folder in folders})


@pytest.mark.parametrize(
    ("folder_name", "taxon"),
    [
        ("Copepoda__6666", Taxon(label="Copepoda", ecotaxa_id=6666)),
        ("a__b__12", Taxon(label="a__b", ecotaxa_id=12)),
        ("a__b", Taxon(label="a__b")),
        ("__12", Taxon(label="__12")),
        ("hist_other", Taxon(label="hist_other")),
    ],
)
def test_class_folders(folder_name, taxon):
    assert parse_class(folder_name) == taxon


def test_without_a_file_every_folder_is_a_class_and_a_taxon():
    found = read_taxonomy(None, {folder: parse_class(folder) for folder in FOLDERS})
    assert found.classes == ("Acartia", "Calanus", "Copepod", "Snow", "Snow_chain", "hist_a", "hist_b")
    assert [taxon.label for taxon in found.taxa] == list(found.classes)
    assert found.class_taxon.tolist() == list(range(7))
    assert found.taxa[1].ecotaxa_id == 5
    assert found.source_to_class["Calanus__5"] == found.source_classes["Calanus__5"] == "Calanus"
    assert (found.parents, found.limits) == ((), ())


def test_a_file_merges_drops_renames_and_counts(tmp_path):
    found = read(
        tmp_path,
        """
        limits = ["Few images."]
        id_source = "WoRMS, looked up by hand"
        [classes]
        "hist_*" = ""
        hist_a = "other"
        Copepod = "copepod"
        [taxa.Calanoida]
        classes = ["Acartia", "Calanus"]
        living = true
        parent = "Crustacea"
        aphia_id = 9
        [taxa.detritus]
        classes = ["Snow*"]
        living = false
        [taxa.other]
        [parents.Crustacea]
        living = true
        """,
    )
    assert found.classes == ("Acartia", "Calanus", "Snow", "Snow_chain", "copepod", "other")
    assert found.taxa == (
        Taxon(label="Calanoida", living=True, parent="Crustacea", aphia_id=9),
        Taxon(label="detritus", living=False),
        Taxon(label="copepod"),
        Taxon(label="other"),
    )
    assert found.class_taxon.tolist() == [0, 0, 1, 1, 2, 3]
    assert found.parents == (Taxon(label="Crustacea", living=True),)
    assert found.limits == ("Few images.",)
    assert found.source_to_class == {
        "Acartia": "Acartia", "Calanus__5": "Calanus", "Copepod": "copepod", "Snow": "Snow",
        "Snow_chain": "Snow_chain", "hist_a": "other", "hist_b": "",
    }  # fmt: skip
    assert found.source_classes["Snow_chain"] == "detritus"
    assert found.source_classes["hist_b"] == ""


@pytest.mark.parametrize(
    ("folders", "text", "ids"),
    [
        (("A__1", "B__2"), "", {"A": 1, "B": 2}),
        (("A__1", "B__2"), "ignore_folder_ids = true", {"A": None, "B": None}),
        (("A__1", "B__2"), '[classes]\nA = "Z"', {"B": 2, "Z": 1}),
        (("A__1", "B__2", "C"), '[classes]\nB = "A"', {"A": None, "C": None}),
        (("A__1", "B__1", "C"), '[classes]\nB = "A"', {"A": 1, "C": None}),
        (("A__1", "B", "C"), '[classes]\nB = "A"', {"A": None, "C": None}),
        (("A__1", "B__2"), '[taxa.Group]\nclasses = ["A"]', {"Group": None, "B": 2}),
        (("A__1", "B__2"), '[taxa.A]\nclasses = ["A"]', {"A": 1, "B": 2}),
        (("A__1", "B__2"), 'id_source = "x"\n[taxa.A]\necotaxa_id = 7', {"A": 7, "B": 2}),
    ],
)
def test_ids_come_from_the_data_or_from_a_named_source(tmp_path, folders, text, ids):
    found = read(tmp_path, text, folders)
    assert {taxon.label: taxon.ecotaxa_id for taxon in found.taxa} == ids


@pytest.mark.parametrize("key", ["Calanus", "Calanus__5", "Cal*", "*__5"])
def test_a_folder_is_named_with_or_without_its_number(tmp_path, key):
    assert read(tmp_path, f'[classes]\n"{key}" = "c"').source_to_class["Calanus__5"] == "c"


def test_names_with_signs_of_patterns_are_names(tmp_path):
    folders = ("a[1]", "b?", "part<Crustacea")
    found = read(tmp_path, '[classes]\n"a[1]" = "a"\n"b?" = "b"\n"part<Crustacea" = "part"', folders)
    assert found.classes == ("a", "b", "part")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[taxa.Snw]", "t.toml: taxa.Snw: is no class of the data set; correct"),
        ('[taxa.detritus]\nclasses = ["Snw*"]', "taxa.detritus: names Snw*, which is no class"),
        ('[classes]\nSnw = "Snow"', "classes.Snw: is no class of the data set"),
        ('[classes]\n"x*" = "Snow"', "classes.x*: is no class of the data set"),
        ('[classes]\n"hist*" = "a"\n"*_a" = "b"', "hist* and *_a: fit hist_a and make different classes"),
        ("[taxa.Snow]\nalive = true", "alive: is not a key known here"),
        ('[taxa.Snow]\nparent = "Marine"', "the parent 'Marine' of 'Snow' is unknown"),
        ('[taxa.Snow]\nliving = "yes"', "living"),
        ("[taxa.Snow]\necotaxa_id = 3", "taxa.Snow: has an id that comes from nowhere; say in id_source"),
        ("[parents.Snow]\naphia_id = 3", "parents.Snow: has an id that comes from nowhere"),
        ("[parents.Snow]", "the label 'Snow' stands twice"),
        ("[parents.Marine]", "the parent 'Marine' has no label below it"),
        ("[taxa.Snow]\n[taxa.Snow]", "is not TOML"),
        (
            '[taxa.a]\nclasses = ["Snow"]\n[taxa.b]\nclasses = ["Snow*"]',
            "taxa.b: names Snow, which is in a already",
        ),
        ('[taxa.Snow]\nclasses = ["Copepod"]', "taxa.Snow: is a class that its own taxon does not hold"),
        ('[classes]\nSnow = "unclassified"', "the label 'unclassified' is reserved"),
        ("taxa = ", "is not TOML"),
    ],
)
def test_a_wrong_file_is_a_sentence(tmp_path, text, sentence):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert sentence in str(caught.value)


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: is not there"):
        read_taxonomy(tmp_path / "none.toml", {})


def test_labels_that_collide_are_refused_until_they_are_merged(tmp_path):
    folders = ("Snow", "Snow__7", "x")
    with pytest.raises(
        ConfigError, match="two folders for one class, Snow and Snow__7; rename one, or merge"
    ):
        read(tmp_path, "", folders)
    for text in ('Snow__7 = "Snow"', 'Snow = "Snow"'):
        assert read(tmp_path, f"[classes]\n{text}", folders).classes == ("Snow", "x")
    assert read(tmp_path, '[classes]\nSnow__7 = "flake"', folders).classes == ("Snow", "flake", "x")


@pytest.mark.parametrize(
    ("name", "classes", "taxa"), [("pwssc", 34, 34), ("planktonset", 121, 37), ("uvp6", 11, 11)]
)
def test_the_files_that_come_along_fit_their_data(shared, name, classes, taxa):
    with zipfile.ZipFile(shared / "data" / f"{name}.zip") as archive:
        folders = sorted({file.split("/")[0] for file in archive.namelist()})
    found = read_taxonomy(SHIPPED / f"{name}.toml", {folder: parse_class(folder) for folder in folders})
    assert len(found.classes) == classes
    assert len(found.taxa) == taxa <= 40
    assert len(found.limits) >= 3
    assert all(taxon.ecotaxa_id is None for taxon in found.taxa)
    tree = build_tree(found.taxa, found.parents)
    parent = {taxon.label: tree.counted[tree.up[i]].label for i, taxon in enumerate(found.taxa)}
    living = {taxon.label: taxon.living for taxon in found.taxa}
    if name == "pwssc":
        assert (living["Snow"], living["Unknown"]) == (False, None)
        assert parent["Oithona"] == "Copepod"
    elif name == "planktonset":
        assert found.source_classes["chaetognath_sagitta"] == "Chaetognatha"
        assert (living["detritus"], living["unknown"], living["Calanoida"]) == (False, None, True)
        assert parent["Calanoida"] == "Copepoda"
    else:
        assert found.source_classes["hist_Annelida"] == "other"


def test_the_file_of_the_drawn_set_fits():
    found = read_taxonomy(SHIPPED / "drawn.toml", {kind: Taxon(label=kind) for kind in KINDS})
    assert {taxon.label: taxon.living for taxon in found.taxa}["copepod"] is True
