"""The vectors of golden/uvp6-1.json: what our instrument says, our host understands, and CTS5 files hold."""

from __future__ import annotations

import dataclasses
import struct

import pytest

from firmware_bridge.uvp6 import cts5
from firmware_bridge.uvp6.host import Came, Fault, Host, Malformed
from firmware_bridge.uvp6.lines import (
    ACQ_FIELDS,
    HW_FIELDS,
    N_CLASSES,
    Generation,
    Instant,
    LpmFrame,
    read_configuration,
    read_frame,
    write_configuration,
    write_frame,
)
from firmware_bridge.uvp6.personality import ClockSet, Code, Refused, Started, Stopped
from firmware_bridge.uvp6.slices import reduce_lpm
from tests.golden.make_uvp6 import KEPT, OURS, configuration, make, play

pytestmark = pytest.mark.board

EXCHANGES = {exchange["name"]: exchange for exchange in KEPT["exchanges"]}
CTS5 = KEPT["cts5"]


def test_the_generator_writes_the_file():
    assert make() == KEPT


def test_every_vector_says_where_it_is_from():
    vectors = [*KEPT["frames"], *KEPT["configurations"], *KEPT["exchanges"], KEPT["reduction"]]
    vectors += [*CTS5["codes"], *CTS5["files"]]
    for vector in vectors:
        source = vector["source"]
        assert source.startswith((OURS, *KEPT["documents"])), source
    ours = {vector["name"] for vector in KEPT["exchanges"] if vector["source"].startswith(OURS)}
    commands = {
        step.get("host", "").split(":")[0].strip("$;") for name in ours for step in EXCHANGES[name]["steps"]
    }
    assert commands >= {"RTCread", "RTCset", "VERSION", "POWERPUset"}


@pytest.mark.parametrize("vector", KEPT["frames"], ids=lambda vector: vector["line"][:20])
def test_a_frame_reads_so_and_is_written_so(vector):
    read = read_frame(vector["line"])
    found = dataclasses.asdict(read)
    if "at" in found:
        found["at"] = list(found["at"].values())
    if "objects" in found:
        found["objects"] = [list(one.values()) for one in found["objects"]]
    assert {name: list(v) if isinstance(v, tuple) else v for name, v in found.items()} == vector["reads"]
    assert write_frame(read) == vector["line"]


@pytest.mark.parametrize("vector", KEPT["configurations"], ids=lambda v: f"{v['kind']} {v['generation']}")
def test_a_configuration_reads_so_and_is_written_so(vector):
    generation = Generation(vector["generation"])
    for text in (vector["line"], "$" + vector["line"], vector["line"] + "\r\n", vector["line"][:-1]):
        read = read_configuration(text, generation)
        assert read.kind == vector["kind"]
        assert read.generation is generation
        assert read.values == vector["values"]
        assert list(read.values) == list(vector["values"]), "in order"
    assert write_configuration(read) == vector["line"]
    if vector["kind"] == "HW_CONF":
        assert len(read.class_limits_um()) == N_CLASSES
        assert read.class_limits_um()[0] == (40.3 if generation is Generation.V2021 else 50.8)
        assert read_configuration(vector["line"]) == read, "its length alone tells the firmware"


def test_every_firmware_has_its_configurations():
    assert [len(HW_FIELDS[g]) for g in Generation] == [43, 41, 42]
    assert [len(ACQ_FIELDS[g]) for g in Generation] == [22, 19, 22]
    kept = {(v["kind"], v["generation"]) for v in KEPT["configurations"]}
    assert kept >= {(kind, g.value) for kind in ("HW_CONF", "ACQ_CONF") for g in Generation}
    assert {exchange["generation"] for exchange in KEPT["exchanges"]} == {g.value for g in Generation}


@pytest.mark.parametrize("exchange", KEPT["exchanges"], ids=lambda exchange: exchange["name"])
def test_our_instrument_answers_so(exchange):
    assert play(exchange)[0] == [step["instrument"] for step in exchange["steps"]]


@pytest.mark.parametrize("exchange", KEPT["exchanges"], ids=lambda exchange: exchange["name"])
def test_a_host_understands_every_line(exchange):
    lines = [
        line for step in exchange["steps"] if step.get("host") != "$HELP;" for line in step["instrument"]
    ]
    host = Host("ACQ_SESTON")
    heard = host.receive("".join(line + "\r\n" for line in lines).encode("ascii"), 0.0)
    assert not [event for event in heard if isinstance(event, Malformed)]
    data = [line for line in lines if "_DATA," in line]
    assert [event.line for event in heard if isinstance(event, Came)] == data
    codes = [int(line.removeprefix("$starterr:")[:-1]) for line in lines if line.startswith("$starterr:")]
    assert [event.code for event in heard if isinstance(event, Fault)] == codes


def test_what_an_instruments_owner_is_told():
    newest = Generation.V2022_02
    _, events = play(EXCHANGES[f"from power-on to stop, {newest.value}"])
    acquisition = configuration("ACQ_CONF")
    assert events == [
        Started(acquisition, Instant(2022, 2, 23, 4, 0, 0)),
        Refused("stop", Code.BUSY),
        Stopped(),
        Started(acquisition, None),
    ]
    assert play(EXCHANGES["clock, version, power"])[1] == [ClockSet(Instant(2022, 2, 23, 4, 0, 0))]
    for code in (Code.INVALID_COMMAND, Code.BAD_PARAMETERS, Code.BUSY):
        exchange = EXCHANGES[f"error {code:d}"]
        refused = [event for event in play(exchange)[1] if isinstance(event, Refused)]
        assert {event.code for event in refused} == {code}
        assert len(refused) == sum(step["instrument"] == [f"$starterr:{code};"] for step in exchange["steps"])


def test_blocs_are_reduced_as_in_the_worked_example():
    at, none = Instant(2022, 2, 23, 4, 0, 52), (0,) * (N_CLASSES - 1)
    blocs = [
        LpmFrame(b["pressure_dbar"], at, b["n_images"], 10.0, (b["count"], *none), (b["grey"], *none))
        for b in KEPT["reduction"]["blocs"]
    ]
    found, wanted = reduce_lpm(blocs), KEPT["reduction"]["slice"]
    assert found.pressure_dbar == pytest.approx(wanted["pressure_dbar"], abs=0.005)
    assert (found.n_images, found.counts[0], found.n_blocs) == (
        wanted["n_images"],
        wanted["count"],
        len(blocs),
    )
    assert found.greys[0] == pytest.approx(wanted["grey"], abs=0.005)
    assert found.at == at


CODES = {
    "dbar": lambda value: struct.pack("<H", cts5.pressure_code(value)),
    "degrees_c": lambda value: struct.pack("<H", cts5.temperature_code(value)),
    "count": lambda value: struct.pack("<f", value),
    "epoch_s": lambda value: struct.pack("<I", value),
}


@pytest.mark.parametrize("vector", CTS5["codes"], ids=lambda vector: vector["hex"])
def test_a_value_has_its_code(vector):
    ((quantity, value),) = ((name, v) for name, v in vector.items() if name in CODES)
    assert CODES[quantity](value).hex() == vector["hex"]


@pytest.mark.parametrize("vector", CTS5["files"], ids=lambda vector: vector["is"])
def test_a_file_of_cts5_holds_so(vector):
    data = bytes.fromhex(vector["hex"])
    file = cts5.read_file(data)
    assert (file.kind, file.phase, file.epoch_s) == (data[0], vector["phase"], vector["epoch_s"])
    found = [
        {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(record).items()}
        for record in file.records
    ]
    for record in found:
        if "taxa" in record:
            record["taxa"] = [list(taxon.values()) for taxon in record["taxa"]]
    assert found == vector["records"]
    assert cts5.write_file(file) == data.rstrip(bytes([cts5.PAD]))
