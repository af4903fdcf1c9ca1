"""From a key made on shore to a command obeyed aboard, and what happens when keys change or are not there."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.config import Config, ProfileConfig
from edge.errors import SestonError
from edge.installed_keys import KEYS_FILE
from edge.optics import Optics
from edge.orders import Orders, with_settings
from edge.outbox import Outbox
from edge.telemetry.codebook import Codebook, load_codebook
from edge.telemetry.missing import decode_request
from edge.telemetry.replies import Verdict
from firmware_bridge.command_bodies import BODY_BYTES, Role
from firmware_bridge.commands import read_command
from firmware_bridge.errors import BridgeError
from firmware_bridge.iridium.directip import read_mt
from tests.tools.made_dive import make_dive
from tools.command import command
from tools.keyring import LEDGER_FILE, Keyring, Owner
from tools.keys import keys

CONFIG = Config(optics=Optics(pixel_um=73, image_volume_l=0.6, threshold=21))


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "board").mkdir()
    return tmp_path


def call(group, *args, stdin=None, code=0):
    result = CliRunner().invoke(group, [str(arg) for arg in args], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def take(place, file, requeue=lambda asked: pytest.fail("nothing was asked for")):
    orders = Orders(place / "board", CONFIG, requeue)
    outcome = orders.take(Path(file).read_bytes(), now_ms=1)
    orders.close()
    return outcome


def installed(place, unit="float-17"):
    call(keys, "new", "--fleet")
    call(keys, "new", "--unit", unit)
    call(keys, "install", unit, place / "board")


def test_from_a_new_key_to_a_budget_aboard(place):
    installed(place)
    told = call(
        command, "budget", "--unit", "float-17", "--budget-bytes", 700, "--layered",
        "--worth-depths-dbar", "0:200:4", "--out", "a.sbd",
    )  # fmt: skip
    assert re.fullmatch(
        r"Command \d+ to unit float-17, 89 bytes, in a.sbd: telemetry.budget_bytes = 700, "
        r"telemetry.layered = True, telemetry.worth_depths_dbar = \(\(0, 200, 4\),\).\n", told
    )  # fmt: skip
    outcome = take(place, "a.sbd")
    assert outcome.reply.verdict is Verdict.DONE
    wanted = {"budget_bytes": 700, "layered": True, "worth_depths_dbar": ((0, 200, 4),)}
    assert outcome.change.config == with_settings(
        CONFIG, [(f"telemetry.{name}", value) for name, value in wanted.items()]
    )
    assert f"{outcome.reply.counter}  " in call(command, "list")


def test_private_keys_are_their_owners_alone(place):
    installed(place)
    found = sorted(Path("keys").rglob("*.key"))
    assert [file.name for file in found] == ["fleet.key", "float-17.key"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in found} == {0o600}
    assert stat.S_IMODE(Path("keys").stat().st_mode) == 0o700
    private = b"".join(file.read_bytes() for file in found)
    assert b"PRIVATE" in private
    assert b"PRIVATE" not in (place / "board" / KEYS_FILE).read_bytes()
    with pytest.raises(SestonError, match="is there already"):
        call(keys, "new", "--fleet")
    assert b"".join(file.read_bytes() for file in found) == private


def test_a_passphrase_is_needed_where_it_was_asked_for(place):
    call(keys, "new", "--unit", "a", "--passphrase", stdin="secret\nsecret\n")
    assert b"ENCRYPTED" in Path("keys/units/a.key").read_bytes()
    call(keys, "install", "a", "board")
    call(command, "reset", "--unit", "a", "--out", "r.sbd", stdin="secret\n")
    assert take(place, "r.sbd").reply.verdict is Verdict.DONE
    with pytest.raises(SestonError, match=r"a\.key: is no private key, or the passphrase is another"):
        call(command, "reset", "--unit", "a", stdin="wrong\n")


def test_counters_rise_though_the_clock_stands_or_jumps_back(place):
    ring = Keyring(place / "keys")
    call(keys, "new", "--fleet")
    private = ring.private(Owner(), lambda file: "")
    from firmware_bridge.command_bodies import Reset

    made = [ring.make(Reset(), None, private, "", now_ms).counter for now_ms in (5_000_000, 5_000_000, 1000)]
    assert made == [5000, 5001, 5002]
    assert ring.make(Reset(), None, private, "", 9_000_000).counter == 9000
    assert ring.make(Reset(), None, private, "", 0, counter=7).counter == 7
    with pytest.raises(SestonError, match="7 has been used"):
        ring.make(Reset(), None, private, "", 0, counter=7)
    with pytest.raises(SestonError, match="check the clock"):
        ring.make(Reset(), None, private, "", (1 << 32) * 1000)


def test_a_key_is_rotated_and_the_next_one_counts_after_it(place):
    installed(place)
    before = Path("keys/units/float-17.key").read_bytes()
    call(keys, "rotate", "--unit", "float-17", "--out", "r.sbd")
    coming = Path("keys/next/units/float-17.key").read_bytes()
    call(keys, "rotate", "--unit", "float-17", "--out", "r.sbd")
    assert Path("keys/next/units/float-17.key").read_bytes() == coming, "sent twice, it is the same next key"
    assert "next" in call(keys, "list")
    assert take(place, "r.sbd").change.role is Role.UNIT
    call(keys, "rotate", "--unit", "float-17", "--done")
    assert Path("keys/units/float-17.key").read_bytes() == coming
    (retired,) = Path("keys/retired").glob("*.key")
    assert retired.read_bytes() == before
    assert stat.S_IMODE(retired.stat().st_mode) == 0o600
    call(command, "budget", "--unit", "float-17", "--budget-bytes", 800, "--out", "b.sbd")
    assert take(place, "b.sbd").reply.verdict is Verdict.DONE
    call(command, "reset", "--unit", "float-17", "--key", retired, "--out", "c.sbd")
    assert take(place, "c.sbd").change is None


def test_rotation_survives_being_cut_off_after_any_step(place, monkeypatch):
    for steps in range(1, 5):
        ring = Keyring(place / f"keys{steps}")
        owner = Owner("a")
        old, new = ring.new(owner), ring.new(owner, within="next")
        old_private = (ring.folder / "units/a.key").read_bytes()
        left = [steps]
        real = Path.replace

        def cut(self, target, left=left, real=real):
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
            return real(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", cut)
            with pytest.raises(KeyboardInterrupt):
                ring.advance(owner)
        assert ring.advance(owner) == new
        assert ring.public(owner) == new
        assert ring.private(owner, lambda file: "").public_key().public_bytes_raw() == new
        (kept,) = (ring.folder / "retired").glob("*.key")
        assert kept.read_bytes() == old_private
        assert old != new


def test_a_lost_unit_key_is_replaced_with_the_fleets(place):
    installed(place)
    Path("keys/units/float-17.key").unlink()
    with pytest.raises(SestonError, match=r"float-17\.key: is not there; .*docs/keys\.md"):
        call(command, "reset", "--unit", "float-17")
    call(keys, "rotate", "--unit", "float-17", "--sign-with", "fleet", "--out", "r.sbd")
    assert take(place, "r.sbd").reply.verdict is Verdict.DONE
    call(keys, "rotate", "--unit", "float-17", "--done")
    call(command, "reset", "--unit", "float-17", "--out", "b.sbd")
    assert take(place, "b.sbd").reply.verdict is Verdict.DONE


def test_the_fleets_key_is_rotated_by_itself_alone(place):
    installed(place)
    call(keys, "rotate", "--fleet", "--out", "r.sbd")
    assert take(place, "r.sbd").change.role is Role.FLEET
    assert "cannot replace" in call(keys, "rotate", "--fleet", "--sign-with", "unit", code=2)


def test_the_fleets_key_from_its_making_to_the_end_of_the_old_one(place):
    installed(place)
    (place / "other").mkdir()
    call(keys, "new", "--unit", "float-18")
    call(keys, "install", "float-18", place / "other")
    call(command, "budget", "--fleet", "--budget-bytes", 700, "--out", "a.sbd")
    assert take(place, "a.sbd").change.config.telemetry.budget_bytes == 700
    told = call(keys, "rotate", "--fleet", "--out", "r.sbd")
    mark = re.search(r"by ([0-9a-f]+)\.", told)[1]
    outcome = take(place, "r.sbd")
    assert outcome.reply.verdict is Verdict.DONE
    assert outcome.sentence.endswith(f"replaces the fleet key: {mark} counts now")
    # Until --done shore signs with the old key: this float refuses it, and says so in its next report.
    call(command, "budget", "--fleet", "--budget-bytes", 900, "--out", "b.sbd")
    orders = Orders(place / "board", CONFIG, lambda asked: pytest.fail("nothing was asked for"))
    refused = orders.take(Path("b.sbd").read_bytes(), now_ms=1)
    assert refused.change is None
    assert refused.sentence == "a message from shore is not signed with a key known here"
    assert Verdict.REFUSED_SIGNATURE in {reply.verdict for reply in orders.replies()}
    assert orders.config.telemetry.budget_bytes == 700
    orders.close()
    assert take(place, "r.sbd").change is None, "the rotation itself cannot be used again"
    # A unit without the rotation obeys the old key; after a newer command it needs the rotation anew.
    late = Orders(place / "other", CONFIG, lambda asked: pytest.fail("nothing was asked for"))
    assert late.take(Path("b.sbd").read_bytes(), now_ms=1).reply.verdict is Verdict.DONE
    assert late.take(Path("r.sbd").read_bytes(), now_ms=1).reply.verdict is Verdict.REFUSED_REPLAY
    assert mark in call(keys, "rotate", "--fleet", "--out", "r2.sbd")
    assert late.take(Path("r2.sbd").read_bytes(), now_ms=1).reply.verdict is Verdict.DONE
    assert mark in call(keys, "rotate", "--fleet", "--done")
    call(command, "budget", "--fleet", "--budget-bytes", 900, "--out", "c.sbd")
    assert take(place, "c.sbd").change.config.telemetry.budget_bytes == 900
    assert late.take(Path("c.sbd").read_bytes(), now_ms=1).reply.verdict is Verdict.DONE
    late.close()


def test_a_unit_that_missed_the_rotation_is_told_with_the_retired_key(place):
    """It obeys a command that is newer than the rotation, and so refuses that one as a replay."""
    installed(place)
    call(keys, "rotate", "--fleet", "--out", "r.sbd")
    call(command, "budget", "--fleet", "--budget-bytes", 700, "--out", "a.sbd")
    assert take(place, "a.sbd").reply.verdict is Verdict.DONE
    assert take(place, "r.sbd").change is None
    call(keys, "rotate", "--fleet", "--done")
    (retired,) = Path("keys/retired").glob("*.key")
    for wrong in (("--done",), ("--sign-with", "fleet")):
        assert "--key goes with neither" in call(keys, "rotate", "--fleet", "--key", retired, *wrong, code=2)
    call(keys, "rotate", "--fleet", "--key", retired, "--out", "again.sbd")
    assert take(place, "again.sbd").change.role is Role.FLEET
    call(command, "budget", "--fleet", "--budget-bytes", 800, "--out", "b.sbd")
    assert take(place, "b.sbd").change.config.telemetry.budget_bytes == 800


def test_a_lost_fleet_key_is_replaced_on_deck_and_until_then_the_units_key_commands(place):
    installed(place)
    call(command, "reset", "--fleet", "--out", "old.sbd")
    Path("keys/fleet.key").unlink()
    with pytest.raises(SestonError, match=r"fleet\.key: is not there; .*docs/keys\.md"):
        call(keys, "rotate", "--fleet")
    call(command, "budget", "--unit", "float-17", "--budget-bytes", 800, "--out", "a.sbd")
    assert take(place, "a.sbd").reply.verdict is Verdict.DONE
    call(keys, "new", "--fleet")
    call(command, "reset", "--fleet", "--out", "b.sbd")
    assert take(place, "b.sbd").change is None, "a float at sea does not know it"
    call(keys, "install", "float-17", place / "board")
    assert take(place, "b.sbd").reply.verdict is Verdict.DONE
    assert take(place, "old.sbd").change is None
    call(command, "budget", "--unit", "float-17", "--budget-bytes", 900, "--out", "c.sbd")
    assert take(place, "c.sbd").change.config.telemetry.budget_bytes == 900


def test_a_stolen_unit_key_is_replaced_with_the_fleets_and_what_the_thief_set_is_taken_back(place):
    installed(place)
    stolen = place / "stolen.key"
    stolen.write_bytes(Path("keys/units/float-17.key").read_bytes())
    call(
        command, "budget", "--unit", "float-17", "--key", stolen, "--budget-bytes", 100, "--out", "thief.sbd"
    )
    assert take(place, "thief.sbd").change.config.telemetry.budget_bytes == 100
    call(keys, "rotate", "--unit", "float-17", "--sign-with", "fleet", "--out", "r.sbd")
    assert take(place, "r.sbd").reply.verdict is Verdict.DONE
    call(
        command, "budget", "--unit", "float-17", "--key", stolen, "--budget-bytes", 200, "--out", "again.sbd"
    )
    assert take(place, "again.sbd").change is None
    call(command, "reset", "--unit", "float-17", "--sign-with", "fleet", "--out", "reset.sbd")
    assert take(place, "reset.sbd").change.config == CONFIG


def test_with_both_keys_lost_a_float_goes_on_as_it_was_told_until_it_is_on_deck(place):
    installed(place)
    call(command, "budget", "--unit", "float-17", "--budget-bytes", 700, "--out", "a.sbd")
    take(place, "a.sbd")
    shutil.rmtree("keys")
    for owner in (("--fleet",), ("--unit", "float-17")):
        call(keys, "new", *owner)
    call(command, "reset", "--unit", "float-17", "--out", "b.sbd")
    assert take(place, "b.sbd").change is None
    orders = Orders(place / "board", CONFIG, lambda asked: pytest.fail("nothing was asked for"))
    assert orders.config.telemetry.budget_bytes == 700
    assert not orders.problems
    orders.close()
    call(keys, "install", "float-17", place / "board")
    assert take(place, "b.sbd").change.config == CONFIG


def test_schedule_and_thresholds_say_the_codebook_that_shore_needs(place):
    installed(place)
    codebook = Codebook(taxa=(), profile=ProfileConfig(), optics=CONFIG.optics, platform="float-17")
    Path("codebook.json").write_bytes(codebook.to_json())
    told = call(
        command, "schedule", "--unit", "float-17", "--bins-dbar", "0:10,300:50", "--max-dbar", 900,
        "--frame-rate-hz", "0.5", "--codebook", "codebook.json",
        "--out", "s.sbd",
    )  # fmt: skip
    config = take(place, "s.sbd").change.config
    assert config.profile.bins_dbar == ((0, 10), (300, 50))
    assert config.run.camera.frame_rate_hz == 0.5
    file = Path(re.search(r"Codebook of later dives: (\S+)\.\n", told)[1])
    afterwards = Codebook(taxa=(), profile=config.profile, optics=config.optics, platform="float-17")
    assert load_codebook(file.read_bytes()).sha256 == afterwards.sha256
    told = call(
        command, "thresholds", "--fleet", "--threshold", 30, "--min-esd-um", "500.5", "--out", "t.sbd"
    )
    assert "need another codebook" in told
    config = take(place, "t.sbd").change.config
    assert (config.optics.threshold, config.classify.min_esd_um) == (30, 500.5)
    with pytest.raises(SestonError, match="max_dbar must lie below"):
        call(
            command, "schedule", "--fleet", "--max-dbar", 100, "--codebook", "codebook.json", "--out", "u.sbd"
        )
    assert not Path("u.sbd").exists()
    with pytest.raises(SestonError, match=r"missing\.json: cannot be read"):
        call(command, "schedule", "--fleet", "--max-dbar", 2000, "--codebook", "missing.json")
    assert len(Keyring(Path("keys")).made()) == 2


def test_a_command_for_the_gateway(place):
    installed(place)
    told = call(command, "reset", "--fleet", "--imei", "300234010753370", "--out", "r.sbd")
    assert "DirectIP message to 300234010753370: r.mt" in told
    packet = read_mt(Path("r.mt").read_bytes())
    assert (packet.imei, packet.payload) == ("300234010753370", Path("r.sbd").read_bytes())
    (made,) = Keyring(Path("keys")).made()
    assert packet.message_id == made.counter
    with pytest.raises(SestonError, match="15 digits"):
        call(command, "reset", "--fleet", "--imei", "12")
    assert len(Keyring(Path("keys")).made()) == 1


def test_what_is_missing_of_a_decoded_folder_waits_aboard_again(place):
    installed(place)
    dive = make_dive(place / "dive", seed=2)
    messages = sorted((dive / "messages").glob("*.msg"))
    with Outbox(place / "outbox.sqlite") as box:
        box.put(12, [file.read_bytes() for file in messages], now_ms=1)
        for part in range(len(messages)):
            box.delivered(12, part, now_ms=2)
        told = call(command, "missing", dive / "messages", "--unit", "float-17", "--out", "m.sbd")
        assert told == "Nothing is missing; no command is made.\n"
        messages[1].unlink()
        call(command, "missing", dive / "messages", "--unit", "float-17", "--out", "m.sbd")
        assert take(place, "m.sbd", box.requeue).reply.detail == 1
        assert [queued.part for queued in box.waiting()] == [1]


def test_a_request_that_is_too_long_for_a_command_is_cut_and_says_so(place):
    installed(place)
    from edge.telemetry.missing import Request, encode_request

    scattered = [Request.of_parts(dive, 2000, range(0, 2000, 18 + dive)) for dive in (1, 2)]
    asked = encode_request(scattered)
    assert len(asked.data) > BODY_BYTES
    Path("request.bin").write_bytes(asked.data)
    told = call(command, "missing", "request.bin", "--unit", "float-17", "--out", "m.sbd")
    assert "No room to ask for all of dive" in told
    keys_aboard = {Role.UNIT: Keyring(Path("keys")).public(Owner("float-17"))}
    found = read_command(Path("m.sbd").read_bytes(), "float-17", keys_aboard)
    assert decode_request(found.command.order.request)
    assert len(Path("m.sbd").read_bytes()) <= 270


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("budget", "--unit", "float-17"), "No setting is given"),
        (("budget", "--unit", "float-17", "--budget-bytes", "3"), "use 23 to 10000000"),
        (("thresholds", "--unit", "float-17", "--blur-sharpness", "0.00005"), "steps of 0.0001"),
        (("reset", "--unit", "../float"), "no name of a unit"),
        (("reset", "--unit", "float-18"), "is not there"),
        (("missing", "board", "--unit", "float-17"), "no messages that can be decoded"),
    ],
)
def test_what_cannot_be_made_is_a_sentence_and_uses_no_counter(place, args, words):
    installed(place)
    with pytest.raises((SestonError, BridgeError), match=words):
        call(command, *args)
    assert Keyring(Path("keys")).made() == []


@pytest.mark.parametrize(
    ("group", "args"),
    [
        (keys, ("new",)),
        (keys, ("new", "--fleet", "--unit", "a")),
        (command, ("reset", "--fleet", "--sign-with", "unit")),
        (command, ("schedule", "--fleet", "--bins-dbar", "a:b")),
    ],
)
def test_wrong_use_is_exit_code_2(place, group, args):
    installed(place)
    call(group, *args, code=2)


def test_files_that_are_no_keys_are_sentences(place):
    installed(place)
    Path("keys/fleet.key").write_text("nonsense")
    with pytest.raises(SestonError, match=r"fleet\.key: is no private key"):
        call(command, "reset", "--fleet")
    Path("keys/fleet.pub").write_text("nonsense")
    with pytest.raises(SestonError, match=r"fleet\.pub: holds no public key"):
        call(keys, "install", "float-17", "board")
    Path(f"keys/{LEDGER_FILE}").write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(SestonError, match=r"ledger\.sqlite: cannot be used as a ledger"):
        call(command, "reset", "--unit", "float-17")
    with pytest.raises(SestonError, match="holds no key of unit"):
        call(keys, "install", "float-18", "board", "--keys", "empty")
    assert call(keys, "list", "--keys", "empty") == "No keys in empty.\n"


def test_two_people_at_once_never_use_a_counter_twice(place):
    installed(place)
    code = "import sys; from tools.command import command; command(sys.argv[1:])"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code, "reset", "--fleet", "--out", f"{n}.sbd"], stdout=subprocess.DEVNULL,
            env={"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        for n in range(2)
    ]  # fmt: skip
    assert [run.wait() for run in runs] == [0, 0]
    made = Keyring(Path("keys")).made()
    assert len({one.counter for one in made}) == len(made) == 2
    assert {one.data for one in made} == {Path(f"{n}.sbd").read_bytes() for n in range(2)}
