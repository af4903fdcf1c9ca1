"""Makes the installer: one file, a shell script with a zip behind it; same tree, same lock, same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path

from edge.config import Config, load_config
from edge.errors import BundleError, ConfigError, InputError
from edge.inference.bundle import load_bundle, shipped_bundles
from edge.logged import optics_of
from tools.flashing import wheels as wheelhouse
from tools.flashing.edgetpu import library_of
from tools.flashing.on_board import places
from tools.flashing.on_board.payload import MANIFEST, Entry, Manifest
from tools.flashing.wheels import Lock

PROGRAM = "tools.flashing.on_board"
MODELS = str(places.CURRENT / "models")
"""Where a configuration finds a bundle that was put into the file."""
MAIN = b"import sys\n\nfrom tools.flashing.on_board.command import main\n\nsys.exit(main())\n"
EARLIEST_S = 315_532_800
"""1980-01-01, the first date that a zip can hold."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What goes into an installer beside the wheels."""

    arch: str = "aarch64"
    pythons: tuple[str, ...] = ("3.11", "3.13")
    config: Path | None = None
    models: tuple[Path, ...] = ()
    keys: Path | None = None
    edgetpu: Path | None = None
    epoch_s: int = EARLIEST_S


@dataclass(slots=True)
class Contents:
    """Entries and their bytes (a path for what is large), in their order."""

    entries: list[Entry] = field(default_factory=list)
    data: dict[str, bytes | Path] = field(default_factory=dict)

    def add(self, file: str, data: bytes | Path, kind: str, **more: str | int) -> None:
        """Put a file in, with what `Entry` says of it."""
        whole = data.read_bytes() if isinstance(data, Path) else data
        digest = hashlib.sha256(whole).hexdigest()
        self.entries.append(Entry(file, digest, len(whole), kind, **more))  # type: ignore[arg-type]
        self.data[file] = data


def build(wanted: Wanted, folder: Path, wheels_folder: Path, lock: Lock | None) -> tuple[Path, Lock]:
    """Make the installer.

    Parameters
    ----------
    wanted
        What goes in.
    folder
        Where the file goes, and beside it its hash, as `sha256sum -c` reads it.
    wheels_folder
        Where fetched wheels are kept.
    lock
        The wheels to take; none takes the newest.

    Raises `InputError` and its kin for a configuration without its model, a foreign library, or no wheels.
    """
    contents = Contents()
    _add_settings(wanted, contents)
    found = wheelhouse.fetch(wanted.pythons, wanted.arch, wheels_folder, lock)
    with tempfile.TemporaryDirectory() as temporary:
        own, setuptools = wheelhouse.own_wheel(
            Path(temporary), wanted.epoch_s, lock.setuptools if lock else None
        )
        seston = wheelhouse.wheel_of(own, "")
        inside = sorted([*found, seston], key=lambda one: (one.python, one.file.name))
        for python in wanted.pythons:
            wheelhouse.check_closed(inside, python, wanted.arch)
        for wheel in inside:
            contents.add(
                f"wheels/{wheel.python or 'any'}/{wheel.file.name}", wheel.file,
                "pip" if wheel.name == "pip" else "wheel", name=wheel.name, version=wheel.version,
                python=wheel.python, unpacked_bytes=wheel.unpacked_bytes,
            )  # fmt: skip
        manifest = Manifest(
            seston.version, wanted.arch, wheelhouse.least_glibc(inside), wanted.epoch_s, wanted.pythons,
            tuple(contents.entries),
        )  # fmt: skip
        name = f"seston-{seston.version}-{wanted.arch}.run"
        folder.mkdir(parents=True, exist_ok=True)
        digest = write_file(folder / name, manifest, contents)
    (folder / f"{name}.sha256").write_text(f"{digest}  {name}\n")
    return folder / name, lock or wheelhouse.lock_of(found, wanted.arch, wanted.pythons, setuptools)


def _add_settings(wanted: Wanted, contents: Contents) -> None:
    """Configuration, models, keys, rules, library: each looked at before it goes in."""
    models = {file.name: file for file in wanted.models}
    for file in models.values():
        load_bundle(file)
        contents.add(f"models/{file.name}", file, "model")
    text = wanted.config.read_bytes() if wanted.config else _default_config(list(models))
    contents.add(f"etc/{places.CONFIG.name}", text, "etc")
    for name, data in _checked_config(wanted, text, models).items():
        contents.add(f"etc/{name}", data, "etc")
    if wanted.keys is not None:
        contents.add("keys.toml", _checked_keys(wanted.keys), "keys")
    contents.add(
        f"udev/{places.RULES.name}", (files("edge") / "udev" / places.RULES.name).read_bytes(), "rules"
    )
    if wanted.edgetpu is not None:
        contents.add("lib/libedgetpu.so.1", library_of(wanted.edgetpu, wanted.arch), "lib")


def _default_config(models: Sequence[str]) -> bytes:
    text = (files("tools.flashing") / "float.toml").read_text(encoding="utf-8")
    if models:
        text = text.replace('bundle = "darkfield"', f'bundle = "{MODELS}/{models[0]}"')
    return text.encode()


def _checked_config(wanted: Wanted, text: bytes, models: dict[str, Path]) -> dict[str, bytes]:
    """Refuse a configuration that could not start on the board; files that it names beside itself."""
    beside = {}
    with tempfile.TemporaryDirectory() as temporary:
        trial = Path(temporary) / places.CONFIG.name
        trial.write_bytes(text)
        named = wanted.config or places.CONFIG
        try:
            optics = tomllib.loads(text.decode()).get("optics_file")
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as cause:
            raise ConfigError(
                f"is not TOML ({cause})", file=named, remedy="correct the line named"
            ) from cause
        if isinstance(optics, str) and wanted.config is not None:
            if Path(optics).name != optics:
                raise ConfigError(
                    f"is {optics}",
                    file=named,
                    field="optics_file",
                    remedy="name a file beside the configuration",
                )
            source = wanted.config.parent / optics
            if not source.is_file():
                raise ConfigError(f"is {optics}, which is not there", file=named, field="optics_file",
                                  remedy="put it beside the configuration")  # fmt: skip
            beside[optics] = source.read_bytes()
            (trial.parent / optics).write_bytes(beside[optics])
        config = _load(trial, named)
    bundle = config.bundle
    if bundle in shipped_bundles():
        return beside
    if bundle not in {f"{MODELS}/{name}" for name in models}:
        ways = [
            f'--model {Path(bundle).name} and bundle = "{MODELS}/{Path(bundle).name}"',
            *shipped_bundles(),
        ]
        raise BundleError(
            f"is {bundle}, which is not inside", file=named, field="bundle",
            remedy=f"give {ways[0]}, or one that is shipped ({', '.join(ways[1:])})",
        )  # fmt: skip
    return beside


def _load(trial: Path, named: Path) -> Config:
    try:
        config = load_config(trial)
        optics_of(config)
    except InputError as reason:
        file = Path(reason.file or trial)
        if file.parent != trial.parent:
            raise
        named = named if file == trial else named.with_name(file.name)
        raise ConfigError(reason.problem, file=named, field=reason.field, remedy=reason.remedy) from None
    return config


def _checked_keys(file: Path) -> bytes:
    from edge.installed_keys import InstalledKeys
    from edge.structs import read_toml

    read_toml(file, InstalledKeys, error=ConfigError)
    return file.read_bytes()


def write_file(file: Path, manifest: Manifest, contents: Contents) -> str:
    """Head and zip into one file; SHA-256 of it."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_STORED) as out:
        told = json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n"
        for name, data in {
            "__main__.py": MAIN,
            **_program(),
            MANIFEST: told.encode(),
            **contents.data,
        }.items():
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            member.external_attr = 0o100644 << 16
            member.create_system = 3
            out.writestr(member, data.read_bytes() if isinstance(data, Path) else data)
    payload = body.getvalue()
    head = _head(file.name, manifest, payload)
    part = file.with_name(f"{file.name}.part")
    part.write_bytes(head + payload)
    part.chmod(0o755)
    part.replace(file)
    return hashlib.sha256(head + payload).hexdigest()


def _program() -> dict[str, bytes]:
    """The modules that run on the board, under their own names."""
    found = {"tools/__init__.py": b"", "tools/flashing/__init__.py": b""}
    for one in sorted(files(PROGRAM).iterdir(), key=lambda one: one.name):
        if one.name.endswith(".py"):
            found[f"{PROGRAM.replace('.', '/')}/{one.name}"] = one.read_bytes()
    return found


def _head(name: str, manifest: Manifest, payload: bytes) -> bytes:
    """The script before the zip. It knows its own length and the sum of all other bytes."""
    text = (files(PROGRAM) / "head.sh").read_text(encoding="utf-8")
    told = {
        "VERSION": manifest.version, "ARCH": manifest.arch, "NAME": name,
        "PYTHONS": " ".join(manifest.pythons),
    }  # fmt: skip
    for key, value in told.items():
        text = text.replace(f"@{key}@", value)
    n_bytes = 0
    while True:  # its length stands in it
        lengths = {"HEAD_BYTES": n_bytes, "FILE_BYTES": n_bytes + len(payload), "SHA256": "0" * 64}
        filled = text
        for key, number in lengths.items():
            filled = filled.replace(f"@{key}@", str(number))
        if len(filled.encode()) == n_bytes:
            break
        n_bytes = len(filled.encode())
    line = f"SHA256={'0' * 64}\n"
    digest = hashlib.sha256(filled.replace(line, "").encode() + payload).hexdigest()
    return filled.replace(line, f"SHA256={digest}\n").encode()
