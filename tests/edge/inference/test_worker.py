"""The classifier's own process, a real one: the same answers, and what happens when it is lost."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge.errors import BundleError
from edge.inference.bundle import load_bundle
from edge.inference.classifier import Classifier
from edge.inference.worker import N_SLOTS, WorkerClassifier
from tests.edge.inference.test_classifier import off_by

pytestmark = pytest.mark.board


@pytest.fixture(scope="module")
def demo():
    return load_bundle("demo")


class Clock:
    """Stands still until a test moves it: how busy the machine is decides nothing."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def worker(demo, clock):
    said = []
    worker = WorkerClassifier(demo, timeout_s=1.0, say=said.append, monotonic_s=clock)
    worker.said = said
    yield worker
    worker.close()


def vignettes(n, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (int(h), int(w)), dtype=np.uint8) for h, w in rng.integers(3, 300, (n, 2))]


def answers(worker, *tickets, within_s=300.0):
    """What becomes of tickets."""
    deadline, found = time.monotonic() + within_s, {}
    while set(found) < set(tickets):
        assert time.monotonic() < deadline, worker.said
        found |= {named.ticket: named for named in worker.collect(0.1)}
    return [found[ticket] for ticket in tickets]


def test_it_answers_what_the_classifier_here_answers(demo, worker):
    images = vignettes(30)
    here = Classifier(demo).answer(images)
    tickets = [worker.submit(images[:10]), worker.submit([]), worker.submit(images[10:])]
    first, nothing, rest = answers(worker, *tickets)
    assert len(nothing.answers.decisions) == 0
    for name in ("scores", "taxon_scores", "evidence", "decisions"):
        found = np.concatenate([getattr(first.answers, name), getattr(rest.answers, name)])
        np.testing.assert_array_equal(found, getattr(here, name))
    assert worker.pace_s > 0
    assert worker.room == N_SLOTS
    assert (worker.said, worker.restarts) == ([], 0)


def test_of_a_process_that_is_killed_only_the_frame_in_its_hands_is_lost(worker):
    os.kill(worker._process.pid, signal.SIGSTOP)
    tickets = [worker.submit(vignettes(5, seed)) for seed in range(3)]
    os.kill(worker._process.pid, signal.SIGKILL)
    lost, *others = answers(worker, *tickets)
    assert lost.answers is None
    assert lost.problem == "its process was ended by SIGKILL"
    assert all(len(named.answers.decisions) == 5 for named in others)
    assert (worker.room, worker.restarts) == (N_SLOTS, 1)
    assert worker.said[-1] == "the classifier is back"


def test_one_that_died_while_idle_takes_no_frame_with_it(worker):
    os.kill(worker._process.pid, signal.SIGKILL)
    worker._process.wait()
    (named,) = answers(worker, worker.submit(vignettes(2)))
    assert named.answers is not None


def until_it_is_up(worker):
    deadline = time.monotonic() + 300
    while not worker._is_up:
        assert time.monotonic() < deadline, worker.said
        worker.collect(0.1)
        time.sleep(0.01)


def test_a_process_that_hangs_is_ended_and_the_pauses_grow(worker, clock):
    for pauses, pause in enumerate((0, 1)):
        os.kill(worker._process.pid, signal.SIGSTOP)
        ticket = worker.submit(vignettes(3))
        clock.now_s += worker._patience_s() - 0.001
        assert worker.collect(0.01) == []
        clock.now_s += 0.001
        (named,) = answers(worker, ticket)
        assert re.fullmatch(
            r"gave no answer within \d+(\.\d+)? s", named.problem
        )  # 1 s and what its pace adds
        assert worker.said[-1].endswith(f"it starts again in {pause} s")
        if not pauses:
            until_it_is_up(worker)
    ticket = worker.submit(vignettes(1))
    assert answers(worker, ticket)[0].problem == "it is to be started again"
    worker.collect(0.01)
    assert worker._process is None
    clock.now_s += 1.0
    until_it_is_up(worker)
    (named,) = answers(worker, worker.submit(vignettes(1)))
    assert named.answers is not None


def test_many_vignettes_are_no_hanging_and_the_pace_is_known_from_the_start(worker, clock):
    pace_s, n = worker.pace_s, 300
    assert pace_s > 0
    os.kill(worker._process.pid, signal.SIGSTOP)
    ticket = worker.submit(vignettes(n))
    clock.now_s += 1.0 + 4.9 * n * pace_s  # far longer than the timeout alone
    assert worker.collect(0.01) == []
    os.kill(worker._process.pid, signal.SIGCONT)
    (named,) = answers(worker, ticket)
    assert len(named.answers.decisions) == n
    assert worker.restarts == 0


@pytest.mark.parametrize("library", ["libnowhere.so.1", "libc.so.6"])
def test_without_its_accelerator_the_processor_classifies(demo, library):
    said = []
    worker = WorkerClassifier(demo, accelerator=library, say=said.append)
    try:
        assert not worker.is_accelerated
        assert any("cannot be used" in line for line in said), said
        assert any(f"accelerator {library} is given up" in line for line in said), said
        worker.said = said
        (named,) = answers(worker, worker.submit(vignettes(4)))
        assert len(named.answers.decisions) == 4
    finally:
        worker.close()


def test_a_bundle_whose_goldens_are_not_reproduced_is_refused(demo):
    with pytest.raises(BundleError, match="golden outputs are not reproduced"):
        WorkerClassifier(off_by(demo, 3))
    with pytest.raises(BundleError, match="the runtime refuses it"):
        WorkerClassifier(dataclasses.replace(demo, model=demo.model[:5000]))


def test_the_process_needs_no_image_library_and_ends_with_its_master(demo):
    code = (
        "import os, sys; from edge.inference.bundle import load_bundle;"
        "from edge.inference.worker import WorkerClassifier;"
        "worker = WorkerClassifier(load_bundle('demo')); print(worker._process.pid, flush=True);"
        "sys.stdin.read(); os.kill(os.getpid(), 9)"
    )
    master = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    pid = int(master.stdout.readline())
    proc = Path(f"/proc/{pid}")
    assert "numpy" in (proc / "maps").read_text()
    assert "cv2" not in (proc / "maps").read_text()
    assert (proc / "oom_score_adj").read_text() == "500\n"
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGINT)
    time.sleep(0.2)
    assert proc.exists(), "a service that is stopped ends it itself"
    master.communicate(b"")
    deadline = time.monotonic() + 10
    while proc.exists() and "Z" not in (proc / "stat").read_text().split():
        assert time.monotonic() < deadline
        time.sleep(0.02)
