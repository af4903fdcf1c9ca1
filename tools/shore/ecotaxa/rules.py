"""What EcoTaxa's importer takes, as one table: each rule, what comes of breaking it, and where it is said.

Read in the public sources of ecotaxa/ecotaxa_back (the importer) and ecotaxa/ecotaxa_front (its pages) as of
2024 to 2026; EcoPart's expectations in ecotaxa/ecopart. Facts alone are here: `check` applies them.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

TABLE_PATTERNS = ("ecotaxa*.txt", "ecotaxa*.tsv")
"""Names of tables, anywhere in the archive, as the importer's glob has them: lower case (BO/Bundle.py)."""
NESTED_PATTERN = "*Images.zip"
"""A UVP6's archive within the archive or folder (BO/Bundle.py, UVP6_FILTER)."""
NESTED_SETTINGS = "compute_vignette.txt"
"""Read at the top of a nested archive alone; then EcoTaxa draws the legends (BO/Bundle.py, before_import)."""
MOST_TABLES = 1000
"""Tables and nested archives of one import (BO/Bundle.py, MAX_FILES)."""
UPLOAD_BYTES = 500 * 1024 * 1024
"""Largest zip that the import page takes (ecotaxa_front, appli/templates/files_macros.html)."""

PREFIXES = ("object", "acq", "process", "sample")
"""Tables of an own column; each that is used needs its `_id` (BO/TSVFile.py, validate_structure)."""
IDS = tuple(f"{prefix}_id" for prefix in PREFIXES)
MOST_COLUMNS = {("object", "[f]"): 500, ("object", "[t]"): 20, ("acq", "[t]"): 30, ("process", "[t]"): 30,
                ("sample", "[t]"): 60}  # fmt: skip
"""Columns of one's own (DB/Object.py, Acquisition.py, Process.py, Sample.py).

Until 2024 a sample had 30, and the help page still says so.
"""
DOCUMENTED_SAMPLE_COLUMNS = 30

NUMBERS = ("img_rank", "object_lat", "object_lon", "object_depth_min", "object_depth_max",
           "object_annotation_category_id")  # fmt: skip
"""Predefined columns of numbers, whatever row 2 says (BO/Mappings.py, PREDEFINED_FIELDS)."""
TEXTS = (*IDS, "img_file_name", "object_date", "object_time", "object_link", "object_annotation_category",
         "object_annotation_date", "object_annotation_person_name", "object_annotation_status",
         "acq_instrument", "sample_dataportal_descriptor")  # fmt: skip
"""Predefined columns of text."""
UNSTORED = ("object_annotation_time", "object_annotation_person_email")
"""Read beside others, not stored themselves (BO/Mappings.py, DOUBLED_FIELDS)."""
PREDEFINED = (*NUMBERS, *TEXTS, *UNSTORED)

MOST_TEXT = 250
"""Characters of a text column of one's own (VARCHAR(250) in DB/*.py); nothing looks before the database."""
MOST_TEXT_OF = {**dict.fromkeys((*IDS, "img_file_name", "object_link", "acq_instrument"), 255),
                "sample_dataportal_descriptor": 8000}  # fmt: skip
STATUSES = ("predicted", "validated", "dubious", "discarded")
"""In lower case as compared (DB/Object.py, classif_qual_labels)."""
IMAGE_KINDS = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8": "JPEG", b"GIF8": "GIF"}
"""What images begin with that the importer takes (BO/Image.py, SUPPORTED_FORMATS)."""
SAMPLE_TYPES = {"P": "depth profile", "T": "time series"}
"""EcoPart's sample types; T needs an integration time above 0 (ecotaxa/ecopart, UVP6 header)."""


class Verdict(enum.StrEnum):
    """What comes of breaking a rule, the worst first."""

    REFUSED = "refused"
    """EcoTaxa does not import it, or breaks off."""
    ASKED = "asked"
    """EcoTaxa stops and asks a person."""
    CHANGED = "changed"
    """EcoTaxa imports it, and something is lost or means something else."""
    UNUSUAL = "unusual"
    """EcoTaxa does not mind; users of EcoTaxa or EcoPart will."""


class Rule(NamedTuple):
    """One rule.

    Attributes
    ----------
    name
        Short, for JSON and tests.
    verdict
        What comes of breaking it.
    says
        The rule in a sentence.
    source
        Where that is said.
    """

    name: str
    verdict: Verdict
    says: str
    source: str


_TSV, _BUNDLE, _OBJECT = (
    "ecotaxa_back BO/TSVFile.py",
    "ecotaxa_back BO/Bundle.py",
    "ecotaxa_back DB/Object.py",
)
_R, _A, _C, _U = Verdict
RULES = {
    rule.name: rule
    for rule in (
        Rule(
            "archive-whole", _R, "An archive is a zip that is whole.", "ecotaxa_back API_operations/imports"
        ),
        Rule(
            "archive-size",
            _R,
            "The import page takes zips up to 500 MB; larger ones go by FTP.",
            "ecotaxa_front appli/templates/files_macros.html",
        ),
        Rule(
            "archive-table",
            _R,
            "There is a table whose name is ecotaxa*.tsv or ecotaxa*.txt, lower case.",
            _BUNDLE,
        ),
        Rule("archive-tables", _R, f"There are at most {MOST_TABLES} tables.", _BUNDLE),
        Rule("archive-rows", _R, "There is a row.", f"{_BUNDLE} validate_import"),
        Rule("table-readable", _R, "A table is tab-separated, with double quotes.", f"{_TSV} open"),
        Rule(
            "table-encoding",
            _C,
            "A table is Latin-1, or UTF-8 marked by a BOM; other UTF-8 is garbled.",
            f"{_TSV} open",
        ),
        Rule("header-name", _R, "A column is called table_field.", f"{_TSV} validate_structure"),
        Rule(
            "header-prefix",
            _R,
            "A column begins with object, acq, process or sample, or is predefined.",
            f"{_TSV} validate_structure",
        ),
        Rule(
            "header-twice",
            _C,
            "A column stands once; the last of two counts.",
            f"{_TSV} open (csv.DictReader)",
        ),
        Rule(
            "header-id",
            _R,
            "Each of object, acq, process and sample that has columns has its _id.",
            f"{_TSV} validate_structure",
        ),
        Rule(
            "header-type",
            _R,
            "Row 2 says [f] or [t] below each object column of one's own.",
            f"{_TSV} validate_structure",
        ),
        Rule(
            "header-row2",
            _C,
            "Row 2 is taken for types, whatever stands there: data in it are lost.",
            f"{_TSV} open",
        ),
        Rule(
            "header-room",
            _R,
            "There is room for so many columns of one's own.",
            "ecotaxa_back DB/Object.py, Acquisition.py, Process.py, Sample.py",
        ),
        Rule(
            "header-samples",
            _U,
            "The help page promises 30 sample columns, newer EcoTaxa has 60.",
            "ecotaxa_front help/_help_jobs_prepare_data.html",
        ),
        Rule("cell-beyond", _R, "A row has no cell beyond the header.", f"{_TSV} validate_line"),
        Rule(
            "cell-short",
            _C,
            "A row has a cell for each column; those it lacks are taken for empty.",
            f"{_TSV} open (csv.DictReader)",
        ),
        Rule(
            "cell-number",
            _R,
            "A number has a point, not a comma.",
            "ecotaxa_back BO/helpers/TSVHelpers.py to_float",
        ),
        Rule(
            "cell-length",
            _R,
            "A text has at most 250 characters, an id 255: the database breaks off.",
            "ecotaxa_back DB/Object.py, Acquisition.py, Process.py, Sample.py, Image.py",
        ),
        Rule(
            "cell-place",
            _R,
            "Latitude is -90 to 90, longitude -180 to 180, in degrees or D°M S.",
            f"{_TSV} validate_line",
        ),
        Rule("cell-date", _R, "A date is YYYYMMDD or YYYY-MM-DD and exists.", f"{_OBJECT} date_from_txt"),
        Rule("cell-time", _R, "A time is HHMMSS, HHMM or HH:MM:SS and exists.", f"{_OBJECT} time_from_txt"),
        Rule(
            "cell-zone",
            _C,
            "A time is UTC; what follows HHMMSS, a zone too, is ignored.",
            f"{_OBJECT} time_from_txt; ecotaxa_front help/_help_jobs_prepare_data.html",
        ),
        Rule("object-id", _R, "Every row has an object_id.", f"{_TSV} validate_content"),
        Rule("object-twice", _R, "An object and an image stand together once.", f"{_TSV} validate_content"),
        Rule(
            "object-rank",
            _C,
            "Images of an object have ranks of their own; a taken one is replaced.",
            f"{_TSV} deal_with_images",
        ),
        Rule(
            "image-there",
            _R,
            "The image is there, as the table says it, seen from the table.",
            f"{_TSV} path_for_image",
        ),
        Rule(
            "image-opens",
            _R,
            "The image is a whole PNG, JPEG or GIF.",
            "ecotaxa_back BO/Image.py validate_image",
        ),
        Rule(
            "image-gif", _C, "Zips unpacked in My Files lose GIF images.", "ecotaxa_back FS/UserFilesDir.py"
        ),
        Rule("image-unused", _U, "Every image is named by a row; others are left behind.", _BUNDLE),
        Rule("acq-sample", _R, "An acquisition belongs to one sample.", f"{_TSV} validate_content"),
        Rule(
            "status-known",
            _R,
            "A status is predicted, validated, dubious or discarded.",
            f"{_TSV} validate_line",
        ),
        Rule(
            "status-category",
            _R,
            "A status needs a category, and a category a status; where there is a column"
            " of names, the name counts.",
            f"{_TSV} validate_content",
        ),
        Rule(
            "category-id",
            _R,
            "An id of a category is a whole number, and exists in EcoTaxa (not known here).",
            f"{_BUNDLE} check_classif",
        ),
        Rule(
            "category-name",
            _A,
            "A category without an id is found by its name, once; else a person is asked.",
            "ecotaxa_back API_operations/imports/Import.py resolve_taxa",
        ),
        Rule(
            "person-known",
            _A,
            "A person is found by name or e-mail; else a person is asked.",
            "ecotaxa_back API_operations/imports/Import.py resolve_users",
        ),
        Rule(
            "place-known",
            _U,
            "Objects have latitude and longitude; EcoTaxa warns otherwise.",
            f"{_BUNDLE} validate_import",
        ),
        Rule(
            "legend-settings",
            _C,
            "compute_vignette.txt counts at the top of an *Images.zip that lies in a"
            " folder or zip, nowhere else; else no legend is drawn.",
            f"{_BUNDLE} UVP6Bundle",
        ),
        Rule(
            "legend-readable",
            _R,
            "compute_vignette.txt has a [vignette] section with all its numbers.",
            "ecotaxa_back BO/Vignette.py",
        ),
        Rule(
            "ecopart-type",
            _U,
            "sample_sampletype is P (depth) or T (time, with sample_integrationtime > 0).",
            "ecotaxa/ecopart, UVP6 header",
        ),
        Rule(
            "ecopart-optics",
            _U,
            "Sizes need acq_pixel (um), concentrations acq_volimage (l) and depths.",
            "ecotaxa/ecopart, sample form: Pixel size [um], Image Volume [L]",
        ),
    )
}
"""Every rule by name."""


class Finding(NamedTuple):
    """One place where a rule is broken.

    Attributes
    ----------
    rule
        Which.
    file
        In the archive; "" for the archive itself.
    row
        As a spreadsheet counts: the header is row 1; None where it is no row.
    field
        Column, or "".
    what
        What is there.
    """

    rule: Rule
    file: str
    row: int | None
    field: str
    what: str

    def __str__(self) -> str:
        """File, row, field and what is there, for a line."""
        places = (self.file, "" if self.row is None else f"row {self.row}", self.field)
        return ": ".join([*(place for place in places if place), self.what])
