"""Commands from shore: what was signed is read, and nothing else is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.command_bodies import (
    BODY_BYTES,
    FIRST_BYTES,
    MAX_DECK_MINUTES,
    MAX_UPDATE_BYTES,
    PART_BYTES,
    Announce,
    AskMissing,
    Kind,
    OpenDeck,
    Part,
    Reset,
    Role,
    RotateKey,
    Set,
    What,
)
from firmware_bridge.commands import (
    COMMAND_BYTES,
    CONTEXT,
    FLEET,
    FORMAT,
    SIGNATURE_BYTES,
    Command,
    Reason,
    Refused,
    Verified,
    address_of,
    read_command,
    sign_command,
)
from firmware_bridge.settings import (
    BY_KEY,
    FIELDS,
    CommandError,
    Field,
    SettingsFault,
    make_settings,
    pack_settings,
    unpack_settings,
)
from tests.golden.make_commands import (
    FILE,
    NAMES_OF_ORDERS,
    ORDERS,
    UNIT,
    golden_command,
    private_key,
    public_key,
)

pytestmark = pytest.mark.board

KEYS = {role: public_key(role) for role in Role}
NAMES = NAMES_OF_ORDERS


def signed(kind: int, body: bytes, role: Role = Role.UNIT, address: bytes = address_of(UNIT)) -> bytes:
    """Any body, with a signature that fits."""
    head = bytes((FORMAT,)) + address + (7).to_bytes(4, "big") + bytes((kind,)) + body
    return head + private_key(role).sign(CONTEXT + head)


def values_of(field: Field) -> st.SearchStrategy:
    if field.is_switch:
        return st.booleans()
    numbers = st.integers(field.least * field.steps, field.most * field.steps)
    if field.columns:
        return st.lists(st.tuples(*[numbers] * field.columns), max_size=9).map(tuple)
    return numbers.map(lambda raw: raw if field.steps == 1 else raw / field.steps)


some_settings = (
    st.sets(st.sampled_from(FIELDS), min_size=1, max_size=6)
    .flatmap(lambda fields: st.fixed_dictionaries({field.key: values_of(field) for field in fields}))
    .map(make_settings)
    .filter(lambda values: len(pack_settings(values)) <= BODY_BYTES)
)
orders = st.one_of(
    some_settings.map(Set),
    st.binary(max_size=BODY_BYTES).map(AskMissing),
    st.builds(RotateKey, st.just(Role.UNIT), st.binary(min_size=32, max_size=32)),
    st.just(Reset()),
    st.builds(
        Announce,
        st.sampled_from(What),
        st.integers(FIRST_BYTES, MAX_UPDATE_BYTES),
        st.binary(min_size=32, max_size=32),
        st.binary(max_size=FIRST_BYTES),
    ),
    st.builds(Part, st.integers(0, 0xFFFF), st.binary(min_size=1, max_size=PART_BYTES)),
    st.builds(OpenDeck, st.integers(0, MAX_DECK_MINUTES)),
)


def test_the_golden_file_is_what_its_maker_makes():
    kept = json.loads(FILE.read_text())
    assert {name: one["hex"] for name, one in kept["commands"].items()} == {
        name: golden_command(name).hex() for name in NAMES
    }
    # RFC 8032, section 7.1: public keys of tests 1 and 2.
    assert kept["public"]["unit"] == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert kept["public"]["fleet"] == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"


@pytest.mark.parametrize("name", NAMES)
def test_golden_commands_are_read(name):
    data = bytes.fromhex(json.loads(FILE.read_text())["commands"][name]["hex"])
    role, address, counter, order = ORDERS[name]
    assert read_command(data, UNIT, KEYS) == Verified(Command(address, counter, order), role)


def test_the_bytes_of_a_budget_are_those_of_the_document():
    data = golden_command("budget")
    assert data[:-64].hex() == "c1" + address_of(UNIT).hex() + "00000001" + "01" + "01d00f"
    assert len(data) == 81


@given(orders, st.integers(1, (1 << 32) - 1), st.sampled_from(Role))
def test_what_was_signed_is_what_is_read(order, counter, role):
    address = FLEET if role is Role.FLEET else address_of(UNIT)
    command = Command(address, counter, order)
    data = sign_command(command, private_key(role))
    assert len(data) <= COMMAND_BYTES
    assert not data.startswith(b"RB")
    assert read_command(data, UNIT, KEYS) == Verified(command, role)


@pytest.mark.parametrize("name", NAMES)
def test_any_flipped_bit_is_refused(name):
    data = golden_command(name)
    for bit in range(8 * len(data)):
        other = bytearray(data)
        other[bit // 8] ^= 1 << bit % 8
        found = read_command(bytes(other), UNIT, KEYS)
        assert isinstance(found, Refused)
        assert found.signer is None
        assert found.reason in (Reason.MALFORMED, Reason.FOREIGN, Reason.SIGNATURE)


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_or_a_longer_one_is_refused(name):
    data = golden_command(name)
    for size in range(len(data)):
        assert isinstance(read_command(data[:size], UNIT, KEYS), Refused)
    assert isinstance(read_command(data + b"\0", UNIT, KEYS), Refused)


@given(st.binary(max_size=300))
def test_hostile_bytes_are_refused(data):
    found = read_command(data, UNIT, KEYS)
    assert isinstance(found, Refused)
    assert found.signer is None


@given(st.integers(0, 255), st.binary(max_size=BODY_BYTES), st.sampled_from(Role))
def test_a_good_signature_over_any_body_never_raises(kind, body, role):
    found = read_command(signed(kind, body, role), UNIT, KEYS)
    assert isinstance(found, Verified) or (found.signer is role and found.counter == 7)
    if isinstance(found, Verified):
        assert sign_command(found.command, private_key(role)) == signed(kind, body, role)


@given(st.binary(max_size=BODY_BYTES))
def test_only_one_writing_of_settings_is_read(body):
    found = unpack_settings(body)
    if isinstance(found, SettingsFault):
        assert found.sentence
    else:
        assert pack_settings(found) == body


def test_a_signature_for_another_purpose_is_none():
    head = golden_command("reset")[:-SIGNATURE_BYTES]
    bare = private_key(Role.FLEET).sign(head)
    assert read_command(head + bare, UNIT, KEYS).reason is Reason.SIGNATURE


def test_another_unit_does_not_obey():
    assert read_command(golden_command("budget"), "float-18", KEYS).reason is Reason.FOREIGN
    assert isinstance(read_command(golden_command("reset"), "float-18", KEYS), Verified), "to all units"


def test_a_units_key_does_not_speak_to_the_fleet():
    data = signed(Kind.RESET, b"", Role.UNIT, FLEET)
    assert read_command(data, UNIT, KEYS).reason is Reason.SIGNATURE


def test_a_units_key_does_not_replace_the_fleets():
    data = signed(Kind.ROTATE_KEY, bytes((Role.FLEET,)) + bytes(32))
    found = read_command(data, UNIT, KEYS)
    assert (found.reason, found.signer) == (Reason.VALUE, Role.UNIT)
    assert isinstance(read_command(signed(Kind.ROTATE_KEY, bytes(33)), UNIT, KEYS), Verified)


def test_keys_that_are_not_there_and_keys_that_are_none():
    data = golden_command("budget")
    for keys in ({}, {Role.FLEET: KEYS[Role.FLEET]}, {Role.UNIT: b"short"}, {Role.UNIT: b"\xff" * 32}):
        assert read_command(data, UNIT, keys).reason is Reason.SIGNATURE


@pytest.mark.parametrize(
    ("body", "number", "words"),
    [
        (b"", 0, "sets nothing"),
        (b"\x63\x00", 99, "number 99"),
        (b"\x01\x16", 1, "not within 23 to 10000000"),
        (b"\x01\xd0\x0f\x01\xd0\x0f", 1, "twice or out of order"),
        (b"\x20\x16\x01\xd0\x0f", 1, "twice or out of order"),
        (b"\x01\xd0", 1, "ends in the middle"),
        (b"\x01\xd0\x8f\x00", 1, "ends in the middle"),
        (b"\x10\xff\x7f", 16, "too much"),
        (b"\x05\x02", 5, "not within 0 to 1"),
    ],
)
def test_settings_that_are_none_say_which(body, number, words):
    found = read_command(signed(Kind.SET, body), UNIT, KEYS)
    assert (found.reason, found.detail) == (Reason.VALUE, number)
    assert words in found.sentence


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "No setting"),
        ({"run.dives_dir": 1}, "shore cannot change it"),
        ({"telemetry.budget_bytes": 22}, "use 23 to 10000000"),
        ({"telemetry.budget_bytes": float("nan")}, "use 23"),
        ({"vision.blur_sharpness": 0.00005}, "steps of 0.0001"),
        ({"profile.bins_dbar": 5}, "rows of 2 numbers"),
        ({"profile.bins_dbar": ((0, 5, 6),)}, "2 numbers a row"),
        ({"profile.bins_dbar": ((0, 5),) * 33}, "at most 32 rows"),
        ({"optics.threshold": ((1,),)}, "one number"),
    ],
)
def test_settings_that_cannot_be_sent_name_the_key(values, words):
    with pytest.raises(CommandError, match=words):
        make_settings(values)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (Command(b"", 1, Reset()), "address"),
        (Command(FLEET, 0, Reset()), "counter"),
        (Command(FLEET, 1 << 32, Reset()), "counter"),
        (Command(FLEET, 1, AskMissing(bytes(BODY_BYTES + 1))), "make two of it"),
        (Command(FLEET, 1, RotateKey(Role.UNIT, b"short")), "new key"),
    ],
)
def test_commands_that_cannot_be_made(command, words):
    with pytest.raises(CommandError, match=words):
        sign_command(command, private_key(Role.FLEET))


def test_names_of_units_have_a_length():
    with pytest.raises(CommandError, match="0 bytes"):
        address_of("")
    assert len(address_of("flotteur é")) == 8


def test_the_document_has_the_table_and_the_example():
    text = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    row = re.compile(r"^\| (\d+) \| (\w+\.[\w.]+)(?:: rows of (\d))?" + r" \| ([\d,]+)" * 3 + r" \|$", re.M)
    plain = [
        [number, key, columns or "0", *(n.replace(",", "") for n in ends)]
        for number, key, columns, *ends in row.findall(text)
    ]
    assert plain == [
        [str(one) for one in (f.number, f.key, f.columns, f.least, f.most, f.steps)] for f in FIELDS
    ]
    example = re.search(r"^c1 [\s0-9a-f]+", text, re.M)[0]
    assert bytes.fromhex(example) == golden_command("budget")


def test_numbers_and_keys_of_the_table_are_single():
    assert len(BY_KEY) == len({field.number for field in FIELDS}) == len(FIELDS)
    assert [field.number for field in FIELDS] == sorted(field.number for field in FIELDS)


@pytest.mark.parametrize(
    ("kind", "body"),
    [(Kind.ANNOUNCE, b""), (Kind.ANNOUNCE, b"\3" + bytes(2) + b"\1" + bytes(32)),
     (Kind.ANNOUNCE, b"\4" + bytes(3) + bytes(32)), (Kind.ANNOUNCE, b"\4" + bytes(2) + b"\1" + bytes(31)),
     (Kind.ANNOUNCE, b"\4" + bytes(2) + b"\1" + bytes(32) + b"ab"), (Kind.PART, b"\0\0"),
     (Kind.OPEN_DECK, b"\0"), (Kind.OPEN_DECK, (1441).to_bytes(2, "big"))],
)  # fmt: skip
def test_updates_and_decks_that_are_none_are_refused_as_values(kind, body):
    found = read_command(signed(kind, body), UNIT, KEYS)
    assert isinstance(found, Refused)
    assert (found.reason, found.signer) == (Reason.VALUE, Role.UNIT)
