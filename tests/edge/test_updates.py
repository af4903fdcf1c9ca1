"""Updates aboard: announced, whole, tried, on trial, good or left; whatever comes, something runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import sqlite3
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import Config, load_config
from edge.errors import BundleError, ConfigError, DiveLogError
from edge.inference import worker
from edge.inference.bundle import SHIPPED, load_bundle, pack_bundle
from edge.inference.worker import FIRST_TRIES, WorkerClassifier
from edge.sent_config import MAX_BYTES, pack_config, unpack_config
from edge.telemetry.replies import Verdict
from edge.update_store import STORE_FILE, Failure
from edge.updates import (
    PROVEN_FRAMES,
    PROVEN_STANDBY_S,
    TRIES,
    UPDATES_DIR,
    Updates,
    intake_of,
    look_up,
)
from firmware_bridge.command_bodies import FIRST_BYTES, PART_BYTES, Announce, Part, What
from firmware_bridge.link import Delivered, ObjectReceived, Peer
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_records import Reason, Runs
from firmware_bridge.link_records import Role as End

pytestmark = pytest.mark.board

OWN = """
platform = "float-17"
bundle = "demo"
[optics]
pixel_um = 73.0
image_volume_l = 0.6
threshold = 21
"""
KEY = b"k" * 32
DARKFIELD = (SHIPPED / "darkfield.seston").read_bytes()


@pytest.fixture
def board(tmp_path):
    (tmp_path / "float.toml").write_text(OWN)
    return tmp_path


class Aboard:
    """A board between two starts of its service."""

    def __init__(self, board):
        self.board, self.said = board, []
        self.updates = Updates(board, board / "float.toml", self.said.append)
        self.running = self.updates.begin()

    def end(self):
        self.updates.close()
        return self.running

    def verdict(self, command=b"1"):
        return {data: (verdict, detail) for data, verdict, detail in self.updates.verdicts()}[command]

    def announce(self, what, data, command=b"1", counter=1, first=b""):
        order = Announce(what, len(data), hashlib.sha256(data).digest(), first)
        return self.updates.announce(command, KEY, counter, order)

    def get_model(self, data=DARKFIELD, command=b"1", counter=1):
        """Announced, brought, tried and adopted."""
        self.announce(What.MODEL, data, command, counter)
        assert self.updates.take(LinkObject(What.MODEL, counter, data)) is None
        return self.updates.settle(has_host=False)

    def get_config(self, text, command=b"2", counter=2):
        file = self.board / "sent.toml"
        file.write_text(text)
        data = pack_config(file)
        self.announce(What.CONFIGURATION, data, command, counter)
        assert self.updates.take(LinkObject(What.CONFIGURATION, counter, data)) is None
        return self.updates.settle(has_host=False)

    def prove(self, **more):
        how = {"frames": PROVEN_FRAMES, "ready_s": 0.0, "was_host_heard": False, "is_classifier_well": True}
        self.updates.prove(**how | more)


def start(board):
    return Aboard(board)


def test_without_an_update_the_units_own_runs(board):
    aboard = start(board)
    assert (aboard.running.bundle.name, aboard.running.trial, aboard.updates.mark) == ("demo", None, "")
    assert not aboard.updates.settle(has_host=True)
    assert aboard.updates.runs(aboard.running.bundle).counter is None
    aboard.end()


def test_a_model_is_tried_adopted_proven_and_then_stays(board):
    first = start(board)
    assert first.announce(What.MODEL, DARKFIELD).endswith(f"{len(DARKFIELD):,} bytes are waited for")
    assert first.verdict() == (Verdict.WAITS, 0xFFFF)
    assert first.updates.wants(What.MODEL, len(DARKFIELD))
    assert not first.updates.wants(What.MODEL, len(DARKFIELD) - 1)
    assert not first.updates.wants(What.CONFIGURATION, len(DARKFIELD))
    assert first.get_model()
    assert first.verdict() == (Verdict.WAITS, 0)
    first.end()

    second = start(board)
    assert second.running.bundle.name == "darkfield"
    assert second.updates.is_on_trial
    second.prove(frames=PROVEN_FRAMES - 1, ready_s=PROVEN_STANDBY_S - 1)
    second.prove(is_classifier_well=False)
    assert second.updates.is_on_trial
    second.prove()
    mark = hashlib.sha256(DARKFIELD).hexdigest()
    assert second.verdict() == (Verdict.DONE, int(mark[:4], 16))
    told = second.updates.runs(second.running.bundle)
    assert told == Runs(int(mark[:16], 16), 0, 1, Verdict.DONE, int(mark[:4], 16))
    second.end()

    for _ in range(TRIES + 2):
        later = start(board)
        assert (later.running.bundle.name, later.updates.is_on_trial) == ("darkfield", False)
        later.end()


def test_two_starts_that_do_not_prove_it_and_what_was_before_runs(board):
    aboard = start(board)
    assert aboard.get_model()
    aboard.end()
    for _ in range(TRIES):
        aboard = start(board)
        assert aboard.running.bundle.name == "darkfield"
        aboard.end()
    back = start(board)
    assert back.running.bundle.name == "demo"
    assert back.verdict() == (Verdict.RETURNED, TRIES)
    assert "has not proven itself in 2 starts" in back.said[0]
    assert back.announce(What.MODEL, DARKFIELD, b"again", 5).endswith("is here already")
    back.end()


def test_a_start_that_somebody_ends_is_no_try(board):
    aboard = start(board)
    aboard.get_model()
    aboard.end()
    for _ in range(TRIES + 2):
        aboard = start(board)
        assert aboard.running.bundle.name == "darkfield"
        aboard.updates.forgive()
        aboard.end()


def test_a_host_that_was_there_has_to_be_heard_again(board):
    aboard = start(board)
    aboard.announce(What.MODEL, DARKFIELD)
    aboard.updates.take(LinkObject(What.MODEL, 1, DARKFIELD))
    assert aboard.updates.settle(has_host=True)
    aboard.end()
    aboard = start(board)
    aboard.prove()
    assert aboard.updates.is_on_trial
    aboard.prove(was_host_heard=True)
    assert not aboard.updates.is_on_trial
    aboard.end()


def test_looking_up_counts_nothing_and_makes_nothing(board):
    assert look_up(board, board / "float.toml").bundle.name == "demo"
    assert not (board / UPDATES_DIR).exists()
    aboard = start(board)
    aboard.get_model()
    aboard.end()
    for _ in range(TRIES + 1):
        assert look_up(board, board / "float.toml").bundle.name == "darkfield"
    aboard = start(board)
    assert aboard.running.bundle.name == "darkfield"
    aboard.end()


def test_a_model_with_other_golden_outputs_is_not_taken(board):
    demo = load_bundle("demo")
    outputs = {kernels: rows.copy() for kernels, rows in demo.golden_outputs.items()}
    outputs["xnnpack"][0] += 9
    data = pack_bundle(
        demo.manifest,
        demo.model,
        demo.golden_inputs,
        outputs,
        sorted(demo.training_hashes),
        demo.card,
        demo.run,
    )
    aboard = start(board)
    assert not aboard.get_model(data)
    assert aboard.verdict() == (Verdict.FAILED, Failure.UNFIT)
    assert "is not taken" in aboard.said[-1]
    aboard.end()
    assert start(board).end().bundle.name == "demo"


def test_no_bundle_a_damaged_one_and_one_of_another_hash_are_not_taken(board):
    aboard = start(board)
    for number, data in enumerate((b"no bundle at all", DARKFIELD[:-9], DARKFIELD[:-1] + b"x"), 1):
        assert not aboard.get_model(data, b"%d" % number, number)
        assert aboard.verdict(b"%d" % number) == (Verdict.FAILED, Failure.UNFIT)
    aboard.announce(What.MODEL, DARKFIELD, b"9", 9)
    other = bytes(len(DARKFIELD))
    assert aboard.updates.take(LinkObject(What.MODEL, 1, other)) is Reason.UNWANTED
    assert aboard.updates.take(LinkObject(17, 1, DARKFIELD)) is Reason.UNWANTED
    assert aboard.verdict(b"9")[0] is Verdict.WAITS
    aboard.end()


def test_a_process_that_dies_before_its_first_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(worker, "_MAIN", "import os; os.kill(os.getpid(), 9)")
    said = []
    with pytest.raises(BundleError, match=rf"ended by SIGKILL, {FIRST_TRIES} times before its first answer"):
        WorkerClassifier(load_bundle("demo"), say=said.append)
    assert len(said) == FIRST_TRIES


def test_another_model_takes_the_place_of_one_that_is_waited_for(board):
    aboard = start(board)
    aboard.announce(What.MODEL, DARKFIELD, b"1", 1)
    aboard.announce(What.CONFIGURATION, b"x" * 300, b"2", 2)
    aboard.announce(What.MODEL, b"other", b"3", 3)
    assert aboard.verdict(b"1") == (Verdict.FAILED, Failure.REPLACED)
    assert aboard.verdict(b"2") == (Verdict.WAITS, 300)
    assert aboard.verdict(b"3") == (Verdict.WAITS, 5)
    aboard.end()


def test_a_configuration_comes_with_the_model_that_was_there_or_with_its_own(board):
    aboard = start(board)
    aboard.get_model()
    aboard.end()
    aboard = start(board)
    aboard.prove()
    assert aboard.get_config(OWN.replace("threshold = 21", "threshold = 30"))
    aboard.end()
    aboard = start(board)
    assert (aboard.running.bundle.name, aboard.running.config.optics.threshold) == ("darkfield", 30)
    aboard.prove()
    assert aboard.get_config(OWN.replace('"demo"', '"shadowgraph"'), b"3", 3)
    aboard.end()
    aboard = start(board)
    assert (aboard.running.bundle.name, aboard.running.config.optics.threshold) == ("shadowgraph", 21)
    aboard.end()


@pytest.mark.parametrize(
    "text",
    [OWN.split("[optics]", maxsplit=1)[0], OWN + '[telemetry]\nclimatology = "nowhere.json"\n',
     OWN + '[vision]\nflat_field = "nowhere.png"\n', OWN.replace('"demo"', '"/no/such.seston"'),
     OWN + "[telemetry.worth]\nnothing = 3\n"],
    ids=["no optics", "no climatology", "no flat field", "no bundle", "no table"],
)  # fmt: skip
def test_a_configuration_that_does_not_work_there_is_not_taken(board, text):
    aboard = start(board)
    assert not aboard.get_config(text)
    assert aboard.verdict(b"2") == (Verdict.FAILED, Failure.UNFIT)
    aboard.end()
    assert start(board).end().mark == ""


def test_what_is_changed_on_deck_counts_more_than_what_came_before(board):
    aboard = start(board)
    aboard.get_model()
    aboard.end()
    aboard = start(board)
    aboard.prove()
    aboard.end()
    (board / "float.toml").write_text(OWN.replace("0.6", "0.7"))
    assert start(board).end().bundle.name == "demo"
    (board / "float.toml").write_text(OWN)
    assert start(board).end().bundle.name == "darkfield"
    aboard = start(board)
    assert aboard.get_config(OWN.replace("21", "22"))
    aboard.end()
    (board / "float.toml").write_text("no TOML at all")
    aboard = start(board)
    assert aboard.running.bundle.name == "darkfield", "something that ran, rather than nothing"
    assert aboard.running.config.optics.threshold == 22
    aboard.end()
    start(board).end()
    with pytest.raises(ConfigError, match="is not TOML"):
        start(board)


def test_a_reset_is_back_to_the_units_own(board):
    aboard = start(board)
    aboard.updates.reset()
    assert not aboard.updates.settle(has_host=False)
    aboard.get_model()
    aboard.end()
    aboard = start(board)
    aboard.updates.reset()
    assert aboard.updates.settle(has_host=False)
    aboard.end()
    assert start(board).end().bundle.name == "demo"


def test_an_update_that_is_damaged_on_the_disk_is_left(board):
    aboard = start(board)
    aboard.get_model()
    aboard.end()
    aboard = start(board)
    aboard.prove()
    aboard.end()
    (file,) = (board / UPDATES_DIR).glob("*.model")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    aboard = start(board)
    assert aboard.running.bundle.name == "demo"
    assert aboard.verdict()[0] is Verdict.RETURNED
    assert "cannot be used" in aboard.said[0]
    aboard.end()


def test_a_damaged_store_is_put_aside(board):
    aboard = start(board)
    aboard.get_model()
    aboard.end()
    for end in ("-wal", "-shm"):
        (board / UPDATES_DIR / (STORE_FILE + end)).unlink(missing_ok=True)
    (board / UPDATES_DIR / STORE_FILE).write_bytes(random.Random(1).randbytes(9000))
    aboard = start(board)
    assert aboard.running.bundle.name == "demo"
    assert "was damaged" in aboard.said[0]
    assert aboard.get_model()
    aboard.end()


def test_files_of_no_use_are_deleted_and_the_one_before_is_kept(board):
    bundles = [(SHIPPED / f"{name}.seston").read_bytes() for name in ("darkfield", "shadowgraph")]
    for number, data in enumerate(bundles, 1):
        aboard = start(board)
        assert aboard.get_model(data, b"%d" % number, number)
        aboard.end()
        aboard = start(board)
        aboard.prove()
        aboard.end()
    hashes = {hashlib.sha256(data).hexdigest() for data in bundles}
    assert {file.stem for file in (board / UPDATES_DIR).glob("*.model")} == hashes
    aboard = start(board)
    assert aboard.get_config(OWN.replace("21", "22"), b"3", 3)
    aboard.end()
    aboard = start(board)
    aboard.prove()
    aboard.end()
    assert {file.stem for file in (board / UPDATES_DIR).glob("*.model")} == {
        hashlib.sha256(bundles[1]).hexdigest()
    }


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_parts_in_any_order_and_twice_make_the_configuration(tmp_path_factory, data):
    board = tmp_path_factory.mktemp("parts")
    (board / "float.toml").write_text(OWN)
    rng = random.Random(data.draw(st.integers(0, 99)))
    size = data.draw(st.integers(FIRST_BYTES + 1, FIRST_BYTES + 4 * PART_BYTES))
    sent = rng.randbytes(size)
    parts = [Part(at, sent[at : at + PART_BYTES]) for at in range(FIRST_BYTES, size, PART_BYTES)]
    order = data.draw(st.permutations(parts + parts[:1]))
    aboard = start(board)
    aboard.announce(What.CONFIGURATION, sent, first=sent[:FIRST_BYTES])
    assert aboard.updates.add_part(KEY, 9, parts[0]) == "is of none that is waited for"
    assert aboard.updates.add_part(b"j" * 32, 1, parts[0]) == "is of none that is waited for"
    seen = set()
    for part in order:
        aboard.updates.add_part(KEY, 1, part)
        seen.add(part.offset_bytes)
        missing = sum(len(one.data) for one in parts if one.offset_bytes not in seen)
        assert aboard.verdict() == (Verdict.WAITS, missing)
    assert (
        aboard.updates._store.file(What.CONFIGURATION, hashlib.sha256(sent).hexdigest()).read_bytes() == sent
    )
    aboard.end()


def test_parts_that_are_not_what_was_announced_are_given_up(board):
    sent = bytes(range(200))
    aboard = start(board)
    aboard.announce(What.CONFIGURATION, sent, first=sent[:FIRST_BYTES])
    assert "behind its end" in aboard.updates.add_part(KEY, 1, Part(190, b"x" * 11))
    told = aboard.updates.add_part(KEY, 1, Part(FIRST_BYTES, b"x" * (200 - FIRST_BYTES)))
    assert told.endswith("is given up")
    assert aboard.verdict() == (Verdict.FAILED, Failure.OTHER_BYTES)
    aboard.end()


@pytest.mark.parametrize("step", ["announce", "take", "settle", "prove"])
def test_the_end_at_any_statement_leaves_something_that_runs(board, step, tmp_path_factory):
    sent = board / "sent.toml"
    sent.write_text(OWN.replace("21", "40"))
    data = pack_config(sent)
    steps = {
        "announce": lambda one: one.announce(What.CONFIGURATION, data),
        "take": lambda one: one.updates.take(LinkObject(What.CONFIGURATION, 1, data)),
        "settle": lambda one: one.updates.settle(has_host=False),
        "prove": lambda one: (one.updates.close(), start(one.board).prove()),
    }
    names = list(steps)
    aboard = start(board)
    for name in names[: names.index(step)]:
        steps[name](aboard)
    aboard.end()
    done = 0
    for last in range(1, 40):
        copy = tmp_path_factory.mktemp("copy") / "board"
        shutil.copytree(board, copy)
        if (child := os.fork()) == 0:
            try:
                _die_at(copy, steps[step], last)
            finally:
                os._exit(3)
        _, status = os.waitpid(child, 0)
        done += os.waitstatus_to_exitcode(status) == 0
        again = start(copy)
        assert again.running.config.optics.threshold in (21, 40)
        for name in names[names.index(step) :]:
            steps[name](again)
        again.end() if step != "prove" else None
        last_start = start(copy)
        assert last_start.running.config.optics.threshold == 40, f"{step}, after statement {last}"
        last_start.end()
        if done:
            break
    assert done, "some end came after all was done"


def _die_at(board, step, last):
    """In a process of its own: do a step, and be gone at a statement."""
    left = [last]

    def count(statement):
        left[0] -= 1
        if not left[0]:
            os._exit(1)

    aboard = start(board)
    aboard.updates._store._db.set_trace_callback(count)
    step(aboard)
    os._exit(0)


def test_a_configuration_is_sent_as_it_was_written(board, tmp_path):
    for file in sorted(Path("tools/scenarios").glob("*float*.toml")):
        config = load_config(file)
        sent = unpack_config(pack_config(file), file)
        assert sent == msgspec.structs.replace(config, optics_file=None)
    (tmp_path / "optics.toml").write_text("[optics]\npixel_um = 73.0\nimage_volume_l = 0.6\nthreshold = 21\n")
    (tmp_path / "float.toml").write_text('optics_file = "optics.toml"\nbundle = "demo"\n')
    sent = unpack_config(pack_config(tmp_path / "float.toml"), tmp_path)
    assert (sent.optics.pixel_um, sent.optics_file, sent.bundle) == (73.0, None, "demo")


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(zlib.compress)))
def test_hostile_bytes_are_a_configuration_or_one_sentence(data):
    with contextlib.suppress(ConfigError):
        assert isinstance(unpack_config(data, Path("x")), Config)


def test_a_configuration_that_grows_without_end_is_refused():
    with pytest.raises(ConfigError, match="too long"):
        unpack_config(zlib.compress(b" " * (MAX_BYTES + 1)), Path("x"))
    with pytest.raises(ConfigError, match="cut off"):
        unpack_config(zlib.compress(b"{}")[:-1], Path("x"))
    with pytest.raises(ConfigError, match="goes on behind"):
        unpack_config(zlib.compress(b"{}") + b"x", Path("x"))
    with pytest.raises(ConfigError, match="optics_file"):
        unpack_config(zlib.compress(b'{"optics_file": "x"}'), Path("x"))


def test_a_full_disk_leaves_the_update_waited_for(board):
    aboard = start(board)
    aboard.announce(What.MODEL, DARKFIELD)
    aboard.updates._store._db.execute("PRAGMA query_only = 1")
    assert aboard.updates.take(LinkObject(What.MODEL, 1, DARKFIELD)) is Reason.NO_ROOM
    aboard.updates._store._db.execute("PRAGMA query_only = 0")
    assert aboard.updates.take(LinkObject(What.MODEL, 1, DARKFIELD)) is None
    assert aboard.updates.settle(has_host=False)
    aboard.updates._store._db.execute("PRAGMA query_only = 1")
    aboard.end()
    with sqlite3.connect(board / UPDATES_DIR / STORE_FILE) as db:
        assert db.execute("SELECT state, tries FROM updates").fetchall() == [("trial", 0)]
    db.close()


def test_what_has_come_of_a_model_is_here_after_a_reset(board):
    from firmware_bridge.link_wire import Header

    header = Header.of(What.MODEL, 1, DARKFIELD)
    for cut in (1000, 5000, 5000, 70_000):
        aboard = start(board)
        kept = aboard.updates.arriving.read()
        assert kept is None or kept == (header, DARKFIELD[: len(kept[1])])
        aboard.updates.arriving.keep((header, DARKFIELD[:cut]))
        assert start(board).updates.arriving.read() == (header, DARKFIELD[:cut])
        aboard.end()
    other = Header.of(What.MODEL, 2, DARKFIELD[::-1])
    aboard = start(board)
    aboard.updates.arriving.keep((other, DARKFIELD[::-1][:10]))
    assert aboard.updates.arriving.read() == (other, DARKFIELD[::-1][:10])
    aboard.updates.arriving.keep((Header.of(3, 1, b"command"), b"com"))
    aboard.announce(What.MODEL, DARKFIELD)
    aboard.updates.take(LinkObject(What.MODEL, 1, DARKFIELD))
    assert aboard.updates.arriving.read() is None
    assert aboard.updates.headers == [header]
    aboard.end()


def test_an_upload_goes_on_where_our_reset_cut_it(board):
    """Two ends of the link; ours is reset in the middle, and again after the whole was stored unheard."""
    host = Peer(End.HOST, 7)
    host.send(LinkObject(What.MODEL, 1, DARKFIELD))
    aboard = start(board)
    aboard.announce(What.MODEL, DARKFIELD)
    sent_bytes, now_s, events = [0], [0.0], []

    def boot(number):
        intake = intake_of(aboard.updates, lambda data: None, aboard.running.bundle)
        return Peer(
            End.INSTRUMENT, number, stored=intake.headers(), partial=intake.partial(), judge=intake.judge
        )

    def carry(peer, is_enough):
        while not is_enough():
            now_s[0] += 0.05
            data = host.to_send(4096)
            sent_bytes[0] += len(data)
            events.extend(peer.receive(data, now_s[0]))
            events.extend(host.receive(peer.to_send(4096), now_s[0]))
            assert now_s[0] < 1000

    first = boot(1)
    carry(first, lambda: first.partial is not None and len(first.partial[1]) > 400_000)
    aboard.updates.arriving.keep(first.partial)
    kept_bytes = len(first.partial[1])
    aboard.end()
    aboard = start(board)
    before = sent_bytes[0]
    second = boot(2)
    carry(second, lambda: any(isinstance(event, ObjectReceived) for event in events))
    assert sent_bytes[0] - before < 1.1 * (len(DARKFIELD) - kept_bytes)
    (item,) = [event.item for event in events if isinstance(event, ObjectReceived)]
    assert aboard.updates.take(item) is None
    aboard.end()
    aboard = start(board)
    before = sent_bytes[0]
    third = boot(3)
    carry(third, lambda: any(isinstance(event, Delivered) for event in events))
    assert sent_bytes[0] - before < 10_000
    aboard.end()


def test_a_store_that_cannot_be_read_any_more_stops_nothing(board):
    aboard = start(board)
    aboard.announce(What.MODEL, DARKFIELD)
    aboard.updates._store._db.execute("DROP TABLE updates")
    assert not aboard.updates.wants(What.MODEL, len(DARKFIELD))
    assert aboard.updates.take(LinkObject(What.MODEL, 1, DARKFIELD)) is Reason.NO_ROOM
    assert aboard.updates.runs(aboard.running.bundle).counter is None
    with pytest.raises(DiveLogError, match="cannot be read"):  # which the service says, and goes on
        aboard.updates.settle(has_host=False)
    aboard.updates.forgive()
    aboard.end()
