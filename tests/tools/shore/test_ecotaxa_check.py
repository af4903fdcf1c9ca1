"""Every rule of the importer: what breaks it is found, with file, row and field; what does not is not."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InputError
from tools.cli import cli
from tools.shore.ecotaxa import cells, rules
from tools.shore.ecotaxa.check import check_archive
from tools.shore.ecotaxa.rules import RULES, Verdict

TABLE = "s/ecotaxa_s.tsv"
PNG = cv2.imencode(".png", np.arange(600, dtype=np.uint8).reshape(20, 30) % 250)[1].tobytes()
COLUMNS = {
    "img_file_name": "[t]", "img_rank": "[f]", "object_id": "[t]", "object_lat": "[f]", "object_lon": "[f]",
    "object_date": "[t]", "object_time": "[t]", "object_depth_min": "[f]", "object_depth_max": "[f]",
    "object_annotation_category": "[t]", "object_annotation_category_id": "[f]",
    "object_annotation_status": "[t]", "object_area": "[f]", "object_note": "[t]", "acq_id": "[t]",
    "acq_pixel": "[t]", "acq_volimage": "[t]", "sample_id": "[t]", "sample_sampletype": "[t]",
    "sample_integrationtime": "[t]", "process_id": "[t]",
}  # fmt: skip
GOOD = {
    "img_rank": "1", "object_lat": "43.4", "object_lon": "-7.9", "object_date": "20250304",
    "object_time": "120000", "object_depth_min": "12.5", "object_depth_max": "12.5",
    "object_annotation_category": "Copepoda", "object_annotation_category_id": "25828",
    "object_annotation_status": "predicted", "object_area": "207", "object_note": "x", "acq_id": "a",
    "acq_pixel": "73", "acq_volimage": "0.6", "sample_id": "s", "sample_sampletype": "P", "process_id": "p",
}  # fmt: skip


def row(number: int = 1, **cells: str) -> dict[str, str]:
    """A good row, but for what is given; `object_annotation_x` may be given as `x`."""
    names = {**GOOD, "img_file_name": f"{number}.png", "object_id": f"o{number}"}
    for name, cell in cells.items():
        known = [
            column
            for column in COLUMNS
            if column == name or column.removeprefix("object_annotation_") == name
        ]
        names[known[0] if known else name] = cell
    return names


def table(rows, columns=None, types=None, encoding="utf-8-sig") -> bytes:
    columns = COLUMNS if columns is None else columns
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    writer.writerow(types or columns.values())
    writer.writerows([one.get(name, "") for name in columns] for one in rows)
    return buffer.getvalue().encode(encoding)


def archive(tmp_path, rows=None, *, data=None, images=None, name="x.zip", more=None):
    rows = [row(1), row(2)] if rows is None else rows
    files = {TABLE: table(rows) if data is None else data} | (more or {})
    wanted = {f"s/{one['img_file_name']}" for one in rows} if images is None else images
    files |= {image: PNG for image in wanted if image not in files}
    with zipfile.ZipFile(tmp_path / name, "w") as made:
        for member, content in files.items():
            made.writestr(member, content)
    return tmp_path / name


def found(path) -> dict[str, tuple]:
    """Row and field of the first finding, by rule."""
    seen: dict[str, tuple] = {}
    for one in check_archive(path).findings:
        seen.setdefault(one.rule.name, (one.row, one.field))
    return seen


def test_a_good_archive_has_no_finding(tmp_path):
    report = check_archive(archive(tmp_path))
    assert not report.findings
    assert report.verdict() == "EcoTaxa imports it."
    assert report.holds() == ("2 objects, 2 images, 2 rows (2 predicted), 1 sample, 1 acquisition, 1 table")


LONG = "x" * 251


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ({"object_area": "207,5"}, "cell-number"),
        ({"object_area": "many"}, "cell-number"),
        ({"img_rank": "first"}, "cell-number"),
        ({"object_area": "-inf"}, "cell-number"),
        ({"object_note": LONG}, "cell-length"),
        ({"acq_pixel": LONG}, "cell-length"),
        ({"object_id": "x" * 256}, "cell-length"),
        ({"object_lat": "90.1"}, "cell-place"),
        ({"object_lon": "-181"}, "cell-place"),
        ({"object_lat": "north"}, "cell-place"),
        ({"object_date": "20250230"}, "cell-date"),
        ({"object_date": "4.3.2025"}, "cell-date"),
        ({"object_time": "246060"}, "cell-time"),
        ({"object_time": "noon"}, "cell-time"),
        ({"object_time": "2025-03-04T12:00"}, "cell-zone"),  # taken for 20:25:00
        ({"object_time": "12:00:00+02:00"}, "cell-zone"),
        ({"object_time": "120000Z"}, "cell-zone"),
        ({"object_id": ""}, "object-id"),
        ({"img_file_name": ""}, "image-there"),
        ({"img_file_name": "no.png"}, "image-there"),
        ({"status": "sure"}, "status-known"),
        ({"status": ""}, "status-category"),
        ({"category": ""}, "status-category"),  # the id alone does not count where there is a column of names
        ({"category_id": "12.5"}, "category-id"),
        ({"category_id": "-3"}, "category-id"),
        ({"category_id": ""}, "category-name"),
        ({"object_lat": ""}, "place-known"),
        ({"sample_sampletype": "depth"}, "ecopart-type"),
        ({"sample_sampletype": "T"}, "ecopart-type"),
    ],
)
def test_a_bad_cell_is_found_with_its_row_and_field(tmp_path, cell, rule):
    bad = row(2, **cell)
    images = {f"s/{one}.png" for one in (1, 2)}
    seen = found(archive(tmp_path, [row(1), bad], images=images))
    assert rule in seen, seen
    field = {"status": "object_annotation_status"}.get(next(iter(cell)), next(iter(cell)))
    if rule == "place-known":
        assert seen == {"place-known": (None, "")}
    elif rule == "status-category":
        assert seen[rule] == (4, "object_annotation_status")
    elif rule == "category-name":
        assert seen[rule] == (4, "object_annotation_category")
    elif cell == {"sample_sampletype": "T"}:
        assert seen[rule] == (4, "sample_integrationtime")
    else:
        assert seen[rule] == (4, {"category_id": "object_annotation_category_id"}.get(field, field))
    unexpected = set(seen) - {rule, "image-unused"}
    assert not unexpected, seen


@pytest.mark.parametrize(
    "cell",
    [
        {"object_area": "nan"}, {"object_area": "NA"}, {"object_area": ""}, {"object_area": "1e5"},
        {"object_lat": "43°0 0"}, {"object_date": "2025-03-04"}, {"object_time": "1200"},
        {"object_time": "320"},
        {"object_time": "12:00:00"}, {"status": "Validated"}, {"status": "noid"}, {"object_note": "x" * 250},
        {"status": "", "category": "", "category_id": ""},
        {"sample_sampletype": "T", "sample_integrationtime": "60"},
        {"object_note": "Noctiluca à Villefranche"}, {"object_note": 'a "quoted"\tword'},
    ],
)  # fmt: skip
def test_what_the_importer_takes_is_not_found(tmp_path, cell):
    assert found(archive(tmp_path, [row(1), row(2, **cell)])) == {}


def without(name: str) -> dict[str, str]:
    return {column: kind for column, kind in COLUMNS.items() if column != name}


@pytest.mark.parametrize(
    ("columns", "rule", "field"),
    [
        (COLUMNS | {"area": "[f]"}, "header-name", "area"),
        (COLUMNS | {"station_name": "[t]"}, "header-prefix", "station_name"),
        (COLUMNS | {"img_colour": "[t]"}, "header-prefix", "img_colour"),
        (COLUMNS | {"object_new": "[x]"}, "header-type", "object_new"),
        (COLUMNS | {"object_new": "f"}, "header-type", "object_new"),
        (without("acq_id"), "header-id", "acq_id"),
        (without("acq_pixel"), "ecopart-optics", "acq_pixel"),
        (COLUMNS | {f"object_t{i}": "[t]" for i in range(20)}, "header-room", ""),
        (COLUMNS | {f"acq_t{i}": "[t]" for i in range(29)}, "header-room", ""),
        (COLUMNS | {f"sample_t{i}": "[t]" for i in range(29)}, "header-samples", ""),
    ],
)
def test_a_bad_header_is_found(tmp_path, columns, rule, field):
    seen = found(archive(tmp_path, data=table([row(1), row(2)], columns)))
    assert rule in seen
    assert seen[rule][1] == field
    if rule not in ("ecopart-optics", "header-samples"):
        assert check_archive(tmp_path / "x.zip").is_refused


def test_as_many_columns_as_there_is_room_for_are_taken(tmp_path):
    columns = (
        COLUMNS | {f"object_n{i}": "[f]" for i in range(499)} | {f"object_t{i}": "[t]" for i in range(19)}
    )
    assert found(archive(tmp_path, data=table([row(1), row(2)], columns))) == {}


def test_two_rows_for_types_and_a_column_twice(tmp_path):
    rows = [row(1), row(2)]
    seen = found(archive(tmp_path, rows, data=table(rows, types=[rows[0].get(name, "") for name in COLUMNS])))
    assert seen["header-row2"] == (2, "")
    twice = table(rows).replace(b"object_note", b"object_area", 1)
    assert found(archive(tmp_path, rows, data=twice))["header-twice"] == (None, "object_area")


def test_duplicates_ranks_and_acquisitions(tmp_path):
    rows = [row(1), row(1), row(2, img_file_name="1.png"), row(3, object_id="o1"), row(4, sample_id="t")]
    report = check_archive(archive(tmp_path, rows))
    told = {(one.rule.name, one.row): one.what for one in report.findings}
    assert told["object-twice", 4] == "'o1' with '1.png' stands in row 3 already"
    assert ("object-rank", 4) in told
    assert ("object-rank", 6) in told  # another image of the same object and rank
    assert "is of sample 't' here, and was of 's'" in told["acq-sample", 7]
    assert report.objects == 3


def test_latin_1_and_utf_8(tmp_path):
    rows = [row(1), row(2, object_note="Dinoflagellés")]
    assert found(archive(tmp_path, rows, data=table(rows, encoding="latin-1"))) == {}
    report = check_archive(archive(tmp_path, rows, data=table(rows, encoding="utf-8")))
    (one,) = report.findings
    assert (one.rule.name, one.row, one.field) == ("table-encoding", 4, "object_note")
    assert one.what == "'Dinoflagellés' would become 'DinoflagellÃ©s'"
    broken = "﻿".encode() + table(rows, encoding="latin-1")
    assert "table-readable" in found(archive(tmp_path, rows, data=broken))


def test_cells_too_many_and_too_few(tmp_path):
    lines = table([row(1), row(2), row(3)]).decode("utf-8-sig").splitlines()
    lines[3] += "\tmore"
    lines[4] = "\t".join(lines[4].split("\t")[:-1])
    data = "\n".join(lines).encode("utf-8-sig")
    seen = found(archive(tmp_path, [row(1), row(2), row(3)], data=data))
    assert seen["cell-beyond"] == (4, "")
    assert seen["cell-short"] == (5, "")


@pytest.mark.parametrize(
    ("image", "what"),
    [
        (PNG[:-20], "is truncated"),
        (PNG[:60] + b"\xff" + PNG[61:], "a checksum in it is wrong"),
        (b"", "is no PNG, JPEG or GIF"),
        (b"II*\0 a TIFF", "is no PNG, JPEG or GIF"),
        (b"GIF89a but not really", "is truncated"),
    ],
)
def test_images_that_do_not_open(tmp_path, image, what):
    report = check_archive(archive(tmp_path, more={"s/2.png": image}))
    (one,) = [finding for finding in report.findings if finding.rule.name == "image-opens"]
    assert what in one.what
    assert (one.row, one.field) == (4, "img_file_name")


def test_a_jpeg_is_fine_and_what_no_row_names_is_left_behind(tmp_path):
    jpeg = cv2.imencode(".jpg", np.zeros((9, 9), np.uint8))[1].tobytes()
    rows = [row(1, img_file_name="1.jpg"), row(2)]
    assert found(archive(tmp_path, rows, more={"s/1.jpg": jpeg})) == {}
    seen = check_archive(archive(tmp_path, more={"s/other.png": PNG, "t/1.png": PNG}))
    assert [one.file for one in seen.findings] == ["s/other.png", "t/1.png"]


def test_names_of_tables(tmp_path):
    for name in ("s/EcoTaxa_s.tsv", "s/table.tsv", "s/ecotaxa_s.csv"):
        path = archive(tmp_path, more={name: table([row(1)])}, data=b"", name="y.zip")
        with zipfile.ZipFile(tmp_path / "z.zip", "w") as made, zipfile.ZipFile(path) as old:
            for member in old.namelist():
                if member != TABLE:
                    made.writestr(member, old.read(member))
        assert "archive-table" in found(tmp_path / "z.zip"), name


def test_an_archive_in_an_archive_has_its_legend_drawn(tmp_path):
    settings_file = "[vignette]\ngamma=1\ninvert=y\nscalebarsize_mm=2\nfontcolor=black\nfontheight_px=6\n"
    settings_file += "footerheight_px=31\nscale=1\nPixel_Size=73\n"
    inner = archive(tmp_path, name="a_Images.zip")
    with zipfile.ZipFile(inner, "a") as made:
        made.writestr("compute_vignette.txt", settings_file)
    assert "legend-settings" in found(inner)  # on its own nobody looks for the settings
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.write(inner, "p/a_Images.zip")
    assert found(tmp_path / "outer.zip") == {}
    with zipfile.ZipFile(inner, "a") as made:
        made.writestr("other/compute_vignette.txt", settings_file)
    folder = tmp_path / "folder"
    folder.mkdir()
    inner.rename(folder / "a_Images.zip")
    seen = check_archive(folder)
    assert [one.file for one in seen.findings] == ["a_Images.zip/other/compute_vignette.txt"]
    (folder / "b_Images.zip").write_bytes(b"PK nothing")
    assert found(folder)["archive-whole"] == (None, "")


def test_half_an_archive_is_read_as_far_as_it_goes(tmp_path):
    path = archive(tmp_path, [row(i) for i in range(1, 40)])
    data = path.read_bytes()
    half = tmp_path / "half.zip"
    half.write_bytes(data[: len(data) // 2])
    report = check_archive(half)
    assert report.is_refused
    assert "files are whole" in report.findings[0].what
    assert report.rows == 39  # the table came first
    missing = [one for one in report.findings if one.rule.name == "image-there"]
    assert 10 < len(missing) < 39
    half.write_bytes(data[:40])
    with pytest.raises(InputError, match=r"half\.zip: is neither a folder, a table nor a readable zip"):
        check_archive(half)
    with pytest.raises(InputError, match="is not there"):
        check_archive(tmp_path / "none.zip")


def test_what_is_good_is_kept(tmp_path):
    rows = [row(1), row(2, object_area="1,5"), row(3), row(3), row(4, img_file_name="no.png")]
    columns = COLUMNS | {"station_name": "[t]"}
    path = archive(tmp_path, rows, data=table(rows, columns), images={f"s/{n}.png" for n in (1, 2, 3)})
    done = CliRunner().invoke(cli, ["export", "check", str(path), "--keep", str(tmp_path / "good.zip")])
    assert done.exit_code == 1
    assert "2 of 5 rows and 2 images are good" in done.output
    report = check_archive(tmp_path / "good.zip")
    assert not report.findings
    assert (report.rows, report.images) == (2, 2)


def test_the_command_tells_places_and_writes_them(tmp_path):
    path = archive(tmp_path, [row(1), *(row(n, object_area="1,5") for n in range(2, 20))])
    file = tmp_path / "found.json"
    done = CliRunner().invoke(cli, ["export", "check", str(path), "--json", str(file)])
    assert done.exit_code == 1
    assert "EcoTaxa refuses it: 18 places are wrong." in done.output
    assert f"{TABLE}: row 4: object_area: '1,5' is no number: write a point" in done.output
    assert "... and 8 more" in done.output
    (told,) = json.loads(file.read_text())
    assert told["rules"]["cell-number"]["found"] == len(told["findings"]) == 18
    assert "TSVHelpers" in told["rules"]["cell-number"]["source"]
    assert CliRunner().invoke(cli, ["export", "check", str(archive(tmp_path))]).exit_code == 0


def test_a_uvp6_archive_of_others(shared):
    """It imports, and its legend does not: its settings lie where nobody looks."""
    report = check_archive(shared / "data" / "ecotaxa" / "b_da_19_Images.zip")
    assert report.verdict() == "EcoTaxa imports it, but not as it stands in 1 place."
    (one,) = report.findings
    assert one.rule.name == "legend-settings"
    assert one.file == "b_da_19_Images/compute_vignette.txt"
    assert (report.rows, report.objects, report.images, report.samples) == (15, 15, 15, 1)
    assert report.statuses == {"": 15}


def test_every_rule_says_where_it_is_from_and_can_be_broken():
    assert len(RULES) > 35
    for name, rule in RULES.items():
        assert rule.name == name
        assert rule.says.endswith(".")
        assert "eco" in rule.source
    text = Path(__file__).read_text(encoding="utf-8")
    tested = {name for name in RULES if f'"{name}"' in text}
    assert set(RULES) - tested <= {
        "archive-size", "archive-tables", "archive-rows", "person-known", "image-gif", "legend-readable",
    }  # fmt: skip


def test_the_rest_of_the_rules(tmp_path, monkeypatch):
    path = archive(tmp_path, [row(1)], data=table([]), images={"s/1.png"})
    assert "archive-rows" in found(path)
    columns = COLUMNS | {"object_annotation_person_name": "[t]"}
    rows = [row(1, object_annotation_person_name="Ada"), row(2, object_annotation_person_name="ada")]
    report = check_archive(archive(tmp_path, rows, data=table(rows, columns)))
    assert report.counts == {"person-known": 1}
    assert report.verdict() == "EcoTaxa imports it after asking a person about 1 name."
    monkeypatch.setattr(rules, "UPLOAD_BYTES", 100)
    monkeypatch.setattr(rules, "MOST_TABLES", 1)
    seen = found(archive(tmp_path, more={"t/ecotaxa_t.tsv": table([row(9, img_file_name="../s/1.png")])}))
    assert {"archive-size", "archive-tables"} <= set(seen)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
CELL = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n"), max_size=40)


@settings(max_examples=150)
@given(st.lists(st.lists(TEXT, max_size=8), max_size=8), st.binary(max_size=40), st.booleans())
def test_hostile_tables_are_told_never_fatal(tmp_path_factory, rows, junk, is_utf8):
    folder = tmp_path_factory.mktemp("hostile")
    text = "\n".join("\t".join(row) for row in rows)
    (folder / "ecotaxa_x.tsv").write_bytes(text.encode("utf-8" if is_utf8 else "utf-16", "replace") + junk)
    report = check_archive(folder)
    assert report.verdict().startswith("EcoTaxa")
    for one in report.findings:
        assert str(one)
    assert all(one.verdict in Verdict for one in RULES.values())


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(sorted(COLUMNS)), CELL, max_size=6))
def test_hostile_cells_are_found_or_taken(tmp_path_factory, hostile):
    folder = tmp_path_factory.mktemp("cells")
    (folder / "1.png").write_bytes(PNG)
    (folder / "ecotaxa_x.tsv").write_bytes(table([row(1, **hostile)]))
    report = check_archive(folder)
    assert report.rows == 1
    for name, text in hostile.items():
        if (
            name == "object_area"
            and cells.number(text.strip()) is None
            and not cells.is_empty_number(text.strip())
        ):
            assert report.counts["cell-number"] >= 1


@given(st.text(max_size=12))
def test_dates_and_times_never_raise(text):
    (
        cells.is_date(text),
        cells.read_time(text),
        cells.degrees(text),
        cells.number(text),
        cells.is_garbled(text),
    )


@pytest.mark.parametrize(
    ("text", "value"), [("43°30 0", 43.5), ("-43°0 36", -42.99), ("12.5", 12.5), ("x", None), ("43°", None)]
)
def test_degrees_as_the_importer_has_them(text, value):
    found = cells.degrees(text)
    assert found is None if value is None else found == pytest.approx(value)
