"""The page in a real browser, led by keys and mouse as a person would, on a laptop's screen."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess

import pytest

from tests.tools.browser import Browser
from tests.tools.shore.sorting.made import seston, typed
from tools.shore.sorting.state import sorted_state
from tools.shore.sorting.work import Work

WIDTH, HEIGHT = 1366, 768
SPECIAL = {"Enter": "\r", " ": " "}


@contextlib.contextmanager
def serving(file):
    process = subprocess.Popen(
        typed("sort", "serve", file, "--port", 0, "--who", "anna"), stdout=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), line
        yield line.split()[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.fixture
def browser(work_file, tmp_path):
    assert seston("sort", "cluster", work_file, "--size", "15", "--who", "anna").exit_code == 0
    with serving(work_file) as url, Browser(tmp_path / "profile", WIDTH, HEIGHT) as found:
        found.open(url)
        found.until("view && document.querySelectorAll('#grid figure').length > 10")
        yield found
        assert found.complaints == []


def press(browser, key, modifiers=0):
    text = {"text": SPECIAL.get(key, key)} if len(key) == 1 or key in SPECIAL else {}
    browser.do("Input.dispatchKeyEvent", type="keyDown", key=key, modifiers=modifiers, **text)
    browser.do("Input.dispatchKeyEvent", type="keyUp", key=key, modifiers=modifiers)


def decided(browser, key):
    """Press a key that decides, and wait until it is on the disk and shown."""
    step = browser.value("state.step")
    press(browser, key)
    browser.until(f"state.step !== {step} && !busy && view !== null || here === null")


def kept(work_file):
    with Work.open(work_file) as work:
        return sorted_state(work.images().image, work.decisions())


def middle(browser, selector):
    return browser.value(
        f"(() => {{ const r = document.querySelector('{selector}').getBoundingClientRect();"
        " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
    )


def mouse(browser, kind, place, **how):
    how = {"button": "left", "clickCount": 1} | how
    browser.do("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], **how)


def test_a_cluster_is_accepted_grown_named_and_taken_back(browser, work_file):
    here = browser.value("here")
    size = browser.value("cluster(here).size")
    decided(browser, "Enter")
    assert browser.value(f"cluster({here}).status") == "accepted"
    assert browser.value("here") != here, "the next one that is new comes up"
    press(browser, "2")
    browser.until(f"mode === 'grow' && here === {here} && view?.near !== undefined")
    offered = browser.value("view.images.map((one) => one.image)")
    press(browser, "ArrowRight")
    press(browser, " ")
    assert browser.value("[...document.querySelectorAll('#grid figure.marked')].length") == 1
    decided(browser, "Enter")
    state = kept(work_file)
    assert state.clusters[here].refused == {offered[1]}
    assert len(state.members(here)) == size + len(offered) - 1
    decided(browser, "x")
    assert kept(work_file).clusters[here].status == "grown"
    press(browser, "3")
    browser.until("mode === 'name' && document.activeElement.id === 'name'")
    for letter in "Bell":
        press(browser, letter)
    decided(browser, "Enter")
    assert kept(work_file).clusters[here].name == "Bell"
    browser.value("document.getElementById('undo').click()")
    browser.until(f"!busy && cluster({here}).name === ''")
    assert kept(work_file).clusters[here].name == ""


def test_marked_images_are_taken_out_or_become_a_cluster(browser, work_file):
    here, images = browser.value("here"), browser.value("view.images.map((one) => one.image)")
    mouse(browser, "mousePressed", middle(browser, "#grid figure:nth-child(3)"))
    mouse(browser, "mouseReleased", middle(browser, "#grid figure:nth-child(3)"))
    browser.until("marked.size === 1")
    decided(browser, "d")
    assert kept(work_file).clusters[here].refused == {images[2]}
    for _ in range(2):
        press(browser, " ")
        press(browser, "ArrowRight")
    browser.until("marked.size === 2")
    marked = browser.value("[...marked]")
    decided(browser, "f")
    state = kept(work_file)
    made = state.clusters[state.next_number - 1]
    assert sorted(state.images[state.members(made.number)].tolist()) == sorted(marked)
    assert made.status == "accepted"
    decided(browser, "h")
    assert kept(work_file).next_number == made.number + 2


def test_clusters_are_merged_and_put_under_each_other(browser, work_file):
    numbers = browser.value("state.clusters.map((one) => one.n)")
    assert len(numbers) >= 3
    press(browser, "u")
    browser.until("document.activeElement.id === 'other'")
    press(browser, str(numbers[1]))
    press(browser, "Enter")
    browser.until(f"!busy && cluster({numbers[0]}).parent === {numbers[1]}")
    one, other = (f"#tree li[data-n='{n}']" for n in (numbers[2], numbers[1]))
    browser.value(  # the browser's own drag is the window manager's: its events are made here
        f"""(() => {{ const data = new DataTransfer();
        const send = (one, kind, more) => document.querySelector(one).dispatchEvent(
            new DragEvent(kind, {{dataTransfer: data, bubbles: true, cancelable: true, ...more}}));
        send("{one}", "dragstart"); send("{other}", "dragover"); send("{other}", "drop"); }})()"""
    )
    browser.until(f"!busy && cluster({numbers[2]}).parent === {numbers[1]}")
    browser.value("document.getElementById('top').click()")
    browser.until(f"!busy && cluster({numbers[0]}).parent === null")
    press(browser, "m")
    browser.until("document.activeElement.id === 'other'")
    for letter in f"{numbers[1]}":
        press(browser, letter)
    press(browser, "Enter")
    browser.until(f"!busy && !cluster({numbers[0]}) && here === {numbers[1]}")
    state = kept(work_file)
    assert numbers[0] not in state.clusters
    assert [one.number for one in state.path(numbers[2])] == [numbers[1], numbers[2]]


def test_rounds_and_groups(browser, work_file):
    for _ in range(browser.value("queueOf.look().length")):
        decided(browser, "Enter")
    assert browser.value("queueOf.look().length") == 0
    browser.value("document.getElementById('arrange').click()")
    browser.until("!busy && state.clusters.some((one) => one.status === 'group')")
    browser.value("document.getElementById('round').click()")
    browser.until("!busy && state.rounds === 2")
    assert kept(work_file).rounds == 2


def test_another_page_is_told_that_it_is_behind(browser, work_file):
    browser.value("state.step = 0")
    press(browser, "Enter")
    browser.until("!busy && document.getElementById('said').className === 'bad'")
    assert "decided elsewhere" in browser.value("document.getElementById('said').textContent")
    assert browser.value("state.step") == 1
    browser.complaints = [one for one in browser.complaints if "409" not in str(one)]


def test_nothing_is_out_of_sight_on_a_laptop(browser):
    browser.until(
        "[...document.querySelectorAll('#grid img')].every((one) => one.complete && one.naturalWidth)"
    )
    wide, high = browser.value(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    )
    assert (wide, high) == (WIDTH, HEIGHT)
    for part in ("header", "#keys", "#tree", "#grid figure:last-child"):
        x, y = middle(browser, part)
        assert 0 < x < WIDTH
        assert 0 < y < HEIGHT


def test_names_are_text_and_nothing_else(browser, work_file):
    nasty = "<img src=x onerror=window.hit=1>"
    told = browser.value(f"decide('name', {{cluster: here, name: {json.dumps(nasty)}}})")
    assert told is False, "no folder can have that name"
    browser.complaints = [one for one in browser.complaints if "400" not in str(one)]
    odd = "'x'&amp;"
    assert browser.value(f"decide('name', {{cluster: here, name: {json.dumps(odd)}}})") is True
    browser.value("draw()")
    browser.until(f"document.getElementById('title').textContent === {json.dumps(odd)}")
    assert browser.value("window.hit === undefined")
    assert kept(work_file).clusters[browser.value("here")].name == odd
