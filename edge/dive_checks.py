"""How the instrument fared in a dive, in words: a status and a sentence each, from its log alone.

`edge.selftest` tries the instrument on deck; this is what it says of itself afterwards, or while it dives.
"""

from __future__ import annotations

from collections.abc import Iterator

from edge.frame import FrameOutcome
from edge.log_reader import LogReader
from edge.logged import condition_in, config_of, drift_in, optics_of, readings_in
from edge.selftest import HOT_C, LEAST_BATTERY_MV, LEAST_FREE_MB, Check, Status
from edge.telemetry.health import CONDITION_FIELDS, HealthField, sum_up

LOOK_PERMILLE, BAD_PERMILLE = 10, 100
"""Share of frames lost, or without names, from which somebody has to look, and from which it is bad."""
DIRTY_PERMILLE = 20
CLOCK_LOOK_S = 60
_FIELDS: dict[str, HealthField] = {field.name: field for field in CONDITION_FIELDS}


def dive_checks(log: LogReader) -> Iterator[Check]:
    """Camera, light, lens, noise, model, drift, clock, board and link of one dive, as its log has them."""
    outcomes, config, condition = log.outcomes(), config_of(log), condition_in(log)
    health = sum_up(
        readings_in(log),
        restarts=len(log.inputs("restart")),
        over_exposed_frames=outcomes[FrameOutcome.OVER_EXPOSED],
        worst_sharpness=log.worst_sharpness(),
    )
    n = outcomes.total()
    if not n:
        yield Check("frames", Status.BAD, "there is none in the log")
        return
    lost = _counts(
        outcomes, FrameOutcome.DROPPED, FrameOutcome.LATE, FrameOutcome.DUPLICATE, FrameOutcome.CORRUPT
    )
    yield _of_frames("camera", lost, n, f"{n:,} frames")
    in_trouble = _counts(outcomes, FrameOutcome.DARK, FrameOutcome.OVER_EXPOSED)
    grey = [
        f"{words} {_FIELDS[name].text(value)}"
        for words, name in (("mean grey", "lit_grey_centi"), ("without light", "unlit_grey_centi"))
        if (value := getattr(condition, name)) is not None
    ]
    yield _of_frames("light", in_trouble, n, ", ".join(grey) or "no frame tells it")
    sharp = "" if health.worst_sharpness is None else f"sharpness {health.worst_sharpness / 1000:.3f} or more"
    dirt = condition.dirt_permille
    told = [sharp] * bool(sharp) + [f"dirt covers {(dirt or 0) / 10:.1f} % of the view"] * (dirt is not None)
    lens = _of_frames("lens", _counts(outcomes, FrameOutcome.BLURRED), n, ", ".join(told) or "not known")
    if dirt is not None and dirt >= DIRTY_PERMILLE and lens.status is Status.GOOD:
        lens = Check("lens", Status.LOOK, f"{lens.message}: clean it")
    yield lens
    yield _noise(condition.noise_threshold, optics_of(config).threshold)
    failed = _counts(outcomes, FrameOutcome.INFERENCE_FAILED)
    bundle = log.meta("bundle")
    model = f"{bundle['name']} {bundle['sha256'][:12]}"
    if condition.classifier_restarts:
        model += f", its process was lost {condition.classifier_restarts} times"
    yield _of_frames("model", failed, n, model)
    yield _drift(log)
    off_s = condition.clock_off_s or 0
    yield Check(
        "times", Status.LOOK if off_s > CLOCK_LOOK_S else Status.GOOD, f"put right by up to {off_s:,} s"
    )
    yield Check(
        "restarts", Status.LOOK if health.restarts else Status.GOOD, f"{health.restarts} during the dive"
    )
    yield from _board(health.disk_free_mb, health.board_temperature_max_c, health.battery_mv)
    if health.messages_waiting is not None:
        yield Check("link", Status.GOOD, f"{health.messages_waiting} messages waited at the last reading")


def in_one_line(found: list[Check]) -> str:
    """What a tired person has to know of many checks."""
    troubled = [f"{check.name}: {check.message}" for check in found if check.status is Status.BAD]
    troubled += [f"{check.name}: {check.message}" for check in found if check.status is Status.LOOK]
    names = [check.name for check in found if check.status is Status.GOOD]
    if not troubled:
        return f"All is well: {', '.join(names)}."
    return f"Look at {'; '.join(troubled)}. All is well with {', '.join(names) or 'nothing else'}."


def _counts(outcomes: dict[FrameOutcome, int], *which: FrameOutcome) -> dict[str, int]:
    return {one.label: outcomes[one] for one in which if outcomes[one]}


def _of_frames(name: str, troubled: dict[str, int], n: int, text: str) -> Check:
    total = sum(troubled.values())
    words = "".join(f", {count:,} {label}" for label, count in troubled.items())
    status = Status.GOOD
    if 1000 * total >= LOOK_PERMILLE * n:
        status = Status.BAD if 1000 * total >= BAD_PERMILLE * n else Status.LOOK
    return Check(name, status, text + words)


def _noise(noise_threshold: int | None, threshold: int) -> Check:
    if noise_threshold is None:
        return Check("noise", Status.NONE, "no frame was taken without light")
    text = f"without light it ends at grey {noise_threshold}, the threshold is {threshold}"
    if noise_threshold > threshold:
        return Check("noise", Status.LOOK, f"{text}: it counts as particles")
    return Check("noise", Status.GOOD, text)


def _drift(log: LogReader) -> Check:
    drift = drift_in(log)
    if drift is None or drift.permille is None:
        return Check("drift", Status.NONE, "too few particles, or a bundle without a reference")
    chance = drift.by_chance_permille
    text = f"{drift.permille / 1000:.3f} of 1, by chance up to {chance / 1000:.3f}"
    return Check("drift", Status.LOOK if drift.permille > max(2 * chance, 200) else Status.GOOD, text)


def _board(free_mb: int | None, hottest_c: int | None, battery_mv: int | None) -> Iterator[Check]:
    gb, volts = (free_mb or 0) / 1000, (battery_mv or 0) / 1000
    for name, value, text, is_bad in (
        ("storage", free_mb, f"{gb:,.1f} GB free", (free_mb or 0) < LEAST_FREE_MB),
        ("temperature", hottest_c, f"up to {hottest_c} °C", (hottest_c or 0) >= HOT_C),
        ("voltage", battery_mv, f"{volts:.2f} V or more", (battery_mv or 0) < LEAST_BATTERY_MV),
    ):
        if value is not None:
            yield Check(name, Status.LOOK if is_bad else Status.GOOD, text)
