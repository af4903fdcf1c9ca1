"""Which builds of libedgetpu go with which runtime: what is on public record, in one table.

The library has the C++ insides of one TensorFlow compiled in, and a runtime of another may crash with it as
a model is loaded, without a word. Nothing of this was tried with a device by the makers of seston: where the
table says that a pair works, the sources say it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

LIBRARY_PIN, RUNTIME_PIN = "16.0tf2.19.1-1", "2.2.0"
"""The pinned pair: version of the package libedgetpu1-std, and of ai-edge-litert."""
PIN = f"libedgetpu1-std {LIBRARY_PIN} (github.com/feranick/libedgetpu) with ai-edge-litert {RUNTIME_PIN}"
LITERT, TFLITE = "ai-edge-litert", "tflite-runtime"
RUNTIMES = (LITERT, TFLITE, "tensorflow-cpu", "tensorflow")
CURRENT_RUNTIME_VERSION = 14
"""Of libedgetpu 16.0, July 2021, and of all builds since; what the last compiler (16.0) asks for."""
GOOGLES_COMPILER = "COMPILER=6.3.0 20170516"
"""In what `edgetpu_version` says: Google's own builds of up to July 2021 name it, later builds do not."""
Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """A record of builds of the library with versions of a runtime, both ends included.

    Attributes
    ----------
    library
        Regular expression for the whole version of the Debian package libedgetpu1-std or libedgetpu1-max.
    runtime, oldest, newest
        Package of the runtime, and its versions as far as they are written.
    works
        What the record says.
    source
        Who says so.
    """

    library: str
    runtime: str
    oldest: Version
    newest: Version
    works: bool
    source: str


PAIRS = (
    Pair(
        r"16\.0tf2\.19\.1-.*", LITERT, (2, 2), (2, 2), True,
        "jiteshsaini/model_garden, install.sh, on a Raspberry Pi; the library's maintainer says so of"
        " ai-edge-litert in general, google-ai-edge/LiteRT#3611",
    ),
    Pair(r"16\.0tf2\.17\..*", TFLITE, (2, 11, 1), (2, 17), True, "feranick/libedgetpu, releases"),
    Pair(r"16\.0tf2\.16\.1.*", TFLITE, (2, 11, 1), (2, 16), True, "feranick/libedgetpu, releases"),
    Pair(r"16\.0tf2\.15\..*", TFLITE, (2, 11, 1), (2, 15), True, "feranick/libedgetpu, releases"),
    Pair(r"16\.0", TFLITE, (2, 5), (2, 5), True, "google-coral/pycoral, release 2.0.0"),
    Pair(r"16\.0", TFLITE, (2, 12), (99,), False, "google-coral/edgetpu#812"),
    Pair(r"16\.0", LITERT, (0,), (99,), False, "jiteshsaini/model_garden, install.sh"),
    Pair(r"1[0-5](\.\d+)?(-\d+)?", LITERT, (0,), (99,), False,
         "older than 16.0, which crashes with it: jiteshsaini/model_garden, install.sh"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the table says of a pair: it works, it crashes, or (None) nothing; in a sentence."""

    works: bool | None
    sentence: str


def installed_runtime() -> tuple[str, str] | None:
    """Package and version of the runtime that `edge.inference.litert` takes; None when there is none."""
    for name in RUNTIMES:
        try:
            return name, version(name)
        except PackageNotFoundError:
            continue
    return None


def judge(package_version: str | None, said: str | None, runtime: tuple[str, str]) -> Judgement:
    """What is on record of a library with a runtime.

    Parameters
    ----------
    package_version
        Of the Debian package that brought the library; None when none did.
    said
        By its `edgetpu_version`.
    runtime
        Package and version.
    """
    name, told = runtime
    library = package_version
    if library is None and GOOGLES_COMPILER in (said or ""):
        library = "16.0" if f"RuntimeVersion({CURRENT_RUNTIME_VERSION})" in (said or "") else "15.0"
    here = f"{name} {told}"
    if library is None:
        return Judgement(
            None,
            f"which TensorFlow the library was built with is not told, so nothing is known of it with {here}",
        )
    whose = f"libedgetpu {library}" if package_version else f"Google's own libedgetpu {library} or older"
    for pair in PAIRS:
        if pair.runtime == name and re.fullmatch(pair.library, library):
            if not pair.works and _is_within(told, pair):
                return Judgement(False, f"{whose} crashes with {here} ({pair.source})")
            if _is_within(told, pair):
                return Judgement(True, f"{whose} works with {here} ({pair.source})")
    return Judgement(None, f"nothing is on record of {whose} with {here}")


def _is_within(told: str, pair: Pair) -> bool:
    numbers = tuple(map(int, re.findall(r"\d+", re.match(r"[\d.]*", told)[0])))  # type: ignore[index]
    return pair.oldest <= numbers and numbers[: len(pair.newest)] <= pair.newest
