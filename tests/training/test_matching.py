"""Which class of a bundle a data set's class is."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edge.taxonomy import Taxon
from tests.training.test_card import MANIFEST
from training.matching import How, match_classes, names_in, taxonomy_of_bundle
from training.taxonomy_file import Taxonomy, parse_class, read_taxonomy

BUNDLE = msgspec.structs.replace(
    MANIFEST,
    taxa=(
        Taxon(label="Calanus", parent="Copepod", ecotaxa_id=5, aphia_id=7),
        Taxon(label="oithona", parent="Copepod"),
        Taxon(label="Snow"),
    ),
    source_classes={"Cal__5": "Calanus", "blur": "", "flake": "Calanus", "gone": "no longer a taxon"},
)


def of_one_class(taxon: Taxon, name: str, sources: dict[str, str]) -> Taxonomy:
    return Taxonomy((name,), (taxon,), np.array([0]), (), sources, sources, ())


@pytest.mark.parametrize(
    ("folder", "taxon", "wanted"),
    [
        ("oithona", {}, (1, 1, How.CLASS)),
        ("flake", {}, (2, 2, How.CLASS)),  # the class of that name, whatever else the name was used for
        ("Cal__5", {}, (0, 0, How.SOURCE)),
        ("blur", {}, (-1, -1, How.DROPPED)),
        ("Snow", {}, (-1, 2, How.TAXON)),  # counted from two classes: it may be either
        ("x", {"label": "Calanus"}, (0, 0, How.TAXON)),
        ("x", {"ecotaxa_id": 5}, (0, 0, How.TAXON)),
        ("x", {"aphia_id": 7}, (0, 0, How.TAXON)),
        ("Copepod", {}, (-1, -1, How.COARSER)),
        ("x", {"label": "Copepod"}, (-1, -1, How.COARSER)),
        ("Fish__6", {"ecotaxa_id": 6}, (-1, -1, How.UNKNOWN)),
        ("gone", {}, (-1, -1, How.UNKNOWN)),
    ],
)
def test_the_first_that_fits_decides(folder, taxon, wanted):
    name = folder.partition("__")[0]
    taxonomy = of_one_class(Taxon(**{"label": name, **taxon}), name, {folder: name, "left out": ""})
    (match,) = match_classes(taxonomy, BUNDLE)
    assert tuple(match) == (name, *wanted)


@pytest.mark.parametrize(
    ("folders", "wanted"),
    [
        (("Cal__5", "large"), (0, 0, How.SOURCE)),
        (("Cal__5", "blur"), (-1, -1, How.UNKNOWN)),  # one was learnt and one was not: neither will do
        (("blur", "blur 2"), (-1, -1, How.DROPPED)),
    ],
)
def test_a_class_of_several_folders_is_what_all_of_them_were(folders, wanted):
    taxonomy = of_one_class(Taxon(label="mine"), "mine", dict.fromkeys(folders, "mine"))
    (match,) = match_classes(taxonomy, BUNDLE)
    assert tuple(match) == ("mine", *wanted)


def sources(*folders: str) -> dict[str, Taxon]:
    return {folder: parse_class(folder) for folder in folders}


def test_a_data_set_is_brought_to_the_classes_of_a_bundle():
    found = taxonomy_of_bundle(BUNDLE, sources("Cal__5", "blur", "flake", "Snow", "Fish__6"))
    assert found.source_to_class == {
        "Cal__5": "calanus", "blur": "", "flake": "flake", "Snow": "Snow", "Fish__6": "Fish",
    }  # fmt: skip
    assert found.classes == ("Fish", "Snow", "calanus", "flake")
    labels = [found.taxa[taxon].label for taxon in found.class_taxon]
    assert labels == ["Fish", "Snow", "Calanus", "Snow"]
    assert found.source_classes["flake"] == "Snow"
    assert [parent.label for parent in found.parents] == ["Copepod"]


def test_two_folders_that_a_bundle_merged_are_one_class():
    merged = msgspec.structs.replace(BUNDLE, source_classes={"a": "Calanus", "b": "Calanus"})
    found = taxonomy_of_bundle(merged, sources("a", "b", "string"))
    assert found.classes == ("calanus", "string")
    assert found.source_to_class == {"a": "calanus", "b": "calanus", "string": "string"}


def test_the_classes_of_a_model_in_a_data_set_by_name(tmp_path):
    file = tmp_path / "t.toml"
    file.write_text('[classes]\n"hist_*" = "other"\nSnow = "flake"\nblur = ""\n')
    taxonomy = read_taxonomy(file, sources("hist_a__9", "Snow__7", "blur", "Fish"))
    names = ("hist_a", "hist_b", "Snow", "flake", "blur", "Fish", "elsewhere")
    # hist_b is in no folder: the file alone says what it would be.
    assert names_in(taxonomy, names) == ("other", "other", "flake", "flake", "blur", "Fish", "elsewhere")


def test_the_classes_of_a_bundle_in_a_data_set_by_taxon():
    def named(*folders: str) -> tuple[str, ...]:
        return names_in(read_taxonomy(None, sources(*folders)), BUNDLE.classes, BUNDLE)

    assert named("Cal__5", "x") == ("Cal", "oithona", "flake", "string")
    assert named("Snow", "x") == ("calanus", "oithona", "Snow", "Snow")  # all that is counted as snow
    assert named("Snow", "string") == ("calanus", "oithona", "flake", "string")  # some of it: neither is both
    both = msgspec.structs.replace(BUNDLE, source_classes={"a": "Calanus", "b": "Calanus"})
    taxonomy = read_taxonomy(None, sources("a", "b"))
    assert names_in(taxonomy, both.classes, both) == both.classes  # an answer cannot be right for two
