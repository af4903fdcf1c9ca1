"""A small UVP6 project made by tests: lines of each firmware, two samples, vignettes, a CTD cast."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from firmware_bridge.uvp6.lines import ACQ_FIELDS, HW_FIELDS, TAXO_FIELDS, Generation
from tools.shore.uvp6_project.files import Archive
from tools.shore.uvp6_project.model import Particles, Project, Sample
from tools.shore.uvp6_project.rows import DataFile, read_data
from tools.shore.uvp6_project.tables import HEADER_COLUMNS, make_table
from tools.shore.uvp6_project.writer import zip_of
from training.drawn import draw_particle
from training.ecotaxa_write import encode_png

LIMITS = [
    "40.3", "50.8", "64", "80.6", "102", "128", "161", "203", "256", "323", "406", "512", "645", "813",
    "1020", "1290", "1630", "2050",
]  # fmt: skip
SINCE_2022 = [*LIMITS[1:], "2580"]
VALUES = {
    "Camera_ref": "000125HF", "Threshold": "22", "Aa": "2300.000", "Exp": "1.136", "Pixel_Size": "73",
    "Image_volume": "0.710", "IP_adress": "10.0.0.7", "Time_between_lighting_power_up_and_trigger": "150",
    "Version": "ver2022.04", "Configuration_name": "ACQ_CTD", "Vignetting_lower_limit_size": "620",
    "Blocs_per_PT": "3", "Limit_lpm_detection_size": "12", "Minimum_object_number": "5", "Taxo_flag": "1",
    "Taxo_conf": "TAXO_1", "Aux_mode": "2", "Aux_param_1": "7", "Operator_email": "operator@example.org",
}  # fmt: skip
ROWS = """\
20220518-042127-284,1.67,31.75,0:1,20,31.0,9.6;
20220518-042127-468,1.68,31.75,1:1,300,31.8,10.4;2,42,39.9,17.4;9,3,62.2,35.2;130,1,70.0,40.0;
TAXO:1,13,19738,91;
20220518-042128-100,nan,31.75,1:OVER_EXPOSED,22.2%;
20220518-042130-1,3.5,31.75,1:EMPTY_IMAGE;
20220518-042131-007,4.5,30,1:1,280,31.8,10.4;3,12,45.0,20.0;60,2,60.0,30.0;1500,2,60.0,30.0;
"""
ABOUT = {
    "cruise": "TAL", "ship": "RV One", "filename": "20220518-042100", "profileid": "07",
    "latitude": "43°48 36", "longitude": "-009°30 00", "firstimage": "1", "volimage": "0.71", "aa": "0.0023",
    "exp": "1.136", "endimg": "5", "sampletype": "P", "pixelsize": "73",
    "sampledatetime": "20220518-042127-284",
}  # fmt: skip


def lines_of(generation: Generation) -> dict[str, str]:
    """HW_CONF, ACQ_CONF and TAXO_CONF of a generation, no two of its own values usual ones."""
    limits = LIMITS if generation is Generation.V2021 else SINCE_2022
    hardware = [VALUES.get(name, f"{i}") for i, name in enumerate(HW_FIELDS[generation])]
    first = HW_FIELDS[generation].index("Lower_limit_size_class_1_um")
    hardware[first : first + 18] = limits
    acquisition = [VALUES.get(name, f"{i}") for i, name in enumerate(ACQ_FIELDS[generation])]
    taxo = ["TAXO_1", "model", "65535", "40", *(f"{n:05d}" for n in range(len(TAXO_FIELDS) - 4))]
    rows = {"HW_CONF": hardware, "ACQ_CONF": acquisition, "TAXO_CONF": taxo}
    return {kind: ",".join([kind, *cells]) for kind, cells in rows.items()}


def data_of(generation: Generation, rows: str = ROWS) -> DataFile:
    """Images behind the lines of a generation, with its blank lines."""
    gap = "\n" if generation is Generation.V2021 else ""
    lines = lines_of(generation)
    return read_data(f"{lines['HW_CONF']};\n{gap}{lines['ACQ_CONF']};\n{lines['TAXO_CONF']};\n{rows}")


def text_of(kind: str, generation: Generation) -> bytes:
    """HW_*.txt or ACQ_*.txt as an instrument writes it, some of it."""
    fields = (HW_FIELDS if kind == "HW" else ACQ_FIELDS)[generation]
    lines = [f"// {kind} parameters :", ""]
    for name in fields:
        if not name.startswith("Lower_limit") and name != "Version":
            lines += [f"// Parameter name: {name}, Unit: µm", f"{name} = {VALUES.get(name, '1')}", ""]
    return "\r\n".join(lines).encode()


def vignettes_zip() -> bytes:
    """Three vignettes: two of the last image, one of the second."""
    rng = np.random.default_rng(5)
    table = [
        "img_file_name\timg_rank\tobject_id\tobject_area\tacq_id\tsample_id",
        "[t]\t[f]\t[t]\t[f]\t[t]\t[t]",
    ]
    members = {}
    for name in ("20220518-042127-468_1", "20220518-042131-007_1", "20220518-042131-007_2"):
        pixels = np.zeros((90, 90), np.uint8)
        drawn = draw_particle("copepod", rng, 40.0)[:70, :70]
        pixels[8 : 8 + drawn.shape[0], 8 : 8 + drawn.shape[1]] = drawn
        members[f"sub1/{name}.png"] = encode_png(pixels)
        table.append(f"sub1/{name}.png\t1\t{name}\t{np.count_nonzero(pixels > 22)}\t07\t07")
    return zip_of({"ecotaxa_07.tsv": "\n".join([*table, ""]).encode(), **members})


def metadata_of(generation: Generation, about: dict[str, str] = ABOUT) -> str:
    """metadata.ini."""
    parts = []
    for kind, fields in (("HW_CONF", HW_FIELDS), ("ACQ_CONF", ACQ_FIELDS)):
        names = (name for name in fields[generation] if not name.startswith("Lower_limit"))
        parts.append([f"[{kind}]", *(f"{name}={VALUES.get(name, '1')}" for name in names)])
    parts.append(["[sample_metadata]", *(f"{name}={value}" for name, value in about.items())])
    return "\r\n".join("".join(f"{line}\r\n" for line in part) for part in parts)


def made_project(generation: Generation = Generation.V2022_02, rows: str = ROWS, **about: str) -> Project:
    """A project; `about` changes what the header says of its first sample."""
    first = dict.fromkeys(HEADER_COLUMNS, "") | ABOUT | about
    second = first | {"profileid": "08", "sampletype": "T", "integrationtime": "3600", "firstimage": "2"}
    data = data_of(generation, rows)
    name = "ecodata/07/07_Particule.zip"
    images = Archive(vignettes_zip(), "ecodata/07/07_Images.zip", "ecodata/07/07_Images.zip")
    ctd = make_table(
        ("pressure [db]", "temperature [degc]", "practical salinity [psu]"),
        [("0", "16.0", "38"), ("4", "15.0", "38.1"), ("10", "12", "38.2")], "\t",
    )  # fmt: skip
    header = make_table(
        HEADER_COLUMNS, [[one[column] for column in HEADER_COLUMNS] for one in (first, second)], ";"
    )
    return Project(
        "",
        {f"config/{kind}_CTD.txt": text_of(kind, generation) for kind in ("HW", "ACQ")},
        ("meta/uvp6_header_sn000125hf_2022_tal.txt", header),
        (
            Sample("07", first, 2, Particles(name, data, metadata_of(generation, first)), images, ctd),
            Sample("08", second, 3),
        ),
        {"raw/20220518-042100/20220518-042100_data.txt": data},
        {"CTDdata/07.ctd": ctd},
        {"doc/notes.txt": lambda: b"what somebody wrote"},
    )


def tree(folder: Path) -> dict[str, bytes]:
    """Content of every file by name."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def picture_in(data: bytes) -> np.ndarray:
    """Pixels of a PNG."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
