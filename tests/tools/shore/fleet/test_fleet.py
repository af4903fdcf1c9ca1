"""The registry: what was added is there for good, proves itself, and reads messages of any year."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import shutil
import sqlite3
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import Config
from edge.errors import InputError
from edge.inference.bundle import SHIPPED, load_bundle
from edge.logged import codebook_of
from edge.telemetry import plan
from edge.telemetry.climatology import load_climatology
from edge.telemetry.codebook import load_codebook
from tests.tools.made_dive import OPTICS, make_dive
from tests.tools.test_simulate import seston
from tools.keyring import Keyring, Owner
from tools.shore.decode import ShoreFiles, decode_files
from tools.shore.fleet.registry import Content, Kind, Registry
from tools.shore.receiving.products import decode_dive
from tools.shore.receiving.receiver import Receiver
from tools.shore.receiving.store import Store


@pytest.fixture(scope="module")
def dive(tmp_path_factory):
    return make_dive(tmp_path_factory.mktemp("made") / "dive", frames=(20, 4, 16))


@pytest.fixture
def messages(dive, tmp_path):
    """Messages of the dive, without their codebook."""
    folder = tmp_path / "messages"
    folder.mkdir()
    for file in (dive / "messages").glob("*.msg"):
        shutil.copy(file, folder)
    return folder


def run(*args, code=0):
    done = seston("fleet", *args)
    assert done[0] == code, done[1]
    return done[1]


def test_messages_decode_with_what_the_registry_has(dive, messages, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1780000000")
    fleet = tmp_path / "fleet.sqlite"
    book = load_codebook((dive / "messages/codebook.json").read_bytes())
    said = run("add", dive, "--fleet", fleet)
    assert book.sha256[:12] in said
    code, said = seston("decode", messages, "--fleet", fleet, "--out", tmp_path / "shore")
    assert code == 0, said
    decode_files([dive / "messages"], tmp_path / "beside")
    for name in ("profile.csv", "profile.nc"):
        assert (tmp_path / "shore" / name).read_bytes() == (tmp_path / "beside" / name).read_bytes()


def test_a_codebook_that_is_missing_is_named_and_its_messages_wait_for_it(dive, messages, tmp_path):
    fleet = tmp_path / "fleet.sqlite"
    run("add", SHIPPED / "demo.seston", "--fleet", fleet)
    book = load_codebook((dive / "messages/codebook.json").read_bytes())
    code, said = seston("decode", messages, "--fleet", fleet, "--out", tmp_path / "shore")
    assert code == 2
    assert f"needs the codebook whose hash begins {book.id.hex()}, which is not at hand" in said
    place = tmp_path / "received/300234010753370/dive-00012"
    place.mkdir(parents=True)
    for i, file in enumerate(sorted(messages.iterdir())):
        shutil.copy(file, place / f"{i}.sbd")
    sentence, complete = decode_dive(place, ShoreFiles(fleet))
    assert book.id.hex() in sentence
    assert not complete
    run("add", dive / "messages/codebook.json", "--fleet", fleet)
    sentence, complete = decode_dive(place, ShoreFiles(fleet))
    assert complete, sentence
    assert (place / "profile.csv").is_file()


def test_the_receiver_sees_that_the_registry_has_grown(dive, tmp_path):
    store = Store(tmp_path / "received")
    with contextlib.closing(store):
        receiver = Receiver(store, lambda sentence: None, shore=ShoreFiles(tmp_path / "fleet.sqlite"))
        before = receiver._books()
        run("add", SHIPPED / "demo.seston", "--fleet", tmp_path / "fleet.sqlite")
        between = receiver._books()
        run("add", dive / "messages/codebook.json", "--fleet", tmp_path / "fleet.sqlite")
        assert len({before, between, receiver._books()}) == 3


def test_messages_coded_with_a_climatology_take_it_from_the_registry(tmp_path):
    from edge.divelog import DiveLog
    from edge.logged import summarise

    made = [make_dive(tmp_path / f"dive_{i}", seed=i, frames=(60, 0, 0)) for i in (1, 2)]
    assert seston("climatology", *made, "--out", tmp_path / "region.json")[0] == 0
    climatology = load_climatology((tmp_path / "region.json").read_bytes())
    with DiveLog.open(made[0]) as log:
        summary = summarise(log)
    book = msgspec.structs.replace(summary.codebook, climatology_sha256=climatology.sha256)
    summary = dataclasses.replace(summary, codebook=book)
    (tmp_path / "sent").mkdir()
    sent = plan(summary, 1 << 20, 340, climatology=climatology).messages
    for i, data in enumerate(sent):
        (tmp_path / f"sent/{i:03d}.msg").write_bytes(data)
    (tmp_path / "codebook.json").write_bytes(book.to_json())
    fleet = tmp_path / "fleet.sqlite"
    said = run("add", tmp_path / "codebook.json", "--fleet", fleet)
    assert f"names climatology {climatology.sha256[:12]}, which is not here" in said
    is_regional = bool(sent[0][0] >> 4 & 1)
    assert is_regional, "the climatology helps here"
    code, said = seston("decode", tmp_path / "sent", "--fleet", fleet, "--out", tmp_path / "shore")
    assert code == 2
    assert f"needs the climatology whose hash begins {climatology.sha256[:8]}" in said
    run("add", tmp_path / "region.json", "--fleet", fleet)
    code, said = seston("decode", tmp_path / "sent", "--fleet", fleet, "--out", tmp_path / "shore")
    assert code == 0, said


def test_two_units_whose_codebooks_begin_alike_are_told_apart(tmp_path, messages, dive):
    book = load_codebook((dive / "messages/codebook.json").read_bytes())
    with Registry(tmp_path / "fleet.sqlite", create=True) as registry:
        n = 0
        found = [book]
        while len(found) < 2:  # one in 256 begins with the same byte
            n += 1
            other = msgspec.structs.replace(book, platform=f"other {n}")
            if other.sha256[:2] == book.sha256[:2]:
                found.append(other)
        registry.add([Content(Kind.CODEBOOK, one.to_json(), one.platform) for one in found], 1)
        short = [one.sha256 for one in found]
        assert set(registry.starting(book.sha256[:2], Kind.CODEBOOK)) == set(short)
        books, _ = registry.keys_to([file.read_bytes() for file in messages.iterdir()])
    assert [one.sha256 for one in books] == [book.sha256]


def test_everything_that_a_fleet_has_is_kept_and_comes_out_again(dive, tmp_path):
    Keyring(tmp_path / "keys").new(Owner("float-17"))
    Keyring(tmp_path / "keys").new(Owner())
    (tmp_path / "optics.toml").write_text(
        "[optics]\npixel_um = 73.0\nimage_volume_l = 0.6\nthreshold = 21\naa_um2 = 2300.0\nexp = 1.136\n"
    )
    fleet = tmp_path / "fleet.sqlite"
    run("add", tmp_path / "keys", SHIPPED / "demo.seston", dive, "--fleet", fleet)
    run("add", tmp_path / "optics.toml", "--unit", "float-17", "--fleet", fleet)
    with Registry(fleet) as registry:
        entries = registry.entries()
        assert {one.kind for one in entries} == set(Kind) - {Kind.CLIMATOLOGY}
        assert registry.faults() == []
        assert "PRIVATE" not in fleet.read_bytes().decode("latin-1")
    public = (tmp_path / "keys/units/float-17.pub").read_text()
    digest = hashlib.sha256(bytes.fromhex(public)).hexdigest()
    run("show", digest[:10], "--write", tmp_path / "again.pub", "--fleet", fleet)
    assert (tmp_path / "again.pub").read_text() == public
    bundle = load_bundle("demo")
    run("show", bundle.sha256, "--write", tmp_path / "again.seston", "--fleet", fleet)
    assert load_bundle(tmp_path / "again.seston").sha256 == bundle.sha256
    assert "optics" in run("show", "float-17", "--fleet", fleet)
    assert "bundle" not in run("list", "--kind", "key", "--fleet", fleet)
    assert "no hash of 4 or more digits begins so" in run("show", "abc", "--fleet", fleet, code=2)


def test_adding_again_changes_nothing(dive, tmp_path):
    fleet = tmp_path / "fleet.sqlite"
    run("add", dive, "--fleet", fleet)
    before = fleet.read_bytes()
    assert "0 added, 1 there before" in run("add", dive, "--fleet", fleet)
    assert fleet.read_bytes() == before


def test_nothing_is_replaced_or_deleted_and_damage_is_seen(dive, tmp_path):
    fleet = tmp_path / "fleet.sqlite"
    run("add", dive, SHIPPED / "demo.seston", "--fleet", fleet)
    assert " 0 faults" in run("check", "--fleet", fleet)
    with contextlib.closing(sqlite3.connect(fleet)) as db:
        for statement in ("DELETE FROM contents", "UPDATE contents SET data = ''", "DELETE FROM names"):
            with pytest.raises(sqlite3.IntegrityError, match="nothing is"):
                db.execute(statement)
    run("backup", tmp_path / "copy.sqlite", "--fleet", fleet)
    data = bytearray(fleet.read_bytes())
    at = data.find(b'"image_volume_l":')
    data[at + 20] ^= 1
    fleet.write_bytes(data)
    said = run("check", "--fleet", fleet, code=1)
    assert "is not what was added any more; take your backup" in said
    assert " 0 faults" in run("check", "--fleet", tmp_path / "copy.sqlite")
    fleet.write_bytes(fleet.read_bytes()[:3000])
    assert "take your backup" in run("check", "--fleet", fleet, code=2)


def test_what_is_no_registry_or_not_there_is_said(tmp_path, messages):
    assert "is not there; make it with `seston fleet add`" in run("list", "--fleet", tmp_path / "no", code=2)
    (tmp_path / "text").write_text("no database at all, but a text that is long enough")
    assert "cannot be used as a registry" in run("list", "--fleet", tmp_path / "text", code=2)
    with contextlib.closing(sqlite3.connect(tmp_path / "other.sqlite")) as db:
        db.execute("CREATE TABLE a (b)")
    assert "version of the registry: is 0" in run("list", "--fleet", tmp_path / "other.sqlite", code=2)
    code, said = seston("decode", messages, "--fleet", tmp_path / "no", "--out", tmp_path / "shore")
    assert code == 2
    assert "is not there" in said


def test_a_file_that_is_nothing_is_named_and_nothing_is_added(dive, tmp_path):
    fleet = tmp_path / "fleet.sqlite"
    (tmp_path / "odd.json").write_text("{}")
    assert "odd.json: is not a codebook" in run("add", dive, tmp_path / "odd.json", "--fleet", fleet, code=2)
    assert not fleet.exists()
    (tmp_path / "empty").mkdir()
    assert "holds nothing for a registry" in run("add", tmp_path / "empty", "--fleet", fleet, code=2)
    bad = tmp_path / "cut.seston"
    bad.write_bytes((SHIPPED / "demo.seston").read_bytes()[:1000])
    assert "seal does not fit" in run("add", bad, "--fleet", fleet, code=2)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", ""]), st.integers(1, 4)), max_size=12))
def test_contents_come_back_whatever_was_added_in_whatever_order(added):
    bundle = load_bundle("demo")
    with (
        tempfile.TemporaryDirectory() as folder,
        Registry(Path(folder) / "fleet.sqlite", create=True) as registry,
    ):
        books = {}
        for unit, metres in added:
            book = codebook_of(Config(optics=OPTICS, platform=f"{unit}{metres}"), bundle)
            books[book.sha256] = book
            registry.add([Content(Kind.CODEBOOK, book.to_json(), "x", unit)], 7)
        assert {one.sha256 for one in registry.entries()} == set(books)
        for sha256, book in books.items():
            assert load_codebook(registry.data(sha256)) == book
        assert registry.faults() == []
        with pytest.raises(InputError, match="is not in the registry"):
            registry.data("0" * 64)
