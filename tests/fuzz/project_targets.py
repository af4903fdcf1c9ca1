"""What is fuzzed of the shore's readers of projects: those of a UVP6, and EcoPart's files of floats.

A project is made of the input: each piece is a file, whose first byte says which of those that a project has,
some of them in a zip. Whatever they hold is read, checked, converted and replayed image by image, or a
sentence says of which file why not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from edge.errors import InputError
from firmware_bridge.uvp6.lines import HW_FIELDS, Generation
from tests.fuzz.inputs import Reader, joined
from tests.tools.shore.made_project import ABOUT, ROWS, lines_of
from tools.shore.uvp6_project.cast import Cast, cast_of, images_of, position_in, start_of
from tools.shore.uvp6_project.check import check_project
from tools.shore.uvp6_project.ecopart import (
    LPM_COLUMNS,
    TAXO_COLUMNS,
    check_remote,
    counts_in,
    is_remote,
    meta_of,
    read_remote,
    write_remote,
)
from tools.shore.uvp6_project.files import torn_members
from tools.shore.uvp6_project.generations import KEPT_FILE, convert_project
from tools.shore.uvp6_project.model import METADATA, PARTICLES, Project
from tools.shore.uvp6_project.reader import is_project, read_project
from tools.shore.uvp6_project.replay import histogram_of, open_cast
from tools.shore.uvp6_project.rows import BadLine, taxo_of
from tools.shore.uvp6_project.vignettes import Vignettes
from tools.shore.uvp6_project.writer import contents, zip_of

T = TypeVar("T")
PARTICLE_ZIP, IMAGE_ZIP = "07_Particule.zip", "07_Images.zip"
FILES = (
    f"{PARTICLE_ZIP}/{PARTICLES}", f"{PARTICLE_ZIP}/{METADATA}", f"{IMAGE_ZIP}/ecotaxa_07.tsv",
    f"{IMAGE_ZIP}/20220518-042127-468_1.png", "meta/uvp6_header.txt", "07.ctd", "config/HW_CTD.txt",
    "config/ACQ_CTD.txt", "raw/20220518-042100/20220518-042100_data.txt", KEPT_FILE, PARTICLE_ZIP, IMAGE_ZIP,
)  # fmt: skip
"""Those after a slash within a zip are packed; the last two are zips as they come, whole or torn."""
REMOTE = tuple(f"a_000125HF_DEPTH_{what}.txt" for what in ("META", "LPM", "BLACK", "TAXO2", "CTD"))


def uvp6_project(data: bytes) -> None:
    """A project is read as far as it is good, and everything that can be asked of it is answered."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "project"
        _write(path, FILES, data)
        assert is_project(path) in (True, False)
        project = _or_sentence(lambda: read_project(path), path)
        if project is None:
            return
        findings = check_project(project)
        assert all(findings.faults)
        assert all(findings.remarks)
        _ask(project, path)
        for sample in project.samples:
            _or_sentence(lambda one=sample: open_cast(path, one.id), path)
        for generation in Generation:
            done = _or_sentence(lambda to=generation: convert_project(project, to), path)
            if done is not None:
                assert all(isinstance(content, bytes) for _, content in contents(done))


def _ask(project: Project, path: Path) -> None:
    for sample in project.samples:
        start_of(sample.about)
        position_in(sample.about)
        cast = _or_sentence(lambda one=sample: cast_of(one, project), path)
        if cast is None:
            continue
        assert (
            len(cast)
            == len(cast.time_s)
            == len(images_of(project, sample)[1].rows)
            + sum(isinstance(image, BadLine) for image in cast.images)
        )
        assert (cast.time_s[1:] >= cast.time_s[:-1]).all()
        vignettes = Vignettes(cast.vignettes)
        for i, image in enumerate(cast.images):
            _ask_image(cast, i, path)
            if not isinstance(image, BadLine):
                taxo_of(image)
                assert all(picture.ndim == 2 for picture in vignettes.of(image.time))


def _ask_image(cast: Cast, i: int, path: Path) -> None:
    found = _or_sentence(lambda: cast.spectrum(i), path)
    if found is not None:
        histogram = histogram_of(found)
        assert (histogram.area_px > 0).all()
        assert (histogram.count > 0).all()


def ecopart(data: bytes) -> None:
    """A float's files are read and checked, and what was read is written and read the same."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "remote"
        _write(path, REMOTE, data)
        assert is_remote(path) in (True, False)
        found = _or_sentence(lambda: read_remote(path), path)
        for sample in found[0] if found else ():
            faults, remarks = check_remote(sample)
            assert all(faults)
            assert all(remarks)
            if "LPM" in sample.tables:
                assert len(counts_in(sample.tables["LPM"])) == len(sample.tables["LPM"].rows)
            written = write_remote(sample)
            assert set(written) <= set(REMOTE)


def torn(data: bytes) -> None:
    """Members of a torn zip lie one behind another, and only the last may be cut."""
    members = list(torn_members(data))
    assert all(is_whole for _, _, is_whole in members[:-1])
    for name, content, _ in members:
        assert isinstance(name, str)
        assert isinstance(content, bytes)


def _write(path: Path, names: tuple[str, ...], data: bytes) -> None:
    """Files of the pieces; of two with one name the last counts."""
    packed: dict[str, dict[str, bytes]] = {}
    path.mkdir()
    for piece in Reader(data).pieces():
        name = names[piece[0] % len(names)] if piece else names[0]
        archive, inside, member = name.partition(".zip/")
        if inside:
            packed.setdefault(f"{archive}.zip", {})[member] = piece[1:]
            continue
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(piece[1:])
    for name, members in packed.items():
        (path / name).write_bytes(zip_of(members))


def _or_sentence(do: Callable[[], T], path: Path) -> T | None:
    """What came of it; None when a sentence said of which file of the project why nothing did."""
    try:
        return do()
    except InputError as error:
        told = error
    assert told.problem
    assert told.remedy
    assert str(path) in str(told)
    return None


PROJECT_TARGETS = {"project": uvp6_project, "ecopart": ecopart, "torn": torn}


def project_seeds(target: str) -> list[bytes]:
    """Good input to begin with: lines of each firmware, a header, vignettes; files of a float; a zip."""
    if target == "torn":
        return [zip_of({"a.txt": b"a" * 50, "b/c.png": b"png"})]
    if target == "ecopart":
        meta = meta_of(dict.fromkeys(HW_FIELDS[Generation.V2022_02], "1"), [45071])
        where = ("20220518T042127", "5.00", "43.5", "7.9", "3")
        lpm = _table(LPM_COLUMNS, [*where, "12.5", *["1.5"] * 18, *["30"] * 18])
        taxo = _table(TAXO_COLUMNS, [*where, *["1", "0.8"] * 40])
        told = "".join(f"{key}\t{value}\n" for key, value in meta.items()).encode()
        return [_project([(0, told), (1, lpm)]), _project([(1, lpm), (2, lpm), (3, taxo)])]
    header = b";".join(name.encode() for name in ABOUT) + b"\n" + ";".join(ABOUT.values()).encode("latin-1")
    own = "[sample_metadata]\r\n" + "".join(f"{name}={value}\r\n" for name, value in ABOUT.items())
    table = b"img_file_name\timg_rank\tobject_id\n[t]\t[f]\t[t]\n20220518-042127-468_1.png\t1\tx\n"
    ctd = b"pressure [db]\ttemperature [degc]\n0\t16\n4\t15\n"
    seeds = []
    for generation in Generation:
        lines = lines_of(generation)
        data = "".join(f"{lines[kind]};\n" for kind in ("HW_CONF", "ACQ_CONF", "TAXO_CONF")) + ROWS
        seeds.append(_project([(0, data.encode()), (1, own.encode()), (5, ctd)]))
        seeds.append(_project([(8, data.encode()), (4, header), (2, table), (3, b"\x89PNG")]))
    return seeds


def _table(columns: Iterable[str], row: Iterable[str]) -> bytes:
    return ("\t".join(columns) + "\n" + "\t".join(row) + "\n").encode()


def _project(files: list[tuple[int, bytes]]) -> bytes:
    return joined([bytes([which]) + content for which, content in files])
