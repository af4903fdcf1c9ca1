"""Which step comes next: each part once, the end after all parts, and not too much begun at a time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pyarrow", reason="needs the scale extra")
pytest.importorskip("distributed", reason="needs the scale extra")

from tools.shore.reprocess.job import Finished, Ready
from tools.shore.reprocess.naming import PART_SIZE, parts_of
from tools.shore.reprocess.run import Course
from tools.shore.reprocess.sources import Kind, Source
from tools.shore.reprocess.work import begin, finish, name


@given(
    sizes=st.lists(st.integers(0, 6 * PART_SIZE), max_size=8),
    fails=st.sets(st.tuples(st.integers(0, 7), st.integers(0, 5))),
    order=st.randoms(use_true_random=False),
    most_open=st.integers(1, 4),
)
def test_every_source_is_finished_once_in_whatever_order_steps_are_done(sizes, fails, order, most_open):
    sources = [Source(Kind.VIGNETTES, Path(str(i)), str(i), size_bytes=n) for i, n in enumerate(sizes)]
    course = Course(sources, most_open)
    out, named, ended, begun = [], Counter(), Counter(), 0
    through = 0.0
    while True:
        while len(out) < 5 and (step := course.next()) is not None:
            out.append(step)
            begun += step.work is begin
        assert begun - len(course.finished) <= most_open
        if not out:
            break
        step = out.pop(order.randrange(len(out)))
        i = int(step.source.name)
        answer = Finished(step.source.name, step.source.kind)
        if step.work is begin and sizes[i] > PART_SIZE:
            answer = Ready(step.source, "key", sizes[i])
        elif step.work is name:
            _, first, stop = step.args
            named[i, first, stop] += 1
            if (i, first // PART_SIZE) not in fails:
                answer = None
        elif step.work is finish:
            ended[i] += 1
        course.take(step, answer)
        assert through <= course.n_through + 1e-9
        through = course.n_through
    assert through == len(sizes)
    assert sorted(one.source for one in course.finished) == sorted(str(i) for i in range(len(sizes)))
    assert set(named.values()) <= {1}
    for i, n in enumerate(sizes):
        if n <= PART_SIZE:
            assert not ended[i]
            continue
        is_broken = any((i, first // PART_SIZE) in fails for first, _ in parts_of(n))
        assert ended[i] == (not is_broken)
        if not is_broken:
            assert {(first, stop) for k, first, stop in named if k == i} == set(parts_of(n))


@given(st.integers(0, 10 * PART_SIZE))
def test_parts_hold_every_picture_once(n):
    assert [i for first, stop in parts_of(n) for i in range(first, stop)] == list(range(n))


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


@given(st.lists(names, unique=True, max_size=30))
def test_labels_are_parts_of_paths_and_differ(found):
    labels = [Source(Kind.DIVE, Path("x"), name).label for name in found]
    assert len(set(labels)) == len(labels)
    assert not any("/" in label or label.startswith(".") for label in labels)
