"""The judge is judged: its dives are pinned, its rivals lose nothing, its oracle is one."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import lzma
import struct
import sys
import zlib

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge.frame import FrameOutcome, Phase
from edge.telemetry import Quantity
from tools.bench import telemetry
from tools.cli import cli
from tools.telemetry_bench import cost, dives, loss, ours, rivals

PINNED = {
    # objects, filled cells, particles of 20 dives; bytes of the oracle for taxa (20) and sizes (12)
    "sparse": (27_502, 13_279, 32_857_512, 334.4413, 2714.9316, "310cc793f63b24ea"),
    "typical": (165_625, 38_688, 39_508_159, 836.9417, 2686.1693, "b209ee4a0fb51bae"),
    "rich": (826_147, 71_636, 35_211_015, 1571.8867, 2722.5340, "61940b4a3f0c8b01"),
}


@pytest.fixture(scope="module")
def generated():
    return {load: dives.dives_of(load, 0, 20) for load in dives.LOADS}


@pytest.fixture(scope="module")
def typical(generated):
    return generated["typical"][3]


@pytest.fixture(scope="module")
def summary(typical):
    return dives.as_summary(typical)


@pytest.mark.parametrize("load", dives.LOADS)
def test_the_dives_are_the_pinned_ones(generated, load):
    pytest.importorskip("scipy", reason="needs the bench extra")
    objects, filled, particles, taxa_bytes, size_bytes, digest = PINNED[load]
    found = generated[load]
    assert sum(int(dive.taxa.sum()) for dive in found) == objects
    assert sum(int(np.count_nonzero(dive.taxa)) for dive in found) == filled
    assert sum(int(dive.sizes.sum()) for dive in found) == particles
    taxa = np.mean([dives.oracle_bytes(dive.taxa_rate, dive.taxa) for dive in found])
    sizes = np.mean([dives.oracle_bytes(dive.size_rate, dive.sizes) for dive in found[:12]])
    assert (taxa, sizes) == pytest.approx((taxa_bytes, size_bytes), abs=1e-3)
    data = b"".join(dive.taxa.astype("<i8").tobytes() + dive.sizes.astype("<i8").tobytes() for dive in found)
    assert hashlib.sha256(data).hexdigest()[:16] == digest


def test_the_dives_are_those_of_the_reference(shared, generated):
    file = shared / "reference" / "dive_generator.py"
    if not file.exists():
        pytest.skip("needs dive_generator.py in ../shared/reference")
    spec = importlib.util.spec_from_file_location("dive_generator", file)
    reference = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        spec.loader.exec_module(reference)
    finally:
        sys.dont_write_bytecode = before
    assert np.array_equal(dives.region(), reference.region())
    assert np.array_equal(dives.region(11), reference.region(11))
    for load, factor in dives.LOADS.items():
        for seed in (0, 7, 19):
            theirs = reference.dive(reference.region() * factor, seed)
            for name, array in theirs.items():
                assert np.array_equal(getattr(generated[load][seed], name), array), (load, seed, name)


def test_a_generated_dive_is_one_ascent_with_the_counts(typical, summary):
    (part,) = summary.profile.phases
    assert (part.phase, part.n_bins, int(part.edges[-1])) == (Phase.ASCENT, 400, 2000)
    assert np.array_equal(part.taxa, typical.taxa)
    assert np.array_equal(part.lpm, typical.sizes)
    assert (part.frames == part.frames[0]).all()
    assert part.frames[0, FrameOutcome.ANALYSED] > 0
    assert (part.volume_classified_ul == part.volume_classified_ul[0]).all()
    empty = part.taxa == 0
    assert not part.taxa_esd_um_sum[empty].any()
    assert (part.taxa_esd_um_sum[~empty] >= part.taxa[~empty]).all()
    again = dives.as_summary(typical)
    assert np.array_equal(again.profile.phases[0].taxa_esd_um_sum, part.taxa_esd_um_sum)


@pytest.mark.parametrize(
    "quantities", [(Quantity.TAXA,), (Quantity.SIZES,), (Quantity.FRAMES, Quantity.TAXA)]
)
def test_messages_hold_the_tables_asked_for_and_all_of_them(summary, quantities):
    messages = ours.code(summary, quantities)
    assert max(map(len, messages)) <= ours.MESSAGE_BYTES
    ours.check(summary, quantities, messages)
    held = loss.content(messages, summary.codebook, list(Quantity))
    only = loss.content(messages, summary.codebook, quantities)
    assert held.cells.sum() == only.cells.sum()
    assert only.cells.sum() == sum(summary.counts(q, Phase.ASCENT).size for q in quantities)
    assert only.objects.sum() == sum(summary.counts(q, Phase.ASCENT).sum() for q in quantities)


def test_a_wrong_count_does_not_pass_the_check(summary):
    messages = ours.code(summary, [Quantity.TAXA])
    part = summary.profile.phases[0]
    taxa = part.taxa.copy()
    taxa[7, 3] += 1
    other = dataclasses.replace(
        summary, profile=dataclasses.replace(summary.profile, phases=(dataclasses.replace(part, taxa=taxa),))
    )
    with pytest.raises(RuntimeError, match="TAXA"):
        ours.check(other, [Quantity.TAXA], messages)


def test_totals_are_smaller_than_any_profile(summary):
    sizes = ours.code_totals(summary)
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)
    assert 20 <= sizes[3] < sizes[0] < 60


TABLES = arrays.arrays(
    np.int64, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.integers(0, 65535)
)


@given(TABLES)
def test_no_serialisation_loses_anything(counts):
    def varints(data):
        values, value, shift = [], 0, 0
        for byte in data:
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                values.append(value)
                value = shift = 0
        return values

    flat = counts.ravel().tolist()
    assert varints(rivals.varint(counts)) == flat
    assert np.frombuffer(rivals.uint16(counts), "<u2").tolist() == flat
    low, high = np.frombuffer(rivals.planes(counts), np.uint8).reshape(2, -1).astype(int)
    assert (low + 256 * high).tolist() == flat
    found, at = [0] * len(flat), -1
    pairs = varints(rivals.gaps(counts))
    for gap, count in zip(pairs[::2], pairs[1::2], strict=True):
        at += gap + 1
        found[at] = count
    assert found == flat


def test_large_counts_are_serialised_in_32_bits():
    counts = np.array([[70_000, 3]])
    assert np.frombuffer(rivals.uint16(counts), "<u4").tolist() == [70_000, 3]
    assert len(rivals.planes(counts)) == 8


def test_what_compressors_give_can_be_read_again(generated):
    brotli = pytest.importorskip("brotli", reason="needs the bench extra")
    zstandard = pytest.importorskip("zstandard", reason="needs the bench extra")
    data = rivals.varint(generated["typical"][0].taxa)
    assert zlib.decompress(rivals._zlib(data), -15) == data
    assert lzma.decompress(rivals._lzma(data), lzma.FORMAT_RAW, filters=rivals._LZMA) == data
    assert brotli.decompress(rivals._brotli(data)) == data
    reader = zstandard.ZstdDecompressor(format=zstandard.FORMAT_ZSTD1_MAGICLESS)
    assert reader.decompress(rivals._zstd([])(data), max_output_size=len(data)) == data


def test_a_dictionary_of_other_dives_helps(generated):
    pytest.importorskip("brotli", reason="needs the bench extra")
    pytest.importorskip("zstandard", reason="needs the bench extra")
    found = [dive.taxa for dive in generated["sparse"]]
    by_name = {rival.name: rival for rival in rivals.compress_all(found[:2], found[2:])}
    assert by_name["zstd-22, dictionary"].n_bytes < by_name["zstd-22"].n_bytes
    for rival in by_name.values():
        assert (
            rival.n_bytes
            == min(rival.by_serialisation.values())
            == rival.by_serialisation[rival.serialisation]
        )
        assert len(rival.by_serialisation) == 8
    assert len(rivals.compress_all(found[:1], [])) == 4


def test_cts5_records_are_those_of_the_float():
    counts = np.array([[0, 300, 2], [0, 0, 0]])
    n_images, pressure = np.array([5, 7]), np.array([989.4, 992.0])
    volume, grey = np.full((2, 3), 2932.65), np.full((2, 3), 43.4)
    data = rivals.cts5_taxo(counts, n_images, pressure, volume, grey)
    assert len(data) == 2 * 7 + 2 * 7
    assert data[2:4] == (0x2A8E).to_bytes(2, "little")
    assert struct.unpack_from("<HB", data, 4) == (5, 2)
    assert data[7:14] == bytes((1, 255)) + (0x45374A66).to_bytes(4, "little") + bytes((43,))
    assert data[14:16] == bytes((2, 2))
    assert struct.unpack_from("<HB", data, 25) == (7, 0)


def test_cts5_bytes_of_the_loads(generated):
    for load, expected in (("sparse", 7448), ("typical", 16341), ("rich", 27873)):
        sizes = [len(telemetry._cts5(dive, dives.as_summary(dive))) for dive in generated[load][:20]]
        assert np.mean(sizes) == pytest.approx(expected, abs=1)


def test_steps_of_counts_are_a_deviation_wide_and_exact_for_few():
    assert [ours.exact_below(step) for step in (1, 2, 3)] == [16, 4, 1]
    rng = np.random.default_rng(1)
    counts = rng.poisson(400.0, 20_000)
    for step in (1, 2, 3):
        width = ours.STEPS_OF_SD[step]
        steps = ours.compand(counts, step)
        assert steps.std() * width == pytest.approx(np.sqrt(1 + width**2 / 12), rel=0.03)
        assert ours.added_error(step) == pytest.approx(np.sqrt(1 + width**2 / 12) - 1, rel=0.05)
    assert ours.compand(np.array([0, 0]), 2).tolist() == [0, 0]


def test_the_oracle_of_fine_steps_is_that_of_counts(typical):
    pytest.importorskip("scipy", reason="needs the bench extra")
    lossless = dives.oracle_bytes(typical.size_rate, typical.sizes)
    found = [ours.companded_oracle_bytes(typical.size_rate, typical.sizes, s) for s in range(4)]
    assert found[0] == pytest.approx(lossless)
    assert found == sorted(found, reverse=True)
    small = typical.taxa_rate[:50]
    few = np.minimum(typical.taxa[:50], 5)
    assert ours.companded_oracle_bytes(small, few, 1) == pytest.approx(
        dives.oracle_bytes(small, few), rel=1e-6
    )


def test_losing_messages_loses_their_share(summary):
    messages = ours.code(summary, [Quantity.TAXA, Quantity.SIZES])
    held = loss.content(messages, summary.codebook, [Quantity.TAXA, Quantity.SIZES])
    assert (held.cells > 0).all()
    found = loss.survive([held], 0)
    assert found == loss.survive([held], 0)
    assert found.cells == pytest.approx(1 - loss.LOSS, abs=0.02)
    assert found.whole == pytest.approx((1 - loss.LOSS) ** len(messages), abs=0.08)
    assert found.parity_bytes == 0


def test_parity_brings_more_dives_home(summary):
    pytest.importorskip("edge.telemetry.parity", reason="no parity messages in this version")
    messages = ours.code(summary, [Quantity.TAXA, Quantity.SIZES])
    held = loss.content(messages, summary.codebook, [Quantity.TAXA, Quantity.SIZES])
    found = [loss.survive([held], n) for n in range(4)]
    assert [one.whole for one in found] == sorted(one.whole for one in found)
    assert found[3].whole > 0.98 > found[0].whole
    assert found[2].parity_bytes == pytest.approx(2 * max(map(len, messages)), rel=0.05)


def test_cost_is_measured_in_processes_of_their_own():
    numbers = cost.measure("sparse")
    assert numbers["dive_bytes"] > 1000
    assert min(numbers.values()) >= 0
    assert numbers["encode_python_mb"] > 0.1


@pytest.mark.slow
def test_a_run_prints_every_table_and_writes_its_numbers(tmp_path, monkeypatch):
    pytest.importorskip("brotli", reason="needs the bench extra")
    pytest.importorskip("zstandard", reason="needs the bench extra")
    pytest.importorskip("scipy", reason="needs the bench extra")
    monkeypatch.setattr(rivals, "N_TRAINING_DIVES", 12)
    file = tmp_path / "telemetry.json"
    arguments = ["bench", "telemetry", "--dives", "1", "--casts", str(tmp_path), "--json", str(file)]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert "Real casts were left out" in done.output
    found = json.loads(file.read_text())
    assert [len(row) for table in found["tables"] for row in table["rows"]] == [
        len(table["columns"]) for table in found["tables"] for _ in table["rows"]
    ]
    numbers = found["numbers"]
    for load in dives.LOADS:
        oracle = numbers[f"taxa_{load}_oracle_bytes"]
        assert oracle < numbers[f"taxa_{load}_ours_bytes"] < numbers[f"taxa_{load}_brotli-11_bytes"]
        assert numbers[f"taxa_{load}_CTS5_TAXO_records_bytes"] > 5 * oracle
    assert numbers["sizes_lossless_oracle_bytes"] < numbers["sizes_lossless_ours_bytes"]


@pytest.mark.slow
def test_real_casts_become_dives(shared):
    path = shared / "data" / "uvp6_casts" / "01_Particule.zip"
    summary = dives.cast_as_summary(path)
    (part,) = summary.profile.phases
    assert part.phase is Phase.DESCENT
    assert summary.codebook.optics.n_size_classes == 18
    outcomes = summary.profile.outcomes()
    assert outcomes[FrameOutcome.ANALYSED] > 10_000
    assert outcomes[FrameOutcome.UNLIT] > 1_000
    assert int(part.lpm.sum()) > 10_000_000
    # About one a frame is above 620 um.
    assert 0.5 < summary.profile.taxa()[0] / outcomes[FrameOutcome.ANALYSED] < 2
    ours.check(summary, [Quantity.SIZES], ours.code(summary, [Quantity.SIZES]))


@pytest.mark.parametrize(
    "arguments", [("segment", "--dives", "3"), ("train", "--casts", "."), ("telemetry", "--dives", "0")]
)
def test_dives_and_casts_are_telemetrys_alone(arguments):
    done = CliRunner().invoke(cli, ["bench", *arguments])
    assert done.exit_code == 2
    assert arguments[1] in done.output


def test_what_all_ways_have_in_common_is_said_once():
    assert telemetry._together(["2.0 messages", "3.5 messages"]) == "2.0, 3.5 messages"
    assert telemetry._together(["gaps by column", "varint by bin"]) == "gaps by column, varint by bin"
    assert telemetry._together(["x by bin"] * 3) == "x by bin"
    assert telemetry._together(["", "x"]) == ", x"
