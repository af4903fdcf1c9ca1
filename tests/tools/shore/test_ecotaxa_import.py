"""Sorted and back: labels by object id, pixels from the log, and a score that can be counted by hand."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("gsw", reason="needs the shore extra")
pytest.importorskip("jinja2", reason="needs the shore extra")

from edge.divelog import DiveLog
from edge.errors import InputError
from edge.inference.preprocessing import Preprocessing
from edge.taxonomy import UNCLASSIFIED, Taxon
from tools.bench.drawn_dive import TAXA, make_dive
from tools.cli import cli, main
from tools.shore.ecotaxa import scoring
from tools.shore.ecotaxa.back import Judged, Matched, match_dives
from tools.shore.ecotaxa.dive import open_dive
from tools.shore.ecotaxa.export import export_dives
from tools.shore.ecotaxa.sorted import read_sorted
from training.datasets import read_dataset

N = 80
COLUMNS = (
    "object_id",
    "object_annotation_status",
    "object_annotation_category",
    "object_annotation_category_id",
)


@pytest.fixture(scope="module")
def dive(tmp_path_factory) -> Path:
    return make_dive(tmp_path_factory.mktemp("dives") / "00001", N, distinct=25)


@pytest.fixture(scope="module")
def decided(dive) -> list[tuple[str, str]]:
    """Object id and decision of every particle, in order."""
    with open_dive(dive) as one:
        return [
            (one.object_id(found.particle.frame, found.place), TAXA[found.particle.taxon].label)
            for found in one.objects()
        ]


def export_of(
    folder: Path, rows, *, types: bool = True, encoding: str = "utf-8-sig", name="ecotaxa_export_7.tsv"
):
    """A table as EcoTaxa exports annotations: text in quotes, UTF-8 with its mark or Latin-1."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    if types:
        writer.writerow(("[t]", "[t]", "[t]", "[f]"))
    writer.writerows(rows)
    (folder / name).write_bytes(buffer.getvalue().encode(encoding))
    return folder / name


def as_sorted(decided):
    """All validated as they were decided, the unclassified as copepods."""
    return [
        (thing, "validated", "copepod" if label == UNCLASSIFIED else label, "") for thing, label in decided
    ]


def test_a_sorted_export_becomes_a_training_set(dive, decided, tmp_path):
    table = export_of(tmp_path, as_sorted(decided))
    found = match_dives(read_sorted(table), [dive], tmp_path / "out", {})
    assert not found.faults
    assert not found.unmatched
    assert len(found.judged) == N == sum(found.written.values())
    place = tmp_path / "out" / "sorted"
    data = read_dataset(place, Preprocessing(size_px=24))
    assert len(data.files) == N
    assert data.faults == ()
    assert set(data.acquisitions) == {
        f"drawn_00001_20250304-120000_{phase}" for phase in ("descent", "park", "ascent")
    }
    with DiveLog.open(dive) as log:
        kept = [particle.vignette_png for particle in log.particles(with_vignettes=True)]
    for (thing, status, category, _), png in zip(as_sorted(decided), kept, strict=True):
        assert status == "validated"
        assert (place / category / f"{thing}.png").read_bytes() == png


def test_the_score_can_be_counted_by_hand(dive, decided, tmp_path):
    named = [(thing, label) for thing, label in decided if label not in (UNCLASSIFIED, "gelatinous")]
    rows = []
    for i, (thing, label) in enumerate(named):
        rows.append((thing, "validated" if i < 20 else "predicted", "sphere" if i % 4 == 0 else label, ""))
    found = match_dives(read_sorted(export_of(tmp_path, rows)), [dive], tmp_path / "out", {})
    score = scoring.score(found)
    right = sum(i % 4 != 0 or label == "sphere" for i, (_, label) in enumerate(named[:20]))
    assert score.of("right").hits == right
    assert score.of("wrong").hits == 20 - right
    assert score.of("right").n == 20
    for row in score.taxa:
        decided_so = [i for i, (_, label) in enumerate(named[:20]) if label == row.label]
        assert row.validated == row.precision.n == len(decided_so)
        assert row.precision.hits == sum(i % 4 != 0 or row.label == "sphere" for i in decided_so)
        assert row.board == sum(label == row.label for _, label in decided)
    assert sum(row.board for row in score.taxa) + found.counted[UNCLASSIFIED] == N
    expected = sum(row.expected for row in score.taxa)
    assert expected + score.unseen.get(UNCLASSIFIED, 0) == pytest.approx(N)
    assert found.statuses == {"validated": 20, "predicted": len(named) - 20}


def judged(*pairs) -> Matched:
    found = Matched(taxa={taxon.label: taxon for taxon in (*TAXA, Taxon(label="tail", parent="copepod"))})
    for i, (truth, answer) in enumerate(pairs):
        found.judged.append(Judged(str(i), "d", truth, answer, 0.9))
        found.counted[answer] += 1
        found.seen_validated[answer] += 1
    return found


def test_parents_and_finer_decisions():
    found = judged(
        ("bell", "bell"), ("bell", "gelatinous"), ("ring", "gelatinous"), ("copepod", "gelatinous"),
        ("gelatinous", "bell"), ("bell", UNCLASSIFIED), ("tail", "copepod"), ("copepod", "bell"),
        ("Salpida", "gelatinous"),
    )  # fmt: skip
    score = scoring.score(found)
    taxa = {row.label: row for row in score.taxa}
    assert {kind: score.of(kind).hits for kind in scoring.KINDS} == {
        "right": 1, "coarse": 3, "unclassified": 1, "wrong": 3, "finer": 1,
    }  # fmt: skip
    assert (taxa["gelatinous"].precision.hits, taxa["gelatinous"].precision.n) == (2, 4)
    assert (taxa["bell"].precision.hits, taxa["bell"].precision.n) == (
        1,
        2,
    )  # one is finer than what was sorted
    assert (taxa["bell"].recall.hits, taxa["bell"].recall.n) == (1, 3)
    assert (taxa["bell"].as_parent, taxa["bell"].unclassified) == (1, 1)
    assert (taxa["gelatinous"].recall.n, taxa["gelatinous"].finer) == (0, 1)
    assert taxa["Salpida"].is_new
    assert not taxa["bell"].is_new


def test_counts_that_stand_for_the_rest():
    found = judged(("copepod", "copepod"), ("ring", "copepod"), ("ring", UNCLASSIFIED))
    found.counted.update({"copepod": 8, "tuft": 5, UNCLASSIFIED: 3})
    score = scoring.score(found)
    expected = {row.label: row.expected for row in score.taxa}
    assert expected == {"copepod": 5.0, "ring": 5.0 + 4.0, "tuft": 5.0}
    assert score.unseen == {"tuft": 5}
    # |10 - 5| + |0 - 9| + 0 over 10 + 5 + 19
    assert score.bray_curtis == pytest.approx(14 / 34)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(8, 10, 0.5408, 0.9314), (0, 10, 0.0, 0.2130), (10, 10, 0.7870, 1.0), (1, 1, 0.2699, 1)],
)
def test_wilsons_interval(hits, n, low, high):
    """Against the quadratic that it solves: |p - x| = z sqrt(x (1 - x) / n) at both ends."""
    found = scoring.wilson(hits, n)
    assert (found.low, found.high) == (pytest.approx(low, abs=2e-4), pytest.approx(high, abs=2e-4))
    for end in (found.low, found.high):
        if 1e-9 < end < 1 - 1e-9:
            assert abs(hits / n - end) == pytest.approx(scoring.Z * (end * (1 - end) / n) ** 0.5)


def test_categories_are_found_by_id_by_name_and_by_what_was_given(dive, decided, tmp_path):
    taxa = tmp_path / "taxa.csv"
    taxa.write_text(
        "taxon,ecotaxa_id,ecotaxa_name\ncopepod,25828,Copepoda\nring,,Foraminifera\n", encoding="utf-8"
    )
    names = [
        ("Copepoda<Multicrustacea", "25828"),
        ("FORAMINIFERA", ""),
        ("bell<Hydrozoa", ""),
        ("seaweed", "9"),
    ]
    rows = [(thing, "validated", *names[i % 4]) for i, (thing, _) in enumerate(decided)]
    table = export_of(tmp_path, rows)
    out = tmp_path / "out"
    done = CliRunner().invoke(
        cli, ["import", "ecotaxa", str(table), "--dives", str(dive), "--out", str(out), "--taxa", str(taxa)]
    )
    assert done.exit_code == 0, done.output
    found = json.loads((out / "score.json").read_text())
    truths = {one["object_id"]: one["truth"] for one in found["judged"]}
    for i, (thing, _) in enumerate(decided):
        assert truths[thing] == ("copepod", "ring", "bell", "seaweed")[i % 4]
    assert "The model has no such names: seaweed." in done.output
    assert sorted(path.name for path in (out / "sorted").iterdir()) == [
        "Copepoda_Multicrustacea__25828", "FORAMINIFERA", "bell_Hydrozoa", "ecotaxa_sorted.tsv", "seaweed__9",
    ]  # fmt: skip
    page = (out / "score.html").read_text()
    assert "The model at sea, as sorted in EcoTaxa" in page
    assert "Copepoda" not in page.partition("<body>")[2].partition("Left out")[0]  # in the model's words
    assert "http" not in page.partition("<body>")[2]  # nothing from elsewhere


def test_dives_in_a_row_zips_latin_1_and_no_types(dive, decided, tmp_path):
    second = make_dive(tmp_path / "00002", 20, distinct=5, seed=9, dive_number=2)
    with open_dive(second) as one:
        more = [
            (one.object_id(x.particle.frame, x.place), "validated", "Noctiluca é", "") for x in one.objects()
        ]
    table = export_of(tmp_path, [*as_sorted(decided), *more], types=False, encoding="latin-1")
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.write(table, table.name)
    out = tmp_path / "out"
    args = [
        "import",
        "ecotaxa",
        str(tmp_path / "export.zip"),
        "--dives",
        str(dive),
        str(second),
        "--out",
        str(out),
    ]
    done = CliRunner().invoke(cli, args)
    assert done.exit_code == 0, done.output
    assert f"{N + 20} validated of {N + 20} particles" in done.output
    with (out / "sorted" / "ecotaxa_sorted.tsv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert {row["object_annotation_category"] for row in rows} >= {"Noctiluca é"}
    assert read_dataset(out / "sorted", Preprocessing(size_px=24)).acquisitions is not None
    again = CliRunner().invoke(cli, args)
    assert again.exit_code != 0
    assert "is already there; choose another" in str(again.exception)


def test_an_own_zip_comes_back_as_predicted_alone(dive, tmp_path):
    export_dives([dive], tmp_path / "eco.zip")
    found = match_dives(read_sorted(tmp_path / "eco.zip"), [dive], tmp_path / "out", {})
    assert set(found.statuses) == {"predicted", ""}
    assert not found.judged
    score = scoring.score(found)
    assert score.of("right").n == 0
    assert json.dumps(scoring.as_dict(found, score, "eco.zip"), allow_nan=False)


def test_what_is_bad_is_listed_with_file_row_and_field_and_the_rest_counts(dive, decided, tmp_path):
    rows = as_sorted(decided)
    rows[0] = (rows[0][0], "sure", "copepod", "")
    rows[1] = ("", "validated", "copepod", "")
    rows[2] = (rows[2][0], "validated", "", "")
    rows[3] = (rows[3][0], "validated", "copepod", "12.5")
    rows[4] = (rows[4][0], "X", "copepod", "")
    rows += [(rows[5][0], "validated", "another", ""), ("of somebody else", "validated", "copepod", "")]
    table = export_of(tmp_path, rows)
    out = tmp_path / "out"
    done = CliRunner().invoke(cli, ["import", "ecotaxa", str(table), "--dives", str(dive), "--out", str(out)])
    assert done.exit_code == 0, done.output
    with (out / "left-out.csv").open(encoding="utf-8", newline="") as file:
        left = [(row["row"], row["field"], row["what"].partition(";")[0]) for row in csv.DictReader(file)]
    assert left == [
        ("3", "object_annotation_status", "is 'sure', none of validated, predicted, dubious, discarded"),
        ("4", "object_id", "is empty"),
        ("5", "object_annotation_category", "is empty, and the object is validated"),
        ("6", "object_annotation_category_id", "is '12.5', no whole number above 0"),
        (str(N + 3), "object_id", f"{decided[5][0]} is 'another' here and {rows[5][2]!r} in row 8"),
    ]
    assert f"{N - 6} validated of {N} particles" in done.output
    assert "1 discarded" in done.output
    assert "1 objects of the export are of no dive that was given" in done.output


def test_half_an_export_gives_what_came_over(dive, decided, tmp_path):
    table = export_of(tmp_path, as_sorted(decided))
    with zipfile.ZipFile(tmp_path / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(table, table.name)
        archive.writestr("s/image.png", bytes(range(256)) * 400)
    data = (tmp_path / "export.zip").read_bytes()
    (tmp_path / "half.zip").write_bytes(data[:-300])
    export = read_sorted(tmp_path / "half.zip")
    assert len(export.objects) == N
    assert "is cut off" in export.faults[0].what
    (tmp_path / "half.tsv").write_bytes(table.read_bytes()[:1500])
    assert 5 < len(read_sorted(tmp_path / "half.tsv").objects) < N


def test_another_replay_is_told_from_another_dive(dive, decided, tmp_path):
    rows = [(decided[0][0].replace("_000000_", "_999999_"), "validated", "x", "")]
    name = decided[0][0].rsplit("_", 3)[0]
    rows += [(f"{name}_abcdef_000001_0", "validated", "x", ""), ("else", "validated", "x", "")]
    with pytest.raises(InputError) as caught:
        match_dives(read_sorted(export_of(tmp_path, rows)), [dive], tmp_path / "out", {})
    assert "holds no object of these dives" in str(caught.value)
    assert "1 of frames that the dive's log does not have" in str(caught.value)
    assert f"1 of {name} as another model or configuration saw it" in str(caught.value)
    assert "1 of no dive that was given" in str(caught.value)
    assert not (tmp_path / "out" / "sorted").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no object"),
        ("object_id\n", "holds no object"),
        ("name\tstatus\na\tb\n", "object_id: is not there"),
    ],
)
def test_what_is_no_export_is_refused(tmp_path, dive, text, sentence, capsys):
    (tmp_path / "ecotaxa_x.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        main(
            [
                "import",
                "ecotaxa",
                str(tmp_path / "ecotaxa_x.tsv"),
                "--dives",
                str(dive),
                "--out",
                str(tmp_path / "o"),
            ]
        )
    assert caught.value.code == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "o" / "sorted").exists()


@settings(max_examples=80)
@given(st.binary(max_size=300))
def test_hostile_tables_are_refused_in_a_sentence_or_read(tmp_path_factory, junk):
    table = tmp_path_factory.mktemp("hostile") / "ecotaxa_x.tsv"
    table.write_bytes(b"object_id\tobject_annotation_status\tobject_annotation_category\n" + junk)
    try:
        found = read_sorted(table)
    except InputError:
        return
    assert all(thing for thing in found.objects)
