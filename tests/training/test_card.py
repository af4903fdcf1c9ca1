"""A card says what the manifest says, of any bundle, and needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest

pytest.importorskip("jinja2", reason="needs the shore extra")

from edge.inference.manifest import Manifest, Provenance, Source
from edge.inference.preprocessing import Preprocessing
from edge.taxonomy import Taxon
from training import card_facts as facts
from training.card import write_card, write_card_html
from training.card_figures import LEVELS, confusion_svg, reliability_svg

EVIL = 'Snow <i>|"&'
MANIFEST = Manifest(
    name="small",
    classes=("calanus", "oithona", "flake", "string"),
    taxa=(
        Taxon(label="calanus", living=True, parent="Copepod"),
        Taxon(label="oithona", living=True, parent="Copepod"),
        Taxon(label=EVIL, living=False),
    ),
    class_taxon=(0, 1, 2, 2),
    parents=(Taxon(label="Copepod", living=True),),
    preprocessing=Preprocessing(size_px=32),
    temperature=1.25,
    least_evidence=0.5,
    thresholds=(0.5, 0.25, 0.75, 0.6),
    confusion=((5, 1, 0, 4), (0, 20, 0, 0), (1, 0, 1, 0), (0, 0, 0, 0)),
    decisions=((4, 1, 0, 3, 2), (0, 19, 0, 0, 1), (1, 0, 1, 0, 0)),
    scores={
        "int8": {"accuracy": 0.8125, "balanced_accuracy": 0.6667, "calibration_error": 0.05, "own": 0.25},
        "float": {"accuracy": 0.82, "balanced_accuracy": 0.7},
    },
    golden_sizes=((4, 6),),
    provenance=Provenance(
        sources=(Source(name="drawn.zip", licence="CC0 & more", use="training", images=1500),),
        split="by image",
        seed=1,
        command="seston train run.toml --out small",
        packages={"numpy": "2"},
    ),
    facts={
        "images": 32,
        "groups": 9,
        "crossed": True,
        "intervals": {"int8": {"accuracy": [0.7, 0.9]}, "float": {}},
        "classes": {
            "trained": [40, 50, 6, 1],
            "held_back": [10, 20, 2, 0],
            "recall": [0.5, 1.0, 0.5, None],
            "recall_low": [0.3, 0.9, None, None],
            "recall_high": [0.7, 1.0, None, None],
            "precision": [0.833, 0.952, 1.0, 0.0],
            "precision_low": [0.5, 0.8, None, 0.0],
            "precision_high": [1.0, 1.0, None, 0.4],
        },
        "reliability": {"n": [0, 8, 24], "score": [0, 0.5, 0.9], "right": [0, 0.75, 1.0]},
        "parity": {
            "agreement": 0.95,
            "agreement_interval": [0.9, 1.0],
            "scores": {
                "accuracy": {
                    "of_float": 0.82,
                    "of_int8": 0.8125,
                    "change": -0.0075,
                    "low": -0.02,
                    "high": 0.0,
                }
            },
            "recall_change": {"oithona": 0.05, "calanus": -0.1},
        },
        "counts": {
            "as decided": {"bray_curtis": 0.3, "bias": -0.02, "coverage": None},
            "corrected": {"bray_curtis": 0.2, "spread": [0.1, 0.3]},
            "note": "Crossed between halves.",
        },
        "reject": {"auroc": 0.875, "classes left out": ["a", "b"]},
        "limits": ["Few images."],
        "model_bytes": 4096,
        "fingerprint": {"images": 1532, "sha256": "ab" * 32},
        "wanted": {"precision": 0.7, "keep": 0.98},
    },
)
BARE = msgspec.structs.replace(MANIFEST, facts={}, scores={}, least_evidence=None)
EMPTY = msgspec.structs.replace(
    BARE, confusion=((0,) * 4,) * 4, decisions=((0,) * 5,) * 3, facts={"network": "network of nothing"}
)


def many(k: int = 121) -> Manifest:
    """A manifest of k classes with names like those of a real data set."""
    rng = np.random.default_rng(1)
    names = tuple(f"siphonophore_calycophoran_{i:03d}" for i in range(k))
    confusion = rng.poisson(0.05, (k, k)) + np.diag(rng.integers(0, 60, k))
    return msgspec.structs.replace(
        BARE,
        classes=names,
        taxa=tuple(Taxon(label=name) for name in names),
        class_taxon=tuple(range(k)),
        parents=(),
        thresholds=(0.5,) * k,
        confusion=tuple(map(tuple, confusion.tolist())),
        decisions=tuple(map(tuple, np.pad(confusion, ((0, 0), (0, 1))).tolist())),
    )


class Page(HTMLParser):
    """Elements that are open, and every attribute that could fetch something."""

    void = frozenset({"meta", "link", "br", "img", "path", "circle", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag not in self.void or (tag not in ("meta", "link", "br", "img")):
            self.open.append(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.mark.parametrize("manifest", [MANIFEST, BARE, EMPTY, many()], ids=["full", "bare", "empty", "many"])
def test_a_page_is_whole_and_fetches_nothing(manifest):
    text = write_card_html(manifest)
    page = Page(text)
    assert page.open == []
    assert page.fetched == ["data:,"]
    assert "url(" not in text
    assert "@import" not in text
    assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert "nan" not in " ".join(page.words).lower().split()
    assert "None" not in " ".join(page.words)


def test_the_page_says_what_the_manifest_says():
    text = write_card_html(MANIFEST)
    assert "<i>|" not in text
    for words in (
        "Snow &lt;i&gt;|&#34;&amp;",
        "0.700 to 0.900",
        "1,532 images",
        "ab" * 32,
        "CC0 &amp; more",
        "seston train run.toml --out small",
        "Few images.",
        "counted as",
        "Crossed between halves.",
        "0.100 to 0.300",
        "95.0%",
        "calanus (-0.10), oithona (+0.05)",
        "-0.0200 to +0.0000",
        "auroc 0.875, classes left out a, b",
        "trained on",
        "4 classes counted as 3 taxa",
    ):
        assert words in text, words


def test_heading_and_notes_can_be_given():
    text = write_card_html(BARE, heading="small on <other>", notes=["12 images were left out."])
    assert "<h1>small on &lt;other&gt;</h1>" in text
    assert "<li>12 images were left out.</li>" in text
    assert "trained on" not in text


def test_data_of_the_matrix_can_be_read_back():
    text = write_card_html(MANIFEST)
    found = re.search(r'<script type="application/json" id="cells">(.*?)</script>', text, re.DOTALL)
    data = json.loads(found[1])
    assert data["names"] == ["calanus", "oithona", "flake", "string"]
    matrix = np.zeros((4, 4), dtype=int)
    for row, column, n in data["cells"]:
        matrix[row, column] = n
    np.testing.assert_array_equal(matrix, MANIFEST.confusion)


def test_the_picture_of_the_matrix():
    confusion = np.array([[9, 1, 0], [50, 50, 0], [0, 0, 0]])
    picture, share = confusion_svg(confusion, ["a", "b & c", "d"], [(0, 2)])
    root = ET.fromstring(picture)
    assert 0 < share < 1
    squares = {
        path.get("fill"): path.get("d")
        for path in root.iter("{http://www.w3.org/2000/svg}path")
        if path.get("fill")
    }
    assert len(squares) == 4  # 0.9 and 0.5 right; 0.1 and 0.5 wrong
    assert "M0 0h1v1h-1z" in squares["#0b3f6b"]
    assert "M1 1h1v1h-1z" in squares["#2170a3"]
    empty = [
        path.get("d")
        for path in root.iter("{http://www.w3.org/2000/svg}path")
        if path.get("class") == "empty"
    ]
    assert empty == ["M0 2h3v1H0z"]
    labels = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert labels == ["a", "a", "b & c", "b & c", "d", "d"]


def test_levels_cover_every_share():
    assert (LEVELS[0], LEVELS[-1]) == (0, 1)
    k = 40
    confusion = np.array([[10**6 if i == j else max(1, i * j) for j in range(k)] for i in range(k)])
    picture, _ = confusion_svg(confusion, [str(i) for i in range(k)])
    assert picture.count("h1v1h-1z") == k * k


def test_the_reliability_diagram_leaves_out_empty_bins():
    root = ET.fromstring(reliability_svg(MANIFEST.facts["reliability"]))
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 2
    titles = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "24 images, score 0.90: 100 % right" in titles


def test_markdown_has_the_same_facts_in_tables():
    card = write_card(MANIFEST)
    rows = [line for line in card.splitlines() if line.startswith("|")]
    for words in (
        "# small",
        "| accuracy | 0.812 | 0.700 to 0.900 | 0.820 |  |",
        "| calanus | string | 4 | 40 % |",
        "| calanus | calanus | 40 | 10 | 0.50 (0.30 to 0.70) | 0.83 (0.50 to 1.00) |",
        '| flake | Snow <i>\\|"& | 6 | 2 | 0.50 | 1.00 |',
        "| calanus | 0.500 | 10 | 4 | 3 | 2 | 1 |",
        "## Confusion matrix",
        "| 2 oithona |  | 20 |  |  |",
        "| corrected | 0.200 |  |  | 0.100 to 0.300 |",
        "| 0.500 | 8 | 0.750 |",
        "- drawn.zip: training, 1,500 images. Licence: CC0 & more.",
        "`" + "ab" * 32 + "`",
        "`seston train run.toml --out small`, seed 1",
        "measured on each half of the groups",
        "- Classes with fewer than 10 held-back images: 1 of 4;",
        "- Classes without a held-back image: 1 of 4;",
    ):
        assert words in card or words in rows, words
    widths = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    assert len(set(widths)) <= 8
    assert "None" not in card


def test_many_classes_get_no_matrix_in_markdown_but_their_mistakes():
    card = write_card(many())
    assert "## Confusion matrix" not in card
    assert card.count("siphonophore_calycophoran_") > 121 * 2
    section = card[card.index("most frequent mistakes") : card.index("## Classes")]
    assert section.count("\n| siph") == 10
    assert len(card) < 40_000


@pytest.mark.parametrize("manifest", [BARE, EMPTY], ids=["bare", "empty"])
def test_markdown_of_a_manifest_without_facts(manifest):
    card = write_card(manifest)
    assert "None" not in card
    assert "nan" not in card.lower().split()
    assert "## Known limits" in card


def test_what_was_not_crossed_is_said_to_flatter():
    facts_of = {**MANIFEST.facts, "crossed": False}
    assert "flatter the model" in write_card(msgspec.structs.replace(MANIFEST, facts=facts_of))
    assert "flatter the model" not in write_card(MANIFEST)


def test_taxa_by_what_becomes_of_them():
    rows = facts.taxon_rows(MANIFEST)
    assert [tuple(row) for row in rows] == [
        ("calanus", "Copepod", 0.5, 10, 4, 3, 1, 2),
        ("oithona", "Copepod", 0.25, 20, 19, 0, 0, 1),
        (EVIL, "", 0.75, 2, 1, 0, 1, 0),
    ]


def test_mistakes_are_ordered_and_shared():
    assert facts.confusions(MANIFEST) == [
        ("calanus", "string", 4, 0.4),
        ("calanus", "oithona", 1, 0.1),
        ("flake", "calanus", 1, 0.5),
    ]
    assert facts.confusions(EMPTY) == []


def test_relatives_lie_side_by_side():
    manifest = msgspec.structs.replace(
        MANIFEST,
        classes=("b", "z", "a", "y"),
        taxa=(Taxon(label="T", parent="P"), Taxon(label="A"), Taxon(label="U", parent="P")),
        parents=(Taxon(label="P"),),
        class_taxon=(0, 1, 2, 0),
    )
    order = facts.lineage_order(manifest)
    assert [manifest.classes[i] for i in order] == ["z", "b", "y", "a"]
    assert facts.lineages(manifest)[3] == ("P", "T", "y")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.12345, "0.123"),
        (0.0, "0.000"),
        (0.00004, "4.0e-05"),
        (12345, "12,345"),
        (True, "yes"),
        ([0.1, 0.2], "0.100 to 0.200"),
        (["a", "b"], "a, b"),
        ([1, 2, 3], "1, 2, 3"),
        ({"macro_f1": 0.5, "n_of": 3}, "macro-F1 0.500, n of 3"),
        ("words", "words"),
    ],
)
def test_numbers_as_text(value, text):
    assert facts.number(value) == text
