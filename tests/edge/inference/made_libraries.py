"""Real shared libraries, like an Edge TPU's or wrong in one way, made by the C compiler of this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NEWER = "BuildLabel(COMPILER=12.2.0,DATE=Sep 17 2025,TIME=10:00:00), RuntimeVersion(14)"
GOOGLES = "BuildLabel(COMPILER=6.3.0 20170516,DATE=redacted,TIME=redacted), RuntimeVersion(14)"
OLD = "BuildLabel(COMPILER=6.3.0 20170516,DATE=redacted,TIME=redacted), RuntimeVersion(13)"
SOURCE = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef ABORTS
__attribute__((constructor)) static void begin(void) { fputs("F :73 no such thing\n", stderr); abort(); }
#endif
#ifdef VERSION
const char *edgetpu_version(void) { return VERSION; }
#endif
struct device { int type; const char *path; };
struct device *edgetpu_list_devices(size_t *n) {
  struct device *all = calloc(2, sizeof *all);
#ifdef HANGS
  pause();
#endif
#ifdef FAILS
  *n = 0; free(all); return NULL;
#else
  all[0].type = 1; all[0].path = "/sys/bus/usb/devices/2-1";
  all[1].type = 0; all[1].path = "/dev/apex_0";
  *n = 2; return all;
#endif
}
void edgetpu_free_devices(struct device *all) { free(all); }
#ifndef LACKS
struct delegate {  /* TfLiteDelegate, tensorflow/lite/core/c/common.h */
  void *data; int (*prepare)(void *, struct delegate *);
  void *from, *to, *release; int64_t flags; void *builder;
};
static int prepare(void *context, struct delegate *self) { (void)context; (void)self; return 0; }
struct delegate *tflite_plugin_create_delegate(char **k, char **v, size_t n, void (*report)(const char *)) {
  (void)k; (void)v; (void)n;
#ifdef FAILS
  report("no device is there"); return NULL;
#else
  struct delegate *made = calloc(1, sizeof *made);
  (void)report;
  made->prepare = prepare;  /* it leaves all to the processor */
  return made;
#endif
}
void tflite_plugin_destroy_delegate(struct delegate *one) { free(one); }
#endif
"""


def make_library(file: Path, *flags: str, version: str | None = NEWER) -> Path:
    """Compile one; flags are ABORTS, HANGS, LACKS (the functions of a delegate) and FAILS (to make one)."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("a library has to be compiled: there is no C compiler")
    file.parent.mkdir(parents=True, exist_ok=True)
    told = [] if version is None else [f'-DVERSION="{version}"']
    command = [
        compiler,
        "-shared",
        "-fPIC",
        *(f"-D{flag}" for flag in flags),
        *told,
        "-xc",
        "-",
        "-o",
        str(file),
    ]
    subprocess.run(command, input=SOURCE, text=True, check=True)
    return file


def for_another_machine(file: Path) -> Path:
    """The same library, whose header says that it is for the other of the two architectures."""
    data = bytearray(file.read_bytes())
    data[18:20] = (183 if data[18] == 62 else 62).to_bytes(2, "little")
    file.write_bytes(data)
    return file
