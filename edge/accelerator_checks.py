"""The accelerator, part by part, in sentences with remedies: library, pair, device, rights, model, fallback.

Needs no accelerator to say what is missing. The processor is what counts: without an accelerator that is
configured or asked for there is nothing to complain of.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from edge.config import ClassifyConfig
from edge.errors import BundleError
from edge.inference.bundle import Bundle
from edge.inference.classifier import Answers, Named
from edge.inference.edgetpu_device import (
    FRESH,
    PCIE,
    RULE,
    USB3_MBIT_S,
    USED,
    Device,
    devices,
    own_rights,
    rules_for,
)
from edge.inference.edgetpu_library import (
    FOLDERS,
    LIBRARY,
    ROOT,
    Answer,
    Found,
    ask,
    find,
    own_architecture,
    package_of,
)
from edge.inference.edgetpu_model import runtime_asked
from edge.inference.edgetpu_pairs import CURRENT_RUNTIME_VERSION, PIN, installed_runtime, judge
from edge.inference.worker import ACCELERATOR_TRIES, WorkerClassifier
from edge.selftest import Check, Status, timed
from edge.selftest import Found as Result

N_ROUNDS = 3
"""The fastest of so many is the speed that is told."""
LONGEST_S = 60.0
"""Given to the processor to take over, and to any answer."""
Told = dict[str, float | int | str | bool | None]


def accelerator_checks(
    bundle: Bundle, classify: ClassifyConfig, asked: str | None = None, root: Path = ROOT
) -> Iterator[Check]:
    """Every check of the accelerator, one after another, as they are done.

    Parameters
    ----------
    bundle
        What would run on it.
    classify
        Of the configuration; its `accelerator` is looked at unless another is asked for.
    asked
        Name or path of a library; "" is the configured one, or else `LIBRARY`; None asks for nothing.
    root
        The file system in which library, device and rules are looked for.
    """
    name = asked or classify.accelerator
    if name is None and asked is None:
        yield Check("accelerator", Status.NONE, "none is configured: the processor classifies")
        return
    name = name or LIBRARY
    found = find(name, root)
    yield timed("tpu library", lambda: _library(name, found, root))
    answer = None
    if found is not None and found.fits:
        begun_s = time.monotonic()
        answer = ask(found.file)
        status, message, told = _version(answer)
        yield Check("tpu version", status, message, round(time.monotonic() - begun_s, 2), told)
        heard, file = answer, found.file
        yield timed("tpu pair", lambda: _pair(heard, file, root))
    there = devices(root)
    yield timed("tpu device", lambda: _device(there, answer))
    for device in there:
        yield timed("tpu rights", functools.partial(_rights, device, root))
    yield timed("tpu model", lambda: _model(bundle, answer))
    yield from _through_worker(bundle, classify, name if found is None else str(found.file))


def _library(name: str, found: Found | None, root: Path) -> Result:
    if found is None:
        folders = ", ".join(f"/{one}" for one in FOLDERS)
        where = "is not there" if "/" in name else f"is in none of {folders}, and ldconfig does not know it"
        other = find(LIBRARY, root)
        hint = f"; {other.file} is: name that one" if other is not None else f"; install {PIN}"
        return Status.BAD, f"{name} {where}{hint}, or leave classify.accelerator out", {}
    ours = own_architecture()
    told: Told = {"file": str(found.file), "architecture": found.architecture}
    if not found.fits:
        what = "no shared library" if found.architecture is None else f"for {found.architecture}"
        remedy = f"install the library for {ours}"
        return Status.BAD, f"{found.file} is {what}, this machine's programs are for {ours}; {remedy}", told
    package = package_of(found.file, root)
    text = f"{found.file}, for {ours}, "
    text += "of no Debian package" if package is None else f"of the package {' '.join(package)}"
    told["package"] = None if package is None else " ".join(package)
    return Status.GOOD, text, told


def _version(answer: Answer) -> Result:
    number = answer.runtime_version
    told: Told = {
        "version": answer.version,
        "runtime_version": number,
        "delegate": answer.makes_delegate,
    }
    more = f"; it said: {answer.said}" if answer.said else ""
    if answer.problem:
        if "libusb" in answer.problem:
            return Status.BAD, f"{answer.problem}; sudo apt install libusb-1.0-0", told
        text = f"{answer.problem}{more}; it is not {LIBRARY}, or does not suit"
        return Status.BAD, f"{text}: install {PIN}", told
    if answer.version is None:
        text = "it has no edgetpu_version: it is another accelerator's, of which nothing is known here"
        return Status.LOOK, text, told
    if number is None or number < CURRENT_RUNTIME_VERSION:
        wanted = f"RuntimeVersion({CURRENT_RUNTIME_VERSION}) of July 2021, which today's models ask for"
        return Status.BAD, f"{answer.version} is older than {wanted}; install {PIN}", told
    return Status.GOOD, answer.version, told


def _pair(answer: Answer, file: Path, root: Path) -> Result:
    package, runtime = package_of(file, root), installed_runtime()
    if runtime is None:
        return Status.BAD, "no TFLite runtime is installed; install ai-edge-litert", {}
    found = judge(None if package is None else package[1], answer.version, runtime)
    told: Told = {"runtime": " ".join(runtime), "on_record": found.works, "pin": PIN}
    if found.works:
        return Status.GOOD, f"{found.sentence}, others say; it was never tried by seston's makers", told
    status = Status.LOOK if found.works is None else Status.BAD
    return status, f"{found.sentence}; on record as working is {PIN}", told


def _device(there: list[Device], answer: Answer | None) -> Result:
    listed = None if answer is None else answer.devices
    told: Told = {"devices": len(there), "listed": None if listed is None else len(listed)}
    if not there:
        text = "no Edge TPU is on USB (1a6e:089a, or 18d1:9302 once used) or PCIe (1ac1:089a, /dev/apex_0)"
        remedy = "plug it in, to a port that has power, or leave classify.accelerator out"
        return Status.LOOK, f"{text}; {remedy}", told
    texts = []
    for device in there:
        ids = ":".join(device.ids)
        if device.ids == PCIE:
            texts.append(f"PCIe {device.place} ({ids})")
            continue
        used = "not used since it was plugged in" if device.ids == FRESH else "used since it was plugged in"
        speed = "" if device.mbit_s is None else f", {device.mbit_s:g} Mbit/s"
        if device.mbit_s is not None and device.mbit_s < USB3_MBIT_S:
            speed += ", a port of USB 3 is faster"
        texts.append(f"USB {device.place} ({ids}, {used}{speed})")
    text, status = "; ".join(texts), Status.GOOD
    if listed is not None and not listed:
        status = Status.LOOK
        text += "; the library lists none: another program has it, or this user has no right to it"
    elif answer is not None and answer.is_delegate and not answer.makes_delegate:
        status = Status.LOOK
        said = f" ({answer.said})" if answer.said else ""
        remedy = "end the other program that has it, or plug it in again"
        text += f"; the library makes no delegate of it{said}: {remedy}"
    return status, text, told


def _rights(device: Device, root: Path) -> Result:
    is_pcie = device.ids == PCIE
    group = "apex" if is_pcie else "plugdev"
    install = f"sudo cp {RULE} /etc/udev/rules.d/ && sudo udevadm control --reload && sudo udevadm trigger"
    if device.node is None:
        remedy = (
            "its driver is not loaded; install gasket-dkms for this kernel, then sudo modprobe apex"
            if is_pcie
            else "give this container or service /dev/bus/usb, or plug it in again"
        )
        return Status.BAD, f"{device.place} has no node under /dev; {remedy}", {}
    kinds = (PCIE,) if is_pcie else (FRESH, USED)
    lacking = [ids for ids in kinds if not rules_for(ids, root)]
    may = own_rights(device.node)
    told: Told = {"may_use": may, "rules": not lacking}
    if lacking:
        names = " and ".join(":".join(ids) for ids in lacking)
        text = f"no rule of udev gives {names} to a group"
        if not may:
            text += f", and this user may not use {device.node}"
        elif USED in lacking and FRESH not in lacking:
            text += ", the id that it has after its first use"
        return Status.BAD if not may else Status.LOOK, f"{text}; {install}, then plug it in again", told
    if not may:
        text = f"there is a rule, but this user may not use {device.node}"
        return Status.BAD, f"{text}; sudo adduser $USER {group}, log in again, and plug it in again", told
    return Status.GOOD, f"this user may use {device.node}, and a rule of udev keeps it so", told


def _model(bundle: Bundle, answer: Answer | None) -> Result:
    told: Told = {"compiled": bundle.compiled is not None}
    if bundle.compiled is None:
        text = f"{bundle.name} has no model compiled for the Edge TPU: all of it runs on the processor"
        remedy = (
            f"see `seston bundle edgetpu-check {bundle.path}`, compile it with edgetpu_compiler, and add that"
        )
        return Status.LOOK, f"{text}; {remedy} with `seston bundle edgetpu-add`", told
    wanted, has = runtime_asked(bundle.compiled), None if answer is None else answer.runtime_version
    told["runtime_version_asked"] = wanted
    asks = "" if wanted is None else f", for RuntimeVersion({wanted}) and newer"
    if wanted is not None and has is not None and wanted > has:
        return Status.BAD, f"{bundle.name} is compiled{asks}, the library has {has}; install {PIN}", told
    return Status.GOOD, f"{bundle.name} is compiled for the Edge TPU{asks}", told


def _through_worker(bundle: Bundle, classify: ClassifyConfig, library: str) -> Iterator[Check]:
    """The goldens with the accelerator, in the process that runs aboard; then that process is killed."""
    begun_s = time.monotonic()
    try:
        worker = WorkerClassifier(
            bundle, threads=classify.threads, accelerator=library, timeout_s=classify.timeout_s
        )
    except BundleError as error:
        yield Check("tpu fallback", Status.BAD, f"the processor does not take over: {error}")
        return
    with closing(worker):
        goldens = timed("tpu goldens", lambda: _goldens(worker, bundle))
        started_s = round(time.monotonic() - begun_s, 2)
        yield dataclasses.replace(goldens, seconds=started_s)
        yield timed("tpu fallback", lambda: _fallback(worker, bundle, goldens.told.get("ms_a_vignette")))


def _goldens(worker: WorkerClassifier, bundle: Bundle) -> Result:
    if not worker.is_accelerated:
        return Status.LOOK, f"the accelerator is given up: {worker.given_up}", {}
    ms = _ms_a_vignette(worker, bundle)
    if bundle.compiled is None:
        text = f"reproduced, {ms} ms a vignette, but nothing of the model runs on the accelerator"
        return Status.LOOK, text, {"ms_a_vignette": ms}
    return Status.GOOD, f"reproduced on the accelerator, {ms} ms a vignette", {"ms_a_vignette": ms}


def _fallback(worker: WorkerClassifier, bundle: Bundle, accelerated_ms: object) -> Result:
    how, before = f"the accelerator failed {ACCELERATOR_TRIES} times", None
    if worker.is_accelerated:
        how, before = f"its process was killed {ACCELERATOR_TRIES} times", _answers(worker, bundle)
        _kill_until_given_up(worker, bundle)
    after = _answers(worker, bundle)
    if worker.is_accelerated:
        return Status.BAD, f"{how}, and the processor did not take over within {LONGEST_S:g} s", {}
    ms = _ms_a_vignette(worker, bundle)
    told: Told = {"ms_a_vignette": ms}
    text = f"{how}, then the processor took over: goldens reproduced, {ms} ms a vignette"
    if isinstance(accelerated_ms, float) and bundle.compiled is not None:
        text += f", {ms / accelerated_ms:.1f} times what the accelerator takes"
    if before is not None:
        same = int((before.decisions == after.decisions).sum())
        told["same_names"] = same
        text += f"; {same} of {len(after.decisions)} get the same name"
    return Status.GOOD, text, told


def _kill_until_given_up(worker: WorkerClassifier, bundle: Bundle) -> None:
    """As an accelerator does that takes its process along, again and again."""
    until_s = time.monotonic() + LONGEST_S
    while worker.is_accelerated and time.monotonic() < until_s:
        worker.kill()
        worker.submit(bundle.golden_inputs[:1])
        worker.collect(0.1)


def _answers(worker: WorkerClassifier, bundle: Bundle) -> Answers:
    """What it says of the goldens; those that were in the hands of a lost process are given again."""
    until_s = time.monotonic() + LONGEST_S
    while time.monotonic() < until_s:
        ticket, found = worker.submit(bundle.golden_inputs), list[Named]()
        while not found and time.monotonic() < until_s:
            found = [named for named in worker.collect(0.2) if named.ticket == ticket]
        if found and found[0].answers is not None:
            return found[0].answers
        time.sleep(0.05)
    raise TimeoutError(f"the goldens had no answer within {LONGEST_S:g} s; try `seston bundle verify`")


def _ms_a_vignette(worker: WorkerClassifier, bundle: Bundle) -> float:
    """Time of a vignette among many, ms, there and back: the fastest of some rounds."""
    fastest_s = float("inf")
    for _ in range(N_ROUNDS):
        begun_s = time.monotonic()
        _answers(worker, bundle)
        fastest_s = min(fastest_s, time.monotonic() - begun_s)
    return round(1000 * fastest_s / len(bundle.golden_inputs), 3)
