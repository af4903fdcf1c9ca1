"""Commands aboard: obeyed once, answered, and without a good signature nothing changes."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import Config
from edge.durable import write_durably
from edge.errors import DiveLogError
from edge.installed_keys import KEYS_FILE
from edge.optics import Optics
from edge.order_book import KEPT_COMMANDS
from edge.orders import (
    ORDERS_FILE,
    ConfigChanged,
    DeckOpened,
    KeyReplaced,
    MessagesQueued,
    Orders,
    with_settings,
)
from edge.outbox import Outbox
from edge.telemetry.missing import Answer, Request, encode_request
from edge.telemetry.replies import MAX_REPLIES, Reply, Verdict
from firmware_bridge.command_bodies import AskMissing, OpenDeck, Part, Reset, Role, RotateKey, Set
from firmware_bridge.commands import CONTEXT, FLEET, FORMAT, Command, address_of, fingerprint, sign_command
from firmware_bridge.settings import FIELDS, make_settings
from tests.golden.make_commands import NAMES_OF_ORDERS, UNIT, golden_command, private_key, public_key

pytestmark = pytest.mark.board

CONFIG = Config(optics=Optics(pixel_um=73, image_volume_l=0.6, threshold=21))
ME = address_of(UNIT)


def no_outbox(requests):
    return Answer((), (), tuple(requests))


def install(folder, *, unit=UNIT, unit_key=None, fleet_key=None, when="2026-11-26"):
    lines = [f'unit = "{unit}"', f'installed = "{when}"']
    lines += [f'unit_key = "{(unit_key or public_key(Role.UNIT)).hex()}"']
    lines += [f'fleet_key = "{(fleet_key or public_key(Role.FLEET)).hex()}"']
    write_durably(folder / KEYS_FILE, "\n".join(lines).encode())


@pytest.fixture
def board(tmp_path):
    install(tmp_path)
    return tmp_path


@pytest.fixture
def aboard(board):
    orders = Orders(board, CONFIG, no_outbox)
    yield orders
    orders.close()


def command(counter, order, role=Role.UNIT, address=ME, private=None):
    return sign_command(Command(address, counter, order), private or private_key(role))


def budget(counter, budget_bytes=700, **more):
    return command(counter, Set(make_settings({"telemetry.budget_bytes": budget_bytes})), **more)


def content(board):
    """Everything durable, as rows."""
    with sqlite3.connect(board / ORDERS_FILE) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
    db.close()
    return rows


def test_a_setting_counts_now_and_after_a_restart(board):
    orders = Orders(board, CONFIG, no_outbox)
    outcome = orders.take(budget(1), now_ms=5)
    assert outcome.sentence == "command 1 sets telemetry.budget_bytes = 700"
    assert outcome.reply == Reply(1, Verdict.DONE, 1)
    assert outcome.change == ConfigChanged(orders.config, ("telemetry.budget_bytes",))
    orders.close()
    again = Orders(board, CONFIG, no_outbox)
    assert again.config == with_settings(CONFIG, [("telemetry.budget_bytes", 700)])
    assert again.config.telemetry.budget_bytes == 700
    assert again.replies() == (Reply(1, Verdict.DONE, 1),)
    again.reported(again.replies())
    again.close()
    last = Orders(board, CONFIG, no_outbox)
    assert last.replies() == ()
    last.close()


@pytest.mark.parametrize("name", NAMES_OF_ORDERS)
def test_golden_commands_are_obeyed(aboard, name):
    outcome = aboard.take(golden_command(name), now_ms=1)
    if name == "part":  # of an announcement that has not come
        assert (outcome.reply, outcome.change) == (None, None)
        return
    # Nothing of what is missing is here, no updates are kept, and no port is there.
    fails = name in ("missing", "announce", "open-deck")
    assert outcome.reply is not None
    assert outcome.reply.verdict is (Verdict.FAILED if fails else Verdict.DONE)
    assert (outcome.change is not None) or fails


def test_every_field_is_a_key_of_the_configuration_and_its_ends_fit_or_are_refused_there():
    for field in FIELDS:
        *sections, name = field.key.split(".")
        place = CONFIG
        for section in sections:
            place = getattr(place, section)
        assert hasattr(place, name), field.key
    assert with_settings(CONFIG, [("run.camera.frame_rate_hz", 0.25)]).run.camera.frame_rate_hz == 0.25
    zones = ((0, 5), (200, 20))
    assert with_settings(CONFIG, [("profile.bins_dbar", zones)]).profile.bins_dbar == zones


def test_a_replay_is_refused_and_changes_nothing(aboard, board):
    old, new = budget(4, 700), budget(5, 900)
    never_came = budget(3, 500)
    aboard.take(old, now_ms=1)
    aboard.take(new, now_ms=2)
    aboard.reported(aboard.replies())
    before = content(board)
    outcome = aboard.take(never_came, now_ms=3)
    assert outcome.reply == Reply(3, Verdict.REFUSED_REPLAY, 5)
    assert outcome.change is None
    assert content(board) == before
    again = aboard.take(old, now_ms=4)
    assert again.change is None
    assert "came again" in again.sentence
    assert aboard.config.telemetry.budget_bytes == 900
    assert aboard.replies() == (Reply(4, Verdict.DONE, 1), Reply(3, Verdict.REFUSED_REPLAY, 5)), (
        "shore asks because it saw no answer: it gets the same one"
    )


def test_a_replay_is_refused_after_a_restart(board):
    first = Orders(board, CONFIG, no_outbox)
    first.take(budget(4), now_ms=1)
    first.take(budget(5, 900), now_ms=1)
    first.close()
    second = Orders(board, CONFIG, no_outbox)
    assert second.take(budget(4), now_ms=2).change is None
    assert second.take(budget(5, 30), now_ms=2).reply.verdict is Verdict.REFUSED_REPLAY
    assert second.config.telemetry.budget_bytes == 900
    second.close()


def test_counters_are_a_keys_own(aboard):
    assert aboard.take(budget(1000), now_ms=1).reply.verdict is Verdict.DONE
    by_fleet = budget(1, 800, role=Role.FLEET)
    assert aboard.take(by_fleet, now_ms=1).reply.verdict is Verdict.DONE, "a stolen unit key locks nobody out"
    assert aboard.config.telemetry.budget_bytes == 800


def test_a_flipped_bit_changes_nothing(aboard, board):
    before, data = content(board), budget(1)
    for bit in range(8 * len(data)):
        other = bytearray(data)
        other[bit // 8] ^= 1 << bit % 8
        assert aboard.take(bytes(other), now_ms=1).change is None
    assert content(board) == before
    assert aboard.config == CONFIG


@settings(max_examples=200, deadline=None)
@given(data=st.one_of(
    st.binary(max_size=300),
    st.binary(min_size=69, max_size=261).map(lambda tail: bytes((FORMAT,)) + ME + tail),
))  # fmt: skip
def test_hostile_bytes_change_nothing(tmp_path_factory, data):
    board = Path(HOSTILE_BOARD.setdefault("folder", str(tmp_path_factory.mktemp("board"))))
    if not (board / KEYS_FILE).exists():
        install(board)
        Orders(board, CONFIG, no_outbox).close()
    before = content(board)
    orders = Orders(board, CONFIG, no_outbox)
    outcome = orders.take(data, now_ms=1)
    assert outcome.change is None
    assert outcome.reply is None
    assert outcome.sentence
    assert len(orders.replies()) <= 1
    orders.close()
    assert content(board) == before


HOSTILE_BOARD: dict[str, str] = {}


def test_forgeries_never_take_the_room_of_answers(aboard):
    for counter in range(1, MAX_REPLIES + 1):
        aboard.take(budget(counter), now_ms=1)
    stranger = Ed25519PrivateKey.generate()
    for counter in range(100, 200):
        aboard.take(budget(counter, private=stranger), now_ms=1)
    replies = aboard.replies()
    assert [reply.counter for reply in replies] == list(range(1, MAX_REPLIES + 1))
    aboard.reported(replies)
    left = aboard.replies()
    assert {reply.verdict for reply in left} == {Verdict.REFUSED_SIGNATURE}
    assert len(left) == 4
    aboard.reported(left)
    assert aboard.replies() == ()


def test_more_answers_than_a_report_takes_go_with_the_next(aboard):
    for counter in range(1, 20):
        aboard.take(budget(counter), now_ms=1)
    first = aboard.replies()
    assert len(first) == MAX_REPLIES
    aboard.reported(first)
    assert [reply.counter for reply in aboard.replies()] == [17, 18, 19]


def test_values_that_do_not_go_together_are_refused_whole(aboard):
    bad = {"telemetry.message_bytes": 23, "telemetry.parity_messages": 2, "optics.threshold": 30}
    outcome = aboard.take(command(1, Set(make_settings(bad))), now_ms=1)
    assert outcome.reply.verdict is Verdict.REFUSED_VALUE
    assert "parity_messages needs message_bytes" in outcome.sentence
    assert aboard.config == CONFIG
    zones = {"profile.bins_dbar": ((0, 5), (400, 20)), "profile.max_dbar": 300}
    outcome = aboard.take(command(2, Set(make_settings(zones))), now_ms=1)
    assert outcome.reply == Reply(2, Verdict.REFUSED_VALUE, 16)
    assert aboard.take(command(2, Set(make_settings(zones))), now_ms=1).change is None, "its counter is used"


def test_a_setting_of_a_section_that_is_not_there_is_refused(board):
    orders = Orders(board, Config(), no_outbox)
    outcome = orders.take(command(1, Set(make_settings({"optics.threshold": 9}))), now_ms=1)
    assert outcome.reply == Reply(1, Verdict.REFUSED_VALUE, 32)
    assert "has no such section" in outcome.sentence
    orders.close()


def test_an_unknown_kind_is_answered_and_uses_up_its_counter(aboard):
    head = bytes((FORMAT,)) + ME + (8).to_bytes(4, "big") + b"\x63"
    data = head + private_key(Role.UNIT).sign(CONTEXT + head)
    assert aboard.take(data, now_ms=1).reply == Reply(8, Verdict.UNKNOWN_COMMAND)
    assert aboard.take(budget(8), now_ms=1).reply.verdict is Verdict.REFUSED_REPLAY


def test_reset_goes_back_to_the_file(aboard, board):
    aboard.take(budget(1), now_ms=1)
    outcome = aboard.take(command(2, Reset(), Role.FLEET, FLEET), now_ms=2)
    assert outcome.change == ConfigChanged(CONFIG, ("telemetry.budget_bytes",))
    assert aboard.config == CONFIG
    assert content(board)["settings"] == []


def test_missing_parts_wait_in_the_outbox_again(board):
    with Outbox(board / "outbox.sqlite") as box:
        box.put(7, [b"a", b"b", b"c"], now_ms=1)
        for part in range(3):
            box.delivered(7, part, now_ms=2)
        orders = Orders(board, CONFIG, box.requeue)
        asked = encode_request([Request(7, 3, ((0, 2),)), Request(9, 0, ())]).data
        outcome = orders.take(command(1, AskMissing(asked)), now_ms=3)
        assert outcome.reply == Reply(1, Verdict.DONE, 2)
        assert isinstance(outcome.change, MessagesQueued)
        assert outcome.sentence == "command 1 queues 2 messages again; not all is here of dive 9"
        assert [m.data for m in box.waiting()] == [b"a", b"b"]
        assert orders.take(command(2, AskMissing(b"\xff")), now_ms=3).reply == Reply(2, Verdict.REFUSED_VALUE)
        box._db.execute("PRAGMA query_only = 1")
        assert orders.take(command(3, AskMissing(asked)), now_ms=3).reply == Reply(3, Verdict.FAILED)
        orders.close()


def test_a_request_cut_off_by_the_power_is_done_at_the_next_start(board):
    asked = encode_request([Request(7, 0, ())]).data

    def power_cut(requests):
        raise KeyboardInterrupt

    orders = Orders(board, CONFIG, power_cut)
    with pytest.raises(KeyboardInterrupt):
        orders.take(command(1, AskMissing(asked)), now_ms=3)
    orders.close()
    with Outbox(board / "outbox.sqlite") as box:
        box.put(7, [b"a"], now_ms=1)
        box.delivered(7, 0, now_ms=2)
        again = Orders(board, CONFIG, box.requeue)
        assert [m.data for m in box.waiting()] == [b"a"]
        assert again.replies() == (Reply(1, Verdict.DONE, 1),)
        again.close()


def test_a_units_key_is_replaced_and_the_old_one_no_longer_counts(board):
    orders = Orders(board, CONFIG, no_outbox)
    new = Ed25519PrivateKey.generate()
    public = new.public_key().public_bytes_raw()
    outcome = orders.take(command(5, RotateKey(Role.UNIT, public)), now_ms=1)
    assert outcome.change == KeyReplaced(Role.UNIT, fingerprint(public))
    assert outcome.reply == Reply(5, Verdict.DONE, int.from_bytes(fingerprint(public)[:2], "big"))
    orders.close()
    orders = Orders(board, CONFIG, no_outbox)
    assert orders.keys == {Role.UNIT: public, Role.FLEET: public_key(Role.FLEET)}
    assert orders.take(budget(6), now_ms=2).change is None
    assert orders.take(budget(1, private=new), now_ms=2).change is not None
    orders.close()
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    install(board, unit_key=other)
    orders = Orders(board, CONFIG, no_outbox)
    assert orders.keys[Role.UNIT] == other, "what is installed on deck counts more than what came before"
    orders.close()


def test_a_replaced_key_installed_again_does_not_open_old_commands(board):
    orders = Orders(board, CONFIG, no_outbox)
    orders.take(budget(5), now_ms=1)
    new = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    orders.take(command(6, RotateKey(Role.UNIT, new)), now_ms=1)
    assert orders.keys[Role.UNIT] == new
    orders.close()
    install(board, when="2027-01-01")
    orders = Orders(board, CONFIG, no_outbox)
    assert orders.keys[Role.UNIT] == public_key(Role.UNIT), "installed on deck again, it counts again"
    assert orders.take(budget(5), now_ms=2).change is None
    assert orders.take(budget(6), now_ms=2).change is None
    assert orders.take(budget(7), now_ms=2).change is not None
    orders.close()


def test_the_fleets_key_replaces_a_lost_unit_key_and_itself(aboard):
    new_unit, new_fleet = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    for counter, role, key in ((1, Role.UNIT, new_unit), (2, Role.FLEET, new_fleet)):
        order = RotateKey(role, key.public_key().public_bytes_raw())
        address = ME if role is Role.UNIT else FLEET
        assert aboard.take(command(counter, order, Role.FLEET, address), now_ms=1).change is not None
    assert aboard.take(budget(3, role=Role.FLEET), now_ms=1).change is None
    assert aboard.take(budget(1, private=new_unit), now_ms=1).change is not None
    assert aboard.take(budget(2, private=new_fleet, address=FLEET), now_ms=1).change is not None


def test_without_keys_nothing_is_obeyed(tmp_path):
    orders = Orders(tmp_path, CONFIG, no_outbox)
    outcome = orders.take(budget(1), now_ms=1)
    assert outcome.sentence == "a command came, but no keys are installed"
    assert orders.config == CONFIG
    assert orders.problems == []
    orders.close()


@pytest.mark.parametrize("text", ["nonsense", 'unit = ""', 'unit = "a"\nunit_key = "zz"', "\xff"])
def test_damaged_keys_are_a_sentence_and_the_dive_goes_on(tmp_path, text):
    (tmp_path / KEYS_FILE).write_bytes(text.encode("latin-1"))
    orders = Orders(tmp_path, CONFIG, no_outbox)
    (problem,) = orders.problems
    assert problem.startswith("No command will be obeyed:")
    assert KEYS_FILE in problem
    assert orders.take(budget(1), now_ms=1).change is None
    orders.close()


def test_a_fleet_key_alone(tmp_path):
    (tmp_path / KEYS_FILE).write_text(f'unit = "{UNIT}"\nfleet_key = "{public_key(Role.FLEET).hex()}"\n')
    orders = Orders(tmp_path, CONFIG, no_outbox)
    assert orders.take(budget(1), now_ms=1).change is None
    rotate = command(2, RotateKey(Role.UNIT, bytes(32)), Role.FLEET)
    assert orders.take(rotate, now_ms=1).reply == Reply(2, Verdict.FAILED)
    assert orders.take(budget(3, role=Role.FLEET), now_ms=1).change is not None
    orders.close()


def test_settings_that_no_longer_fit_the_file_are_left_out_one_by_one(board):
    orders = Orders(board, CONFIG, no_outbox)
    orders.take(command(1, Set(make_settings({"optics.threshold": 9, "telemetry.pictures": 3}))), now_ms=1)
    orders.close()
    orders = Orders(board, Config(), no_outbox)
    assert orders.config == with_settings(Config(), [("telemetry.pictures", 3)])
    (problem,) = orders.problems
    assert problem.startswith("A setting from shore is left out, it does not fit: optics.threshold")
    orders.close()


def test_a_full_disk_changes_nothing_and_uses_up_no_counter(aboard):
    aboard._book._db.execute("PRAGMA query_only = 1")
    outcome = aboard.take(budget(1), now_ms=1)
    assert (outcome.reply, outcome.change) == (None, None)
    assert "free the disk" in outcome.sentence
    assert aboard.config == CONFIG
    aboard._book._db.execute("PRAGMA query_only = 0")
    assert aboard.take(budget(1), now_ms=1).change is not None


def test_the_memory_of_answers_is_bounded(aboard, board):
    for counter in range(1, KEPT_COMMANDS + 50):
        aboard.take(budget(counter), now_ms=1)
    assert len(content(board)["commands"]) == KEPT_COMMANDS


def test_a_foreign_file_is_refused_with_a_sentence(tmp_path):
    (tmp_path / ORDERS_FILE).write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(DiveLogError, match=r"orders\.sqlite: cannot be used for commands"):
        Orders(tmp_path, CONFIG, no_outbox)


@pytest.mark.parametrize("order", ["set", "rotate", "reset", "missing"])
def test_the_end_at_any_statement_leaves_all_of_an_order_or_nothing(board, order):
    new = public_key(Role.FLEET)
    asked = encode_request([Request(7, 0, ())]).data
    with Outbox(board / "outbox.sqlite") as box:
        box.put(7, [b"a"], now_ms=1)
        box.delivered(7, 0, now_ms=2)
    data = command(2, {
        "set": Set(make_settings({"optics.threshold": 9})), "rotate": RotateKey(Role.UNIT, new),
        "reset": Reset(), "missing": AskMissing(asked),
    }[order])  # fmt: skip
    first = Orders(board, CONFIG, no_outbox)
    first.take(budget(1), now_ms=1)
    first.reported(first.replies())
    first.close()
    done = []
    for last in range(1, 30):
        if (child := os.fork()) == 0:
            die_at_statement(board, data, last)
        os.waitpid(child, 0)
        with Outbox(board / "outbox.sqlite") as box:
            orders = Orders(board, CONFIG, box.requeue)
            changed = {
                "set": orders.config.optics.threshold == 9, "rotate": orders.keys[Role.UNIT] == new,
                "reset": orders.config == CONFIG, "missing": box.waiting() != [],
            }[order]  # fmt: skip
            counted = orders.replies() != ()
            orders.close()
        assert changed == counted, f"after statement {last}"
        done.append(changed)
        if changed:
            break
    assert done == [False] * (len(done) - 1) + [True]
    assert len(done) > 3, "some statements came before the commit"


def die_at_statement(board, data, last):
    """In a process of its own: obey, and be gone at a statement."""
    left = [last]

    def count(statement):
        left[0] -= 1
        if not left[0]:
            os._exit(1)

    with Outbox(board / "outbox.sqlite") as box:
        orders = Orders(board, CONFIG, box.requeue)
        orders._book._db.set_trace_callback(count)
        orders.take(data, now_ms=2)
        os._exit(0)


KILLED = """
import sys
from pathlib import Path
from tests.edge.test_orders import *
orders = Orders(Path(sys.argv[1]), CONFIG, no_outbox)
for counter in range(1, 10_000):
    if orders.take(budget(counter, 100 + counter), now_ms=1).change:
        print(counter, flush=True)
"""


def test_kill_in_the_middle_forgets_no_counter_that_was_answered(board):
    run = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(board)], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert run.stdout is not None
    done = [int(run.stdout.readline()) for _ in range(25)]
    run.send_signal(signal.SIGKILL)
    done += [int(line) for line in run.stdout.read().split("\n")[:-1]]
    run.wait()
    run.stdout.close()
    orders = Orders(board, CONFIG, no_outbox)
    last = orders.config.telemetry.budget_bytes - 100
    assert last in (done[-1], done[-1] + 1)
    assert orders.take(budget(last, 50), now_ms=1).change is None
    assert orders.take(budget(last + 1, 50), now_ms=1).change is not None
    orders.close()


class Shelf:
    """What keeps updates, seen from the orders; it is lost with the process, as a real one is not."""

    def __init__(self):
        self.state, self.told = {}, []

    def announce(self, data, signer, counter, order):
        self.state[data] = (Verdict.WAITS, order.length_bytes - len(order.first))
        return "announces"

    def add_part(self, signer, counter, part):
        self.told.append((signer, counter, part))
        return "is here"

    def reset(self):
        self.told.append("reset")

    def verdicts(self):
        return [(data, *told) for data, told in self.state.items()]


def test_how_an_update_stands_is_answered_until_it_is_decided(board):
    shelf = Shelf()
    orders = Orders(board, CONFIG, no_outbox, shelf)
    data = golden_command("announce")
    assert orders.take(data, now_ms=1).reply == Reply(303, Verdict.WAITS, 189)
    orders.reported(orders.replies())
    assert orders.replies() == ()
    assert orders.take(golden_command("part"), now_ms=2).reply is None
    assert shelf.told == [(public_key(Role.UNIT), 303, Part(11, b"the next bytes"))]
    shelf.state[data] = (Verdict.WAITS, 0)
    orders.sync_updates()
    assert orders.replies() == (Reply(303, Verdict.WAITS, 0),)
    orders.close()
    shelf.state[data] = (Verdict.RETURNED, 2)  # decided while nobody looked
    again = Orders(board, CONFIG, no_outbox, shelf)
    assert again.replies() == (Reply(303, Verdict.RETURNED, 2),)
    assert "came again" in again.take(data, now_ms=3).sentence
    again.close()


def test_an_announcement_that_was_counted_and_not_kept_is_kept_at_the_next_start(board):
    class Gone(Shelf):
        def announce(self, data, signer, counter, order):
            raise DiveLogError("is full", file="x", remedy="free it")

    first = Orders(board, CONFIG, no_outbox, Gone())
    assert first.take(golden_command("announce"), now_ms=1).reply is None
    first.close()
    shelf = Shelf()
    again = Orders(board, CONFIG, no_outbox, shelf)
    assert list(shelf.state) == [golden_command("announce")]
    assert again.replies() == (Reply(303, Verdict.WAITS, 189),)
    again.close()


def test_settings_count_over_the_configuration_that_they_were_made_for(board):
    first = Orders(board, CONFIG, no_outbox)
    first.take(budget(1, 700), now_ms=1)
    first.close()
    other = Orders(board, CONFIG, no_outbox, Shelf(), "ab" * 32)
    assert other.config == CONFIG
    other.take(budget(2, 900), now_ms=2)
    other.close()
    back = Orders(board, CONFIG, no_outbox)
    assert back.config.telemetry.budget_bytes == 700
    back.close()
    last = Orders(board, CONFIG, no_outbox, shelf := Shelf(), "ab" * 32)
    assert last.config.telemetry.budget_bytes == 900
    last.take(command(3, Reset()), now_ms=3)
    assert (last.config, shelf.told) == (CONFIG, ["reset"])
    last.close()


def test_the_deck_opens_where_there_is_a_port(board):
    with_port = with_settings(CONFIG, [("run.deck.listen", "127.0.0.1:4573")])
    orders = Orders(board, with_port, no_outbox)
    outcome = orders.take(command(1, OpenDeck(30)), now_ms=1)
    assert (outcome.reply, outcome.change) == (Reply(1, Verdict.DONE, 30), DeckOpened(30))
    orders.close()
    without = Orders(board, CONFIG, no_outbox)
    outcome = without.take(command(2, OpenDeck(30)), now_ms=1)
    assert (outcome.reply, outcome.change) == (Reply(2, Verdict.FAILED, 0), None)
    without.close()
