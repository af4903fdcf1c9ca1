"""`seston export odv`, read back by a parser of the published format and by pandas."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as Xml

import numpy as np
import pytest

from edge.divelog import DiveLog
from edge.frame import Phase
from edge.logged import summarise
from tests.tools.made_dive import make_dive
from tests.tools.shore.exported import seston

pytest.importorskip("gsw", reason="needs the shore extra")
FIRST = [
    "Cruise", "Station", "Type", "yyyy-mm-ddThh:mm:ss.sss", "Longitude [degrees_east]",
    "Latitude [degrees_north]", "Bot. Depth [m]",
]  # fmt: skip


def read_odv(path):
    """Declared variables, labels and rows, by the rules of ODV's generic spreadsheet format."""
    data = path.read_bytes()
    assert not data.startswith(b"\xef\xbb\xbf")
    lines = data.decode("utf-8").split("\n")
    assert lines.pop() == ""
    told = [line[2:] for line in lines if line.startswith("//")]
    table = [line.split("\t") for line in lines if line and not line.startswith("//")]
    declared = []
    for line in told:
        if line.startswith("<"):
            match = re.fullmatch(r"<(\w+)>(.*)</\1>", line)
            assert match, line
            if match[1] in ("DataVariable", "MetaVariable"):
                declared.append((match[1], Xml.fromstring(f"<a {match[2]}/>").attrib))
    assert "<Encoding>UTF-8</Encoding>" in told
    labels, rows = table[0], table[1:]
    assert labels[:7] == FIRST
    assert len({len(row) for row in [labels, *rows]}) == 1
    variables = [attributes for kind, attributes in declared if kind == "DataVariable"]
    assert [one["label"] for one in variables] == labels[7::2]
    assert set(labels[8::2]) == {"QV:ARGO"}
    assert [one["is_primary_variable"] for one in variables].count("T") == 1
    assert len(set(labels[7::2])) == len(labels[7::2])
    assert all(re.search(r" \[[^][]+\]$", label) for label in labels[7::2])
    return labels, rows


@pytest.fixture(scope="module")
def dive(tmp_path_factory):
    return make_dive(tmp_path_factory.mktemp("dive") / "made", nasty="\t[x] <&>")


def test_a_spreadsheet_holds_what_was_counted_with_its_flags(dive, tmp_path):
    out = tmp_path / "dives.txt"
    code, told = seston("export", "odv", dive, "--out", out)
    assert code == 0, told
    labels, rows = read_odv(out)
    with DiveLog.open(dive) as log:
        profile = summarise(log).profile
    for phase, end in ((Phase.DESCENT, "DES"), (Phase.ASCENT, "ASC")):
        (part,) = (one for one in profile.phases if one.phase is phase)
        mine = [row for row in rows if row[1].endswith(f"-{end}")]
        assert len(mine) == part.n_bins
        at = labels.index("copepod count [1]")
        for row, litres in zip(mine, part.volume_classified_ul, strict=True):
            if litres == 0:
                assert (row[at], row[at + 1]) == ("", "9"), "nothing looked at is no zero"
        index = [taxon.label for taxon in _taxa(dive)].index("copepod")
        counts = [float(row[at]) for row in mine if row[at]]
        seen = part.volume_classified_ul > 0
        assert counts == part.taxa[seen, index].tolist()
        per_l = labels.index("copepod [1/L]")
        found = np.array([float(row[per_l]) for row in mine if row[per_l]])
        np.testing.assert_allclose(
            found, part.taxa[seen, index] / part.volume_classified_ul[seen] * 1e6, rtol=1e-5
        )
        temperature = labels.index("Temperature [degC]")
        told = [float(row[temperature] or "nan") for row in mine]
        np.testing.assert_allclose(told, part.temperature_c(), rtol=1e-5)
    for row in rows:
        assert row[0] == "TEST 2025 (x) <&>"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", row[3])
        assert (float(row[4]), float(row[5])) == (-7.866667, 43.416667)
        assert row[6] == ""
        for value, flag in zip(row[7::2], row[8::2], strict=True):
            assert flag in "0123456789"
            assert (value == "") == (flag == "9")
    parks = [row for row in rows if "-PAR-" in row[1]]
    assert len(parks) == len({row[1] for row in parks}) > 0, "each bin of the park is a station"


def _taxa(dive):
    from edge.logged import codebook_in

    with DiveLog.open(dive) as log:
        return codebook_in(log).taxa


def test_pandas_reads_it(dive, tmp_path):
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    out = tmp_path / "dives.txt"
    assert seston("export", "odv", dive / "messages", "--out", out)[0] == 0
    skip = sum(line.startswith("//") for line in out.read_text(encoding="utf-8").splitlines())
    table = pandas.read_csv(out, sep="\t", skiprows=skip)
    assert table["Pressure [dbar]"].between(0, 400).all()
    assert table["Longitude [degrees_east]"].isna().all(), "messages do not tell it"
    assert {"QV:ARGO", "QV:ARGO.1"} <= set(table.columns)
    np.testing.assert_allclose(table["Depth [m]"], table["Pressure [dbar]"], rtol=0.02)


def test_from_messages_the_park_is_left_out_with_a_remark(dive, tmp_path):
    code, told = seston("export", "odv", dive / "messages", "--out", tmp_path / "o.txt")
    assert code == 0
    assert "the park is left out, for messages do not tell its pressure" in told
    _, rows = read_odv(tmp_path / "o.txt")
    assert not [row for row in rows if "-PAR" in row[1]]


def test_dives_of_other_taxa_and_classes_share_one_table(dive, tmp_path):
    from edge.telemetry.planner import plan
    from tests.edge.telemetry.dives import simulated_dive
    from tests.tools.shore.test_decode import write

    other = simulated_dive()
    messages = write(tmp_path / "messages", other, plan(other, 4000, 340).messages)
    code, told = seston("export", "odv", dive, messages, "--out", tmp_path / "o.txt")
    assert code == 0, told
    labels, rows = read_odv(tmp_path / "o.txt")
    at = labels.index("copepod count [1]")
    assert {row[at + 1] for row in rows if row[1].startswith("float-0042") is False} >= {"9"}
    assert len({row[1] for row in rows}) >= 4


def test_a_folder_that_is_not_there_is_a_sentence(dive, tmp_path):
    code, told = seston("export", "odv", dive, "--out", tmp_path / "none/o.txt")
    assert code == 2
    assert "o.txt: --out: cannot be written" in told


def test_messages_are_found_in_the_folder_of_their_dive_and_codebooks_above_it(dive, tmp_path):
    """As `seston receive` lays them out, and as a float's own folder has them."""
    folder = tmp_path / "shore" / "300234010753370" / "dive-00012"
    shutil.copytree(dive / "messages", folder / "messages")
    (folder / "messages" / "codebook.json").rename(folder / "codebook-a.json")
    given = seston("export", "odv", folder / "messages", "--out", tmp_path / "a.txt")
    (folder / "codebook-a.json").rename(folder.parent / "codebook-a.json")
    for file in (folder / "messages").iterdir():
        file.rename(folder / file.name)
    (folder / "messages").rmdir()
    above = seston("export", "odv", folder, "--out", tmp_path / "b.txt")
    assert given[0] == above[0] == 0, (given, above)
    assert (tmp_path / "a.txt").read_bytes() == (tmp_path / "b.txt").read_bytes()
    shutil.copytree(dive / "messages", tmp_path / "dive" / "messages")
    inside = seston("export", "odv", tmp_path / "dive", "--out", tmp_path / "c.txt")
    assert inside[0] == 0, inside
    assert (tmp_path / "c.txt").read_bytes() == (tmp_path / "a.txt").read_bytes()
