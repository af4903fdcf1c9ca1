"""Which class of a bundle a data set's class is."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edge.taxonomy import Taxon
from tests.training.test_card import MANIFEST
from training.matching import How, match_classes
from training.taxonomy_file import Taxonomy

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
