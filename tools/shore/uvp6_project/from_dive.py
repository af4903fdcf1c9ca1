"""A UVP6 project made of dives: what EcoPart and EcoTaxa read of a UVP6, they read of us.

Each phase of a dive is a sample. Histograms are those of the log, exactly; the spread of grey, which the log
does not keep, is written as 0. A frame that a UVP6 has no word for (blurred, dark, dropped, corrupt, ...) is
no image here: nothing was counted in it, and no volume counts.
"""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.divelog_schema import Particle
from edge.frame import CLASSIFIED_OUTCOMES, SIZED_OUTCOMES, FrameOutcome, Phase
from edge.taxonomy import UNCLASSIFIED
from edge.vision.morphology import MEASURES
from firmware_bridge.uvp6.lines import N_TAXA, Configuration, write_configuration
from tools.shore.uvp6_project.dive import DiveImage, DivePart, check_ids, ctd_of, objects_of, utc
from tools.shore.uvp6_project.files import Archive
from tools.shore.uvp6_project.model import HEADER_NAME, Particles, Project, Sample
from tools.shore.uvp6_project.rows import (
    EMPTY_IMAGE,
    OVER_EXPOSED,
    DataFile,
    ImageRow,
    Spectrum,
    body_of,
)
from tools.shore.uvp6_project.tables import HEADER_COLUMNS, TextTable, make_table
from tools.shore.uvp6_project.texts import encode, write_sections
from tools.shore.uvp6_project.writer import zip_of
from training.ecotaxa_write import Cell, write_archive

CTD_FOLDER = "ctd_data_cnv"
"""Where EcoPart looks for CTD casts."""
IMAGES_A_FOLDER = 1000
"""Vignettes of one folder subN of an Images.zip."""
COMPUTE_VIGNETTE = {
    "gamma": "1", "invert": "Y", "scalebarsize_mm": "2.0", "keeporiginal": "Y", "fontcolor": "black",
    "fontheight_px": "6", "footerheight_px": "31", "scale": "1",
}  # fmt: skip
"""How EcoTaxa is to show vignettes: inverted, with a legend of 31 px, the original kept beside."""
_SHARE = re.compile(r"(\d+(?:\.\d+)?) %")


def project_of(parts: Sequence[DivePart], name: str, ship: str = "") -> tuple[Project, dict[str, int]]:
    """A project of some parts of dives, and how many frames have no place in it, by outcome.

    Raises
    ------
    RecordingError
        When two parts would be one sample.
    """
    check_ids(parts)
    samples, rows = [], []
    sequences: dict[str, DataFile] = {}
    ctds: dict[str, TextTable] = {}
    texts: dict[str, bytes] = {}
    left_out: dict[str, int] = {}
    for part in parts:
        times = part.times
        images = [
            row
            for at, (image, time) in enumerate(zip(part.images, times, strict=True), start=1)
            if (row := _row(image, part, time, at)) is not None
        ]
        for image in part.images:
            if _body(image) is None:
                label = image.record.outcome.label
                left_out[label] = left_out.get(label, 0) + 1
        if not images:
            continue
        lines = {one.kind: write_configuration(one).removesuffix(";") for one in part.configurations}
        data = DataFile(lines, tuple(images))
        sequence = images[0].time[:15]
        while f"raw/{sequence}/{sequence}_data.txt" in sequences:  # another dive began in the same second
            sequence += "b"
        sequences[f"raw/{sequence}/{sequence}_data.txt"] = data
        about = _about(part, sequence, images, ship)
        rows.append([about[column] for column in HEADER_COLUMNS])
        folder = f"ecodata/{part.id}"
        own = Particles(f"{folder}/{part.id}_Particule.zip", data, _metadata(part.configurations, about))
        vignettes = images_zip(part, about, times)
        archive = None
        if vignettes is not None:
            place = f"{folder}/{part.id}_Images.zip"
            archive = Archive(vignettes, place, place)
        ctd = ctd_of(part)
        if ctd is not None:
            ctds[f"{CTD_FOLDER}/{part.id}.ctd"] = ctd
        samples.append(Sample(part.id, about, len(rows) + 1, own, archive, ctd))
        for conf in part.configurations[:2]:
            kind = conf.kind.partition("_")[0]
            who = part.unit if kind == "HW" else conf.values["Configuration_name"].removeprefix("ACQ_")
            texts[f"config/{kind}_{who}.txt"] = _text_of(conf)
    texts["config/compute_vignette.txt"] = encode(write_sections({"vignette": COMPUTE_VIGNETTE}))
    texts["config/cruise_info.txt"] = encode(
        write_sections({"General": {"acron": parts[0].cruise, "sn": parts[0].unit}} if parts else {})
    )
    header = HEADER_NAME.format(name.removeprefix("uvp6_")), make_table(HEADER_COLUMNS, rows, ";")
    return Project("", texts, header, tuple(samples), sequences, ctds), left_out


def _row(image: DiveImage, part: DivePart, time: str, at: int) -> ImageRow | None:
    body = _body(image)
    if body is None:
        return None
    record = image.record
    taxo = None
    objects = objects_of(image, part, classes_of(part))
    if image.lit and record.outcome in CLASSIFIED_OUTCOMES and (objects or not record.unnamed):
        taxo = ",".join(str(value) for value in (len(objects), *(cell for one in objects for cell in one)))
    return ImageRow(
        at,
        time,
        _decimals(record.pressure_dbar),
        _decimals(image.internal_c),
        str(int(image.lit)),
        body,
        taxo,
    )


def _decimals(value: float) -> str:
    return "nan" if np.isnan(value) else f"{value:.2f}"


def _body(image: DiveImage) -> str | None:
    """A frame's histogram as a UVP6 writes it, None where it has no word for what became of it."""
    record = image.record
    if record.outcome is FrameOutcome.OVER_EXPOSED:
        share = _SHARE.search(image.note)
        return f"{OVER_EXPOSED},{float(share[1]) if share else 0:.1f}%"
    if record.outcome not in (*SIZED_OUTCOMES, FrameOutcome.UNLIT):
        return None
    found = record.histogram
    if not found.n_particles:
        return EMPTY_IMAGE
    grey = found.grey_centi_sum / found.count / 100
    return body_of(Spectrum(found.area_px, found.count, grey, np.zeros(len(grey))))


def classes_of(part: DivePart) -> dict[int, int]:
    """Class of the UVP6 by counted taxon: its number, where it is named and a UVP6 has so many."""
    return {i: i for i, taxon in enumerate(part.taxa) if taxon.label != UNCLASSIFIED and i < N_TAXA}


def _about(part: DivePart, sequence: str, images: Sequence[ImageRow], ship: str) -> dict[str, str]:
    """The header's row of a sample."""
    optics = part.optics
    is_park = part.phase is Phase.PARK
    known = dict.fromkeys(HEADER_COLUMNS, "")
    return known | {
        "cruise": part.cruise, "ship": ship, "filename": sequence, "profileid": part.id,
        "latitude": f"{part.position.latitude_deg:.5f}", "longitude": f"{part.position.longitude_deg:.5f}",
        "firstimage": "1", "volimage": f"{optics.image_volume_l:g}",
        "aa": f"{optics.area_unit_um2 * 1e-6:.9g}", "exp": f"{optics.exp:g}", "endimg": str(len(images)),
        "stationid": part.id, "sampletype": "T" if is_park else "P",
        "integrationtime": str(part.config.profile.park_bin_s) if is_park else "",
        "argoid": part.config.platform, "pixelsize": f"{optics.pixel_um:g}", "sampledatetime": images[0].time,
    }  # fmt: skip


def _metadata(configurations: Sequence[Configuration], about: dict[str, str]) -> str:
    """metadata.ini, with the one value of old firmware that EcoPart cannot do without."""
    hardware, acquisition = (dict(sorted(one.values.items())) for one in configurations[:2])
    acquisition["Limit_lpm_detection_size"] = "0"
    return write_sections({"HW_CONF": hardware, "ACQ_CONF": acquisition, "sample_metadata": about})


def _text_of(conf: Configuration) -> bytes:
    lines = [f"// {conf.kind} of firmware {conf.generation.value}, written by seston", ""]
    lines += [f"{name} = {value}" for name, value in conf.values.items()]
    return encode("".join(f"{line}\r\n" for line in lines))


def images_zip(part: DivePart, about: dict[str, str], times: Sequence[str]) -> bytes | None:
    """Vignettes of a sample as UVPapp packs them, for EcoTaxa; None when the log kept none.

    Pressure stands for depth, as UVPapp has it. Taxa are predictions.
    """
    rows: list[dict[str, Cell]] = []
    pictures: dict[str, bytes] = {}
    for image, time in zip(part.images, times, strict=True):
        kept = [one for one in image.particles if one.vignette_png is not None]
        for number, particle in enumerate(kept, start=1):
            assert particle.vignette_png is not None
            name = f"sub{len(rows) // IMAGES_A_FOLDER + 1}/{time}_{number}.png"
            pictures[name] = particle.vignette_png
            rows.append(_object(part, about, image, particle, name, f"{time}_{number}"))
    if not rows:
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = write_archive(Path(folder) / "images.zip", rows, pictures, table=f"ecotaxa_{part.id}.tsv")
        with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    settings = COMPUTE_VIGNETTE | {"Pixel_Size": f"{part.optics.pixel_um:g}"}
    return zip_of({"compute_vignette.txt": encode(write_sections({"vignette": settings})), **members})


def _object(
    part: DivePart, about: dict[str, str], image: DiveImage, particle: Particle, name: str, thing: str
) -> dict[str, Cell]:
    record, taxon = image.record, part.taxa[particle.taxon]
    moment = utc(record.time_ms)
    named = taxon.label != UNCLASSIFIED
    measures = {
        f"object_{measure.name}": float(value)
        for measure, value in zip(MEASURES, particle.measures.tolist(), strict=False)
    }
    return {
        "img_file_name": name, "img_rank": 1, "object_id": thing,
        "object_lat": part.position.latitude_deg, "object_lon": _east(part.position.longitude_deg),
        "object_date": f"{moment:%Y%m%d}", "object_time": f"{moment:%H%M%S}",
        "object_depth_min": record.pressure_dbar, "object_depth_max": record.pressure_dbar,
        "object_annotation_category": taxon.label if named else None,
        "object_annotation_category_id": taxon.ecotaxa_id if named else None,
        "object_annotation_status": "predicted" if named else None,
        "object_score": float(particle.scores.max()) if particle.scores.size else None,
        **measures,
        "process_id": part.id, "process_software": "seston", "process_pixel": about["pixelsize"],
        "acq_id": part.id, "acq_instrument": "seston", "acq_sn": part.unit, "acq_volimage": about["volimage"],
        "acq_aa": about["aa"], "acq_exp": about["exp"], "acq_pixel": about["pixelsize"],
        "acq_threshold": str(part.optics.threshold),
        "acq_smzoo": f"{part.config.classify.min_esd_um:g}",
        "sample_id": part.id, "sample_profileid": part.id,
        **{f"sample_{column}": about[column] for column in ("cruise", "ship", "stationid", "sampletype",
           "integrationtime", "argoid", "sampledatetime")},
    }  # fmt: skip


def _east(longitude_deg: float) -> float:
    return longitude_deg - 360 if longitude_deg > 180 else longitude_deg
