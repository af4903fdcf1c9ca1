"""How an instrument at work fares, in words: a status and a sentence each, as `selftest` gives them. Pure.

Nothing here decides anything aboard: it says in words what the newest frame, the service and the log hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge.frame import FrameOutcome
from edge.live import UNTROUBLED, LiveFrame, LiveState
from edge.mission import PHASE_OF_STATE
from edge.optics import Polarity
from edge.selftest import Check, Status
from tools.monitoring.dive import DiveSoFar

PATIENCE_S = 6.0
"""So much later than it should come, a frame is missed; a service that sleeps answers in this time too."""
DIRTY_PERMILLE = 20
_IN_DIVE = {state.value for state in PHASE_OF_STATE}


@dataclass(frozen=True, slots=True)
class Light:
    """The grey of the newest frame.

    Attributes
    ----------
    mean_grey, max_grey
        Of all pixels, 0 to 255.
    saturated_fraction
        Of the pixels that are 255.
    """

    mean_grey: float
    max_grey: int
    saturated_fraction: float


@dataclass(frozen=True, slots=True)
class View:
    """All that was found out in one look.

    Attributes
    ----------
    now_s, since_s
        The machine's monotonic clock, and when the looking began.
    state, frame, light
        What the service shows, and the grey of the frame; None for what is not there.
    is_alive
        Whether the process that wrote `state` is there.
    dive, problem
        Of the log.
    """

    now_s: float
    since_s: float
    state: LiveState | None
    frame: LiveFrame | None
    light: Light | None
    is_alive: bool
    dive: DiveSoFar | None
    problem: str

    @property
    def period_s(self) -> float:
        """Time from a frame to the next, as the service keeps it."""
        return 1.0 if self.state is None else self.state.period_s

    @property
    def state_age_s(self) -> float | None:
        """Time since the service answered."""
        return _age_s(self.now_s, None if self.state is None else self.state.written_s)

    @property
    def frame_age_s(self) -> float | None:
        """Time since the newest frame was shown."""
        return _age_s(self.now_s, None if self.frame is None else self.frame.written_s)

    @property
    def answers(self) -> bool:
        """Whether the service is at work."""
        return self.is_alive and _is_within(self.state_age_s, PATIENCE_S + self.period_s)

    @property
    def is_fresh(self) -> bool:
        """Whether the newest frame is as new as it should be."""
        return _is_within(self.frame_age_s, self.patience_s)

    @property
    def patience_s(self) -> float:
        """A frame older than this is missed."""
        return PATIENCE_S + 2 * self.period_s

    @property
    def dives(self) -> bool:
        """Whether a dive is in progress, as far as the service says."""
        return self.answers and self.state is not None and self.state.state in _IN_DIVE


def checks(view: View) -> Iterator[Check]:
    """Everything but the board."""
    yield Check("service", *_service(view))
    yield Check("frames", *_frames(view))
    yield Check("outcomes", *_outcomes(view.dive))
    yield Check("light", *_light(view))
    yield Check("focus", *_focus(view))
    yield Check("lens", *_lens(view.dive))
    yield Check("classifier", *_classifier(view))
    yield Check("budget", *_budget(view))
    yield Check("messages", *_messages(view))
    yield Check("log", *_log(view))


Found = tuple[Status, str]


def _service(view: View) -> Found:
    state, age_s = view.state, view.state_age_s
    if state is None:
        if view.is_fresh:
            return Status.GOOD, "frames come, of a replay without a service"
        waited_s = view.now_s - view.since_s
        if waited_s < PATIENCE_S:
            return Status.NONE, "asked; it answers within some seconds"
        return Status.BAD, (
            f"no seston run answers for {waited_s:.0f} s: none is at work in this folder, or another user's"
        )
    if not view.is_alive:
        return Status.BAD, f"seston run has stopped; it answered last {_ago(age_s)}"
    if not view.answers:
        return Status.BAD, f"seston run does not answer; it did {_ago(age_s)}"
    return Status.GOOD, f"seston run answers, in {state.state}"


def _frames(view: View) -> Found:
    frame = view.frame
    if frame is not None and view.is_fresh:
        return Status.GOOD, f"frame {frame.frame}, {_ago(view.frame_age_s)}"
    if view.answers and not view.dives:
        return Status.NONE, "no dive is in progress: frames come from its beginning on"
    if frame is None:
        waited_s = view.now_s - view.since_s
        return (Status.NONE if waited_s < view.patience_s else Status.BAD), f"no frame since {waited_s:.0f} s"
    return Status.BAD, f"no frame for {view.frame_age_s or 0:.0f} s"


def _outcomes(dive: DiveSoFar | None) -> Found:
    if dive is None or not dive.recent:
        return Status.NONE, "no frame is in the log"
    troubled = [seen.outcome for seen in dive.recent if seen.outcome not in UNTROUBLED]
    n = len(dive.recent)
    dropped = int(dive.outcomes[FrameOutcome.DROPPED])
    more = f"; {dropped} of this dive were dropped" if dropped else ""
    if not troubled:
        return Status.GOOD, f"the last {n} frames are as they should be{more}"
    kinds = ", ".join(f"{n_kind} {outcome.label}" for outcome, n_kind in Counter(troubled).most_common())
    text = f"of the last {n} frames {kinds}{more}"
    return Status.BAD if 2 * len(troubled) > n else Status.LOOK, text


def _light(view: View) -> Found:
    light, frame = view.light, view.frame
    if light is None or frame is None:
        return Status.NONE, "no picture to look at"
    text = f"mean grey {light.mean_grey:.1f}, up to {light.max_grey} of 255"
    text += f", {100 * light.saturated_fraction:.1f} % of the pixels are white"
    if frame.outcome in (FrameOutcome.DARK.label, FrameOutcome.OVER_EXPOSED.label):
        return Status.LOOK, f"{text}: the frame is {frame.outcome}"
    is_dark_field = frame.optics.polarity == Polarity.DARK_FIELD
    if is_dark_field and frame.lit and light.max_grey <= frame.optics.threshold:
        return Status.LOOK, f"{text}; nothing is above the threshold {frame.optics.threshold}"
    return Status.GOOD, text


def _focus(view: View) -> Found:
    frame, least = view.frame, 0.0 if view.dive is None else view.dive.config.vision.blur_sharpness
    if frame is None or frame.sharpness is None:
        return Status.NONE, "no particle in view to tell it by"
    text = f"sharpness {frame.sharpness:.3f} of 1"
    if least and frame.sharpness < least:
        return Status.LOOK, f"{text}, at least {least:.3f} is wanted: clean or focus the lens"
    return Status.GOOD, text


def _lens(dive: DiveSoFar | None) -> Found:
    permille = None if dive is None else dive.inputs.get("health", {}).get("dirt_permille")
    if not isinstance(permille, int):
        return Status.NONE, "not known yet"
    text = f"dirt covers {permille / 10:.1f} % of the view"
    return (Status.LOOK, f"{text}: clean it") if permille >= DIRTY_PERMILLE else (Status.GOOD, text)


def _classifier(view: View) -> Found:
    failed = 0 if view.dive is None else int(view.dive.outcomes[FrameOutcome.INFERENCE_FAILED])
    state = view.state
    pace = "" if state is None or not state.pace_s else f"{1000 * state.pace_s:.2f} ms a vignette"
    restarts = 0 if state is None or state.restarts is None else state.restarts
    told = [pace] if pace else []
    if restarts:
        told.append(f"its process was lost {restarts} times")
    if failed:
        told.append(f"{failed} frames are without names for it")
    unnamed = 0 if view.dive is None else view.dive.unnamed
    if unnamed:
        told.append(f"{unnamed:,} larger particles were not named: zone, budget or time did not allow it")
    if not told:
        return Status.NONE, "nothing was classified yet"
    return Status.LOOK if restarts or failed or unnamed else Status.GOOD, "; ".join(told)


def _budget(view: View) -> Found:
    """What is used of what the configuration bounds."""
    if view.dive is None:
        return Status.NONE, "no dive"
    spent = (
        view.state.spent if view.state is not None and view.state.spent else view.dive.inputs.get("spent", {})
    )
    budget = view.dive.config.mission.budget
    bounds = (
        ("classify_s", budget.classify_s, 1.0, "s of classification"),
        ("vignette_bytes", budget.vignettes_mb, 1e-6, "MB of vignettes"),
        ("energy_j", budget.energy_j, 1.0, "J"),
    )
    told, is_used_up = [], False
    for good, bound, scale, words in bounds:
        if bound is not None:
            used = scale * float(np.sum(spent.get(good, [0.0])))
            told.append(f"{used:,.1f} of {bound:,.1f} {words}")
            is_used_up |= used >= bound
    if not told:
        return Status.NONE, "nothing is bounded"
    n_zones = view.dive.n_inputs["used-up"]
    more = f"; {n_zones} shares of zones are used up" if n_zones else ""
    return Status.LOOK if is_used_up or n_zones else Status.GOOD, "; ".join(told) + more


def _messages(view: View) -> Found:
    told = []
    dive = view.dive
    if dive is not None and dive.n_messages:
        told.append(f"{dive.n_messages} of this dive, {dive.message_bytes:,} bytes")
    waiting = None if view.state is None or not view.answers else view.state.waiting
    if waiting is not None:
        told.append(f"{waiting} wait for a link" if waiting else "none wait for a link")
    return (Status.GOOD, "; ".join(told)) if told else (Status.NONE, "none are made before the dive ends")


def _log(view: View) -> Found:
    dive = view.dive
    if view.problem:
        return Status.BAD, view.problem
    if dive is None:
        return Status.NONE, "there is no dive in this folder yet"
    text = f"dive {dive.number:05d}, {int(dive.outcomes.sum()):,} frames are kept"
    if not dive.is_caught_up:
        return Status.LOOK, f"{text} and more: what is below is being read"
    restarts = dive.n_inputs["restart"]
    more = f", gone on with {restarts} times" if restarts else ""
    return Status.GOOD, text + more + (", ended" if dive.has_ended else "")


def worst(found: Sequence[Check]) -> Status:
    """Of several checks."""
    for status in (Status.BAD, Status.LOOK):
        if any(check.status is status for check in found):
            return status
    return Status.GOOD


def _age_s(now_s: float, then_s: float | None) -> float | None:
    """Time since; None for never, and for what another run of the machine wrote."""
    return None if then_s is None or then_s > now_s else now_s - then_s


def _is_within(age_s: float | None, most_s: float) -> bool:
    return age_s is not None and age_s <= most_s


def _ago(age_s: float | None) -> str:
    return "some time ago" if age_s is None else f"{age_s:.0f} s ago" if age_s >= 1 else "just now"
