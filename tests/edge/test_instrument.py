"""The loop: every frame has one outcome, the log replays to the same bytes."""

from __future__ import annotations

import dataclasses
import math

import cv2
import msgspec
import numpy as np
import pytest

from edge.config import Config, LogConfig, VisionConfig
from edge.counted import Counted
from edge.divelog import DiveLog
from edge.frame import Frame, FrameOutcome, Phase
from edge.inference.bundle import load_bundle
from edge.inference.manifest import Correction
from edge.instrument import Instrument
from edge.logged import begin_dive, codebook_in, plan_messages, summarise
from edge.mission import Mission, State
from edge.optics import Optics, Polarity
from edge.profile import AreaHistogram
from edge.telemetry import decode_messages
from edge.telemetry.health import Health
from edge.telemetry.naming import esd_quantiles
from edge.telemetry.replies import Reply, Verdict
from edge.telemetry.whole_dive import doubt_of, esd_quantiles_of, health_of, replies_of
from training.drawn import draw_particle

pytestmark = pytest.mark.board
OPTICS = Optics(pixel_um=73, image_volume_l=0.6, threshold=21, aa_um2=2300, exp=1.136)
CONFIG = Config(
    optics=OPTICS,
    vision=VisionConfig(dark_mean_grey=0.5, blur_sharpness=0.05),
    log=LogConfig(frames_per_bloc=4),
)


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("demo")


def scene(seed, *, n_large=2, haze=8):
    """A small dark-field frame with some drawn particles and many of one pixel."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, haze, (300, 400), dtype=np.uint8)
    pixels[rng.integers(0, 300, 60), rng.integers(0, 400, 60)] = 90
    for k in range(n_large):
        drawn = draw_particle("copepod", rng, 24.0)
        height, width = drawn.shape
        y, x = 20 + 130 * (k // 2), 30 + 180 * (k % 2)
        window = pixels[y : y + height, x : x + width]
        np.maximum(window, drawn[: window.shape[0], : window.shape[1]], out=window)
    return pixels


def take(instrument, *frames):
    return [logged.record for frame in frames for logged in instrument.take(frame)]


def frame(index, pixels, **changes):
    values = {"time_ms": 1000 * index, "pressure_dbar": 3.0 * index, "lit": True, "source": f"{index}.png"}
    return Frame(index=index, pixels=pixels, **(values | changes))


@pytest.fixture
def dive(tmp_path, bundle):
    with begin_dive(tmp_path / "dive.sqlite", CONFIG, bundle, dive_number=5, time_ms=0) as log:
        yield Instrument(CONFIG, bundle, log, mission=Mission(State.DESCENT))


def test_every_kind_of_frame_has_its_outcome(dive):
    blurred = cv2.GaussianBlur(scene(7, haze=1), (0, 0), 9)
    cases = [
        (frame(0, scene(0)), FrameOutcome.ANALYSED),
        (frame(1, np.full((300, 400), 9, np.uint8)), FrameOutcome.EMPTY),
        (frame(2, scene(1, n_large=0), lit=False), FrameOutcome.UNLIT),
        (frame(3, np.zeros((300, 400), np.uint8)), FrameOutcome.DARK),
        (frame(4, np.full((300, 400), 200, np.uint8)), FrameOutcome.OVER_EXPOSED),
        (frame(5, np.clip(blurred * 3.0, 0, 255).astype(np.uint8)), FrameOutcome.BLURRED),
        (frame(6, None, fault=FrameOutcome.CORRUPT, note="truncated"), FrameOutcome.CORRUPT),
        (frame(7, scene(2)), FrameOutcome.ANALYSED),
        (frame(8, scene(2)), FrameOutcome.DUPLICATE),
        (frame(9, scene(3), time_ms=2500), FrameOutcome.LATE),
        (frame(10, None, fault=FrameOutcome.DROPPED), FrameOutcome.DROPPED),
        (frame(11, scene(4), pressure_dbar=math.nan), FrameOutcome.ANALYSED),
    ]
    records = take(dive, *(case for case, _ in cases))
    assert [r.outcome for r in records] == [expected for _, expected in cases]
    dive.finish()
    profile = summarise(dive.log).profile
    assert profile.outcomes().tolist() == np.bincount([e for _, e in cases], minlength=11).tolist()
    notes = {row["frame"]: row["note"] for row in dive.log.frames()}
    assert notes[6] == "truncated"
    assert notes[8] == "the same as frame 7"
    assert "100.0 %" in notes[4]


def test_a_classifier_that_fails_leaves_the_size_spectrum(dive, monkeypatch):
    def fail(_vignettes):
        raise RuntimeError("delegate lost")

    monkeypatch.setattr(dive._namer, "answer", fail)
    (record,) = take(dive, frame(0, scene(0)))
    assert record.outcome is FrameOutcome.INFERENCE_FAILED
    dive.finish()
    (part,) = summarise(dive.log).profile.phases
    assert part.volume_sized_ul.sum() == 600_000
    assert part.volume_classified_ul.sum() == 0
    assert part.lpm.sum() == record.histogram.n_particles > 50


def counted_frame(index, outcome, areas=(), vignettes=(), **changes):
    area = np.array(areas, dtype=np.int64)
    counted = Counted(outcome, AreaHistogram.of(area, 50 * area), tuple(vignettes))
    return frame(index, None, counted=counted, **changes)


def test_what_another_instrument_counted_is_taken_as_it_stands(dive):
    vignette = np.zeros((60, 60), np.uint8)
    drawn = draw_particle("copepod", np.random.default_rng(3), 24.0)
    vignette[4 : 4 + drawn.shape[0], 5 : 5 + drawn.shape[1]] = drawn[:56, :55]
    speck = np.zeros((9, 9), np.uint8)
    speck[4, 4] = 99
    frames = [
        counted_frame(0, FrameOutcome.ANALYSED, [1, 1, 2, 90, 200, 300], [vignette, speck]),
        # Counted elsewhere, at the same time and with the same particles: it is no duplicate all the same.
        counted_frame(1, FrameOutcome.ANALYSED, [1, 1, 2, 90, 200, 300], time_ms=0),
        counted_frame(2, FrameOutcome.EMPTY),
        counted_frame(3, FrameOutcome.UNLIT, [1, 1, 1], lit=False),
        counted_frame(4, FrameOutcome.OVER_EXPOSED),
        counted_frame(5, FrameOutcome.ANALYSED, fault=FrameOutcome.CORRUPT, note="is no row"),
    ]
    records = take(dive, *frames)
    kinds = ["analysed", "analysed", "empty", "unlit", "over-exposed", "corrupt"]
    assert [one.outcome.label for one in records] == kinds
    assert [one.histogram.n_particles for one in records] == [6, 6, 0, 3, 0, 0]
    assert [one.unnamed for one in records] == [2, 3, 0, 0, 0, 0]
    dive.finish()
    (particle,) = dive.log.particles(with_vignettes=True)
    assert particle.frame == 0
    assert particle.area_px == np.count_nonzero(vignette > OPTICS.threshold)
    assert particle.scores.sum() == pytest.approx(1, abs=1e-5)
    (part,) = summarise(dive.log).profile.phases
    assert part.lpm.sum() == 12
    assert part.noise.sum() == 3
    assert part.volume_sized_ul.sum() == 3 * 600_000


def test_only_particles_above_the_cut_are_classified_and_kept(dive):
    (record,) = take(dive, frame(0, scene(0, n_large=3)))
    dive.close_bloc()
    particles = list(dive.log.particles(with_vignettes=True))
    assert len(record.taxa) == len(particles) >= 3
    assert all(p.esd_um >= CONFIG.classify.min_esd_um for p in particles)
    for p in particles:
        vignette = cv2.imdecode(np.frombuffer(p.vignette_png, np.uint8), cv2.IMREAD_UNCHANGED)
        beside = [4 + int(side / 4 + 0.5) for side in (p.height_px, p.width_px)]
        assert vignette.shape == (p.height_px + 2 * beside[0], p.width_px + 2 * beside[1])
        assert p.scores.sum() == pytest.approx(1, abs=1e-5)
        names = dive.log.meta("measures")
        assert len(p.measures) == len(names)
        assert np.isfinite(p.measures).all()


def test_the_log_replays_to_the_same_bytes(dive, tmp_path):
    phases = [Phase.DESCENT] * 6 + [Phase.PARK] * 3 + [Phase.ASCENT] * 6
    for i, phase in enumerate(phases):
        dive.take(
            frame(i, scene(i % 4, n_large=i % 3), phase=phase, environment={"temperature_c": 10 + 0.1 * i})
        )
    plan = dive.finish()
    dive.log.close()
    with DiveLog.open(tmp_path) as again:
        assert again.messages() == list(plan.messages)
        assert plan_messages(again).messages == plan.messages
        assert [p.phase for p in summarise(again).profile.phases] == list(Phase)
    assert all(len(m) <= CONFIG.telemetry.message_bytes for m in plan.messages)
    dive.log = DiveLog.open(tmp_path)


def test_counts_are_corrected_on_board_as_the_bundle_says(tmp_path, bundle):
    n = len(bundle.taxa)
    even = (1 / n,) * n
    correction = Correction(implied=even, usual=even, spread=0.2)
    manifest = msgspec.structs.replace(bundle.manifest, correction=correction)
    with_it = dataclasses.replace(bundle, manifest=manifest)
    without = dataclasses.replace(bundle, manifest=msgspec.structs.replace(manifest, correction=None))
    sent = {}
    for name, model in (("with", with_it), ("without", without)):
        with begin_dive(tmp_path / f"{name}.sqlite", CONFIG, model, dive_number=5, time_ms=0) as log:
            instrument = Instrument(CONFIG, model, log, mission=Mission(State.DESCENT))
            take(instrument, *(frame(i, scene(i, n_large=4)) for i in range(5)))
            take(instrument, frame(5, scene(5, n_large=4), pressure_dbar=math.nan))
            unfinished = summarise(log).corrected
            sent[name] = decode_messages(instrument.finish().messages, [codebook_in(log)]).dives[0]
            assert plan_messages(log).messages == tuple(log.messages())
            if name == "with":
                assert log.meta("corrected") == unfinished.tolist()
    assert sent["without"].corrected() is None
    counts, known = sent["with"].corrected()
    assert known.all()
    # Every particle that is in the profile, and no other: the frame without pressure is in none.
    assert counts[0].sum() == sent["with"].taxa().sum() > 0
    assert (counts[:, n:] == 0).all()
    assert (counts[1] <= counts[0]).all()
    assert (counts[0] <= counts[2]).all()


def test_a_correction_that_fails_leaves_the_raw_counts(tmp_path, dive, monkeypatch):
    def fail(*_, **__):
        raise ValueError("scores of two lengths")

    take(dive, *(frame(i, scene(i, n_large=4)) for i in range(5)))
    monkeypatch.setattr("edge.logged.count_from_scores", fail)
    messages = dive.finish().messages
    (sent,) = decode_messages(messages, [codebook_in(dive.log)]).dives
    assert sent.corrected() is None
    assert sent.taxa().sum() > 0
    assert dive.log.meta("correction_failed") == "scores of two lengths"
    monkeypatch.undo()
    assert plan_messages(dive.log).messages == messages


def test_what_a_dive_says_of_itself_is_in_the_log(dive, tmp_path, bundle):
    dive.log.add_input(0, "health", {"battery_mv": 12_648, "board_temperature_c": -1})
    blurred = np.clip(cv2.GaussianBlur(scene(7, haze=1), (0, 0), 9) * 3.0, 0, 255).astype(np.uint8)
    take(dive, *(frame(i, scene(i, n_large=4)) for i in range(9)))
    giants = scene(9)[:150, :200].repeat(2, axis=0).repeat(2, axis=1)
    take(dive, frame(9, giants, pressure_dbar=math.nan), frame(10, blurred))
    take(dive, frame(11, np.full((300, 400), 200, np.uint8), pressure_dbar=math.nan))
    dive.log.add_input(1, "restart", {"frames": 12})
    dive.log.add_input(2, "health", {"board_temperature_c": 7, "messages_waiting": 4})
    dive.log.add_input(3, "replies", {"replies": [[41, 0, 2], [42, 2, 41]]})
    plan = dive.finish()
    dive.log.close()
    with DiveLog.open(tmp_path) as log:
        assert plan_messages(log).messages == plan.messages
        sharp = [row["sharpness"] for row in log.frames()]
        particles = [p for p in log.particles() if p.frame != 9]
        summary, book = summarise(log), codebook_in(log)
    dive.log = DiveLog.open(tmp_path)
    (sent,) = decode_messages(plan.messages, [book]).dives

    assert sharp[11] is None, "an over-exposed frame is not looked at"
    assert sharp[10] == min(s for s in sharp if s is not None) < CONFIG.vision.blur_sharpness
    assert summary.health == Health(
        battery_mv=12_648, board_temperature_min_c=-1, board_temperature_max_c=7, restarts=1,
        over_exposed_frames=1, worst_sharpness=round(1000 * sharp[10]), messages_waiting=4,
    )  # fmt: skip
    assert health_of(sent) == summary.health.rounded() != summary.health
    assert list(replies_of(sent)) == [Reply(41, Verdict.DONE, 2), Reply(42, Verdict.REFUSED_REPLAY, 41)]

    # Particles of the profile and no others: the frame without pressure is left out.
    assert len(particles) == summary.profile.taxa().sum() > 20
    seen = 0
    taxa, esd_um = (np.array([getattr(p, name) for p in particles]) for name in ("taxon", "esd_um"))
    assert summary.esd_quantiles.tolist() == esd_quantiles(taxa, esd_um, book.taxa).tolist()
    for sizes in esd_quantiles_of(sent):
        mine = sorted(p.esd_um for p in particles if book.taxa[p.taxon] == sizes.taxon)
        assert len(sizes.esd_um) == (5 if mine else 0)
        if mine:
            seen += 1
            assert sizes.esd_um[2] == pytest.approx(mine[(len(mine) - 1) // 2], rel=0.032)
    assert seen
    for taxon, wrong in enumerate(doubt_of(sent)):
        given = [1 - float(p.scores[taxon]) for p in particles if p.taxon == taxon < len(bundle.taxa)]
        assert abs(wrong - sum(given)) <= 0.501
    assert any(doubt_of(sent))


def test_scores_of_two_lengths_leave_out_the_doubt_alone(tmp_path, dive):
    take(dive, *(frame(i, scene(i, n_large=4)) for i in range(5)))
    dive.close_bloc()
    dive.log._db.execute("UPDATE particles SET scores = x'0000803f' WHERE particle = 0")
    (sent,) = decode_messages(dive.finish().messages, [codebook_in(dive.log)]).dives
    assert set(doubt_of(sent)) == {None}
    assert health_of(sent) is not None
    assert sent.taxa().sum() > 0


def test_bright_field_sees_the_same_particles_inverted(tmp_path, bundle, dive):
    bright = msgspec.structs.replace(
        CONFIG, optics=msgspec.structs.replace(OPTICS, polarity=Polarity.BRIGHT_FIELD), vision=VisionConfig()
    )
    (tmp_path / "bright").mkdir()
    with begin_dive(tmp_path / "bright/dive.sqlite", bright, bundle, dive_number=5, time_ms=0) as log:
        other = Instrument(bright, bundle, log, mission=Mission(State.DESCENT))
        (inverted,) = take(other, frame(0, 255 - scene(0)))
    (plain,) = take(dive, frame(0, scene(0)))
    assert inverted.histogram.count.tolist() == plain.histogram.count.tolist()
    assert inverted.taxa.tolist() == plain.taxa.tolist()
